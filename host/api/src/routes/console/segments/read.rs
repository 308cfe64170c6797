//! The draft as the form of the builder sends it, and the edits that its buttons ask for.

use super::super::form::Form;
use super::super::show;
use super::draft::{Cond, Did, Draft, FACTS, Where};

/// Conditions of one group, and how deep they nest, when a form is read.
const INNER_MAX: usize = 300;
const DEPTH_MAX: usize = 20;

/// The tree that a form sends.
pub(crate) fn draft(form: &Form) -> Cond {
    cond(form, "r", 0)
}

fn cond(form: &Form, at: &str, depth: usize) -> Cond {
    let get = |name: &str| form.get(&format!("{at}.{name}")).to_owned();
    let kind = get("kind");
    let fact = FACTS.into_iter().find(|of| *of == kind);
    let draft = match (fact, kind.as_str()) {
        (Some(of), _) => Draft::Fact {
            of,
            name: get("name"),
            op: get("op"),
            value: get("value"),
            raw: Some(get("raw")).filter(|raw| !raw.is_empty()).and_then(|raw| show::read(&raw).ok()),
        },
        (_, "reachable") => Draft::Reachable { channel: get("channel"), purpose: get("purpose") },
        (_, "segment") => Draft::Segment(get("segment")),
        (_, "did") => Draft::Did(Did {
            event: get("event"),
            op: get("op"),
            times: get("times"),
            when: get("when"),
            number: get("number"),
            unit: get("unit"),
            from: get("from"),
            to: get("to"),
            wheres: wheres(form, at),
        }),
        (_, "raw") => Draft::Raw(get("json")),
        _ => {
            let there = |n: &usize| !form.get(&format!("{at}.{n}.kind")).is_empty();
            let inner = (0..INNER_MAX).take_while(|n| depth < DEPTH_MAX && there(n));
            let inner = inner.map(|n| cond(form, &format!("{at}.{n}"), depth + 1)).collect();
            Draft::Group { any: form.ticked(&format!("{at}.any")), inner }
        }
    };
    Cond { not: form.ticked(&format!("{at}.not")), draft }
}

fn wheres(form: &Form, at: &str) -> Vec<Where> {
    let there = |n: &usize| !form.get(&format!("{at}.w{n}.op")).is_empty();
    let one = |n: usize| {
        let get = |name: &str| form.get(&format!("{at}.w{n}.{name}")).to_owned();
        Where { property: get("property"), op: get("op"), value: get("value") }
    };
    (0..cdp_domain::condition::WHERE_MAX).take_while(there).map(one).collect()
}

/// A new condition of a kind, with what is usual.
pub(crate) fn fresh(kind: &str) -> Cond {
    let draft = match FACTS.into_iter().find(|of| *of == kind) {
        Some(of) => Draft::Fact {
            of,
            name: String::new(),
            op: if of == "attribute" { "gte" } else { "eq" }.to_owned(),
            value: String::new(),
            raw: None,
        },
        None => match kind {
            "reachable" => Draft::Reachable { channel: String::new(), purpose: String::new() },
            "segment" => Draft::Segment(String::new()),
            "did" => Draft::Did(Did {
                op: "gte".to_owned(),
                times: "1".to_owned(),
                when: "last".to_owned(),
                number: "30".to_owned(),
                unit: "days".to_owned(),
                ..Did::default()
            }),
            "raw" => Draft::Raw("{}".to_owned()),
            _ => Draft::Group { any: true, inner: Vec::new() },
        },
    };
    Cond { not: false, draft }
}

/// Does what a button asks for: `add:PLACE`, `remove:PLACE`, `up:PLACE`, `down:PLACE`, `where:PLACE`, `unwhere:PLACE:N`.
/// What names no place changes nothing.
pub(crate) fn apply(root: &mut Cond, asked: &str, form: &Form) {
    let mut parts = asked.splitn(3, ':');
    let (what, at) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let number = parts.next().and_then(|number| number.parse::<usize>().ok());
    match what {
        "add" => {
            if let Some(Cond { draft: Draft::Group { inner, .. }, .. }) = find(root, at) {
                inner.push(fresh(form.get(&format!("{at}.add"))));
            }
        }
        "where" => {
            if let Some(Cond { draft: Draft::Did(did), .. }) = find(root, at) {
                did.wheres.push(Where { op: "gte".to_owned(), ..Where::default() });
            }
        }
        "unwhere" => {
            if let (Some(Cond { draft: Draft::Did(did), .. }), Some(n)) = (find(root, at), number)
                && n < did.wheres.len()
            {
                did.wheres.remove(n);
            }
        }
        "remove" | "up" | "down" => {
            let Some((above, last)) = at.rsplit_once('.') else { return };
            let Ok(n) = last.parse::<usize>() else { return };
            let Some(Cond { draft: Draft::Group { inner, .. }, .. }) = find(root, above) else { return };
            match what {
                "remove" if n < inner.len() => {
                    inner.remove(n);
                }
                "up" if n > 0 && n < inner.len() => inner.swap(n, n - 1),
                "down" if n + 1 < inner.len() => inner.swap(n, n + 1),
                _ => {}
            }
        }
        _ => {}
    }
}

fn find<'a>(root: &'a mut Cond, at: &str) -> Option<&'a mut Cond> {
    let mut steps = at.split('.');
    if steps.next() != Some("r") {
        return None;
    }
    let mut here = root;
    for step in steps {
        let Draft::Group { inner, .. } = &mut here.draft else { return None };
        here = inner.get_mut(step.parse::<usize>().ok()?)?;
    }
    Some(here)
}

#[cfg(test)]
mod tests {
    use cdp_domain::time::Zone;

    use super::*;

    const FORM: &str = "r.kind=group&r.any=&r.0.kind=attribute&r.0.name=spend&r.0.op=gte&r.0.value=500\
        &r.1.kind=group&r.1.any=1&r.1.not=1&r.1.0.kind=did&r.1.0.event=Order&r.1.0.op=eq&r.1.0.times=0&r.1.0.when=last\
        &r.1.0.number=30&r.1.0.unit=days&r.1.0.w0.property=/x&r.1.0.w0.op=exists&r.1.add=segment";

    fn rule(root: &Cond) -> cdp_domain::value::Value {
        root.rule("r", &Zone::Utc).unwrap()
    }

    #[test]
    fn a_form_is_a_tree() {
        let wanted = r#"{"all":[{"attribute":"spend","op":"gte","value":500},{"not":{"any":[{"did":{"event":"Order","where":[{"property":"/x","op":"exists"}],"count":{"op":"eq","value":0},"within":{"days":30}}}]}}]}"#;
        assert_eq!(rule(&draft(&Form::of(FORM))), show::read(wanted).unwrap());
    }

    #[test]
    fn buttons_edit_the_tree() {
        let form = Form::of(FORM);
        let mut root = draft(&form);
        apply(&mut root, "add:r.1", &form);
        let Draft::Group { inner, .. } = &root.draft else { panic!() };
        let Draft::Group { inner, .. } = &inner[1].draft else { panic!() };
        assert_eq!(inner[1], fresh("segment"));
        apply(&mut root, "remove:r.1.1", &form);
        apply(&mut root, "unwhere:r.1.0:0", &form);
        apply(&mut root, "down:r.0", &form);
        let wanted = r#"{"all":[{"not":{"any":[{"did":{"event":"Order","count":{"op":"eq","value":0},"within":{"days":30}}}]}},{"attribute":"spend","op":"gte","value":500}]}"#;
        assert_eq!(rule(&root), show::read(wanted).unwrap());
        apply(&mut root, "up:r.1", &form);
        let before = root.clone();
        for nothing in [
            "",
            "add:r.0",
            "remove:r",
            "remove:r.9",
            "up:r.0",
            "down:r.1",
            "unwhere:r.0:0",
            "where:x",
            "add:r.1.0",
        ] {
            apply(&mut root, nothing, &form);
        }
        assert_eq!(root, before);
    }
}
