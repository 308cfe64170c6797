//! Why two are one person, and what would have to go for them to be two; or why they are apart.

use cdp_domain::condition::unknown;
use cdp_domain::identifier::Identifier;
use cdp_domain::identity::{Force, Reason, Standing, Step, Subject, path, separating};
use cdp_domain::ids::FragmentId;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::stamp::Stamp;
use cdp_domain::value::Value;

use super::ground::Ground;
use super::view::Whole;
use crate::error::{Refused, Result};
use crate::rows::{Look, View};
use crate::tenant::Tenant;

/// An answer.
#[derive(Debug, Clone)]
pub enum Explanation {
    /// They are one.
    Linked {
        /// The profile.
        profile: FragmentId,
        /// The shortest path of evidence, from one to the other.
        path: Vec<EvidenceStep>,
        /// The least evidence without which they would be two.
        separating: Vec<EvidenceStep>,
    },
    /// They are two.
    Apart {
        /// Whom the first names.
        a: Option<FragmentId>,
        /// Whom the second names.
        b: Option<FragmentId>,
        /// What stands between them.
        because: Vec<Apart>,
    },
}

/// A step, or a piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvidenceStep {
    /// An identifier that both neighbours have.
    Identifier(Identifier),
    /// The events of a fragment.
    Fragment {
        /// The fragment.
        id: FragmentId,
        /// Its first event.
        first: Stamp,
        /// How many there are.
        events: u64,
        /// Its identifiers.
        identifiers: Vec<Identifier>,
    },
    /// That a fragment asked about has an identifier.
    Carries {
        /// The fragment.
        id: FragmentId,
        /// What it has.
        identifier: Identifier,
    },
    /// A `must_link`.
    Constraint(u32),
}

/// A reason for being apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Apart {
    /// No event has ever named this one, or only together with others that it does not link.
    Unknown(Subject),
    /// Both have it, and it links neither.
    NotLinking {
        /// The identifier.
        identifier: Identifier,
        /// Why not.
        standing: Standing,
    },
    /// It would have joined them, and was set aside.
    SetAside {
        /// The fragment whose turn it was.
        fragment: FragmentId,
        /// The identifier.
        identifier: Identifier,
        /// What joining would have broken.
        reason: Reason,
    },
    /// A `must_not_link` between them.
    Constraint(u32),
    /// They have nothing in common.
    NothingInCommon,
}

impl Tenant {
    /// Explains `{"a", "b"}`.
    ///
    /// # Errors
    /// [`Refused::Invalid`].
    pub fn explain(&self, question: &Value) -> Result<Explanation> {
        let Some(object) = question.as_object() else {
            return Err(Refused::invalid(Problem::new("", Code::WrongType, "a question is a JSON object")));
        };
        let mut problems = Vec::new();
        unknown(object, &["a", "b"], "", &mut problems);
        let a = self.subject(object.get("a"), "/a", &mut problems);
        let b = self.subject(object.get("b"), "/b", &mut problems);
        let (Some(a), Some(b), true) = (a, b, problems.is_empty()) else {
            return Err(Refused::Invalid(problems));
        };
        let view = self.core.rows.read();
        let resolver = self.core.resolver.read().clone();
        let revision = view.inner.config.identity.revision;
        let ground = Ground::new(&view, &self.core.digests, &resolver, Some(revision));
        let (of_a, of_b) = (ground.stands_for(&a)?, ground.stands_for(&b)?);
        let profile = |id: Option<FragmentId>| -> Result<Option<FragmentId>> {
            id.map(|id| Ok(ground.found(id)?.profile)).transpose()
        };
        let (profile_a, profile_b) = (profile(of_a)?, profile(of_b)?);
        match (profile_a, profile_b) {
            (Some(one), Some(other)) if one == other => linked(&view, &ground, one, &a, &b),
            _ => apart(&view, &ground, (&a, profile_a), (&b, profile_b)),
        }
    }
}

fn linked(
    view: &View<'_>,
    ground: &Ground<'_>,
    profile: FragmentId,
    a: &Subject,
    b: &Subject,
) -> Result<Explanation> {
    let Whole { level, closure, placed } = ground.whole(profile)?;
    let constraints: Vec<_> =
        view.inner.config.identity.constraints.values().map(|one| one.constraint()).collect();
    let found: Vec<_> = closure
        .iter()
        .filter(|id| placed[*id].profile == profile)
        .map(|id| ground.found(*id))
        .collect::<Result<_>>()?;
    let members: Vec<_> = found
        .iter()
        .map(|found| {
            let owned = placed[&found.known.id].owned;
            let identifiers = found.known.identifiers.iter().enumerate();
            let owned = identifiers.filter(|(n, _)| owned & 1 << n != 0).map(|(_, identifier)| identifier);
            (found.known.id, owned.collect())
        })
        .collect();
    let path = path(&members, &constraints, a, b).unwrap_or_default();
    let least = ground.with_candidates(&closure, level, |candidates| {
        separating(ground.resolver, &constraints, candidates, a, b)
    })?;
    let tell = |steps: Vec<Step>| steps.into_iter().map(|step| told(ground, step)).collect::<Result<_>>();
    Ok(Explanation::Linked { profile, path: tell(path)?, separating: tell(least)? })
}

fn told(ground: &Ground<'_>, step: Step) -> Result<EvidenceStep> {
    Ok(match step {
        Step::Identifier(identifier) => EvidenceStep::Identifier(identifier),
        Step::Carries(id, identifier) => EvidenceStep::Carries { id, identifier },
        Step::Constraint(id) => EvidenceStep::Constraint(id),
        Step::Fragment(id) => {
            let fragment =
                ground.look.fragment(id)?.ok_or_else(|| Refused::internal("a fragment is missing"))?;
            let (first, events) = (fragment.first.clone(), fragment.events);
            EvidenceStep::Fragment { id, first, events, identifiers: fragment.identifiers.to_vec() }
        }
    })
}

fn apart(
    view: &View<'_>,
    ground: &Ground<'_>,
    a: (&Subject, Option<FragmentId>),
    b: (&Subject, Option<FragmentId>),
) -> Result<Explanation> {
    let mut because = Vec::new();
    for (subject, profile) in [a, b] {
        if profile.is_none() {
            because.push(Apart::Unknown(subject.clone()));
        }
    }
    if let (Some(of_a), Some(of_b)) = (a.1, b.1) {
        let whole = ground.whole(of_a)?;
        let mut carried = [Vec::new(), Vec::new()];
        for (n, profile) in [of_a, of_b].into_iter().enumerate() {
            for (_, fragment) in view.profile(profile)? {
                carried[n].extend(fragment.identifiers.iter().cloned());
            }
            carried[n].sort_unstable();
            carried[n].dedup();
        }
        for identifier in carried[0].iter().filter(|identifier| carried[1].binary_search(identifier).is_ok())
        {
            let standing = ground.standing(identifier, whole.level)?;
            if standing != Standing::Links {
                because.push(Apart::NotLinking { identifier: identifier.clone(), standing });
            }
        }
        let mut ids: Vec<_> = whole.closure.clone();
        ids.sort_unstable();
        for id in ids {
            let placed = &whole.placed[&id];
            if placed.profile != of_a && placed.profile != of_b {
                continue;
            }
            let found = ground.found(id)?;
            for (n, reason) in &placed.set_aside {
                let identifier = &found.known.identifiers[usize::from(*n)];
                if carried[0].binary_search(identifier).is_ok()
                    && carried[1].binary_search(identifier).is_ok()
                {
                    let (identifier, reason) = (identifier.clone(), reason.clone());
                    because.push(Apart::SetAside { fragment: id, identifier, reason });
                }
            }
        }
        for constraint in view.inner.config.identity.constraints.values() {
            if constraint.force != Force::MustNotLink {
                continue;
            }
            let sides = [ground.stands_for(&constraint.a)?, ground.stands_for(&constraint.b)?];
            let mut profiles = Vec::new();
            for side in sides.into_iter().flatten() {
                profiles.push(ground.found(side)?.profile);
            }
            if profiles == [of_a, of_b] || profiles == [of_b, of_a] {
                because.push(Apart::Constraint(constraint.id));
            }
        }
        if because.is_empty() {
            because.push(Apart::NothingInCommon);
        }
    }
    Ok(Explanation::Apart { a: a.1, b: b.1, because })
}
