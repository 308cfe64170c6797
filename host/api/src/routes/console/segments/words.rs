//! A rule in words.

use cdp_console::blocks::{Tone, Words};

use super::draft::{COUNT_WORDS, Cond, Did, Draft, OP_WORDS, takes_value};

/// What came of conditions, by JSON pointer: how it is meant, and what to say beside.
pub(crate) type Beside<'a> = &'a dyn Fn(&str) -> Option<(Tone, String)>;

/// A rule in words, with what stands beside each condition.
pub(crate) fn words(cond: &Cond, pointer: &str, beside: Beside<'_>) -> Words {
    let inner = if cond.not { format!("{pointer}/not") } else { pointer.to_owned() };
    if let Draft::Group { any, inner: all } = &cond.draft {
        let text = match (any, cond.not, all.len()) {
            (_, false, 0) => "Everybody.",
            (false, false, _) => "All of these:",
            (true, false, _) => "At least one of these:",
            (false, true, _) => "Not all of these:",
            (true, true, _) => "None of these:",
        };
        let name = if *any { "any" } else { "all" };
        let all = all.iter().enumerate().map(|(n, one)| words(one, &format!("{inner}/{name}/{n}"), beside));
        return Words { text: text.to_owned(), inner: all.collect(), ..Words::default() };
    }
    let (tone, note) = beside(&inner).unwrap_or_default();
    let not = if cond.not { "not: " } else { "" };
    Words { text: format!("{not}{}", sentence(&cond.draft)), note, tone, inner: Vec::new() }
}

fn of<'a>(words: &[(&'a str, &'a str)], op: &'a str) -> &'a str {
    words.iter().find(|(known, _)| *known == op).map_or(op, |(_, words)| words)
}

fn comparison(op: &str, value: &str) -> String {
    let words = of(&OP_WORDS, op);
    match op {
        _ if !takes_value(op) => words.to_owned(),
        "between" => format!("{words} {}", value.replace(", ", " and ")),
        _ => format!("{words} {value}"),
    }
}

fn sentence(draft: &Draft) -> String {
    match draft {
        Draft::Fact { of, name, op, value, .. } => {
            let what = if *of == "attribute" { String::new() } else { format!("{of} ") };
            format!("{what}{name} {}", comparison(op, value))
        }
        Draft::Reachable { channel, purpose } => format!("may be reached by {channel} for {purpose}"),
        Draft::Segment(name) => format!("in the segment {name}"),
        Draft::Did(did) => done(did),
        Draft::Raw(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        Draft::Group { .. } => String::new(),
    }
}

fn done(did: &Did) -> String {
    let how_often = match (did.op.as_str(), did.times.as_str()) {
        ("gte", "1") => String::new(),
        ("eq", "0") => " not once".to_owned(),
        (op, "1") => format!(" {} once", of(&COUNT_WORDS, op)),
        (op, times) => format!(" {} {times} times", of(&COUNT_WORDS, op)),
    };
    let when = match did.when.as_str() {
        "last" => format!(" in the last {} {}", did.number, did.unit.replace('_', " ")),
        "between" => format!(" from {} until before {}", did.from, did.to),
        _ => String::new(),
    };
    let wheres = did
        .wheres
        .iter()
        .map(|one| format!("{} {}", one.property.trim_start_matches('/'), comparison(&one.op, &one.value)));
    let wheres: Vec<_> = wheres.collect();
    let wheres = if wheres.is_empty() { String::new() } else { format!(", where {}", wheres.join(" and ")) };
    format!("did “{}”{how_often}{when}{wheres}", did.event)
}

#[cfg(test)]
mod tests {
    use cdp_domain::time::Zone;

    use super::super::super::show;
    use super::*;

    fn lines(words: &Words, depth: usize, out: &mut String) {
        out.push_str(&format!("{}{}\n", "  ".repeat(depth), words.text));
        words.inner.iter().for_each(|one| lines(one, depth + 1, out));
    }

    #[test]
    fn a_rule_reads_as_a_sentence() {
        let rule = r#"{"all":[{"attribute":"total_spend","op":"gte","value":"500"},
            {"did":{"event":"Order Completed","count":{"op":"eq","value":0},"within":{"days":30}}},
            {"did":{"event":"Order Completed","count":{"op":"gte","value":3},"where":[{"property":"/revenue","op":"gt","value":10}]}},
            {"not":{"any":[{"segment":"vip"},{"trait":"age","op":"between","value":[1,2]}]}},
            {"reachable":{"channel":"email","purpose":"marketing"}},{"trait":"city","op":"exists"}]}"#;
        let draft = Cond::of_rule(&show::read(rule).unwrap(), &Zone::Utc);
        let mut out = String::new();
        lines(&words(&draft, "", &|_| None), 0, &mut out);
        let wanted = "All of these:\n  total_spend is at least 500\n  did “Order Completed” not once in the last 30 days\n  \
            did “Order Completed” at least 3 times, where revenue is more than 10\n  None of these:\n    in the segment vip\n    \
            trait age is between 1 and 2\n  may be reached by email for marketing\n  trait city is known\n";
        assert_eq!(out, wanted);
    }

    #[test]
    fn what_came_of_a_condition_stands_beside_it() {
        let rule = show::read(r#"{"any":[{"not":{"segment":"vip"}}]}"#).unwrap();
        let draft = Cond::of_rule(&rule, &Zone::Utc);
        let words = words(&draft, "", &|pointer| Some((Tone::Good, pointer.to_owned())));
        assert_eq!(words.inner[0].note, "/any/0/not");
    }
}
