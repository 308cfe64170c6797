//! A transformer that does what its configuration says a guest must not.
//!
//! The configuration is `WORD` or `WORD:ARGUMENT`, bare or as `{"do":"WORD"}`; see [`misdeed`] and [`answer`] for the words. `ok` behaves: it copies
//! `/id` to `/properties/copy`. With an argument, most misdeeds happen only in batches that hold the event of that id,
//! so that the host has a poison row to find.
//!
//! Written against the bindings and not the SDK, which would not let most of it happen.

use std::sync::atomic::{AtomicU64, Ordering};

use cdp_plugin_sdk::bindings::cdp::plugin::types::{Batch, Cells, Column, Failure, Kind, Presence, TextList};
use cdp_plugin_sdk::bindings::exports::cdp::plugin::metadata::{self, Descriptor, Field};
use cdp_plugin_sdk::bindings_transform::exports::cdp::plugin::transform::{
    self, Assignment, Decision, NewEvent, Outcome,
};

mod misdeed;

/// The plugin.
pub struct Misbehave;

impl metadata::Guest for Misbehave {
    fn describe() -> Descriptor {
        let field = |pointer: &str, kind| Field { pointer: pointer.to_owned(), kind };
        Descriptor {
            name: "misbehave".to_owned(),
            version: "1.0.0".to_owned(),
            summary: "Does what a guest must not.".to_owned(),
            event_types: vec![],
            reads: vec![
                field("/id", Kind::Text),
                field("/properties/total", Kind::Decimal),
                field("/properties/count", Kind::Integer),
                field("/properties/weight", Kind::Number),
                field("/properties/gift", Kind::Boolean),
                field("/properties/items", Kind::Json),
            ],
            writes: vec![
                field("/properties/copy", Kind::Text),
                field("/properties/total", Kind::Decimal),
                field("/properties/count", Kind::Integer),
                field("/properties/weight", Kind::Number),
                field("/properties/gift", Kind::Boolean),
                field("/properties/items", Kind::Json),
            ],
            config_schema: String::new(),
            secrets: vec![],
            hosts: vec![],
            tables: vec!["vat".to_owned()],
        }
    }

    fn check_config(config: String) -> Result<(), Vec<String>> {
        match config.as_str() {
            "trap" => panic!("asked to trap"),
            "" => Err(vec![": is empty".to_owned()]),
            _ => Ok(()),
        }
    }
}

impl transform::Guest for Misbehave {
    fn apply(config: String, events: Batch) -> Outcome {
        let config = in_brief(&config);
        let (word, argument) = config.split_once(':').unwrap_or((config, ""));
        let ids = texts(&events.fields[0]);
        let poisoned = argument.is_empty() || ids.iter().any(|id| id == argument);
        if poisoned {
            misdeed::commit(word);
        }
        answer((word, argument), &ids, &events, poisoned)
    }
}

#[cfg(target_arch = "wasm32")]
const _: () = {
    cdp_plugin_sdk::bindings::export!(Misbehave with_types_in cdp_plugin_sdk::bindings);
    cdp_plugin_sdk::bindings_transform::export!(Misbehave with_types_in cdp_plugin_sdk::bindings_transform);
};

/// A server gives a configuration as JSON, `{"do":"WORD"}`; tests of the runtime give the word alone.
fn in_brief(config: &str) -> &str {
    config.strip_prefix(r#"{"do":""#).and_then(|rest| rest.strip_suffix(r#""}"#)).unwrap_or(config)
}

static CALLS: AtomicU64 = AtomicU64::new(0);

/// The answer that the word asks for; a good one, when it names none that is bad or the batch is not poisoned.
#[expect(clippy::too_many_lines, reason = "a table of answers")]
fn answer((word, argument): (&str, &str), ids: &[String], events: &Batch, poisoned: bool) -> Outcome {
    let rows = events.rows;
    let mut out = Outcome {
        decisions: vec![],
        reasons: vec![],
        failures: vec![],
        assignments: vec![copy(ids)],
        new_events: vec![],
    };
    if !poisoned {
        return out;
    }
    let child = |row, event_type: &str, occurred_at, document: &str| NewEvent {
        row,
        event_type: event_type.to_owned(),
        occurred_at,
        document: document.to_owned(),
    };
    let all: Vec<u32> = (0..rows).collect();
    match word {
        // Good answers of other kinds.
        "echo" => {
            let writes = ["copy", "total", "count", "weight", "gift", "items"];
            out.assignments = (1..6)
                .map(|at| Assignment {
                    pointer: format!("/properties/{}", writes[at]),
                    rows: all.clone(),
                    values: plain(&events.fields[at]),
                })
                .collect();
        }
        "drop" => {
            out.decisions = vec![Decision::Drop; rows as usize];
            out.reasons = all.iter().map(|&row| (row, "asked to".to_owned())).collect();
        }
        // Pure: each row is judged by its own id.
        "drop-one" => {
            let one = |id: &String| if id == argument { Decision::Drop } else { Decision::Keep };
            out.decisions = ids.iter().map(one).collect();
        }
        "reject" | "retry" | "misconfigured" => {
            let failure = match word {
                "reject" => Failure::Rejected("asked to".to_owned()),
                "retry" => Failure::Transient(Some(250)),
                _ => Failure::Misconfigured("asked to".to_owned()),
            };
            out.decisions = vec![Decision::Fail; rows as usize];
            out.failures = all.iter().map(|&row| (row, failure.clone())).collect();
        }
        "bear" => {
            let document = r#"{"properties":{"n":1},"traits":{"t":"x"}}"#;
            out.new_events = vec![child(0, "born", 0, document), child(0, "born", 1, "{}")];
        }
        "look-up" => {
            let found = cdp_plugin_sdk::lookup::get_many("vat", &["DE", "XX"]);
            out.assignments = vec![copy(&vec![format!("{found:?}"); rows as usize])];
        }
        "look-up-elsewhere" => {
            let found = cdp_plugin_sdk::lookup::get_many("salaries", &["me"]);
            out.assignments = vec![copy(&vec![format!("{found:?}"); rows as usize])];
        }
        // Some rows are heavier than others.
        "spin" => {
            if let Cells::Integers(counts) = &events.fields[2].cells {
                for turns in counts {
                    (0..turns * 1000).for_each(|turn| _ = std::hint::black_box(turn));
                }
            }
        }
        // What must not be observable, or vary.
        "count-calls" => {
            let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
            out.assignments = vec![copy(&vec![calls.to_string(); rows as usize])];
        }
        "look-around" => out.assignments = vec![copy(&vec![misdeed::surroundings(); rows as usize])],
        "presences" => {
            let seen =
                format!("{:?}", events.fields.iter().map(|column| &column.presence).collect::<Vec<_>>());
            out.assignments = vec![copy(&vec![seen; rows as usize])];
        }
        // Answers that break the contract.
        "too-few-rows" => out.decisions = vec![Decision::Keep; rows as usize + 1],
        "out-of-range" => out.assignments[0].rows[0] = rows + 7,
        "unsorted-rows" => {
            out.assignments[0].rows = vec![0; rows as usize + 1];
        }
        "forbidden-pointer" => out.assignments[0].pointer = "/identifiers/email".to_owned(),
        "undeclared-pointer" => out.assignments[0].pointer = "/properties/other".to_owned(),
        "not-utf-8" => {
            out.assignments[0].values.cells = Cells::Texts(TextList {
                ends: all.iter().map(|row| row + 1).collect(),
                data: vec![0xff; rows as usize],
            });
        }
        "backward-ends" => {
            out.assignments[0].values.cells = Cells::Texts(TextList {
                ends: all.iter().map(|row| rows - row).collect(),
                data: vec![b'a'; rows as usize + 1],
            });
        }
        "wrong-cells" => out.assignments[0].values.cells = Cells::Integers(vec![0; rows as usize]),
        "mistyped" => out.assignments[0].values.presence = vec![Presence::Mistyped; rows as usize],
        "not-a-number" => {
            out.assignments[0].pointer = "/properties/weight".to_owned();
            out.assignments[0].values.cells = Cells::Numbers(vec![f64::NAN; rows as usize]);
        }
        "not-a-decimal" => out.assignments[0].pointer = "/properties/total".to_owned(),
        "not-json" => out.assignments[0].pointer = "/properties/items".to_owned(),
        "fail-without-reason" => out.decisions = vec![Decision::Fail; rows as usize],
        "reason-for-kept" => out.reasons = vec![(0, "because".to_owned())],
        "deep-document" => {
            let document = format!(r#"{{"properties":{}1{}}}"#, r#"{"a":"#.repeat(5000), "}".repeat(5000));
            out.new_events = vec![child(0, "born", 0, &document)];
        }
        "forged-document" => {
            out.new_events = vec![child(0, "born", 0, r#"{"identifiers":{"email":"a@b.c"}}"#)]
        }
        "far-future" => out.new_events = vec![child(0, "born", i64::MAX, "{}")],
        "nameless-child" => out.new_events = vec![child(0, "", 0, "{}")],
        "many-children" => out.new_events = vec![child(0, "born", 0, "{}"); 1000],
        "child-of-nobody" => out.new_events = vec![child(rows, "born", 0, "{}")],
        "huge-output" => out.assignments = vec![copy(&["x".repeat(20 << 20)])],
        _ => {}
    }
    out
}

fn copy(items: &[String]) -> Assignment {
    let mut list = TextList { ends: vec![], data: vec![] };
    for item in items {
        list.data.extend_from_slice(item.as_bytes());
        list.ends.push(u32::try_from(list.data.len()).unwrap_or(u32::MAX));
    }
    let rows = (0..u32::try_from(items.len()).unwrap_or(u32::MAX)).collect();
    let values = Column { presence: vec![], cells: Cells::Texts(list) };
    Assignment { pointer: "/properties/copy".to_owned(), rows, values }
}

/// The column as it came, with cells that are mistyped removed.
fn plain(column: &Column) -> Column {
    let mut column = column.clone();
    for presence in &mut column.presence {
        if *presence == Presence::Mistyped {
            *presence = Presence::Absent;
        }
    }
    column
}

fn texts(column: &Column) -> Vec<String> {
    let Cells::Texts(list) = &column.cells else { return vec![] };
    let mut start = 0;
    let item = |&end: &u32| {
        let item = String::from_utf8_lossy(&list.data[start..end as usize]).into_owned();
        start = end as usize;
        item
    };
    list.ends.iter().map(item).collect()
}
