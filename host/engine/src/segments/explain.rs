//! Why somebody belongs to a segment, or does not.

use std::collections::VecDeque;
use std::sync::Arc;

use cdp_domain::expr::Expr;
use cdp_domain::fold::{At, How, Pattern, Spec};
use cdp_domain::ids::{FragmentId, Position};
use cdp_domain::segment::{Explained, Formula};
use cdp_domain::stamp::Stamp;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;

use crate::error::{Refused, Result};
use crate::feed::Item;
use crate::past::Past;
use crate::rows::{Fragment, Look};
use crate::tenant::Tenant;
use crate::writer::{Person, void_since};

/// Events named per condition.
pub const EVIDENCE_MAX: usize = 10;
/// Events of a profile that are looked through for evidence, the newest.
pub const EVIDENCE_SCAN_MAX: usize = 2_000;

/// Whether somebody belongs, and why.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The profile.
    pub profile_id: FragmentId,
    /// Whether it belongs to the segment.
    pub member: bool,
    /// Whether it is restricted, and so in no segment whatever the rule says.
    pub restricted: bool,
    /// When that may turn by itself.
    pub next_turn: Option<Timestamp>,
    /// Every condition, in the order of the rule.
    pub conditions: Vec<Reason>,
    /// The version of the segment.
    pub version: u32,
    /// The last record that is in it.
    pub position: Position,
    /// The time it stands at.
    pub as_of: Timestamp,
}

/// A condition's answer.
#[derive(Debug, Clone)]
pub struct Reason {
    /// JSON pointer into the rule.
    pub pointer: String,
    /// `true`, `false` or `missing`.
    pub answer: &'static str,
    /// The value that it compares.
    pub value: Option<Value>,
    /// The newest events that made it so.
    pub evidence: Vec<Evidence>,
    /// When it may turn by itself.
    pub next_turn: Option<Timestamp>,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Its id.
    pub id: String,
    /// Its source.
    pub source: String,
    /// Its time.
    pub time: Timestamp,
}

impl Evidence {
    fn of(stamp: &Stamp) -> Self {
        Self { id: stamp.id().to_owned(), source: stamp.source().to_owned(), time: stamp.time() }
    }
}

/// What evidence of a condition is looked for on the timeline.
struct Wanted {
    reason: usize,
    spec: Arc<Spec>,
    begins: Option<Timestamp>,
    /// The first events rather than the last.
    first: bool,
    found: VecDeque<Evidence>,
}

impl Tenant {
    /// Explains whether a profile belongs to a segment.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn explain_member(&self, name: &str, id: FragmentId) -> Result<Explanation> {
        let core = &self.core;
        let (mut explanation, mut wanted, fragments) = {
            let view = core.rows.read();
            let config = view.inner.config.clone();
            let segment = config.segments.get(name).ok_or(Refused::NotFound("segment"))?;
            let version = segment.active.as_ref().ok_or(Refused::NotFound("segment"))?;
            let fragments = view.profile(id)?;
            let root = fragments.first().ok_or(Refused::NotFound("profile"))?.0;
            let plan = core.plan(&config);
            let as_of = core.clock.now().max(view.inner.summary.as_of);
            let at = At { as_of, zone: &plan.zone };
            let person = Person {
                fragments: &fragments,
                plan: &plan,
                digests: &core.digests,
                look: &view,
                overlay: None,
            };
            let answer = version.formula.evaluate(&person, at);
            let restricted = person.is_restricted();
            let mut wanted = Vec::new();
            let mut conditions = Vec::new();
            for explained in version.formula.explain(&person, at) {
                for fold in explained.formula.folds() {
                    let Some(spec) = plan.folds.get(&fold).cloned() else { continue };
                    let (begins, first) = stretch(explained.formula, fold, at);
                    let reason = conditions.len();
                    wanted.push(Wanted { reason, spec, begins, first, found: VecDeque::new() });
                }
                conditions.push(reason(&person, explained));
            }
            let explanation = Explanation {
                profile_id: root,
                member: answer.holds && !restricted,
                restricted,
                next_turn: answer.valid_until.filter(|_| !restricted),
                conditions,
                version: version.version,
                position: view.inner.summary.last,
                as_of,
            };
            (explanation, wanted, fragments)
        };
        if !wanted.is_empty() {
            self.find_evidence(&fragments, explanation.as_of, &mut wanted)?;
        }
        for wanted in wanted {
            explanation.conditions[wanted.reason].evidence.extend(wanted.found);
        }
        for reason in &mut explanation.conditions {
            reason.evidence.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| b.id.cmp(&a.id)));
            reason.evidence.dedup();
            reason.evidence.truncate(EVIDENCE_MAX);
        }
        Ok(explanation)
    }

    fn find_evidence(
        &self,
        fragments: &[(FragmentId, Arc<Fragment>)],
        as_of: Timestamp,
        wanted: &mut [Wanted],
    ) -> Result<()> {
        let core = &self.core;
        let mut entries = Vec::new();
        for (id, _) in fragments {
            entries.extend(core.timeline.scan_back(&id.0, None, EVIDENCE_SCAN_MAX)?);
        }
        entries.sort_unstable_by(|a, b| b.cmp(a));
        entries.truncate(EVIDENCE_SCAN_MAX);
        let places: Vec<_> = entries.iter().map(crate::past::place_of).collect();
        let mut past = Past::new(core, self.config());
        for page in places.chunks(crate::past::PAGE) {
            for item in past.events(page)? {
                let Item::Event(pending) = item else { continue };
                let event = &pending.event;
                if event.time > as_of || void_since(core, &core.rows.read(), event)?.is_some() {
                    continue;
                }
                for wanted in wanted.iter_mut() {
                    if wanted.begins.is_some_and(|begins| event.time < begins) || !wanted.spec.wants(event) {
                        continue;
                    }
                    if wanted.found.len() == EVIDENCE_MAX {
                        if !wanted.first {
                            continue;
                        }
                        wanted.found.pop_front();
                    }
                    wanted.found.push_back(Evidence::of(&event.stamp()));
                }
            }
        }
        Ok(())
    }
}

/// From when on events count for a condition, and whether its first ones tell more than its last.
fn stretch(formula: &Formula, fold: u32, at: At<'_>) -> (Option<Timestamp>, bool) {
    match formula {
        Formula::Compare(expr, _) => {
            let mut begins = None;
            let mut first = false;
            expr.walk(&mut |part| {
                if let Expr::Read(no, read) = part
                    && *no == fold
                {
                    begins = read.window.map(|window| window.begins(at.as_of, at.zone));
                    first = matches!(read.how, How::First | How::SinceFirst(_));
                }
            });
            (begins, first)
        }
        Formula::Pattern(_, _, Pattern::FirstTime(_)) => (None, true),
        _ => (None, false),
    }
}

fn reason(person: &Person<'_>, explained: Explained<'_>) -> Reason {
    let mut evidence = Vec::new();
    match explained.formula {
        Formula::Compare(expr, _) => expr.walk(&mut |part| {
            if let Expr::Trait(name) = part {
                let traits = person.traits();
                let found = traits.iter().find(|(known, ..)| known == name);
                evidence.extend(found.map(|(_, _, stamp)| Evidence::of(stamp)));
            }
        }),
        Formula::Reachable { channel, purpose } => {
            for point in person.contacts().iter().filter(|point| point.channel == *channel) {
                let contact = person.contact(point);
                let current = contact.as_ref().and_then(|contact| contact.consent(purpose));
                evidence.extend(current.map(|current| Evidence::of(&current.evidence)));
            }
        }
        _ => {}
    }
    Reason {
        pointer: explained.place,
        answer: explained.truth.as_str(),
        value: explained.value,
        evidence,
        next_turn: explained.valid_until,
    }
}
