//! Connectors: plugins that say what to send for an audience, and what the answers mean, or send it step by step through
//! what is lent to them. This crate runs them and sends nothing; whoever sends inserts the secrets, which no guest ever
//! sees.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cdp_domain::time::Timestamp;
use cdp_runtime::connector::{
    ConnectorCall, DeliverCall, Delivery, HttpError, HttpResponse, Outside, Planned, Planner, Session,
    Verdict,
};
use cdp_runtime::{Failed, Fault, Grants, Plugin, Request, World};
use compact_str::CompactString;

use crate::behind::behind;
use crate::config::PluginVersion;
use crate::error::{Refused, Result};
use crate::tenant::{Core, Tenant};

/// A connector that is active, with what it was granted.
pub struct Connector {
    core: Arc<Core>,
    kind: Kind,
    grants: Grants,
    granted: Vec<Request>,
    config: String,
    name: CompactString,
    version: u32,
    digest: String,
}

/// How it sends.
#[derive(Clone)]
pub(crate) enum Kind {
    /// It plans requests, and somebody else sends them.
    Plans(Arc<Planner>),
    /// It sends by itself, through what is lent to it.
    Sends(Arc<Session>),
}

impl Kind {
    /// Whether the plugin takes a configuration; the inner result is its answer.
    pub(crate) fn check_config(
        &self,
        config: &str,
    ) -> std::result::Result<std::result::Result<(), Vec<String>>, Fault> {
        match self {
            Self::Plans(planner) => planner.check_config(config),
            Self::Sends(session) => session.check_config(config),
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl Tenant {
    /// The active version of a connector, for a destination with this configuration (as JSON text; the activation's own
    /// where there is none).
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Conflict`] when it is no connector, or does not run.
    pub fn connector(&self, name: &str, config: Option<&str>) -> Result<Connector> {
        let all = self.config();
        let plugin = all.plugins.get(name).ok_or(Refused::NotFound("plugin"))?;
        let conflict = |detail: String| Refused::Conflict(detail);
        if let Some(reason) = &plugin.suspended {
            return Err(conflict(format!("the plugin {name} is suspended: {reason}")));
        }
        let active = plugin.active.as_ref();
        let active = active.ok_or_else(|| conflict(format!("no version of the plugin {name} is active")))?;
        let version = plugin.versions.iter().find(|version| version.version == active.version);
        let version = version.ok_or(Refused::NotFound("version"))?;
        if !is_connector(version) {
            return Err(conflict(format!("the plugin {name} is no connector")));
        }
        Ok(Connector {
            core: self.core.clone(),
            kind: load(&self.core, &version.digest)?,
            grants: crate::plugins::grants(&active.grants),
            granted: serde_json::from_value(active.grants.clone()).map_err(Refused::internal)?,
            config: config.unwrap_or(&active.config).to_owned(),
            name: name.into(),
            version: version.version,
            digest: version.digest.clone(),
        })
    }

    /// As [`Self::connector`], when the plugin takes the configuration.
    ///
    /// # Errors
    /// As [`Self::connector`] and [`Connector::check_config`].
    pub async fn checked_connector(&self, name: &str, config: Option<String>) -> Result<Connector> {
        let (tenant, name) = (self.clone(), name.to_owned());
        let checked = move || {
            let connector = tenant.connector(&name, config.as_deref())?;
            connector.check_config().map(|()| connector)
        };
        behind(checked).await
    }
}

/// Whether a version is a connector of either world.
pub(crate) fn is_connector(version: &PluginVersion) -> bool {
    version.is_of(World::ConnectorPlan) || version.is_of(World::ConnectorIo)
}

/// The connector of a digest; from disk when it is not in memory.
pub(crate) fn load(core: &Core, digest: &str) -> Result<Kind> {
    if let Some(known) = core.connectors.read().get(digest) {
        return Ok(known.clone());
    }
    let path = crate::plugins::component_path(core, digest);
    let plugin = core.runtime.load_file(&path, crate::plugins::named(digest)?).map_err(Refused::internal)?;
    let kind = match plugin {
        Plugin::Planner(planner) => Kind::Plans(planner),
        Plugin::Session(session) => Kind::Sends(session),
        _ => return Err(Refused::internal("a component that was taken in as a connector is none")),
    };
    core.connectors.write().insert(digest.to_owned(), kind.clone());
    Ok(kind)
}

impl Connector {
    /// The plugin's name, its version, and the digest of the component.
    #[must_use]
    pub fn identity(&self) -> (CompactString, u32, String) {
        (self.name.clone(), self.version, self.digest.clone())
    }

    /// Names of the secrets that it was granted: those that a destination has to have.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.granted.iter().filter_map(|request| match request {
            Request::Secret { name } => Some(name.as_str()),
            Request::Read(_) | Request::Write(_) | Request::Table { .. } | Request::Host { .. } => None,
        })
    }

    /// Where it was granted to send to.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.granted.iter().filter_map(|request| match request {
            Request::Host { url } => Some(url.as_str()),
            Request::Read(_) | Request::Write(_) | Request::Table { .. } | Request::Secret { .. } => None,
        })
    }

    /// Whether the plugin takes its configuration.
    ///
    /// # Errors
    /// [`Refused::Invalid`] with what it says against it, below `/config`; [`Refused::Plugin`] when it fails.
    pub fn check_config(&self) -> Result<()> {
        match self.kind.check_config(&self.config) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(complaints)) => Err(Refused::Invalid(crate::plugins::complaints(complaints, "/config"))),
            Err(fault) => {
                Err(Refused::Plugin(format!("the plugin failed checking its configuration: {fault}")))
            }
        }
    }

    fn call(&self, now: Timestamp) -> ConnectorCall<'_> {
        ConnectorCall { config: &self.config, grants: &self.grants, limits: self.core.plugin_limits, now }
    }

    /// Whether it sends by itself: then [`deliver`](Self::deliver) is for it, and otherwise [`plan`](Self::plan).
    #[must_use]
    pub fn sends_by_itself(&self) -> bool {
        matches!(self.kind, Kind::Sends(_))
    }

    fn planner(&self) -> std::result::Result<&Planner, Fault> {
        match &self.kind {
            Kind::Plans(planner) => Ok(planner),
            Kind::Sends(_) => Err(Fault::Host("it plans nothing: it sends by itself".to_owned())),
        }
    }

    /// What to send for these rows: each row in one request, each request within its bounds and towards a host that was
    /// declared and granted.
    ///
    /// # Errors
    /// [`Failed`]; then nothing is to be sent. The plugin's health shows it.
    pub fn plan(&self, now: Timestamp, rows: &[Delivery]) -> std::result::Result<Vec<Planned>, Failed> {
        let planner = self.planner().map_err(Failed::Fault)?;
        let planned = planner.plan(&self.call(now), rows);
        if let Err(failed) = &planned {
            self.core.plugin_health.note_failed(&self.digest, failed);
        }
        planned
    }

    /// What an answer means for the rows of its request.
    ///
    /// # Errors
    /// The fault; then nothing is known about the rows. The plugin's health shows it.
    pub fn settle(
        &self,
        now: Timestamp,
        rows: &[Delivery],
        answer: std::result::Result<HttpResponse, HttpError>,
    ) -> std::result::Result<Vec<Verdict>, Fault> {
        let settled = self.planner()?.settle(&self.call(now), rows, answer);
        if let Err(fault) = &settled {
            self.core.plugin_health.note_failed(&self.digest, &Failed::Fault(fault.clone()));
        }
        settled
    }

    /// Has it send these rows by itself, within so much time, through what is lent to it; what became of each. Blocks.
    ///
    /// # Errors
    /// [`Failed`]; then nothing is known about the rows, and they may have been delivered. The plugin's health shows it.
    pub fn deliver(
        &self,
        now: Timestamp,
        rows: &[Delivery],
        deadline: Duration,
        outside: Arc<dyn Outside>,
    ) -> std::result::Result<Vec<Verdict>, Failed> {
        let Kind::Sends(session) = &self.kind else {
            return Err(Failed::Fault(Fault::Host("it sends nothing: it plans".to_owned())));
        };
        let call = DeliverCall { call: self.call(now), deadline, outside };
        let delivered = session.deliver(&call, rows);
        if let Err(failed) = &delivered {
            self.core.plugin_health.note_failed(&self.digest, failed);
        }
        delivered
    }
}
