//! Coverage: how many profiles may be reached on a channel for a purpose, and why the others may not.

use std::collections::BTreeMap;

use cdp_domain::ids::{Ordinal, Position};
use cdp_domain::time::Timestamp;

use crate::error::{Refused, Result};
use crate::exports::Consent;
use crate::rows::Look;
use crate::tenant::Tenant;
use crate::writer::Person;

/// Profiles that are asked under one view.
const AT_A_TIME: u32 = 500;
/// Profiles that one question may look at; a tenant with more is refused.
pub const COVERAGE_PROFILES_MAX: u64 = 2_000_000;

/// How many may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// Profiles in all.
    pub profiles: u64,
    /// Profiles that may be reached.
    pub reachable: u64,
    /// The others, by reason.
    pub withheld: BTreeMap<&'static str, u64>,
    /// When.
    pub as_of: Timestamp,
    /// The last record that every profile was asked behind.
    pub position: Position,
}

impl Tenant {
    /// Counts who may be reached on a channel for a purpose. Blocks; looks at every profile.
    ///
    /// # Errors
    /// [`Refused::Invalid`] for a purpose that is not registered, or not for this channel; [`Refused::Conflict`] above
    /// [`COVERAGE_PROFILES_MAX`].
    pub fn coverage(&self, consent: &Consent) -> Result<Coverage> {
        self.check_consent(consent).map_err(|refused| match refused {
            Refused::Invalid(mut problems) => {
                for problem in &mut problems {
                    problem.pointer = problem.pointer.replacen("/consent", "", 1);
                }
                Refused::Invalid(problems)
            }
            other => other,
        })?;
        let (end, position) = {
            let view = self.core.rows.read();
            let summary = &view.inner.summary;
            if summary.profiles > COVERAGE_PROFILES_MAX {
                let detail = format!("there are more than {COVERAGE_PROFILES_MAX} profiles to look at");
                return Err(Refused::Conflict(detail));
            }
            (summary.next_ordinal, summary.last)
        };
        let as_of = self.core.clock.now();
        let mut coverage = Coverage { profiles: 0, reachable: 0, withheld: BTreeMap::new(), as_of, position };
        for from in (0..end).step_by(AT_A_TIME as usize) {
            let view = self.core.rows.read();
            let plan = self.core.plan(&view.inner.config);
            let as_of = as_of.max(view.inner.summary.as_of);
            for ordinal in from..end.min(from + AT_A_TIME) {
                let Some(root) = view.root(Ordinal(ordinal))? else { continue };
                let fragments = view.profile(root)?;
                let (digests, look) = (&self.core.digests, &view);
                let person = Person { fragments: &fragments, plan: &plan, digests, look, overlay: None };
                coverage.profiles += 1;
                match person.granted(&consent.channel, &consent.purpose, as_of) {
                    Ok(_) => coverage.reachable += 1,
                    Err(why) => *coverage.withheld.entry(why.as_str()).or_default() += 1,
                }
            }
        }
        Ok(coverage)
    }
}
