//! How long events are kept, and how far that is carried out.

use axum::extract::State;
use axum::response::Response;
use cdp_console::blocks::{Action, Block, Cell, Fact, Figure, Section, Table, Tone, Width};
use cdp_console::chart::thousands;
use cdp_console::form::{Choice, Field, Form as View, Kind};
use cdp_console::pages::Page;
use cdp_domain::time::Timestamp;
use cdp_engine::retention::{Derived, Keep, REST, RETENTION_DAYS_MAX, RETENTION_EVERY_MS, RetentionView};
use cdp_engine::{JobStatus, JobView};
use serde_json::Value as Json;

use super::super::desk::Desk;
use super::super::form::Form;
use super::super::{May, show};
use crate::app::App;
use crate::error::Answer;
use crate::params::Params;

pub(super) const AT: &str = "/console/privacy/retention";

/// What becomes of what events amounted to, as it is chosen.
const DERIVED: [(&str, &str); 2] = [
    ("decayed", "decayed: it goes with them; counts, sums and traits are as if they had never been sent"),
    ("frozen", "frozen: it stays; counts, sums and traits are as they were"),
];

/// An event type as people read it.
pub(super) fn kind_of(kind: &str) -> Cell {
    if kind == REST { Cell::text("all others") } else { Cell::text(show::short(kind, 60)) }
}

/// How long, and what becomes of what events amounted to; None is for ever.
pub(super) fn kept(keep: Option<Keep>) -> Cell {
    let Some(keep) = keep else { return Cell::text("for ever") };
    let days =
        if keep.days == 1 { "a day".to_owned() } else { format!("{} days", thousands(keep.days.into())) };
    let tone = if keep.derived == Derived::Frozen { Tone::Accent } else { Tone::Warn };
    Cell::Many(vec![Cell::text(days), Cell::badge(tone, keep.derived.as_str())])
}

fn rules(desk: &Desk, view: &RetentionView, may: bool) -> Section {
    let known = desk.tenant.event_types();
    let row = |(kind, keep): (&compact_str::CompactString, &Keep)| {
        let came = known.iter().find(|one| one.kind == *kind).map(|one| thousands(one.volume));
        let mut row =
            vec![kind_of(kind), kept(Some(*keep)), Cell::number(came.unwrap_or_else(|| "–".to_owned()))];
        if may {
            row.push(Cell::Do(Action {
                to: format!("{AT}/+preview"),
                label: "Remove".to_owned(),
                fields: vec![("do", "remove".to_owned()), ("type", kind.to_string())],
                ..Action::default()
            }));
        }
        row
    };
    let block = if view.retention.rules.is_empty() {
        let what = "There is no rule: every event is kept for ever. A rule says after how many days events of a type go.";
        show::nothing(what, None, "cdp retention set 'Page Viewed' --days 90 --derived decayed --dry-run")
    } else {
        let mut head = vec!["Event type", "Kept for", "#Came so far"];
        if may {
            head.push("");
        }
        Block::Table(Table {
            caption: "How long events are kept".to_owned(),
            head,
            rows: view.retention.rules.iter().map(row).collect(),
            more: None,
        })
    };
    Section::new("rules", "Rules", vec![block])
        .note("types without one, and without a rule for all others, are kept for ever")
}

/// What was typed for a rule.
fn edit(desk: &Desk, form: &Form) -> Section {
    let mut types: Vec<String> =
        desk.tenant.event_types().into_iter().map(|one| one.kind.to_string()).collect();
    types.push(REST.to_owned());
    let derived = if form.get("derived").is_empty() { "decayed" } else { form.get("derived") };
    let fields = vec![
        Field::text("type", "Event type")
            .value(form.get("type"))
            .required()
            .suggest(types)
            .hint("as it is sent; * is the rule for all that have none of their own"),
        Field::new("days", "Days", Kind::Number).value(form.get("days")).required().hint(format!(
            "of 24 hours after the event happened; 1 to {}",
            thousands(RETENTION_DAYS_MAX.into())
        )),
        Field::new("derived", "What the events amounted to", Kind::Radios(Choice::named(&DERIVED, derived))),
    ];
    let form = View::new(format!("{AT}/+preview"), "See what goes", fields);
    Section::new("set", "Set a rule", vec![Block::Form(form)])
        .note("first it is counted what that removes; nothing is done yet")
        .width(Width::Half)
}

/// What a removal came to, in words.
fn came_to(result: &Json) -> Vec<Fact> {
    let fact = |name: &str, of: &str, note: &str| Fact {
        note: note.to_owned(),
        ..Fact::new(name, Cell::number(show::number(&result[of])))
    };
    vec![
        fact("Events that left", "events", "state, timeline and new definitions"),
        fact("Payloads written over", "redacted", "in the journal, where they stood"),
        fact(
            "Waiting",
            "waiting",
            "it could not be worked out what they amounted to; tried again each minute",
        ),
        fact(
            "Kept sealed",
            "kept",
            "out of state for good; what has to be left of them does not fit in their place",
        ),
    ]
}

fn standing(desk: &Desk, view: &RetentionView, jobs: &[JobView]) -> Section {
    let retention = &view.retention;
    let due = retention.set_at.is_some_and(|set| retention.swept_at.is_none_or(|swept| swept < set));
    let due = due && !retention.rules.is_empty();
    let next = retention.swept_at.map(|at| Timestamp(at.0.saturating_add(RETENTION_EVERY_MS)));
    let mut facts = vec![Fact::new("Rules set", desk.maybe_at(retention.set_at))];
    let swept = desk.maybe_at(retention.swept_at);
    let note = "every event whose days were over at this instant is gone";
    facts.push(Fact { note: note.to_owned(), ..Fact::new("Carried out as of", swept) });
    let next = match next {
        _ if retention.rules.is_empty() => Cell::None,
        _ if due => Cell::badge(Tone::Accent, "within a minute"),
        next => desk.maybe_at(next),
    };
    facts.push(Fact::new("Next", next));
    let mut blocks = vec![Block::Facts(facts)];
    let going = |job: &&JobView| matches!(job.status, JobStatus::Queued | JobStatus::Running);
    let under_way = jobs.iter().any(|job| going(&job));
    // The newest, and whatever goes on.
    let shown: Vec<_> = jobs.iter().take(1).chain(jobs.iter().skip(1).filter(going)).map(show::job).collect();
    if !shown.is_empty() {
        blocks.push(Block::Jobs(shown));
    }
    if let Some(result) = jobs.iter().find_map(|job| job.result.as_deref()) {
        blocks.push(Block::Facts(came_to(result)));
    }
    let refresh = if due || under_way { 1_000 } else { 0 };
    Section::new("standing", "How far it is carried out", blocks)
        .note("a job does it when the rules change, and once a day")
        .width(Width::Half)
        .refresh(refresh)
}

/// The page, with what was typed before.
pub(super) fn view(app: &App, desk: &Desk, form: &Form) -> Page {
    let retained = desk.tenant.retention();
    let mut jobs = app.engine().jobs().list(desk.tenant.no());
    jobs.retain(|job| job.kind == "retention");
    jobs.sort_by_key(|job| job.age);
    let mut page = desk.page("Retention");
    desk.as_of(&mut page.frame);
    page.intro = "How long events are kept after they happened, by their type. What is over is out of profiles, attributes, segments and timelines, and is written over on disk; nothing brings it back.".to_owned();
    let figure = |label: &str, value: u64, note: &str| Figure {
        label: label.to_owned(),
        value: thousands(value),
        note: note.to_owned(),
        ..Figure::default()
    };
    let stats = desk.tenant.stats();
    let figures = vec![
        figure("Events", stats.applied, "that are in state"),
        figure("Gone by their age", retained.expired, "without a trace, ever"),
        figure("Rules", retained.retention.rules.len() as u64, "by event type"),
    ];
    page.sections.push(Section::new("figures", "", vec![Block::Figures(figures)]).bare());
    let may = desk.may(May::Administer);
    page.sections.push(rules(desk, &retained, may));
    if may {
        page.sections.push(edit(desk, form));
    }
    page.sections.push(standing(desk, &retained, &jobs));
    page
}

/// The page.
pub(in super::super) async fn page(State(app): State<App>, desk: Desk, params: Params) -> Answer<Response> {
    let mut page = view(&app, &desk, &Form::default());
    desk.done(&params, &mut page.frame);
    show::page(&page)
}
