//! A deriver that does what its configuration says a guest must not.
//!
//! The configuration is `WORD` or `WORD:ID`; with an id, only runs that carry the event of that id misbehave. Words it
//! does not know make it a good deriver that counts events and remembers the newest one's id. It promises all that can be
//! promised, and `honest` is the one word under which that is true; `plain` promises nothing.

use std::sync::atomic::{AtomicU32, Ordering};

use cdp_plugin_sdk::bindings::cdp::plugin::types::{
    Batch, BytesList, Cells, Column, Failure, Kind, Presence, TextList,
};
use cdp_plugin_sdk::bindings::exports::cdp::plugin::metadata::{self, Descriptor, Field};
use cdp_plugin_sdk::bindings_deriver::exports::cdp::plugin::derivation::{
    self, FoldShape, Laws, Output, Readings,
};
use cdp_plugin_sdk::bindings_migration::exports::cdp::plugin::migration;
use cdp_plugin_sdk::bindings_retraction::exports::cdp::plugin::retraction;

/// The plugin.
pub struct Misfold;

const STATE_BYTES: u32 = 64;
const LOOKBACK_DAYS: u32 = 20;

/// A test that needs a newer version of this plugin puts another digit here, into the component.
static STATE_VERSION: &[u8; 15] = b"STATE-VERSION=1";

fn state_version() -> u32 {
    u32::from(std::hint::black_box(STATE_VERSION)[14] - b'0')
}
const DAY_MS: i64 = 86_400_000;

impl metadata::Guest for Misfold {
    fn describe() -> Descriptor {
        let field = |pointer: &str, kind| Field { pointer: pointer.to_owned(), kind };
        Descriptor {
            name: "misfold".to_owned(),
            version: "1.0.0".to_owned(),
            summary: "Does what a deriver must not.".to_owned(),
            event_types: vec!["purchase".to_owned(), "visit".to_owned()],
            reads: vec![field("/id", Kind::Text), field("/properties/total", Kind::Decimal)],
            writes: vec![],
            config_schema: String::new(),
            secrets: vec![],
            hosts: vec![],
            tables: vec![],
        }
    }

    fn check_config(config: String) -> Result<(), Vec<String>> {
        if config == "bad" { Err(vec![": is bad".to_owned()]) } else { Ok(()) }
    }
}

impl derivation::Guest for Misfold {
    fn shape(config: String) -> FoldShape {
        let output = |name: &str, kind| Output { name: name.to_owned(), kind };
        let mut outputs = vec![output("count", Kind::Integer), output("newest", Kind::Text)];
        let mut max_state_bytes = STATE_BYTES;
        match word(&config).0 {
            "trap-in-shape" => panic!("asked to trap"),
            "no-outputs" => outputs.clear(),
            "same-outputs" => outputs.push(output("count", Kind::Integer)),
            "huge-state" => max_state_bytes = 1 << 20,
            _ => {}
        }
        let laws = if word(&config).0 == "plain" {
            Laws::empty()
        } else {
            Laws::COMMUTATIVE | Laws::MERGEABLE | Laws::IDEMPOTENT
        };
        let lookback_days = match word(&config).0 {
            "forgets" | "says-it-forgets" => Some(LOOKBACK_DAYS),
            _ => None,
        };
        FoldShape { state_version: state_version(), laws, outputs, max_state_bytes, lookback_days }
    }

    fn fold(config: String, states: BytesList, group_ends: Vec<u32>, events: Batch) -> States {
        step(&config, &states, &group_ends, &events, false)
    }

    fn combine(config: String, left: BytesList, right: BytesList) -> States {
        let mut out = Vec::new();
        for (left, right) in items(&left).zip(items(&right)) {
            let mut joined = State::decode(left);
            let other = State::decode(right);
            match word(&config).0 {
                "combine-forgets" => {}
                "combine-traps" => panic!("asked to trap"),
                _ => joined.join(&other),
            }
            out.push(joined.encode());
        }
        Ok(list(out))
    }

    fn read(config: String, as_of: i64, states: BytesList) -> Result<Readings, Failure> {
        let mut known: Vec<State> = items(&states).map(State::decode).collect();
        let rows = known.len();
        if word(&config).0 == "forgets" {
            // Whether something happened lately, and what; of what is too old nothing is left to see.
            let begins = as_of - i64::from(LOOKBACK_DAYS) * DAY_MS;
            for state in &mut known {
                let lately = state.count > 0 && state.time >= begins;
                *state = if lately { State { count: 1, ..std::mem::take(state) } } else { State::default() };
            }
        }
        let mut counts: Vec<i64> = known.iter().map(|state| state.count as i64).collect();
        let mut texts = TextList { ends: vec![], data: vec![] };
        for state in &known {
            texts.data.extend_from_slice(state.id.as_bytes());
            texts.ends.push(texts.data.len() as u32);
        }
        let mut valid_until = vec![None; rows];
        let mut presence = vec![];
        match word(&config).0 {
            "read-traps" => panic!("asked to trap"),
            "read-nothing" => counts.clear(),
            "read-past" => valid_until = vec![Some(as_of); rows],
            "read-few-ends" => valid_until.clear(),
            "read-mistyped" => presence = vec![Presence::Mistyped; rows],
            "read-absent" => presence = vec![Presence::Absent; rows],
            "read-large" => {
                texts.data = vec![b'x'; 1025 * rows];
                texts.ends = (1..=rows as u32).map(|row| row * 1025).collect();
            }
            "read-daily" => {
                valid_until =
                    known.iter().map(|state| Some((as_of.max(state.time) / DAY_MS + 1) * DAY_MS)).collect()
            }
            "read-varies" => {
                counts.iter_mut().for_each(|count| *count += i64::from(CALLS.fetch_add(1, Ordering::Relaxed)))
            }
            _ => {}
        }
        let column = |cells| Column { presence: presence.clone(), cells };
        Ok(Readings {
            values: vec![column(Cells::Integers(counts)), column(Cells::Texts(texts))],
            valid_until,
        })
    }
}

impl retraction::Guest for Misfold {
    fn retract(config: String, states: BytesList, group_ends: Vec<u32>, events: Batch) -> States {
        step(&config, &states, &group_ends, &events, true)
    }
}

impl migration::Guest for Misfold {
    fn migrate(config: String, old_version: u32, states: BytesList) -> States {
        if old_version + 1 != state_version() {
            return Err(Failure::Rejected(format!("no state of version {old_version}")));
        }
        let carried = |bytes: &[u8]| match word(&config).0 {
            "migrate-forgets" => State { count: 1, ..State::decode(bytes) }.encode(),
            _ => State::decode(bytes).encode(),
        };
        Ok(list(items(&states).map(carried).collect()))
    }
}

#[cfg(target_arch = "wasm32")]
const _: () = {
    cdp_plugin_sdk::bindings::export!(Misfold with_types_in cdp_plugin_sdk::bindings);
    cdp_plugin_sdk::bindings_deriver::export!(Misfold with_types_in cdp_plugin_sdk::bindings_deriver);
    cdp_plugin_sdk::bindings_retraction::export!(Misfold with_types_in cdp_plugin_sdk::bindings_retraction);
    cdp_plugin_sdk::bindings_migration::export!(Misfold with_types_in cdp_plugin_sdk::bindings_migration);
};

type States = Result<BytesList, Failure>;

static CALLS: AtomicU32 = AtomicU32::new(0);

/// A server gives a configuration as JSON, `{"do":"WORD"}`; tests of the runtime give the word alone.
fn word(config: &str) -> (&str, &str) {
    let config =
        config.strip_prefix(r#"{"do":""#).and_then(|rest| rest.strip_suffix(r#""}"#)).unwrap_or(config);
    config.split_once(':').unwrap_or((config, ""))
}

fn step(config: &str, states: &BytesList, group_ends: &[u32], events: &Batch, back: bool) -> States {
    let (word, argument) = word(config);
    let ids = texts(&events.fields[0]);
    let poisoned = argument.is_empty() || ids.contains(&argument);
    if poisoned {
        match word {
            "trap" => panic!("asked to trap"),
            "reject" => return Err(Failure::Rejected("asked to".to_owned())),
            "retry" => return Err(Failure::Transient(Some(250))),
            "misconfigured" => return Err(Failure::Misconfigured("asked to".to_owned())),
            "loop" => loop {
                std::hint::black_box(());
            },
            _ => {}
        }
    }
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let (mut out, mut start) = (Vec::new(), 0);
    for (state, &end) in items(states).zip(group_ends) {
        let mut state = State::decode(state);
        for at in std::mem::replace(&mut start, end)..end {
            let (time, id) = (events.occurred_at[at as usize], ids[at as usize]);
            match (back, word) {
                (true, "retract-forgets") => {}
                // Counts and nothing else, so that what was counted can be taken out.
                (true, "counts") => state.count = state.count.saturating_sub(1),
                (false, "counts") => state.count += 1,
                (true, _) => state.count = state.count.saturating_sub(1),
                (false, "order-matters") => state.take(time.max(state.time), id),
                (false, _) => state.take(time, id),
            }
        }
        match word {
            "cuts-matter" => state.count += 1,
            "company-matters" => state.count += group_ends.len() as u64,
            "calls-matter" => state.count += u64::from(call),
            "state-too-large" if poisoned => {
                out.push(vec![1; STATE_BYTES as usize + 1]);
                continue;
            }
            _ => {}
        }
        out.push(state.encode());
    }
    match word {
        "too-few-states" => _ = out.pop(),
        "backward-ends" => {
            let mut list = list(out);
            list.ends.iter_mut().for_each(|end| *end = u32::MAX - *end);
            return Ok(list);
        }
        _ => {}
    }
    Ok(list(out))
}

/// How many events, and the newest one's time and id.
#[derive(Default)]
struct State {
    count: u64,
    time: i64,
    id: String,
}

impl State {
    fn take(&mut self, time: i64, id: &str) {
        self.join(&Self { count: 1, time, id: id.to_owned() });
    }

    fn join(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 || (other.time, &other.id) >= (self.time, &self.id) {
            self.time = other.time;
            self.id.clone_from(&other.id);
        }
        self.count += other.count;
    }

    fn decode(bytes: &[u8]) -> Self {
        let (Some(count), Some(time)) = (bytes.first_chunk(), bytes.get(8..).and_then(<[u8]>::first_chunk))
        else {
            return Self::default();
        };
        let id = String::from_utf8_lossy(&bytes[16..]).into_owned();
        Self { count: u64::from_le_bytes(*count), time: i64::from_le_bytes(*time), id }
    }

    fn encode(&self) -> Vec<u8> {
        if self.count == 0 {
            return vec![];
        }
        let mut out = self.count.to_le_bytes().to_vec();
        out.extend_from_slice(&self.time.to_le_bytes());
        out.extend_from_slice(self.id.as_bytes());
        out.truncate(STATE_BYTES as usize);
        out
    }
}

fn items(list: &BytesList) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    list.ends.iter().map(move |&end| &list.data[std::mem::replace(&mut start, end as usize)..end as usize])
}

fn list(items: Vec<Vec<u8>>) -> BytesList {
    let mut out = BytesList { ends: vec![], data: vec![] };
    for item in items {
        out.data.extend_from_slice(&item);
        out.ends.push(u32::try_from(out.data.len()).unwrap_or(u32::MAX));
    }
    out
}

fn texts(column: &Column) -> Vec<&str> {
    let Cells::Texts(list) = &column.cells else { return vec![] };
    let mut start = 0;
    let item = |&end: &u32| {
        let item = &list.data[std::mem::replace(&mut start, end as usize)..end as usize];
        std::str::from_utf8(item).unwrap_or_default()
    };
    list.ends.iter().map(item).collect()
}
