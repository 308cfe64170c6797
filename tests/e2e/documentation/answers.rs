//! Whether an answer is what a page says.

use serde_json::Value;

/// What a page leaves open.
const ANYTHING: &str = "…";

/// The first difference between what is written and what was answered; None when there is none.
///
/// Members that a page does not name may be there. A list is compared whole, unless it ends with `"…"`.
pub(super) fn difference(written: &Value, answered: &Value, at: &str) -> Option<String> {
    let differ = || Some(format!("{at}: the page says {written}, the server {answered}"));
    match (written, answered) {
        (Value::String(written), _) if written == ANYTHING => None,
        (Value::String(written), Value::String(answered)) if written.contains(ANYTHING) => {
            if fits(written, answered, true) { None } else { differ() }
        }
        (Value::Object(members), Value::Object(there)) => members.iter().find_map(|(name, written)| {
            let below = format!("{at}/{name}");
            match there.get(name) {
                None => Some(format!("{below}: it is not in {answered}")),
                Some(answered) => difference(written, answered, &below),
            }
        }),
        (Value::Array(items), Value::Array(there)) => {
            let open = items.last().is_some_and(|last| last == ANYTHING);
            let items = if open { &items[..items.len() - 1] } else { items };
            if there.len() < items.len() || (!open && there.len() != items.len()) {
                return differ();
            }
            let pairs = items.iter().zip(there).enumerate();
            let mut found =
                pairs.filter_map(|(n, (item, there))| difference(item, there, &format!("{at}/{n}")));
            found.next()
        }
        _ if written == answered => None,
        _ => differ(),
    }
}

/// Whether a line that was printed has what the page says.
pub(super) fn is_printed(line: &str, printed: &str) -> bool {
    printed.lines().any(|there| fits(line.trim(), there, false))
}

/// Whether a text has the parts between `…` in their order; as a whole it also begins and ends with them.
fn fits(written: &str, answered: &str, whole: bool) -> bool {
    let parts: Vec<&str> = written.split(ANYTHING).collect();
    let mut rest = answered;
    for part in &parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    !whole || (answered.starts_with(parts[0]) && answered.ends_with(parts[parts.len() - 1]))
}

#[test]
fn an_answer_may_say_more_and_nothing_else() {
    use serde_json::json;
    let answered = json!({"id": "prf_1", "items": [{"a": 1}, {"a": 2}], "more": true});
    for same in [
        json!({"id": "prf_…"}),
        json!({"items": [{"a": 1}, "…"]}),
        json!({"items": "…"}),
        json!({"items": [{"a": 1}, {"a": 2}]}),
    ] {
        assert_eq!(difference(&same, &answered, ""), None);
    }
    for other in [
        json!({"id": "exp_…"}),
        json!({"items": [{"a": 1}]}),
        json!({"items": [{"a": 2}, "…"]}),
        json!({"none": 1}),
        json!({"more": "true"}),
    ] {
        assert!(difference(&other, &answered, "").is_some(), "{other}");
    }
    assert!(is_printed("a…c", "x\nyabbc\n") && !is_printed("a…c", "a\nc"));
}
