//! The rules of identity, constraints, what stopped linking, and the newest merges and splits.

use axum::extract::State;
use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Figure, Notice, Section, Table, Tone, Width};
use cdp_console::chart::thousands;
use cdp_console::form::{Field, Form as View, Kind};
use cdp_console::pages::Page;
use cdp_domain::identifier::Normaliser;
use cdp_domain::identity::{Rules, TypeRule};
use cdp_domain::ids::FragmentId;
use cdp_engine::Tenant;
use cdp_engine::identity::log::{About, Because};
use cdp_engine::identity::{AlertView, ConstraintView, LogView};

use super::super::desk::Desk;
use super::super::form::Form;
use super::super::{May, show};
use super::constraints;
use crate::app::App;
use crate::error::Answer;
use crate::params::Params;
use crate::work;

/// Constraints, alerts and changes of profiles that the page shows.
const SHOWN: usize = 50;

/// What the page tells.
struct Told {
    constraints: Vec<ConstraintView>,
    alerts: Vec<AlertView>,
    log: Vec<LogView>,
}

/// Reads it. Blocks.
fn tell(tenant: &Tenant) -> cdp_engine::Result<Told> {
    Ok(Told {
        constraints: tenant.constraints(SHOWN, None).items,
        alerts: tenant.identity_alerts(SHOWN, None)?.items,
        log: tenant.identity_log(SHOWN, None)?.items,
    })
}

fn person(id: FragmentId) -> Cell {
    Cell::go(format!("/console/profiles/{id}"), show::short(&id.to_string(), 16))
}

fn types(rules: &Rules) -> Section {
    let row = |one: &TypeRule| {
        let blocked: Vec<_> = one.blocked.iter().map(|value| Cell::code(value.as_str())).collect();
        vec![
            Cell::text(one.kind.as_str()),
            Cell::number(one.priority.to_string()),
            if one.unique { Cell::badge(Tone::Accent, "never two in one person") } else { Cell::None },
            Cell::number(one.limit.map_or("–".to_owned(), |limit| limit.to_string())),
            Cell::text(match one.normaliser {
                Normaliser::Email => "as e-mail address",
                Normaliser::Phone => "as telephone number",
                Normaliser::Opaque => "byte for byte",
            }),
            if blocked.is_empty() { Cell::None } else { Cell::Many(blocked) },
        ]
    };
    let mut all: Vec<_> = rules.types.iter().collect();
    all.sort_by(|a, b| (a.priority, &a.kind).cmp(&(b.priority, &b.kind)));
    let table = Table {
        caption: "Identifier types, by priority".to_owned(),
        head: vec!["Type", "#Priority", "Values", "#At most", "Compared", "Links nobody"],
        rows: all.into_iter().map(row).collect(),
        more: None,
    };
    let usual = if rules.block_usual {
        "values that name nobody link nobody"
    } else {
        "no value is blocked by itself"
    };
    let text = format!(
        "A value that is seen with more than {} different people links nobody; {usual}. A type without a rule comes last.",
        rules.shared_after
    );
    let section = Section::new("rules", "Rules", vec![Block::Table(table), Block::Text(text)]);
    section.note(match rules.version {
        0 => "those that every organisation begins with".to_owned(),
        version => format!("version {version}"),
    })
}

fn edit(given: &str) -> Section {
    let fields = vec![
        Field::new("rules", "Rules as JSON", Kind::Lines(14))
            .value(given)
            .required()
            .hint("types with priority, unique, limit, normaliser and blocked; shared_after; block_usual"),
    ];
    let form = View::new("/console/identity/rules", "See what it would change", fields)
        .also("/console/identity/rules?do=put", "Change the rules");
    Section::new("edit", "Change the rules", vec![Block::Form(form)])
        .note("everybody is placed anew, also by events of the past")
        .width(Width::Half)
}

fn alerts(desk: &Desk, all: &[AlertView]) -> Section {
    let row = |one: &AlertView| {
        let (what, about) = match &one.about {
            About::Shared(identifier) => (
                "shared by too many",
                Cell::text(format!("{} {}", identifier.kind, show::short(&identifier.value, 60))),
            ),
            About::Overgrown(fragment) => ("too much hung together", person(*fragment)),
        };
        vec![Cell::badge(Tone::Warn, what), about, desk.at(one.at)]
    };
    let block = if all.is_empty() {
        show::nothing("Nothing stopped linking: no identifier is shared by too many people.", None, "")
    } else {
        Block::Table(Table {
            caption: "What stopped linking people".to_owned(),
            head: vec!["", "About", "Since"],
            rows: all.iter().map(row).collect(),
            more: None,
        })
    };
    Section::new("alerts", "What stopped linking", vec![block]).width(Width::Half)
}

fn log(desk: &Desk, all: &[LogView]) -> Section {
    let because = |why: Because| match why {
        Because::Fragment(_) => "an event".to_owned(),
        Because::Rules(version) => format!("rules, version {version}"),
        Because::Constraint(id) => format!("the constraint con_{id}"),
        Because::ConstraintRemoved(id) => format!("con_{id} was removed"),
        Because::Erasure => "an erasure".to_owned(),
    };
    let row = |one: &LogView| {
        let word = one.happened.as_str();
        let tone = match word {
            "merged" => Tone::Good,
            "split" => Tone::Warn,
            _ => Tone::Plain,
        };
        vec![
            Cell::badge(tone, word),
            person(one.profile),
            person(one.other),
            Cell::text(because(one.because)),
            desk.at(one.at),
        ]
    };
    let block = if all.is_empty() {
        show::nothing("No two profiles became one yet, and none fell apart.", None, "")
    } else {
        Block::Table(Table {
            caption: "Merges and splits, newest first".to_owned(),
            head: vec!["", "Person", "Took in, or came out of", "Because of", "When"],
            rows: all.iter().map(row).collect(),
            more: None,
        })
    };
    Section::new("log", "Merges and splits", vec![block]).note("newest first").width(Width::Half)
}

/// The page: with rules that somebody edits, and what was typed for a constraint.
pub(super) async fn view(desk: &Desk, rules: Option<&str>, form: &Form) -> Answer<Page> {
    let tenant = desk.tenant.clone();
    let told = work(true, move || tell(&tenant)).await??;
    let in_force = desk.tenant.identity_rules();
    let mut page = desk.page("Identity");
    desk.as_of(&mut page.frame);
    page.intro = "Events that share an identifier that links belong to one person. Who is one person follows from the events, these rules and what people say below; the order in which events came has no say.".to_owned();
    let stats = desk.tenant.stats();
    let figure = |label: &str, value: u64, note: &str| Figure {
        label: label.to_owned(),
        value: thousands(value),
        note: note.to_owned(),
        ..Figure::default()
    };
    let mut alerted = figure("Stopped linking", stats.identity_alerts, "identifiers and crowds");
    alerted.tone = if stats.identity_alerts > 0 { Tone::Warn } else { Tone::Plain };
    let figures = vec![
        figure("Profiles", stats.profiles, "people that are known"),
        figure("Sets of identifiers", stats.fragments, "that profiles are made of"),
        alerted,
    ];
    page.sections.push(Section::new("figures", "", vec![Block::Figures(figures)]).bare());
    page.sections.push(types(&in_force));
    let may = desk.may(May::Administer);
    page.sections.push(constraints::list(desk, &told.constraints, may));
    if may {
        let written = show::pretty(&in_force.write());
        page.sections.push(edit(rules.unwrap_or(&written)));
        page.sections.push(constraints::add(&desk.tenant, form));
    }
    page.sections.push(alerts(desk, &told.alerts));
    page.sections.push(log(desk, &told.log));
    Ok(page)
}

/// The page with what is wrong.
pub(super) async fn wrong(
    desk: &Desk,
    rules: Option<&str>,
    form: &Form,
    failure: crate::error::Failure,
) -> Answer<Response> {
    let notice: Notice = show::notice_of(&show::told(failure)?, &desk.request_id);
    let mut page = view(desk, rules, form).await?;
    page.frame.notices.push(notice);
    show::wrong(&page)
}

/// The page.
pub(in super::super) async fn page(State(_): State<App>, desk: Desk, params: Params) -> Answer<Response> {
    let mut page = view(&desk, None, &Form::default()).await?;
    desk.done(&params, &mut page.frame);
    show::page(&page)
}
