//! The tenant's rules of identity, and changing them.

use cdp_domain::identity::Rules;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::value::Value;

use super::DryRun;
use crate::config::{Change, NORMALISER_CHANGES_MAX};
use crate::error::{Refused, Result};
use crate::tenant::Tenant;

impl Tenant {
    /// The rules that are in force.
    #[must_use]
    pub fn identity_rules(&self) -> Rules {
        self.config().identity.rules.clone()
    }

    /// Changes the rules. Returns when everybody is placed by them; the new version comes back, or the old one when
    /// nothing differs.
    ///
    /// # Errors
    /// [`Refused::Invalid`]; [`Refused::Conflict`] when normalisers were changed [`NORMALISER_CHANGES_MAX`] times.
    pub async fn put_identity_rules(&self, definition: &Value) -> Result<u32> {
        let rules = Rules::read(definition).map_err(Refused::Invalid)?;
        let _changing = self.core.changing.lock().await;
        let config = self.config();
        if !config.identity.rules.differ(&rules) {
            return Ok(config.identity.rules.version);
        }
        if config.identity.reads_otherwise(&rules) {
            may_read_otherwise(config.identity.readings.len())?;
        }
        let version = config.identity.rules.version + 1;
        self.core.change(Change::RulesPut { rules }).await?;
        Ok(version)
    }

    /// What changing the rules would do to profiles, exactly, and nothing is done. The writer waits meanwhile, readers
    /// and acceptance do not.
    ///
    /// # Errors
    /// [`Refused::Invalid`]; [`Refused::Unavailable`] when the tenant is being closed.
    pub async fn try_identity_rules(&self, definition: &Value) -> Result<DryRun> {
        let rules = Rules::read(definition).map_err(Refused::Invalid)?;
        let core = self.core.clone();
        let (send, answer) = tokio::sync::oneshot::channel();
        let work = move || {
            let _ = send.send(super::dry_run::run(&core, rules));
        };
        let (done, _) = std::sync::mpsc::sync_channel(1);
        let asked = self.core.feed.send(crate::feed::Message::Run { work: Box::new(work), done });
        let closing = || Refused::Unavailable("the tenant is being closed".to_owned());
        if !asked {
            return Err(closing());
        }
        answer.await.map_err(|_| closing())?
    }
}

/// A subject that must not be the other.
pub(super) fn check_apart(same: bool, problems: &mut Vec<Problem>) {
    if same {
        problems.push(Problem::new("/b", Code::Invalid, "must not be the same as a"));
    }
}

fn may_read_otherwise(changes: usize) -> Result<()> {
    if changes < NORMALISER_CHANGES_MAX {
        return Ok(());
    }
    Err(Refused::Conflict(format!("normalisers were changed {NORMALISER_CHANGES_MAX} times already")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalisers_change_up_to_the_limit() {
        assert!(may_read_otherwise(NORMALISER_CHANGES_MAX - 1).is_ok());
        assert!(matches!(may_read_otherwise(NORMALISER_CHANGES_MAX), Err(Refused::Conflict(_))));
    }
}
