//! Traits: values reported about a person. A fold per trait; the order of delivery does not matter.
//!
//! A trait keeps what later or late writes can still need: the last plain write in canonical order, and the operator
//! writes (`$add`, `$append`, `$set_once`) after it. Its value is those writes played in canonical order.
//! Borrowed idea: last-writer-wins registers and operation logs (Shapiro et al., "A comprehensive study of CRDTs", 2011).

use compact_str::CompactString;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::event::check_name;
use crate::limits::{TRAIT_LIST_MAX, TRAIT_WRITES_MAX};
use crate::problem::{Code, Problem, step};
use crate::stamp::Stamp;
use crate::value::{Number, Object, Value, exact};

/// One write of one trait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Write {
    /// A plain value; null removes.
    Set(Value),
    /// `$set_once`: counts only where the trait has no value.
    SetOnce(Value),
    /// `$add`: onto the number that is there, or 0.
    Add(#[serde(with = "exact")] Decimal),
    /// `$append`: to the end of the list that is there.
    Append(Value),
}

/// What is kept of one trait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cell {
    /// Only plain writes so far: the last one.
    Plain(Stamp, Value),
    /// The last plain write, if any, and the operator writes after it, in canonical order.
    Log(Vec<(Stamp, Write)>),
}

impl Cell {
    /// The state after one write alone.
    #[must_use]
    pub fn new(stamp: Stamp, write: Write) -> Self {
        match write {
            Write::Set(value) => Self::Plain(stamp, value),
            write => Self::Log(vec![(stamp, write)]),
        }
    }

    /// Takes one more write in, whenever it happened.
    pub fn step(&mut self, stamp: &Stamp, write: Write) {
        if let (Self::Plain(last, value), Write::Set(new)) = (&mut *self, &write) {
            if stamp > last {
                *last = stamp.clone();
                value.clone_from(new);
            }
            return;
        }
        let mut log = std::mem::replace(self, Self::Log(Vec::new())).into_log();
        let at = log.partition_point(|(other, _)| other < stamp);
        log.insert(at, (stamp.clone(), write));
        *self = Self::pruned(log);
    }

    /// The state after the writes of both. The two must come from different events.
    #[must_use]
    pub fn combine(self, other: Self) -> Self {
        if let (Self::Plain(a, _), Self::Plain(b, _)) = (&self, &other) {
            return if a >= b { self } else { other };
        }
        let mut log = self.into_log();
        log.extend(other.into_log());
        log.sort_by(|a, b| a.0.cmp(&b.0));
        Self::pruned(log)
    }

    /// The value, and the event that last changed it. None when there is no value.
    #[must_use]
    pub fn read(&self) -> Option<(Value, &Stamp)> {
        match self {
            Self::Plain(_, Value::Null) => None,
            Self::Plain(stamp, value) => Some((value.clone(), stamp)),
            Self::Log(log) => play(log),
        }
    }

    fn into_log(self) -> Vec<(Stamp, Write)> {
        match self {
            Self::Plain(stamp, value) => vec![(stamp, Write::Set(value))],
            Self::Log(log) => log,
        }
    }

    /// Drops what no later write can bring back. Bounded: beyond the limits, see [`TRAIT_WRITES_MAX`], the oldest
    /// `$add`s are summed into one, and a plain write that comes late with a time among them counts as before them.
    fn pruned(mut log: Vec<(Stamp, Write)>) -> Self {
        if let Some(last_plain) = log.iter().rposition(|(_, write)| matches!(write, Write::Set(_))) {
            log.drain(..last_plain);
        }
        let appends = log.iter().filter(|(_, write)| matches!(write, Write::Append(_))).count();
        let mut surplus = appends.saturating_sub(TRAIT_LIST_MAX);
        log.retain(|(_, write)| {
            let drop = surplus > 0 && matches!(write, Write::Append(_));
            surplus -= usize::from(drop);
            !drop
        });
        while log.len() > TRAIT_WRITES_MAX {
            let mut adds = log.iter().enumerate().filter(|(_, (_, write))| matches!(write, Write::Add(_)));
            if let (Some((first, _)), Some((second, _))) = (adds.next(), adds.next()) {
                let (_, Write::Add(a)) = log.remove(first) else { unreachable!("found as an add") };
                if let (_, Write::Add(b)) = &mut log[second - 1] {
                    *b = b.saturating_add(a);
                }
            } else {
                let last_once = log.iter().rposition(|(_, write)| matches!(write, Write::SetOnce(_)));
                log.remove(last_once.expect("lists and sums are bounded, so these are too many"));
            }
        }
        match log.pop() {
            Some((stamp, Write::Set(value))) if log.is_empty() => Self::Plain(stamp, value),
            Some(last) => {
                log.push(last);
                Self::Log(log)
            }
            None => Self::Log(log),
        }
    }
}

fn play(log: &[(Stamp, Write)]) -> Option<(Value, &Stamp)> {
    let mut at: Option<(Value, &Stamp)> = None;
    for (stamp, write) in log {
        let before = at.take();
        at = match write {
            Write::Set(Value::Null) => None,
            Write::Set(value) => Some((value.clone(), stamp)),
            Write::SetOnce(value) => before.or_else(|| Some((value.clone(), stamp))),
            Write::Add(more) => {
                let sum = before
                    .and_then(|(value, _)| value.as_decimal())
                    .unwrap_or_default()
                    .saturating_add(*more);
                Some((Value::Number(Number::from(sum)), stamp))
            }
            Write::Append(item) => {
                let mut list = match before {
                    Some((Value::List(list), _)) => list,
                    Some((single, _)) => vec![single],
                    None => Vec::new(),
                };
                list.push(item.clone());
                if list.len() > TRAIT_LIST_MAX {
                    list.remove(0);
                }
                Some((Value::List(list), stamp))
            }
        };
    }
    at
}

/// The writes that an event's `traits` stand for. The object must have passed [`check`].
pub fn writes(traits: &Object) -> impl Iterator<Item = (CompactString, Write)> + '_ {
    traits.iter().flat_map(|(name, value)| -> Vec<(CompactString, Write)> {
        let each = |make: fn(&Value) -> Option<Write>| {
            value
                .as_object()
                .into_iter()
                .flat_map(|object| object.iter())
                .filter_map(|(name, value)| Some((name.clone(), make(value)?)))
                .collect()
        };
        match name.as_str() {
            "$set_once" => each(|value| (*value != Value::Null).then(|| Write::SetOnce(value.clone()))),
            "$add" => each(|value| value.as_decimal().map(Write::Add)),
            "$append" => each(|value| Some(Write::Append(value.clone()))),
            "$unset" => match value {
                Value::List(names) => names
                    .iter()
                    .filter_map(|name| Some((name.as_text()?.into(), Write::Set(Value::Null))))
                    .collect(),
                _ => Vec::new(),
            },
            _ => vec![(name.clone(), Write::Set(value.clone()))],
        }
    })
}

/// Everything that is wrong with an event's `traits`; pointers are relative to them.
#[must_use]
pub fn check(traits: &Object) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut bad = |pointer: String, code, detail: &str| problems.push(Problem::new(pointer, code, detail));
    for (name, value) in traits.iter() {
        let place = step(name);
        match (name.as_str(), value) {
            ("$set_once" | "$append", Value::Object(object)) => {
                for (name, _) in object.iter().filter(|(name, _)| check_name(name).is_err()) {
                    bad(format!("{place}{}", step(name)), Code::Invalid, "is not the name of a trait");
                }
            }
            ("$add", Value::Object(object)) => {
                for (name, value) in object.iter() {
                    if check_name(name).is_err()
                        || !matches!(value, Value::Number(n) if n.to_decimal().is_some())
                    {
                        bad(
                            format!("{place}{}", step(name)),
                            Code::WrongType,
                            "must be a number of at most 28 digits",
                        );
                    }
                }
            }
            ("$unset", Value::List(names)) => {
                for (n, _) in names.iter().enumerate().filter(|(_, name)| name.as_text().is_none()) {
                    bad(format!("{place}/{n}"), Code::WrongType, "must be the name of a trait");
                }
            }
            ("$unset", _) => bad(place, Code::WrongType, "must be an array of names"),
            ("$set_once" | "$append" | "$add", _) => {
                bad(place, Code::WrongType, "must be an object of names and values")
            }
            (other, _) if other.starts_with('$') => {
                bad(
                    place,
                    Code::Unknown,
                    "is not an operator: there are $set_once, $add, $unset and $append",
                );
            }
            (other, _) => {
                if let Err(detail) = check_name(other) {
                    bad(place, Code::Invalid, &detail);
                }
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;
    use proptest::prelude::*;

    fn stamp(time: i64, id: usize) -> Stamp {
        Stamp::new(Timestamp(time), "s".into(), format!("{id:03}").into())
    }

    fn any_write() -> impl Strategy<Value = Write> {
        prop_oneof![
            3 => (0_i64..5).prop_map(|n| Write::Set(n.into())),
            1 => Just(Write::Set(Value::Null)),
            1 => (0_i64..5).prop_map(|n| Write::SetOnce(n.into())),
            2 => (1_i64..5).prop_map(|n| Write::Add(n.into())),
            2 => (0_i64..5).prop_map(|n| Write::Append(n.into())),
        ]
    }

    proptest! {
        #[test]
        fn any_order_and_any_cut_give_what_playing_all_writes_in_order_gives(
            writes in proptest::collection::vec((0_i64..6, any_write()), 1..24),
            order in any::<prop::sample::Index>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut all: Vec<_> =
                writes.into_iter().enumerate().map(|(id, (time, write))| (stamp(time, id), write)).collect();
            let by_delivery = { let mut v = all.clone(); let n = v.len(); v.rotate_left(order.index(n)); v.reverse(); v };
            all.sort_by(|a, b| a.0.cmp(&b.0));
            let naive = play(&all).map(|(value, stamp)| (value, stamp.clone()));

            let fold = |part: &[(Stamp, Write)]| part.iter().fold(None, |cell: Option<Cell>, (stamp, write)| Some(match cell {
                None => Cell::new(stamp.clone(), write.clone()),
                Some(mut cell) => { cell.step(stamp, write.clone()); cell }
            }));
            let cut = cut.index(by_delivery.len());
            let (left, right) = by_delivery.split_at(cut);
            let combined = [fold(left), fold(right)].into_iter().flatten().reduce(Cell::combine).unwrap();
            let direct = fold(&by_delivery).unwrap();
            prop_assert_eq!(direct.read().map(|(v, s)| (v, s.clone())), naive.clone());
            prop_assert_eq!(combined.read().map(|(v, s)| (v, s.clone())), naive);
            prop_assert_eq!(combined, direct);
        }
    }

    #[test]
    fn null_removes_and_an_empty_string_is_a_value() {
        let mut cell = Cell::new(stamp(1, 1), Write::Set("x".into()));
        cell.step(&stamp(2, 2), Write::Set("".into()));
        assert_eq!(cell.read().map(|r| r.0), Some("".into()));
        cell.step(&stamp(3, 3), Write::Set(Value::Null));
        assert_eq!(cell.read(), None);
        cell.step(&stamp(0, 0), Write::Set("late".into()));
        assert_eq!(cell.read(), None, "a late write does not undo a removal");
    }

    #[test]
    fn what_is_kept_stays_within_the_limits() {
        let mut sum = Cell::new(stamp(0, 0), Write::Add(1.into()));
        let mut list = Cell::new(stamp(0, 0), Write::Append(0.into()));
        for n in 1..1000 {
            sum.step(&stamp(n, 0), Write::Add(1.into()));
            list.step(&stamp(n, 0), Write::Append(n.into()));
        }
        assert_eq!(sum.read().map(|r| r.0), Some(1000.into()));
        assert!(matches!(&sum, Cell::Log(log) if log.len() == TRAIT_WRITES_MAX));
        assert!(matches!(list.read(), Some((Value::List(items), _)) if items.len() == TRAIT_LIST_MAX));
    }
}
