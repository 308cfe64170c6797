//! Changing how long events are kept: first it is counted what goes, then somebody says yes to exactly that.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Figure, Section, Table, Tone};
use cdp_console::chart::thousands;
use cdp_console::form::{Field, Form as View};
use cdp_domain::ids::JobId;
use cdp_domain::json;
use cdp_domain::value::Value;
use cdp_engine::retention::{Derived, Keep};
use cdp_engine::{JobStatus, JobView};
use compact_str::CompactString;
use serde_json::Value as Json;

use super::super::desk::Desk;
use super::super::form::Form;
use super::super::show;
use super::retention::{self, AT, kept, kind_of};
use crate::app::App;
use crate::error::{Answer, Code, Failure};

type Rules = BTreeMap<CompactString, Keep>;

/// A rule as it is sent: what is no number stays a text, so that it is refused for what it is.
fn rule(kind: &str, days: &str, derived: &str) -> Value {
    let days = days.parse::<i64>().map_or_else(|_| Value::from(days), Value::from);
    show::object([("type", Value::from(kind)), ("days", days), ("derived", Value::from(derived))])
}

fn written(rules: &Rules) -> Vec<(CompactString, Value)> {
    let one = |(kind, keep): (&CompactString, &Keep)| {
        (kind.clone(), rule(kind, &keep.days.to_string(), keep.derived.as_str()))
    };
    rules.iter().map(one).collect()
}

fn definition(rules: Vec<(CompactString, Value)>) -> Value {
    show::object([("rules", Value::List(rules.into_iter().map(|(_, rule)| rule).collect()))])
}

/// Rules as one text: the same for the same rules.
fn text(rules: &Rules) -> String {
    json::to_string(&definition(written(rules)))
}

/// The rules in force with what a form changes of them.
fn changed(rules: &Rules, form: &Form) -> Answer<Value> {
    let mut all = written(rules);
    let kind = form.trimmed("type");
    let at = all.iter().position(|(known, _)| known == kind);
    if form.get("do") == "remove" {
        all.remove(at.ok_or_else(|| Failure::not_found("rule"))?);
        return Ok(definition(all));
    }
    let rule = rule(kind, form.trimmed("days"), form.trimmed("derived"));
    match at {
        Some(at) => all[at].1 = rule,
        None => all.push((kind.into(), rule)),
    }
    Ok(definition(all))
}

/// Has it counted what a change would remove; nothing is done.
pub(in super::super) async fn preview(State(app): State<App>, desk: Desk, form: Form) -> Answer<Response> {
    let wanted = changed(&desk.tenant.retention().retention.rules, &form);
    let counting = wanted.and_then(|wanted| Ok(desk.tenant.try_retention(&wanted)?));
    match counting {
        Ok(job) => Ok(show::see(&format!("{AT}/previews/{job}"))),
        Err(failure) => {
            let mut page = retention::view(&app, &desk, &form);
            page.frame.notices.push(show::notice_of(&show::told(failure)?, &desk.request_id));
            show::wrong(&page)
        }
    }
}

/// What was counted.
struct Counted {
    rules: Rules,
    /// By rule, how many events are over, and when the oldest of them happened.
    over: BTreeMap<CompactString, (u64, Json)>,
    events: u64,
    as_of: Json,
}

impl Counted {
    /// Reads the result of a count.
    fn read(result: &Json) -> Answer<Self> {
        let broken = || Failure::internal("the result of a count of retention has another form");
        let mut counted = Self {
            rules: Rules::new(),
            over: BTreeMap::new(),
            events: result["events"].as_u64().ok_or_else(broken)?,
            as_of: result["as_of"].clone(),
        };
        for one in result["rules"].as_array().ok_or_else(broken)? {
            let kind: CompactString = one["type"].as_str().ok_or_else(broken)?.into();
            let days = one["days"].as_u64().and_then(|days| u32::try_from(days).ok()).ok_or_else(broken)?;
            let derived = match one["derived"].as_str() {
                Some("decayed") => Derived::Decayed,
                Some("frozen") => Derived::Frozen,
                _ => return Err(broken()),
            };
            let events = one["events"].as_u64().ok_or_else(broken)?;
            counted.rules.insert(kind.clone(), Keep { days, derived });
            counted.over.insert(kind, (events, one["oldest"].clone()));
        }
        Ok(counted)
    }

    /// Whether something is over by a rule that says so.
    fn goes(&self, derived: Derived) -> bool {
        self.over.iter().any(|(kind, (events, _))| *events > 0 && self.rules[kind].derived == derived)
    }
}

fn outcome(desk: &Desk, counted: &Counted, now: &Rules) -> Section {
    let row = |kind: &CompactString| {
        let (events, oldest) = counted.over.get(kind).cloned().unwrap_or_default();
        let (was, will) = (now.get(kind).copied(), counted.rules.get(kind).copied());
        let mut then = kept(will);
        if will.is_none() && counted.rules.contains_key(cdp_engine::retention::REST) {
            then = Cell::text("by the rule for all others");
        }
        vec![
            kind_of(kind),
            kept(was),
            then,
            if was == will { Cell::None } else { Cell::badge(Tone::Accent, "changes") },
            Cell::number(thousands(events)),
            desk.at_text(&oldest),
        ]
    };
    let mut all: Vec<&CompactString> = counted.rules.keys().chain(now.keys()).collect();
    all.sort();
    all.dedup();
    let table = Table {
        caption: "What goes, rule by rule".to_owned(),
        head: vec!["Event type", "Kept now", "Kept then", "", "#Events that go", "Oldest"],
        rows: all.into_iter().map(row).collect(),
        more: None,
    };
    Section::new("outcome", "What goes, rule by rule", vec![Block::Table(table)])
}

/// What is said before somebody says yes.
fn warning(counted: &Counted) -> Vec<String> {
    if counted.events == 0 {
        return vec![
            "Nothing is over by these rules now. From then on it is looked once a day for what is."
                .to_owned(),
        ];
    }
    let mut said = vec![
        "They go from profiles, timelines and the journal, at once and for good: not a longer rule and not sending them again brings them back.".to_owned(),
    ];
    if counted.goes(Derived::Decayed) {
        said.push("Where the rule says decayed, attributes, traits and segments are then as if the events had never been sent: people may leave segments.".to_owned());
    }
    if counted.goes(Derived::Frozen) {
        said.push("Where the rule says frozen, what they amounted to stays; what is defined later sees nothing of them.".to_owned());
    }
    said.push("Who somebody is does not age: the first event of a set of identifiers, and events with contact points or decisions, leave that behind and nothing else.".to_owned());
    said
}

fn job_of(app: &App, desk: &Desk, id: &str) -> Answer<JobView> {
    let id: JobId = id.parse().map_err(|_| Failure::not_found("count"))?;
    let view = app.engine().jobs().get(desk.tenant.no(), id);
    view.filter(|view| view.kind == "retention_preview").ok_or_else(|| Failure::not_found("count"))
}

/// What a change would remove, and the form that says yes to it.
pub(in super::super) async fn counted(
    State(app): State<App>,
    desk: Desk,
    Path(id): Path<String>,
) -> Answer<Response> {
    let job = job_of(&app, &desk, &id)?;
    let mut page = desk.below("What goes", &[(AT, "Retention")]);
    desk.as_of(&mut page.frame);
    let Some(result) = job.result.as_deref() else {
        let over = !matches!(job.status, JobStatus::Queued | JobStatus::Running);
        let mut blocks = vec![Block::Jobs(vec![show::job(&job)])];
        blocks.push(if over {
            show::nothing("Nothing was changed.", Some((AT, "Back to the rules")), "")
        } else {
            Block::Text("The journal is read from its beginning. Nothing is changed.".to_owned())
        });
        let section = Section::new("job", "Counting what goes", blocks);
        page.sections.push(section.refresh(if over { 0 } else { 1_000 }));
        return show::page(&page);
    };
    let counted = Counted::read(result)?;
    let now = desk.tenant.retention().retention.rules;
    let goes = counted.events > 0;
    let figures = vec![Figure {
        label: "Events that go".to_owned(),
        value: thousands(counted.events),
        note: format!("as of {}", desk.at_words(&counted.as_of)),
        tone: if goes { Tone::Bad } else { Tone::Good },
        ..Figure::default()
    }];
    page.sections.push(Section::new("figures", "", vec![Block::Figures(figures)]).bare());
    page.sections.push(outcome(&desk, &counted, &now));
    if counted.rules == now {
        let block = show::nothing("These are the rules in force.", Some((AT, "Back to the rules")), "");
        page.sections.push(Section::new("same", "Nothing changes", vec![block]));
        return show::page(&page);
    }
    let fields = vec![Field::hidden("rules", text(&counted.rules)), Field::hidden("was", text(&now))];
    let label =
        if goes { format!("Remove {} for good", count(counted.events)) } else { "Set the rules".to_owned() };
    let mut form = View::new(AT, label, fields);
    form.tone = if goes { Tone::Bad } else { Tone::Plain };
    let mut blocks: Vec<_> = warning(&counted).into_iter().map(Block::Text).collect();
    blocks.push(Block::Form(form));
    page.sections.push(Section::new("say-yes", "Set the rules", blocks));
    show::page(&page)
}

fn count(events: u64) -> String {
    if events == 1 { "1 event".to_owned() } else { format!("{} events", thousands(events)) }
}

/// Sets rules, where those in force are still the ones that it was counted against.
pub(in super::super) async fn set(State(app): State<App>, desk: Desk, form: Form) -> Answer<Response> {
    let put = async {
        let rules = show::read(form.get("rules"))?;
        if form.get("was") != text(&desk.tenant.retention().retention.rules) {
            let detail = "the rules were changed meanwhile; see once more what goes";
            return Err(Failure::new(Code::Conflict, detail));
        }
        Ok(desk.tenant.put_retention(&rules).await?)
    };
    match put.await {
        Ok(_) => show::done(AT, "retained"),
        Err(failure) => {
            let mut page = retention::view(&app, &desk, &Form::default());
            page.frame.notices.push(show::notice_of(&show::told(failure)?, &desk.request_id));
            show::wrong(&page)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(days: u32, derived: Derived) -> Keep {
        Keep { days, derived }
    }

    #[test]
    fn a_form_changes_one_rule_and_leaves_the_others() {
        let rules =
            Rules::from([("a".into(), keep(1, Derived::Decayed)), ("b".into(), keep(2, Derived::Frozen))]);
        let form = |text: &str| changed(&rules, &Form::of(text)).map(|value| json::to_string(&value));
        let a = r#"{"days":1,"derived":"decayed","type":"a"}"#;
        let b = r#"{"days":2,"derived":"frozen","type":"b"}"#;
        assert_eq!(text(&rules), format!(r#"{{"rules":[{a},{b}]}}"#));
        let new = r#"{"days":30,"derived":"frozen","type":"a"}"#;
        assert_eq!(form("type=+a+&days=30&derived=frozen").unwrap(), format!(r#"{{"rules":[{new},{b}]}}"#));
        assert_eq!(form("do=remove&type=b").unwrap(), format!(r#"{{"rules":[{a}]}}"#));
        let wrong = r#"{"days":"soon","derived":"","type":"*"}"#;
        assert_eq!(form("type=*&days=soon").unwrap(), format!(r#"{{"rules":[{a},{b},{wrong}]}}"#));
        assert_eq!(form("do=remove&type=c").unwrap_err().code, Code::NotFound);
    }
}
