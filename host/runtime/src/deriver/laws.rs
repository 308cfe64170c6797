//! Tests the laws of a derivation with generated events, before anybody relies on them.
//!
//! The events come from the declared fields, from a seed that the component's digest gives: the same component and
//! configuration are always judged alike. A law that is promised and does not hold is not an error: what it would have
//! spared is paid, a replay of events. Only a plugin that gives two answers to one question is refused.

use cdp_domain::event::Event;
use cdp_domain::identifier::Identifier;
use cdp_domain::json;
use cdp_domain::time::Timestamp;
use cdp_domain::value::{Number, Object, Value};
use serde::{Deserialize, Serialize};

use super::{Answers, Derivation, Failed, Folded, Group, Reading};
use crate::descriptor::{Field, Kind};
use crate::transformer::Row;

/// Histories that are made up.
const HISTORIES: usize = 48;
/// Events of one of them, at most.
const EVENTS_MAX: usize = 12;
const DAY_MS: i64 = 86_400_000;
/// Where the made up time begins: 2025-01-01.
const START_MS: i64 = 1_735_689_600_000;

/// What was found of one law.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Law {
    /// `deterministic`, `steps`, `commutative`, `mergeable`, `idempotent`, `retract` or `lookback`.
    pub law: String,
    /// Whether the plugin promises it. `deterministic` is asked of every plugin, `steps` is only looked at.
    pub promised: bool,
    /// Whether it held for every history; None when it was not tested, because it was not promised.
    pub holds: Option<bool>,
    /// What that means, and what broke it where it does not hold, as a sentence.
    pub meaning: String,
}

/// What was found of a derivation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    /// One for each law, in a stable order.
    pub laws: Vec<Law>,
}

impl Tested {
    /// Whether a law was tested and held.
    #[must_use]
    pub fn holds(&self, law: &str) -> bool {
        self.laws.iter().any(|known| known.law == law && known.holds == Some(true))
    }

    /// Why the plugin cannot be used at all, if so.
    #[must_use]
    pub fn nondeterministic(&self) -> Option<String> {
        let broken = |law: &&Law| law.law == "deterministic" && law.holds == Some(false);
        self.laws.iter().find(broken).map(|law| law.meaning.clone())
    }
}

/// A small generator, so that the tests are the same for ever (xorshift*, Vigna 2016).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap_or(0) % sides
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.roll(all.len())]
    }
}

type Judged = Result<(), String>;

impl Derivation {
    /// Tests what the plugin promises, and what is asked of every plugin. Takes some dozen runs.
    #[must_use]
    pub fn test_laws(&self) -> Tested {
        let histories = self.histories();
        let (promised, lookback) = (self.shape().laws, self.shape().lookback_days);
        let law = |law: &str, promised: bool, judged: Option<Judged>, good: &str, bad: &str| {
            let (holds, meaning) = match judged {
                None => (None, format!("not promised: {bad}")),
                Some(Ok(())) => (Some(true), good.to_owned()),
                Some(Err(found)) => (Some(false), format!("{found}: {bad}")),
            };
            Law { law: law.to_owned(), promised, holds, meaning }
        };
        let determined = self.determined(&histories);
        let is_determined = determined.is_ok();
        // What gives two answers to one question says nothing about laws.
        let when = |tested: bool, judge: &dyn Fn() -> Judged| (tested && is_determined).then(judge);
        let laws = vec![
            law(
                "deterministic",
                true,
                Some(determined),
                "the same events give the same answers, in any company",
                "the plugin cannot be used",
            ),
            law(
                "steps",
                true,
                when(true, &|| self.steps(&histories)),
                "states are brought forward event by event",
                "every new event has all events of its person folded anew",
            ),
            law(
                "commutative",
                promised.commutative,
                when(promised.commutative, &|| self.commutes(&histories)),
                "a late event is folded like any other",
                "a late event has all events of its person folded anew",
            ),
            law(
                "mergeable",
                promised.mergeable,
                when(promised.mergeable, &|| self.merges(&histories)),
                "people are joined by joining their states",
                "a person with several sets of identifiers is folded anew each time",
            ),
            law(
                "idempotent",
                promised.idempotent,
                when(promised.idempotent, &|| self.repeats(&histories)),
                "an event that is folded twice counts once",
                "the host never folds an event twice, so nothing rests on it",
            ),
            law(
                "retract",
                self.deriver.retracts(),
                when(self.deriver.retracts(), &|| self.undoes(&histories)),
                "what is taken back is taken out of the state again",
                "what is taken back has all events of its person folded anew",
            ),
            law(
                "lookback",
                lookback.is_some(),
                lookback.and_then(|days| when(true, &|| self.forgets(&histories, days))),
                "the past is read no further back than its look-back",
                "the past is read from its beginning",
            ),
        ];
        Tested { laws }
    }

    fn determined(&self, histories: &[Vec<Event>]) -> Judged {
        let whole = self.folded("folding", &whole(histories))?;
        let again = self.folded("folding again", &self::whole(histories))?;
        same("two instances fold the same events to different states", &whole, &again)?;
        let (left, right) = histories.split_at(histories.len() / 3);
        let mut apart = self.folded("folding", &self::whole(right))?;
        apart.splice(0..0, self.folded("folding", &self::whole(left))?);
        same("the same events give another state in other company", &whole, &apart)?;
        let readings = self.readings(&whole)?;
        let again = self.readings(&whole)?;
        same("two instances read the same states differently", &readings, &again)?;
        let (left, right) = whole.split_at(whole.len() / 3);
        let mut apart = self.readings(right)?;
        apart.splice(0..0, self.readings(left)?);
        same("the same states read differently in other company", &readings, &apart)
    }

    fn steps(&self, histories: &[Vec<Event>]) -> Judged {
        let whole = self.folded("folding", &whole(histories))?;
        let mut states: Vec<Vec<u8>> = vec![Vec::new(); histories.len()];
        for step in 0..EVENTS_MAX {
            let at: Vec<usize> = (0..histories.len()).filter(|at| histories[*at].len() > step).collect();
            let parts: Vec<(&[u8], &[Event])> =
                at.iter().map(|at| (states[*at].as_slice(), &histories[*at][step..=step])).collect();
            let next = self.folded("folding one event at a time", &parts)?;
            for (at, state) in at.into_iter().zip(next) {
                states[at] = state;
            }
        }
        same("folding one event at a time gives another state than folding all at once", &whole, &states)
    }

    fn commutes(&self, histories: &[Vec<Event>]) -> Judged {
        let whole = self.folded("folding", &whole(histories))?;
        let mut dice = self.dice(1);
        let mut shuffled = histories.to_vec();
        for history in &mut shuffled {
            for at in (1..history.len()).rev() {
                history.swap(at, dice.roll(at + 1));
            }
        }
        let other = self.folded("folding in another order", &self::whole(&shuffled))?;
        let (a, b) = (self.readings(&whole)?, self.readings(&other)?);
        same("events in another order read differently", &a, &b)?;
        same("events in another order read the same but leave other state bytes", &whole, &other)
    }

    fn merges(&self, histories: &[Vec<Event>]) -> Judged {
        let whole = self.folded("folding", &whole(histories))?;
        let mut dice = self.dice(2);
        let mut parts: [Vec<Vec<Event>>; 3] = Default::default();
        for history in histories {
            let mut three: [Vec<Event>; 3] = Default::default();
            history.iter().for_each(|event| three[dice.roll(3)].push(event.clone()));
            parts.iter_mut().zip(three).for_each(|(part, one)| part.push(one));
        }
        let [a, b, c] = parts;
        let fold = |part: &[Vec<Event>]| self.folded("folding a part", &self::whole(part));
        let (a, b, c) = (fold(&a)?, fold(&b)?, fold(&c)?);
        let wanted = self.readings(&whole)?;
        let left = self.joined(&self.joined(&a, &b)?, &c)?;
        same("joined parts read differently than the whole", &wanted, &self.readings(&left)?)?;
        let right = self.joined(&a, &self.joined(&b, &c)?)?;
        same("parts joined in another grouping read differently", &wanted, &self.readings(&right)?)?;
        let swapped = self.joined(&c, &self.joined(&b, &a)?)?;
        same("parts joined in another order read differently", &wanted, &self.readings(&swapped)?)?;
        let nothing: Vec<Vec<u8>> = vec![Vec::new(); whole.len()];
        let with_nothing = self.joined(&nothing, &whole)?;
        same(
            "a state joined with that of no events reads differently",
            &wanted,
            &self.readings(&with_nothing)?,
        )
    }

    fn repeats(&self, histories: &[Vec<Event>]) -> Judged {
        let once = self.readings(&self.folded("folding", &whole(histories))?)?;
        let doubled: Vec<Vec<Event>> = histories
            .iter()
            .map(|history| history.iter().flat_map(|event| [event.clone(), event.clone()]).collect())
            .collect();
        let twice = self.readings(&self.folded("folding twice", &whole(&doubled))?)?;
        same("an event that is folded twice reads differently", &once, &twice)
    }

    fn undoes(&self, histories: &[Vec<Event>]) -> Judged {
        let whole = self.folded("folding", &whole(histories))?;
        let mut dice = self.dice(3);
        let mut out: Vec<Vec<Event>> = Vec::new();
        let mut rest: Vec<Vec<Event>> = Vec::new();
        for history in histories {
            let (gone, left): (Vec<_>, Vec<_>) = history.iter().cloned().partition(|_| dice.roll(3) == 0);
            out.push(gone);
            rest.push(left);
        }
        let rows: Vec<Vec<Row<'_>>> = out.iter().map(|events| rows_of(events)).collect();
        let groups: Vec<Group<'_>> =
            whole.iter().zip(&rows).map(|(state, rows)| Group { state, rows }).collect();
        let Some(answers) = self.retract(&groups) else { return Ok(()) };
        let left = states_in("taking out", answers)?;
        let rest = self.folded("folding the rest", &self::whole(&rest))?;
        let wanted = self.readings(&rest)?;
        same("what is left after taking out reads differently", &wanted, &self.readings(&left)?)?;
        same("what is left after taking out reads the same but has other state bytes", &rest, &left)
    }

    /// Whether events that are older than so many days change nothing any more.
    fn forgets(&self, histories: &[Vec<Event>], days: u32) -> Judged {
        let day = START_MS / DAY_MS + 15;
        let young: Vec<Vec<Event>> = histories
            .iter()
            .map(|history| history.iter().filter(|event| event.time.0 >= day * DAY_MS).cloned().collect())
            .collect();
        let all = self.folded("folding", &whole(histories))?;
        let young = self.folded("folding what is not too old", &whole(&young))?;
        let read = |states: &[Vec<u8>], day: i64| {
            let states: Vec<&[u8]> = states.iter().map(Vec::as_slice).collect();
            self::all("reading", self.read(Timestamp(day * DAY_MS), &states).items)
        };
        for later in [day + i64::from(days), day + i64::from(days) + 45] {
            // When a reading is to be made again may differ: there is less that could turn.
            let values = |states| -> Result<Vec<_>, String> {
                Ok(read(states, later)?.into_iter().map(|reading| reading.values).collect())
            };
            same("events that are too old to matter change a reading", &values(&all)?, &values(&young)?)?;
        }
        Ok(())
    }

    /// Whether states that an older version folded, brought over, have the bytes that folding anew gives.
    ///
    /// # Errors
    /// What differs, as a sentence.
    pub fn carries_over(&self, older: &Self) -> Result<(), String> {
        for histories in [self.histories(), older.histories()] {
            let before = older.folded("folding with the older version", &whole(&histories))?;
            let wanted = self.folded("folding", &whole(&histories))?;
            let (mut states, mut of) = (Vec::new(), Vec::new());
            for (state, wanted) in before.iter().zip(&wanted).filter(|(state, _)| !state.is_empty()) {
                states.push(state.as_slice());
                of.push(wanted.clone());
            }
            if before.iter().zip(&wanted).any(|(before, after)| before.is_empty() != after.is_empty()) {
                return Err("one version has a state where the other has none".to_owned());
            }
            let Some(answers) = self.migrate(older.shape().state_version, &states) else {
                return Err("the plugin takes over no older states".to_owned());
            };
            let carried = all("taking over", answers.items)?;
            same("states that are taken over differ from those folded anew", &of, &carried)?;
        }
        Ok(())
    }

    fn folded(&self, what: &str, parts: &[(&[u8], &[Event])]) -> Result<Vec<Vec<u8>>, String> {
        let rows: Vec<Vec<Row<'_>>> = parts.iter().map(|(_, events)| rows_of(events)).collect();
        let groups: Vec<Group<'_>> =
            parts.iter().zip(&rows).map(|((state, _), rows)| Group { state, rows }).collect();
        states_in(what, self.fold(&groups))
    }

    fn joined(&self, left: &[Vec<u8>], right: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, String> {
        let pairs: Vec<(&[u8], &[u8])> =
            left.iter().zip(right).map(|(a, b)| (a.as_slice(), b.as_slice())).collect();
        all("joining", self.combine(&pairs).items)
    }

    /// What states read at three instants: in the middle of the events, after them, and a year later.
    fn readings(&self, states: &[Vec<u8>]) -> Result<Vec<[Reading; 3]>, String> {
        let states: Vec<&[u8]> = states.iter().map(Vec::as_slice).collect();
        let at = |days: i64| all("reading", self.read(Timestamp(START_MS + days * DAY_MS), &states).items);
        let later = at(60)?.into_iter().zip(at(425)?);
        Ok(at(15)?.into_iter().zip(later).map(|(a, (b, c))| [a, b, c]).collect())
    }

    fn dice(&self, salt: u64) -> Dice {
        let digest = self.deriver.digest().0;
        let seed = u64::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes"));
        Dice(seed.wrapping_add(salt) | 1)
    }

    /// Made up histories, each in canonical order.
    fn histories(&self) -> Vec<Vec<Event>> {
        let mut dice = self.dice(0);
        let kinds = self.kinds();
        let mut number = 0;
        (0..HISTORIES)
            .map(|_| {
                let mut history: Vec<Event> = (0..=dice.roll(EVENTS_MAX))
                    .take(EVENTS_MAX)
                    .map(|_| {
                        number += 1;
                        self.made_up(number, &kinds, &mut dice)
                    })
                    .collect();
                history.sort_by_cached_key(Event::stamp);
                history
            })
            .collect()
    }

    /// Event types to try: those that are wanted, or else usual ones and whatever the configuration names.
    fn kinds(&self) -> Vec<String> {
        let wanted = &self.deriver.descriptor.event_types;
        if !wanted.is_empty() {
            return wanted.clone();
        }
        let mut kinds: Vec<String> =
            ["Order Completed", "Order Refunded", "purchase", "refund", "page"].map(str::to_owned).to_vec();
        if let Ok(config) = json::parse(self.config.as_bytes(), json::Options::default()) {
            named(&config, &mut kinds);
        }
        kinds.truncate(64);
        kinds
    }

    fn made_up(&self, number: usize, kinds: &[String], dice: &mut Dice) -> Event {
        // Several events share a moment, so that their order is that of source and id.
        let time = Timestamp(START_MS + dice.roll(30) as i64 * DAY_MS + dice.roll(3) as i64 * 1_000);
        let mut event = Event {
            id: format!("made-up-{}-{number}", dice.roll(9)).into(),
            source: (*dice.of(&["shop", "till"])).into(),
            kind: dice.of(kinds).as_str().into(),
            time,
            identifiers: Default::default(),
            properties: Object::default(),
            traits: Object::default(),
            channels: Vec::new(),
            verified: Vec::new(),
            consents: Vec::new(),
            extra: Object::default(),
        };
        for field in &self.deriver.descriptor.reads {
            if let Some(kind) = field.pointer.strip_prefix("/identifiers/") {
                let value = format!("{}@example.com", dice.roll(4)).into();
                event.identifiers.push(Identifier { kind: kind.into(), value });
            } else if let Some(value) = value(field, dice) {
                // A pointer that leads elsewhere stays absent.
                let _ = event.assign(&field.pointer, Some(value));
            }
        }
        event
    }
}

/// A value for a field: mostly of its kind, now and then absent, null or of another kind.
fn value(field: &Field, dice: &mut Dice) -> Option<Value> {
    match dice.roll(12) {
        0 => return None,
        1 => return Some(Value::Null),
        2 => return Some(Value::from(dice.roll(2) == 0)),
        _ => {}
    }
    let number = |text: &str| Number::parse(text).map(Value::Number);
    match field.kind {
        Kind::Text => Some(Value::from(*dice.of(&["", "a", "GB", "EUR", "ünï", "SKU-1", "SKU-2"]))),
        Kind::Integer => Some(Value::from(*dice.of(&[-7_i64, 0, 1, 2, 3, 1_000_000_007]))),
        Kind::Number => number(dice.of::<&str>(&["-1.5", "0", "0.1", "0.2", "12.25", "1e9"])),
        Kind::Boolean => Some(Value::from(dice.roll(2) == 0)),
        Kind::Decimal => Some(Value::from(*dice.of(&["-3.5", "0", "0.1", "19.99", "64.20", "1000000"]))),
        Kind::Json => {
            let text = *dice.of(&["[]", r#"[{"sku":"a","n":2}]"#, r#"{"a":{"b":[1,2]}}"#, "\"x\"", "7"]);
            json::parse(text.as_bytes(), json::Options::default()).ok()
        }
    }
}

fn named(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Text(text) => {
            out.extend(text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned));
        }
        Value::List(items) => items.iter().for_each(|item| named(item, out)),
        Value::Object(object) => object.iter().for_each(|(_, value)| named(value, out)),
        _ => {}
    }
}

fn whole(histories: &[Vec<Event>]) -> Vec<(&[u8], &[Event])> {
    histories.iter().map(|history| (&[][..], history.as_slice())).collect()
}

fn rows_of(events: &[Event]) -> Vec<Row<'_>> {
    events.iter().map(|event| Row { event, received_at: Timestamp(event.time.0 + 1_000) }).collect()
}

fn states_in(what: &str, answers: Answers<Folded>) -> Result<Vec<Vec<u8>>, String> {
    Ok(all(what, answers.items)?.into_iter().map(|folded| folded.state).collect())
}

fn all<T>(what: &str, items: Vec<Result<T, Failed>>) -> Result<Vec<T>, String> {
    items
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|failed| format!("{what} made up events fails ({failed})"))
}

fn same<T: PartialEq>(found: &str, a: &[T], b: &[T]) -> Judged {
    match a.iter().zip(b).position(|(a, b)| a != b) {
        None if a.len() == b.len() => Ok(()),
        at => Err(format!("{found} (made up history {})", at.unwrap_or(0))),
    }
}
