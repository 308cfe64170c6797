//! From what became of keys to what is sent: members are read again, and consent is asked again, at this moment.

use std::collections::HashMap;

use cdp_domain::ids::FragmentId;
use cdp_domain::value::Value;
use cdp_engine::exports::{AudienceRow, Granted};
use cdp_engine::{Result, Tenant};

use super::tally::Reason;
use crate::ledger::{Change, Entry, Fresh, Step};
use crate::plan::Plan;
use crate::project;

/// A row to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) change: Change,
    pub(crate) profile: FragmentId,
    pub(crate) values: Vec<Option<Value>>,
    /// Why it may leave; None for a removal.
    pub(crate) granted: Option<Granted>,
    /// What stands at the destination when it is taken.
    pub(crate) after: Option<Entry>,
    /// What stands there when it is not.
    pub(crate) before: Option<Entry>,
}

/// What comes of a key.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// A row goes out.
    Send(Box<Item>),
    /// What stands there stays.
    Keep(Entry),
    /// A member is as it was sent.
    Unchanged(Entry),
    /// A member has no row.
    Withhold(FragmentId, Reason),
}

/// What a destination takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sends {
    /// Only what differs.
    Differences,
    /// Everybody, beside what is there already.
    Everybody,
    /// Everybody, in the place of what is there.
    Replaces,
}

/// Resolves steps, in their order. A member that is withheld gives two outcomes where something is there already. Rows that
/// `perhaps` stand there with values that are not known count as changed.
pub(crate) fn resolve(
    tenant: &Tenant,
    plan: &Plan,
    sends: Sends,
    steps: Vec<Step>,
    perhaps: &[Entry],
) -> Result<Vec<Outcome>> {
    let wanted = |step: &Step| match step {
        Step::New(fresh) | Step::Changed(fresh, _) => Some(fresh.ordinal),
        Step::Same(fresh, _) if sends != Sends::Differences => Some(fresh.ordinal),
        _ => None,
    };
    let ordinals: Vec<_> = steps.iter().filter_map(wanted).collect();
    let rows = if ordinals.is_empty() {
        Vec::new()
    } else {
        tenant.audience_of(&ordinals, &plan.sources(), &plan.consent)?
    };
    let mut rows: HashMap<u32, AudienceRow> = rows.into_iter().map(|row| (row.ordinal.0, row)).collect();
    let mut outcomes = Vec::with_capacity(steps.len());
    let asked = Asked { plan, sends, perhaps };
    for step in steps {
        match step {
            Step::Same(_, entry) if sends == Sends::Differences => outcomes.push(Outcome::Unchanged(entry)),
            Step::New(fresh) => again(asked, rows.remove(&fresh.ordinal.0), fresh, None, &mut outcomes),
            Step::Changed(fresh, entry) | Step::Same(fresh, entry) => {
                again(asked, rows.remove(&fresh.ordinal.0), fresh, Some(entry), &mut outcomes);
            }
            Step::Twin(fresh) => {
                outcomes.push(Outcome::Withhold(FragmentId(fresh.profile), Reason::SameIdentifier));
            }
            Step::Gone(entry) => match sends {
                Sends::Differences => outcomes.push(Outcome::Send(Box::new(removal(plan, entry)))),
                Sends::Everybody => outcomes.push(Outcome::Keep(entry)),
                Sends::Replaces => {}
            },
        }
    }
    Ok(outcomes)
}

/// The row that tells that an entry is to go.
pub(crate) fn removal(plan: &Plan, entry: Entry) -> Item {
    Item {
        change: Change::Remove,
        profile: FragmentId(entry.profile),
        values: project::removal(plan, &entry.identity),
        granted: None,
        after: None,
        before: Some(entry),
    }
}

#[derive(Clone, Copy)]
struct Asked<'a> {
    plan: &'a Plan,
    sends: Sends,
    perhaps: &'a [Entry],
}

/// A member that was read again just now.
fn again(
    asked: Asked<'_>,
    row: Option<AudienceRow>,
    fresh: Fresh,
    before: Option<Entry>,
    outcomes: &mut Vec<Outcome>,
) {
    let Asked { plan, sends, perhaps } = asked;
    let profile = row.as_ref().map_or(FragmentId(fresh.profile), |row| row.profile_id);
    let read = match row.map(|row| row.values) {
        None => Err(Reason::Merged),
        Some(Err(why)) => Err(why.into()),
        Some(Ok((values, granted))) => {
            let values = project::project(plan, values);
            match project::identity(plan, &values) {
                None => Err(Reason::NoIdentifier),
                Some(_) if project::key(plan, &values) != fresh.key => Err(Reason::Changed),
                Some(identity) => Ok((values, granted, identity)),
            }
        }
    };
    match read {
        Ok((values, granted, identity)) => {
            let hash = project::row_hash(plan, &values);
            let after = Entry { key: fresh.key, hash, profile: profile.0, identity };
            if sends == Sends::Differences
                && !perhaps.iter().any(|known| known.key == fresh.key)
                && let Some(entry) = before.as_ref().filter(|entry| entry.hash == hash)
            {
                return outcomes.push(Outcome::Unchanged(entry.clone()));
            }
            let change = if before.is_some() { Change::Update } else { Change::Add };
            let change = if sends == Sends::Differences { change } else { Change::Add };
            let (granted, after) = (Some(granted), Some(after));
            outcomes.push(Outcome::Send(Box::new(Item { change, profile, values, granted, after, before })));
        }
        Err(reason) => {
            outcomes.push(Outcome::Withhold(profile, reason));
            match (before, sends) {
                (Some(entry), Sends::Differences) => {
                    outcomes.push(Outcome::Send(Box::new(removal(plan, entry))))
                }
                (Some(entry), Sends::Everybody) => outcomes.push(Outcome::Keep(entry)),
                (Some(_), Sends::Replaces) | (None, _) => {}
            }
        }
    }
}
