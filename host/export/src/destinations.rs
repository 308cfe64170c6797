//! What clients ask about destinations, and want of them.

use cdp_domain::json;
use cdp_domain::value::Value;
use cdp_engine::attributes::Put;
use cdp_engine::exports::DestinationState;
use cdp_engine::{Refused, Result, Tenant};
use serde_json::{Value as Json, json as to_json};

use crate::Exports;
use crate::destination::{self, Target};
use crate::plan::Plan;

impl Exports {
    /// Sets a destination up, or changes it; a disabled one is active again.
    ///
    /// # Errors
    /// [`Refused::Invalid`] with pointers; [`Refused::Conflict`] when its kind would change, or there are too many.
    pub async fn put_destination(&self, tenant: &Tenant, name: &str, definition: &Value) -> Result<Put> {
        let new = destination::read(&self.0.egress, definition)?;
        if new.kind == "plugin" {
            destination::check_plugin(tenant, &new).await?;
        }
        let put = tenant.put_destination(name, new).await?;
        self.wake(tenant, name);
        Ok(put)
    }

    /// A destination as clients see it, without its secrets.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn destination(&self, tenant: &Tenant, name: &str) -> Result<Json> {
        tenant.destination(name).map(|known| destination::view(name, &known))
    }

    /// All destinations, by name.
    #[must_use]
    pub fn destinations(&self, tenant: &Tenant) -> Vec<Json> {
        tenant.destinations().iter().map(|(name, known)| destination::view(name, known)).collect()
    }

    /// Removes a destination; what was sent there stays known.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Conflict`] while a schedule names it.
    pub async fn delete_destination(&self, tenant: &Tenant, name: &str) -> Result<()> {
        tenant.delete_destination(name).await?;
        self.wake(tenant, name);
        Ok(())
    }

    /// Says whether a destination takes anything from here on. What waits for it goes on with all changes since in one.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub async fn pause_destination(&self, tenant: &Tenant, name: &str, pause: bool) -> Result<()> {
        let state = if pause { DestinationState::Paused } else { DestinationState::Active };
        tenant.mark_destination(name, state).await?;
        self.wake(tenant, name);
        Ok(())
    }

    /// What the newest run to a destination asked for, as far as that still can be asked for.
    fn last_plan(&self, tenant: &Tenant, name: &str) -> Result<Option<Plan>> {
        let (mut after, mut newest) = (None, None::<(String, Json)>);
        loop {
            let page = tenant.exports(1000, after)?;
            for mut info in page.items.into_iter().filter(|info| info["destination"] == name) {
                let at = info["created_at"].as_str().unwrap_or_default().to_owned();
                if newest.as_ref().is_none_or(|(known, _)| at > *known) {
                    newest = Some((at, info["request"].take()));
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let Some((_, request)) = newest else { return Ok(None) };
        let request = json::parse(request.to_string().as_bytes(), json::Options::default());
        Ok(Plan::read(tenant, &request.map_err(Refused::internal)?).ok())
    }

    /// Tries whether a destination can be reached. No row of anybody's leaves. Blocks.
    ///
    /// # Errors
    /// [`Refused::NotFound`]; [`Refused::Internal`] when its secrets cannot be opened.
    pub fn test_destination(&self, tenant: &Tenant, name: &str) -> Result<Json> {
        let target = Target::of(&self.0, tenant, Some(name))?;
        let mut answer = match target.check(self.last_plan(tenant, name)?.as_ref()) {
            Ok(told) => {
                let mut answer = to_json!({ "ok": true });
                for (name, value) in told.as_object().into_iter().flatten() {
                    answer[name] = value.clone();
                }
                answer
            }
            Err(fault) => to_json!({
                "ok": false,
                "code": fault.code(),
                "detail": fault.to_string(),
                "retryable": fault.is_retryable(),
            }),
        };
        if let Target::File = target {
            let dir =
                crate::exports_dir(&self.0.engine, tenant.no()).join(cdp_engine::privacy::TO).join(name);
            cdp_store::files::create_dir(&dir).map_err(Refused::from)?;
            answer["folder"] = format!("exports/{:08x}/to/{name}", tenant.no().0).into();
        }
        Ok(answer)
    }
}
