//! A destination that is dialled.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use cdp_domain::ids::ExportId;
use cdp_domain::json as domain_json;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_egress::postgres::Rows;
use cdp_egress::{Egress, Fault, ObjectStore, Postgres, Secret, Webhook, Why};
use cdp_engine::{Refused, Result, Tenant};
use compact_str::CompactString;
use serde_json::{Value as Json, json};

use super::connector::{self, Post, Way};
use super::read::store_of;
use crate::Inner;
use crate::ledger::Change;
use crate::plan::Plan;
use crate::run::Item;

/// Where a run goes, with everything that is needed to go there.
pub(crate) enum Target {
    /// The file is held until somebody fetches it.
    Download,
    /// The file lies in a folder of the server's own.
    File,
    /// Rows are sent as messages.
    Webhook { webhook: Webhook, egress: Egress },
    /// Files are put as objects.
    ObjectStore { store: ObjectStore, egress: Egress },
    /// Rows are put into a table, and taken out of it.
    Postgres { table: Postgres, egress: Egress },
    /// A plugin says what to send.
    Plugin(Box<Way>),
}

/// Rows that are sent together.
pub(crate) struct Batch<'a> {
    pub(crate) run: ExportId,
    /// When the run was asked for.
    pub(crate) at: Timestamp,
    pub(crate) segment: &'a str,
    pub(crate) plan: &'a Plan,
    /// The rows as JSON objects, in the order of the items.
    pub(crate) rows: &'a [String],
    pub(crate) items: &'a [Item],
}

impl Target {
    /// The destination of this name; the download where there is none.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Internal`] when its secrets cannot be opened.
    pub(crate) fn of(inner: &Arc<Inner>, tenant: &Tenant, name: Option<&str>) -> Result<Self> {
        let Some(name) = name else { return Ok(Self::Download) };
        let destination = tenant.destination(name)?;
        let text = |setting: &str| destination.settings[setting].as_str().unwrap_or_default().to_owned();
        match destination.kind.as_str() {
            "file" => Ok(Self::File),
            "webhook" => {
                let secrets = tenant.secrets_of(name, &destination)?;
                let secrets = secrets
                    .iter()
                    .map(|(_, secret)| Secret::read(secret).map_err(Refused::internal))
                    .collect::<Result<_>>()?;
                let webhook = Webhook { url: text("url"), secrets };
                Ok(Self::Webhook { webhook, egress: inner.egress.clone() })
            }
            "object_store" => {
                let secrets = tenant.secrets_of(name, &destination)?;
                let store = store_of(&destination.settings, &secrets);
                Ok(Self::ObjectStore { store, egress: inner.egress.clone() })
            }
            "postgres" => {
                let secrets = tenant.secrets_of(name, &destination)?;
                let url = secrets.into_iter().find(|(name, _)| name == "url");
                let url = url.ok_or_else(|| Refused::internal("a destination has no address"))?.1;
                Ok(Self::Postgres {
                    table: Postgres { url, table: text("table") },
                    egress: inner.egress.clone(),
                })
            }
            "plugin" => {
                let dir = crate::exports_dir(&inner.engine, tenant.no());
                let post = Arc::new(Post {
                    secrets: tenant.secrets_of(name, &destination)?,
                    egress: inner.egress.clone(),
                    destination: format!("plugin {} {name}", tenant.no().0),
                    tenant: tenant.clone(),
                    kept: inner.shelves.of(tenant, dir, name)?,
                });
                let connector = connector::open(tenant, &destination.settings)?;
                Ok(Self::Plugin(Box::new(Way { connector, post })))
            }
            _ => Err(Refused::internal("a destination is of an unknown kind")),
        }
    }

    /// Its kind, as clients see it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::File => "file",
            Self::Webhook { .. } => "webhook",
            Self::ObjectStore { .. } => "object_store",
            Self::Postgres { .. } => "postgres",
            Self::Plugin(_) => "plugin",
        }
    }

    /// The plugin that plans what is sent: its name, version and digest.
    pub(crate) fn plugin(&self) -> Option<(CompactString, u32, String)> {
        match self {
            Self::Plugin(way) => Some(way.connector.identity()),
            _ => None,
        }
    }

    /// Whether it takes rows rather than a file.
    pub(crate) fn takes_rows(&self) -> bool {
        matches!(self, Self::Webhook { .. } | Self::Postgres { .. } | Self::Plugin(_))
    }

    /// Whether a file goes out to it.
    pub(crate) fn is_stored(&self) -> bool {
        matches!(self, Self::ObjectStore { .. })
    }

    /// Whether its steps mostly wait for others.
    pub(crate) fn waits(&self) -> bool {
        self.takes_rows() || self.is_stored()
    }

    /// Hands a file over.
    pub(crate) fn store(&self, path: &Path, key: &str) -> Result<(), Fault> {
        match self {
            Self::ObjectStore { store, egress } => pollster::block_on(store.put(egress, key, path)).map(drop),
            _ => Err(wrong_kind()),
        }
    }

    /// Sends rows together; those that the destination will not take come back, by their place and with why.
    pub(crate) fn send(&self, id: &str, batch: &Batch<'_>) -> Result<Vec<(usize, String)>, Fault> {
        match self {
            Self::Webhook { webhook, egress } => {
                let body = Bytes::from(message(batch));
                pollster::block_on(webhook.send(egress, id, body)).map(|_| Vec::new())
            }
            Self::Postgres { table, egress } => {
                let (rows, places) = table_rows(batch);
                let applied = pollster::block_on(table.apply(egress, rows))?;
                let refused = applied.rejected.into_iter();
                Ok(refused
                    .map(|(at, state)| (places[at], format!("the table will not have it: SQLSTATE {state}")))
                    .collect())
            }
            Self::Plugin(way) => way.send(id, batch),
            Self::Download | Self::File | Self::ObjectStore { .. } => Err(wrong_kind()),
        }
    }

    /// Tries whether it can be reached, without a row of anybody's. `plan` is what went there last.
    pub(crate) fn check(&self, plan: Option<&Plan>) -> Result<Json, Fault> {
        match self {
            Self::Download | Self::File => Ok(json!({})),
            Self::Webhook { webhook, egress } => {
                let delivered = pollster::block_on(webhook.check(egress))?;
                let took = u64::try_from(delivered.took.as_millis()).unwrap_or(u64::MAX);
                Ok(json!({ "answered": delivered.status, "took_ms": took }))
            }
            Self::Plugin(way) => way.check(),
            Self::ObjectStore { store, egress } => {
                pollster::block_on(store.check(egress)).map(|()| json!({ "wrote": "cdp-check" }))
            }
            Self::Postgres { table, egress } => {
                let Some(plan) = plan else {
                    return Ok(
                        json!({ "note": "which columns there must be is known with the first export" }),
                    );
                };
                let (key, columns) = columns(plan);
                pollster::block_on(table.check(egress, &key, &columns))
                    .map(|()| json!({ "columns": columns }))
            }
        }
    }
}

/// The column that names a row, and the others.
fn columns(plan: &Plan) -> (String, Vec<String>) {
    let key = plan.key.first().copied().unwrap_or_default();
    let name = |at: usize| plan.fields[at].name.clone();
    (name(key), (0..plan.fields.len()).filter(|at| *at != key).map(name).collect())
}

/// Rows as a table takes them, with the place of each upsert among the items.
fn table_rows(batch: &Batch<'_>) -> (Rows, Vec<usize>) {
    let at = batch.plan.key.first().copied().unwrap_or_default();
    let (key, columns) = columns(batch.plan);
    let mut rows = Rows { key, columns, upserts: Vec::new(), deletes: Vec::new() };
    let mut places = Vec::new();
    for (n, item) in batch.items.iter().enumerate() {
        let mut values: Vec<_> = item.values.iter().map(|value| value.as_ref().and_then(as_text)).collect();
        let key = values.remove(at).unwrap_or_default();
        if item.change == Change::Remove {
            rows.deletes.push(key);
        } else {
            rows.upserts.push((key, values));
            places.push(n);
        }
    }
    (rows, places)
}

/// A value as PostgreSQL reads it.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Text(text) => Some(text.to_string()),
        Value::Number(number) => Some(number.plain().to_string()),
        other => Some(domain_json::to_string(other)),
    }
}

fn wrong_kind() -> Fault {
    Fault::Permanent { why: Why::Definition, detail: "the destination takes no such thing".to_owned() }
}

/// Whether a destination refuses rows for what they are: others may still be taken.
pub(crate) fn is_about_rows(fault: &Fault) -> bool {
    matches!(fault, Fault::Permanent { why: Why::Rejected, .. })
}

/// A message: what run it is of, and its rows under their mapped names.
fn message(batch: &Batch<'_>) -> String {
    let head = json!({
        "type": "cdp.audience",
        "export": batch.run.to_string(),
        "segment": batch.segment,
        "mode": batch.plan.mode.as_str(),
    });
    let mut text = head.to_string();
    text.pop();
    text.push_str(",\"rows\":[");
    text.push_str(&batch.rows.join(","));
    text.push_str("]}");
    text
}
