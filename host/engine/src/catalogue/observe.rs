//! Counting types and their properties, as events go by.

use std::collections::HashMap;

use cdp_domain::event::Event;
use cdp_domain::ids::Position;
use cdp_domain::limits::NAME_BYTES_MAX;
use cdp_domain::time::Timestamp;
use cdp_domain::value::{Object, Value};
use cdp_store::keys::{TenantContext, tag};
use cdp_store::kv::Order;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::feed::{Item, Pending};
use crate::rows::{Hand, Look, View, decode, encode};

/// Event types of one tenant that are listed: those that came first. Events of others are counted together.
pub const CATALOGUE_TYPES_MAX: usize = 1000;
/// Properties of one type that are listed, and traits: those that came first. A longer name than a name may be is not.
pub const CATALOGUE_PROPERTIES_MAX: usize = 100;

/// Name of the row that counts events whose type is not listed.
const META_UNLISTED: &str = "unlisted events";

/// What is known of one type, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) kind: CompactString,
    pub(crate) volume: u64,
    /// By the time of the events.
    pub(crate) first_seen: Timestamp,
    pub(crate) last_seen: Timestamp,
    /// When the newest was received.
    pub(crate) last_received: Timestamp,
    /// The newest.
    pub(crate) sample: Position,
    pub(crate) properties: Names,
    pub(crate) traits: Names,
}

/// Names with the JSON types that their values had.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Names {
    /// Sorted; a bit per JSON type.
    pub(crate) listed: Vec<(CompactString, u8)>,
    /// There were others, which are not listed.
    pub(crate) more: bool,
}

/// The JSON types, in the order of their bits.
pub(crate) const JSON_TYPES: [&str; 6] = ["null", "boolean", "number", "string", "array", "object"];

fn bit(value: &Value) -> u8 {
    match value {
        Value::Null => 1,
        Value::Bool(_) => 2,
        Value::Number(_) => 4,
        Value::Text(_) => 8,
        Value::List(_) => 16,
        Value::Object(_) => 32,
    }
}

impl Names {
    /// Takes the names of an object in; both are sorted, so that one walk does.
    fn see(&mut self, object: &Object) {
        let mut at = 0;
        let mut room = CATALOGUE_PROPERTIES_MAX - self.listed.len();
        for (name, value) in object.iter() {
            while self.listed.get(at).is_some_and(|(known, _)| known < name) {
                at += 1;
            }
            match self.listed.get_mut(at) {
                Some((known, bits)) if known == name => *bits |= bit(value),
                _ if room > 0 && name.len() <= NAME_BYTES_MAX => {
                    self.listed.insert(at, (name.clone(), bit(value)));
                    room -= 1;
                }
                _ => self.more = true,
            }
        }
    }
}

struct Entry {
    row: Row,
    no: u32,
    changed: bool,
}

impl Entry {
    fn see(&mut self, pending: &Pending) {
        let Event { time, properties, traits, .. } = &pending.event;
        self.changed = true;
        let row = &mut self.row;
        row.volume += 1;
        row.first_seen = row.first_seen.min(*time);
        row.last_seen = row.last_seen.max(*time);
        row.last_received = pending.received_at;
        row.sample = pending.position;
        row.properties.see(properties);
        row.traits.see(traits);
    }
}

/// What is known of all types. One writer observes; readers look in between.
#[derive(Default)]
pub(crate) struct Catalogue {
    entries: HashMap<CompactString, Entry>,
    unlisted: u64,
    changed: bool,
}

impl Catalogue {
    /// Reads what was stored.
    pub(crate) fn load(view: &View<'_>) -> Result<Self> {
        let context = *view.context();
        let mut catalogue = Self::default();
        let mut range = context.table(tag::CATALOGUE);
        loop {
            let page = view.scan(&range, Order::Forward, 256)?;
            let Some((last, _)) = page.last() else { break };
            range = range.after(last);
            for (_, bytes) in &page {
                let row: Row = decode(bytes)?;
                let no = catalogue.entries.len() as u32;
                catalogue.entries.insert(row.kind.clone(), Entry { row, no, changed: false });
            }
        }
        if let Some(bytes) = view.row(&context.meta(META_UNLISTED))? {
            catalogue.unlisted = decode(&bytes)?;
        }
        Ok(catalogue)
    }

    /// Takes accepted events in, as they were sent.
    pub(crate) fn observe(&mut self, items: &[Item]) {
        for item in items {
            if let Item::Event(pending) = item {
                self.see(pending);
            }
        }
    }

    fn see(&mut self, pending: &Pending) {
        let Event { kind, time, .. } = &pending.event;
        if let Some(entry) = self.entries.get_mut(kind) {
            entry.see(pending);
            return;
        }
        if self.entries.len() == CATALOGUE_TYPES_MAX {
            self.unlisted += 1;
            self.changed = true;
            return;
        }
        let row = Row {
            kind: kind.clone(),
            volume: 0,
            first_seen: *time,
            last_seen: *time,
            last_received: pending.received_at,
            sample: pending.position,
            properties: Names::default(),
            traits: Names::default(),
        };
        let mut entry = Entry { row, no: self.entries.len() as u32, changed: true };
        entry.see(pending);
        self.entries.insert(kind.clone(), entry);
    }

    /// Puts what changed among the rows of the generation that grows; to be called before each freeze.
    pub(crate) fn flush(&mut self, hand: &mut Hand<'_>) {
        let context: TenantContext = *hand.context();
        for entry in self.entries.values_mut().filter(|entry| entry.changed) {
            entry.changed = false;
            hand.put(context.catalogue(entry.no), encode(&entry.row));
        }
        if std::mem::take(&mut self.changed) {
            hand.put(context.meta(META_UNLISTED), encode(&self.unlisted));
        }
    }

    /// What is known of a type.
    pub(crate) fn find(&self, kind: &str) -> Option<&Row> {
        self.entries.get(kind).map(|entry| &entry.row)
    }

    /// What is known of all, in no order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.entries.values().map(|entry| &entry.row)
    }

    /// Events whose type is not listed.
    pub(crate) fn unlisted(&self) -> u64 {
        self.unlisted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdp_domain::ids::FragmentId;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn item(kind: &str, time: i64, properties: &[(String, Value)]) -> Item {
        let event = Event {
            id: "1".into(),
            source: "s".into(),
            kind: kind.into(),
            time: Timestamp(time),
            identifiers: Default::default(),
            properties: properties
                .iter()
                .map(|(name, value)| (name.as_str().into(), value.clone()))
                .collect(),
            traits: Object::default(),
            channels: Vec::new(),
            verified: Vec::new(),
            consents: Vec::new(),
            extra: Object::default(),
        };
        let (position, received_at) = (Position(8), Timestamp(time));
        Item::Event(Box::new(Pending {
            position,
            received_at,
            fragment: FragmentId([0; 16]),
            origin: cdp_domain::identity::Origin { alias: false, client: false },
            event,
            acceptance: None,
        }))
    }

    #[test]
    fn so_many_types_are_listed_and_others_are_counted_together() {
        let mut catalogue = Catalogue::default();
        for n in 0..CATALOGUE_TYPES_MAX + 2 {
            catalogue.observe(&[item(&format!("t{n}"), 0, &[])]);
        }
        catalogue.observe(&[item("t0", 0, &[])]);
        assert_eq!((catalogue.rows().count(), catalogue.unlisted()), (CATALOGUE_TYPES_MAX, 2));
        assert_eq!(catalogue.find("t0").unwrap().volume, 2);
        assert!(catalogue.find("t1000").is_none() && catalogue.find("t999").is_some());
    }

    #[test]
    fn so_many_properties_are_listed_and_a_name_too_long_is_not() {
        let mut catalogue = Catalogue::default();
        let some = |from: usize, to: usize| {
            (from..to).map(|n| (format!("p{n:03}"), Value::from(1))).collect::<Vec<_>>()
        };
        catalogue.observe(&[item("t", 0, &some(0, CATALOGUE_PROPERTIES_MAX))]);
        assert!(!catalogue.find("t").unwrap().properties.more);
        catalogue.observe(&[item("t", 0, &some(50, CATALOGUE_PROPERTIES_MAX + 1))]);
        let names = &catalogue.find("t").unwrap().properties;
        assert_eq!((names.listed.len(), names.more), (CATALOGUE_PROPERTIES_MAX, true));
        catalogue.observe(&[item("u", 0, &[("n".repeat(NAME_BYTES_MAX), true.into())])]);
        assert!(!catalogue.find("u").unwrap().properties.more);
        catalogue.observe(&[item("u", 0, &[("n".repeat(NAME_BYTES_MAX + 1), true.into())])]);
        let names = &catalogue.find("u").unwrap().properties;
        assert_eq!((names.listed.len(), names.more), (1, true));
    }

    proptest! {
        /// The naive model: a map of maps.
        #[test]
        fn what_is_known_is_the_set_of_what_was_seen(
            seen in proptest::collection::vec(("[ab]", -5_i64..5, proptest::collection::btree_map("[a-e]", 0_u8..3, 0..4)), 1..40)
        ) {
            let value = |n: u8| match n { 0 => Value::Null, 1 => Value::from(7), _ => Value::from("x") };
            let mut catalogue = Catalogue::default();
            type Seen = (u64, i64, i64, BTreeMap<String, BTreeSet<u8>>);
            let mut model: BTreeMap<String, Seen> = BTreeMap::new();
            for (kind, time, properties) in &seen {
                let list: Vec<_> = properties.iter().map(|(name, n)| (name.clone(), value(*n))).collect();
                catalogue.observe(&[item(kind, *time, &list)]);
                let known = model.entry(kind.clone()).or_insert((0, *time, *time, BTreeMap::new()));
                *known = (known.0 + 1, known.1.min(*time), known.2.max(*time), std::mem::take(&mut known.3));
                for (name, n) in properties {
                    known.3.entry(name.clone()).or_default().insert(bit(&value(*n)));
                }
            }
            prop_assert_eq!(catalogue.rows().count(), model.len());
            for (kind, (volume, first, last, names)) in model {
                let row = catalogue.find(&kind).unwrap();
                prop_assert_eq!((row.volume, row.first_seen.0, row.last_seen.0), (volume, first, last));
                let listed: Vec<_> =
                    names.into_iter().map(|(name, bits)| (name.into(), bits.into_iter().sum::<u8>())).collect();
                prop_assert_eq!(&row.properties.listed, &listed);
            }
        }
    }
}
