//! Trying a rule out: how many it holds for now, and why, by the evaluator and the state that live segments use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cdp_domain::fold::At;
use cdp_domain::ids::{FragmentId, JobId, Ordinal, Position};
use cdp_domain::segment::{Formula, Rule, Truth};
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_jobs::{Outcome, Progress};
use serde_json::json;

use super::NamesFor;
use crate::build::{States, fold_all};
use crate::config::Config;
use crate::error::{Refused, Result};
use crate::rows::{Look, View};
use crate::tenant::{Tenant, new_job};
use crate::writer::{Person, Plan};

/// Profiles that a preview looks at: with more, an even sample of so many is looked at and the sizes are estimates.
pub const PREVIEW_PROFILES_MAX: u32 = 20_000;
/// How long such a sample is looked at, in milliseconds: on a slow disk it ends sooner, and is even all the same.
pub const PREVIEW_ESTIMATE_MS_MAX: u64 = 150;
/// Profiles of a sample that are looked at however long it takes.
const SAMPLED_MIN: u64 = 2_000;
/// Profiles that are looked at while nothing is applied.
const LOOKED_AT_ONCE: usize = 128;
/// Steps through a sample: about the golden section of it and without a common divisor, so that the first of them are as
/// evenly spread as all (Weyl, 1916).
const STRIDE: u64 = 12_361;
/// Bytes of journal that a preview reads for conditions nothing was folded for yet; with more it is a job.
pub const PREVIEW_SCAN_BYTES_MAX: u64 = 128 << 20;
/// Profiles that a preview shows, at most.
pub const PREVIEW_SAMPLE_MAX: usize = 100;
/// Days that the size over time of a preview goes back.
pub const PREVIEW_HISTORY_DAYS: i64 = 30;

const DAY_MS: i64 = 86_400_000;

/// What is to be tried out.
#[derive(Debug, Clone, Default)]
pub struct Trial {
    /// The rule, as clients write it.
    pub rule: Value,
    /// A segment whose members the rule's are compared with.
    pub compare_with: Option<String>,
    /// Parts of the rule that are counted by themselves beside its conditions, such as groups.
    pub parts: Vec<Value>,
    /// How many profiles are shown.
    pub sample: usize,
    /// Look at every profile, however many there are.
    pub exact: bool,
}

/// What a rule came to.
#[derive(Debug, Clone)]
pub struct Preview {
    /// How many profiles satisfy it; an estimate unless `exact`.
    pub size: u64,
    /// Whether every profile was looked at.
    pub exact: bool,
    /// How many were looked at.
    pub looked_at: u64,
    /// How many there are.
    pub profiles: u64,
    /// Some who satisfy it.
    pub sample: Vec<FragmentId>,
    /// By place in the rule: for how many the condition there holds, and for how many there is no value to compare.
    pub conditions: BTreeMap<String, (u64, u64)>,
    /// For how many each of the parts that were asked for holds, in their order.
    pub parts: Vec<u64>,
    /// Of the segment that it is compared with: how many would enter and leave.
    pub compared: Option<(u64, u64)>,
    /// The last record that is in it.
    pub position: Position,
    /// The time it stands at.
    pub as_of: Timestamp,
}

impl Preview {
    /// As clients see it.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let conditions: Vec<_> = self
            .conditions
            .iter()
            .map(|(place, (size, missing))| json!({"pointer": place, "size": size, "missing": missing}))
            .collect();
        json!({
            "size": self.size,
            "exact": self.exact,
            "looked_at": self.looked_at,
            "profiles": self.profiles,
            "sample": self.sample.iter().map(|id| json!({"profile_id": id.to_string()})).collect::<Vec<_>>(),
            "conditions": conditions,
            "enters": self.compared.map(|(enters, _)| enters),
            "leaves": self.compared.map(|(_, leaves)| leaves),
            "position": self.position.to_string(),
            "as_of": self.as_of.to_string(),
        })
    }
}

/// A rule compiled beside the configuration.
struct Compiled {
    config: Arc<Config>,
    formula: Formula,
    parts: Vec<Formula>,
    /// Folds that state has not, or not whole.
    missing: Vec<u32>,
}

/// An even sample of all ordinals below `last`, in an order in which its beginning is as even as the whole.
fn sample_of(last: u32) -> impl Iterator<Item = Ordinal> {
    let count = u64::from(PREVIEW_PROFILES_MAX);
    (0..count).map(move |n| {
        let place = n * STRIDE % count;
        Ordinal((place * u64::from(last) / count) as u32)
    })
}

/// A preview that is being counted.
struct Counting<'a> {
    tenant: &'a Tenant,
    compiled: &'a Compiled,
    plan: &'a Plan,
    states: &'a States,
    trial: &'a Trial,
    /// The version of the segment that is compared with.
    active: Option<u32>,
    preview: Preview,
}

impl<'a> Counting<'a> {
    fn new(
        tenant: &'a Tenant,
        view: &View<'_>,
        (compiled, plan, states, trial): (&'a Compiled, &'a Plan, &'a States, &'a Trial),
    ) -> Result<Self> {
        let summary = &view.inner.summary;
        let active = match &trial.compare_with {
            None => None,
            Some(name) => {
                let segment =
                    view.inner.config.segments.get(name.as_str()).ok_or(Refused::NotFound("segment"))?;
                segment.active.as_ref().map(|active| active.no)
            }
        };
        let mut preview = Preview {
            size: 0,
            exact: true,
            looked_at: 0,
            profiles: summary.profiles,
            sample: Vec::new(),
            conditions: BTreeMap::new(),
            parts: vec![0; compiled.parts.len()],
            compared: trial.compare_with.as_ref().map(|_| (0, 0)),
            position: summary.last,
            as_of: tenant.core.clock.now().max(summary.as_of),
        };
        compiled.formula.leaves(String::new(), &mut |place, _| {
            preview.conditions.insert(place, (0, 0));
        });
        Ok(Self { tenant, compiled, plan, states, trial, active, preview })
    }

    fn look(&mut self, view: &View<'_>, ordinal: Ordinal) -> Result<()> {
        let Some(root) = view.root(ordinal)? else { return Ok(()) };
        let fragments = view.profile(root)?;
        let person = Person {
            fragments: &fragments,
            plan: self.plan,
            digests: &self.tenant.core.digests,
            look: view,
            overlay: Some(self.states),
        };
        let at = At { as_of: self.preview.as_of, zone: &self.plan.zone };
        let preview = &mut self.preview;
        preview.looked_at += 1;
        if person.is_restricted() {
            return Ok(());
        }
        for explained in self.compiled.formula.explain(&person, at) {
            let sizes = preview.conditions.entry(explained.place).or_default();
            match explained.truth {
                Truth::True => sizes.0 += 1,
                Truth::Missing => sizes.1 += 1,
                Truth::False => {}
            }
        }
        for (part, size) in self.compiled.parts.iter().zip(&mut preview.parts) {
            *size += u64::from(part.evaluate(&person, at).holds);
        }
        let holds = self.compiled.formula.evaluate(&person, at).holds;
        if let Some((enters, leaves)) = &mut preview.compared {
            let members = self.active.and_then(|no| view.members(no));
            let member = members.is_some_and(|members| members.contains(ordinal.0));
            *enters += u64::from(holds && !member);
            *leaves += u64::from(!holds && member);
        }
        if holds {
            preview.size += 1;
            if preview.sample.len() < self.trial.sample.min(PREVIEW_SAMPLE_MAX) {
                preview.sample.push(root);
            }
        }
        Ok(())
    }

    /// What was counted of the sample, for all.
    fn estimate(self) -> Preview {
        let mut preview = self.preview;
        let (all, looked_at) = (u128::from(preview.profiles), u128::from(preview.looked_at.max(1)));
        let scale = |n: &mut u64| *n = (u128::from(*n) * all / looked_at) as u64;
        scale(&mut preview.size);
        preview.conditions.values_mut().for_each(|(size, missing)| {
            scale(size);
            scale(missing);
        });
        preview.parts.iter_mut().for_each(scale);
        if let Some((enters, leaves)) = &mut preview.compared {
            scale(enters);
            scale(leaves);
        }
        preview
    }
}

impl Tenant {
    fn compile(&self, rule: &Value, parts: &[Value]) -> Result<Compiled> {
        let config = self.config();
        let mut beside = Config::clone(&config);
        let mut formula = |rule: &Value, at: &str| {
            let rule =
                Rule::read(rule, &NamesFor { config: &config, segment: None }).map_err(|problems| {
                    Refused::Invalid(problems.into_iter().map(|problem| problem.under(at)).collect())
                })?;
            beside
                .compile_rule(&rule, Position(u64::MAX))
                .ok_or_else(|| Refused::internal("a rule that was read does not compile"))
        };
        let whole = formula(rule, "/rule")?;
        let parts: Vec<_> = parts
            .iter()
            .enumerate()
            .map(|(n, part)| formula(part, &format!("/parts/{n}")))
            .collect::<Result<_>>()?;
        let built = |no: &u32| beside.folds.get(no).is_some_and(crate::config::FoldVersion::is_built);
        let needed = std::iter::once(&whole).chain(&parts).flat_map(|formula| formula.needs().folds);
        let missing: BTreeSet<u32> = needed.filter(|no| !built(no)).collect();
        let missing = missing.into_iter().collect();
        Ok(Compiled { config: Arc::new(beside), formula: whole, parts, missing })
    }

    /// Tries a rule out. A preview that would take long is a job: its id comes back instead.
    ///
    /// # Errors
    /// [`Refused::Invalid`] with pointers into the rule; [`Refused::NotFound`] for the segment to compare with.
    pub fn preview(&self, trial: &Trial) -> Result<std::result::Result<Preview, JobId>> {
        let compiled = self.compile(&trial.rule, &trial.parts)?;
        let slow = !compiled.missing.is_empty() && self.applied().0 > PREVIEW_SCAN_BYTES_MAX;
        if !slow {
            return self.try_out(&compiled, trial, &Progress::default()).map(Ok);
        }
        let (job, tenant, trial) = (new_job()?, self.clone(), trial.clone());
        let work = Box::new(move |progress: &Progress| -> Outcome {
            let preview = tenant.try_out(&compiled, &trial, progress);
            preview.map(|preview| preview.to_json()).map_err(|error| crate::writer::error_chain(&error))
        });
        let submitted = self.core.jobs.submit(self.no(), job, "segment_preview", work);
        submitted.map_err(|_| Refused::Overloaded { retry_after: 5 })?;
        Ok(Err(job))
    }

    fn try_out(&self, compiled: &Compiled, trial: &Trial, progress: &Progress) -> Result<Preview> {
        let specs: Vec<_> = compiled
            .missing
            .iter()
            .filter_map(|no| Some((*no, compiled.config.folds.get(no)?.spec.clone())))
            .collect();
        loop {
            let (retouched, until) = {
                let view = self.core.rows.read();
                (view.inner.summary.retouched, view.inner.summary.applied)
            };
            let states = match specs.is_empty() {
                true => States::new(),
                false => match fold_all(&self.core, &specs, until, progress)? {
                    Some(states) => states,
                    None => return Err(Refused::Unavailable("the preview was cancelled".to_owned())),
                },
            };
            let view = self.core.rows.read();
            let summary = &view.inner.summary;
            // What was folded beside must stand where state stands.
            if !specs.is_empty() && (summary.retouched != retouched || summary.applied != until) {
                continue;
            }
            return self.count(view, compiled, &states, trial);
        }
    }

    fn count(&self, view: View<'_>, compiled: &Compiled, states: &States, trial: &Trial) -> Result<Preview> {
        let plan = Plan::new(&compiled.config, &[], &self.core.zone);
        let last = view.inner.summary.next_ordinal;
        let exact = trial.exact || last <= PREVIEW_PROFILES_MAX;
        let mut counting = Counting::new(self, &view, (compiled, &plan, states, trial))?;
        counting.preview.exact = exact;
        if exact {
            for ordinal in 0..last {
                counting.look(&view, Ordinal(ordinal))?;
            }
            return Ok(counting.preview);
        }
        // An estimate need not be of one moment, and whoever applies events is not kept waiting for it.
        drop(view);
        let began = Instant::now();
        let all: Vec<Ordinal> = sample_of(last).collect();
        for some in all.chunks(LOOKED_AT_ONCE) {
            let late = began.elapsed() >= Duration::from_millis(PREVIEW_ESTIMATE_MS_MAX);
            if late && counting.preview.looked_at >= SAMPLED_MIN {
                break;
            }
            let view = self.core.rows.read();
            for ordinal in some {
                counting.look(&view, *ordinal)?;
            }
        }
        Ok(counting.estimate())
    }

    /// How many a rule would have held for at the end of each of the last days: a job.
    ///
    /// # Errors
    /// [`Refused::Invalid`] with pointers into the rule; [`Refused::Overloaded`].
    pub fn preview_history(&self, rule: &Value) -> Result<JobId> {
        let compiled = self.compile(rule, &[])?;
        let (job, tenant) = (new_job()?, self.clone());
        let work = Box::new(move |progress: &Progress| -> Outcome {
            let now = tenant.core.clock.now();
            let mut items = Vec::new();
            for day in (0..=PREVIEW_HISTORY_DAYS).rev() {
                if progress.cancelled() {
                    return Err("cancelled".to_owned());
                }
                let at = Timestamp(now.0 - day * DAY_MS);
                let size = tenant.size_as_of(&compiled.config, &compiled.formula, at);
                let size = size.map_err(|error| crate::writer::error_chain(&error))?;
                items.push(json!({"at": at.to_string(), "size": size}));
                progress.set((PREVIEW_HISTORY_DAYS - day) as u64, PREVIEW_HISTORY_DAYS as u64);
            }
            Ok(json!({ "items": items }))
        });
        let submitted = self.core.jobs.submit(self.no(), job, "segment_preview_history", work);
        submitted.map_err(|_| Refused::Overloaded { retry_after: 5 })?;
        Ok(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_even_wherever_it_ends() {
        for last in [PREVIEW_PROFILES_MAX + 1, 1_000_000, u32::MAX] {
            let all: Vec<u32> = sample_of(last).map(|ordinal| ordinal.0).collect();
            assert_eq!(all.len(), PREVIEW_PROFILES_MAX as usize);
            let distinct: std::collections::BTreeSet<_> = all.iter().collect();
            assert_eq!(distinct.len(), all.len(), "nobody twice");
            assert!(all.iter().all(|ordinal| *ordinal < last));
            for looked_at in [SAMPLED_MIN as usize, 3_333, 12_000, all.len()] {
                let mut tenths = [0_usize; 10];
                for ordinal in &all[..looked_at] {
                    tenths[(u64::from(*ordinal) * 10 / u64::from(last)) as usize] += 1;
                }
                let even = looked_at / 10;
                assert!(tenths.iter().all(|tenth| tenth.abs_diff(even) <= 3), "{looked_at}: {tenths:?}");
            }
        }
    }
}
