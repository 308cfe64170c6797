//! Counting types and their properties, as events go by.

use std::collections::HashMap;

use cdp_domain::event::{EXPIRED, Event};
use cdp_domain::limits::NAME_BYTES_MAX;
use cdp_domain::time::Timestamp;
use cdp_domain::value::{Object, Value};
use cdp_store::keys::{TenantContext, tag};
use cdp_store::kv::Order;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::born::Place;
use crate::error::Result;
use crate::feed::{Item, Pending};
use crate::rows::{Hand, Look, View, decode, encode};
use crate::writer::Fate;

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
    pub(crate) sample: Place,
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
    /// Whether nothing would change by taking the names of an object in.
    fn knows(&self, object: &Object) -> bool {
        let mut at = 0;
        let is_full = self.more && self.listed.len() == CATALOGUE_PROPERTIES_MAX;
        object.iter().all(|(name, value)| {
            while self.listed.get(at).is_some_and(|(known, _)| known < name) {
                at += 1;
            }
            match self.listed.get(at) {
                Some((known, bits)) if known == name => bits & bit(value) != 0,
                _ => is_full || self.more && name.len() > NAME_BYTES_MAX,
            }
        })
    }

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

/// What accepted events say that is not known of their types, one for each.
pub(crate) struct Sent(Vec<Option<Box<(Object, Object)>>>);

/// Properties and traits that may not be known of a type.
type News<'a> = (&'a Object, &'a Object);

struct Entry {
    row: Row,
    no: u32,
    changed: bool,
}

impl Entry {
    fn see(&mut self, (time, received_at, sample): (Timestamp, Timestamp, Place), news: Option<News<'_>>) {
        self.changed = true;
        let row = &mut self.row;
        row.volume += 1;
        row.first_seen = row.first_seen.min(time);
        row.last_seen = row.last_seen.max(time);
        row.last_received = received_at;
        row.sample = sample;
        if let Some((properties, traits)) = news {
            row.properties.see(properties);
            row.traits.see(traits);
        }
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

    /// Keeps of accepted events what they say, before transformers change it, where that is not known already.
    pub(crate) fn look(&self, items: &[Item]) -> Sent {
        let news = |item: &Item| {
            let Item::Event(pending) = item else { return None };
            let Event { kind, properties, traits, .. } = &pending.event;
            if kind == EXPIRED {
                return None;
            }
            let known = match self.entries.get(kind) {
                Some(Entry { row, .. }) => row.properties.knows(properties) && row.traits.knows(traits),
                None => self.entries.len() == CATALOGUE_TYPES_MAX,
            };
            (!known).then(|| Box::new((properties.clone(), traits.clone())))
        };
        Sent(items.iter().map(news).collect())
    }

    /// Takes events in, in the journal's order: each as it was sent, then what transformers made of it.
    pub(crate) fn observe(&mut self, items: &[Item], sent: Sent, fates: &[Fate]) {
        for ((item, sent), fate) in items.iter().zip(sent.0).zip(fates) {
            let Item::Event(pending) = item else { continue };
            if pending.event.kind == EXPIRED {
                continue;
            }
            let news = sent.as_ref().map(|sent| (&sent.0, &sent.1));
            self.see(pending, (0, &pending.event), news);
            if *fate == Fate::Keep {
                self.observe_born(pending);
            }
        }
    }

    /// Takes in what transformers made of an event that is applied.
    pub(crate) fn observe_born(&mut self, pending: &Pending) {
        for (nth, event) in pending.events().skip(1) {
            self.see(pending, (nth, event), Some((&event.properties, &event.traits)));
        }
    }

    fn see(&mut self, pending: &Pending, (nth, event): (u8, &Event), news: Option<News<'_>>) {
        let Event { kind, time, .. } = event;
        let sample = Place { position: pending.position, nth };
        let seen = (*time, pending.received_at, sample);
        if let Some(entry) = self.entries.get_mut(kind) {
            entry.see(seen, news);
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
            sample,
            properties: Names::default(),
            traits: Names::default(),
        };
        let mut entry = Entry { row, no: self.entries.len() as u32, changed: true };
        entry.see(seen, news);
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
    use crate::born::Brood;
    use cdp_domain::ids::FragmentId;
    use cdp_domain::ids::Position;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn observe(catalogue: &mut Catalogue, items: &[Item]) {
        let sent = catalogue.look(items);
        catalogue.observe(items, sent, &vec![Fate::Keep; items.len()]);
    }

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
            brood: Brood::default(),
            nth: 0,
        }))
    }

    #[test]
    fn so_many_types_are_listed_and_others_are_counted_together() {
        let mut catalogue = Catalogue::default();
        for n in 0..CATALOGUE_TYPES_MAX + 2 {
            observe(&mut catalogue, &[item(&format!("t{n}"), 0, &[])]);
        }
        observe(&mut catalogue, &[item("t0", 0, &[])]);
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
        observe(&mut catalogue, &[item("t", 0, &some(0, CATALOGUE_PROPERTIES_MAX))]);
        assert!(!catalogue.find("t").unwrap().properties.more);
        observe(&mut catalogue, &[item("t", 0, &some(50, CATALOGUE_PROPERTIES_MAX + 1))]);
        let names = &catalogue.find("t").unwrap().properties;
        assert_eq!((names.listed.len(), names.more), (CATALOGUE_PROPERTIES_MAX, true));
        observe(&mut catalogue, &[item("u", 0, &[("n".repeat(NAME_BYTES_MAX), true.into())])]);
        assert!(!catalogue.find("u").unwrap().properties.more);
        observe(&mut catalogue, &[item("u", 0, &[("n".repeat(NAME_BYTES_MAX + 1), true.into())])]);
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
                observe(&mut catalogue, &[item(kind, *time, &list)]);
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
