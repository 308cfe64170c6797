//! The published truth table: what every operator answers on every kind of value, also a missing one.
//!
//! `host/docs/api-reference/truth-table.md` is compared with what the code answers; `CDP_BLESS=1` writes it anew.

use std::fmt::Write as _;

use cdp_domain::condition::{OPS, Op, Test};
use cdp_domain::json;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;

const LEFT: [(&str, &str); 10] = [
    ("missing", ""),
    ("null", "null"),
    ("5", "5"),
    ("\"5.0\"", "\"5.0\""),
    ("\"abc\"", "\"abc\""),
    ("\"\"", "\"\""),
    ("true", "true"),
    ("time", "\"1970-01-02T00:00:00Z\""),
    ("[5,\"abc\"]", "[5,\"abc\"]"),
    ("{}", "{}"),
];

fn value(text: &str) -> Value {
    json::parse(text.as_bytes(), json::Options::default()).expect("the table is JSON")
}

fn rights(op: Op) -> &'static [&'static str] {
    match op {
        Op::Exists | Op::NotExists => &["null"],
        Op::Between => &["[5, 6]", "[\"a\", \"b\"]"],
        Op::In | Op::NotIn => &["[5]", "[\"abc\", \"d\"]"],
        Op::Before | Op::After => &["\"1970-01-03T00:00:00Z\""],
        Op::WithinLast | Op::WithinNext => &["{\"days\": 3}"],
        Op::Matches => &["\"^a\"", "\"\""],
        Op::StartsWith | Op::EndsWith => &["\"a\"", "\"0\""],
        _ => &["5", "\"abc\"", "true"],
    }
}

#[test]
fn the_published_table_says_what_the_operators_answer() {
    // As of three days after the epoch: the time on the left lies two days back.
    let as_of = Timestamp(3 * 86_400_000);
    let mut table = String::from(
        "# Truth table\n\nWhat each operator answers on each kind of value.\n\
         Now is 1970-01-04T00:00:00Z, and `time` is 1970-01-02T00:00:00Z.\n\n```text\n",
    );
    let mut head = format!("{:<42}", "operator and value");
    for (name, _) in LEFT {
        write!(head, "{name:>12}").unwrap();
    }
    table.push_str(head.trim_end());
    table.push('\n');
    for (name, op) in OPS {
        for right in rights(op) {
            let test = Test::new(op, value(right));
            let mut line = format!("{:<42}", format!("{name} {right}"));
            for (_, left) in LEFT {
                let left = (!left.is_empty()).then(|| value(left));
                let holds = test.holds(left.as_ref(), as_of).holds;
                write!(line, "{:>12}", if holds { "yes" } else { "-" }).unwrap();
            }
            table.push_str(line.trim_end());
            table.push('\n');
        }
    }
    table.push_str("```\n");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api-reference/truth-table.md");
    if std::env::var_os("CDP_BLESS").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap_or_default(),
        table,
        "run with CDP_BLESS=1 and look at the difference"
    );
}

#[test]
fn a_missing_value_answers_no_to_everything_but_not_exists() {
    for (name, op) in OPS {
        for right in rights(op) {
            for left in [None, Some(Value::Null)] {
                let holds = Test::new(op, value(right)).holds(left.as_ref(), Timestamp(0)).holds;
                assert_eq!(holds, name == "not_exists", "{name} {right}");
            }
        }
    }
}
