//! `/v1/plugin-trust`: whose plugins are taken.

use axum::Json;
use axum::extract::State;
use cdp_domain::problem::Code;
use cdp_domain::value::Value;
use cdp_engine::config::{PluginTrust, TrustedKey};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::Answer;
use crate::fields::Fields;

/// Whose plugins are taken.
#[derive(Debug, Serialize, ToSchema)]
pub struct Trust {
    /// Keys that may sign.
    keys: Vec<Key>,
    /// Whether nothing is activated that none of them signed.
    required: bool,
}

/// A key that may sign plugins.
#[derive(Debug, Serialize, ToSchema)]
pub struct Key {
    /// Whose it is.
    name: String,
    /// Its public part, Ed25519, 32 bytes in hex.
    key: String,
}

fn shape(trust: PluginTrust) -> Json<Trust> {
    let keys = trust.keys.into_iter().map(|known| Key { name: known.name.to_string(), key: known.key });
    Json(Trust { keys: keys.collect(), required: trust.required })
}

/// Read whose plugins are taken
#[utoipa::path(get, path = "/v1/plugin-trust", tag = "plugins", responses((status = 200, body = Trust)))]
pub(crate) async fn get_plugin_trust(State(_): State<App>, member: Member) -> Answer<Json<Trust>> {
    Ok(shape(member.tenant.plugin_trust()))
}

/// Say whose plugins are taken
///
/// `{keys: [{name, key}], required}`: with `required`, what none of these keys signed is neither uploaded nor activated.
/// What runs goes on running.
#[utoipa::path(put, path = "/v1/plugin-trust", tag = "plugins", request_body = Object,
    responses((status = 200, body = Trust)))]
pub(crate) async fn put_plugin_trust(
    State(_): State<App>,
    member: Member,
    Document(body): Document,
) -> Answer<Json<Trust>> {
    let mut fields = Fields::of(body);
    let required = match fields.take("required") {
        None => false,
        Some(Value::Bool(required)) => required,
        Some(_) => {
            fields.add("required", Code::WrongType, "must be true or false");
            false
        }
    };
    let mut keys = Vec::new();
    match fields.take("keys") {
        None => {}
        Some(Value::List(items)) => {
            for (n, item) in items.iter().enumerate() {
                let text = |name: &str| {
                    let found = item.as_object().and_then(|object| object.get(name));
                    found.and_then(Value::as_text).unwrap_or_default().to_owned()
                };
                if item.as_object().is_none_or(|object| object.len() != 2) {
                    fields.add_at(format!("/keys/{n}"), Code::WrongType, "must be {name, key}");
                    continue;
                }
                keys.push(TrustedKey { name: text("name").into(), key: text("key") });
            }
        }
        Some(_) => fields.add("keys", Code::WrongType, "must be an array"),
    }
    fields.finish()?;
    member.tenant.put_plugin_trust(PluginTrust { keys, required }).await?;
    Ok(shape(member.tenant.plugin_trust()))
}
