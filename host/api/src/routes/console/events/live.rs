//! Events as they are taken in.

use axum::extract::State;
use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Empty, Section, Table};
use cdp_console::chart::thousands;
use cdp_console::form::{Field, Form as View};
use cdp_domain::ids::Position;
use cdp_engine::Tenant;
use cdp_engine::recent::Taken;

use super::super::desk::Desk;
use super::super::show;
use super::tabs;
use crate::app::App;
use crate::error::Answer;
use crate::params::Params;
use crate::work;

/// Events that the page shows, and that are looked through for them from one mark on.
const SHOWN: usize = 50;
const READ: usize = 500;
/// Marks that are tried, from the newest back.
const MARKS_TRIED: usize = 12;

/// What to do where no event came yet.
pub(in super::super) fn first(desk: &Desk) -> Block {
    let what = format!(
        "Nothing came for {} yet. Send the first event with a key of the scope ingest; it shows here within a second.",
        desk.tenant.info().name
    );
    let command = "echo '{\"id\": \"first\", \"type\": \"Order Completed\", \"identifiers\": [{\"type\": \"customer_id\", \"value\": \"12415\"}], \"properties\": {\"revenue\": \"10.00\"}}' \\\n  | CDP_API_KEY=… cdp events send - --wait";
    let next = Some(cdp_console::blocks::Link::new("/console/keys", "Make a key"));
    Block::Empty(Empty { what, next, command: command.to_owned() })
}

/// The newest events that are at hand, newest first: read from the newest mark that gives enough. Blocks.
fn newest(tenant: &Tenant, marks: &[Position]) -> cdp_engine::Result<Vec<Taken>> {
    let mut taken = Vec::new();
    for mark in marks.iter().rev().take(MARKS_TRIED) {
        taken = tenant.taken_since(Some(*mark), READ)?.0;
        if taken.len() >= SHOWN {
            break;
        }
    }
    taken.reverse();
    Ok(taken)
}

/// The page.
pub(in super::super) async fn page(State(app): State<App>, desk: Desk, params: Params) -> Answer<Response> {
    let mut page = desk.page("Live events");
    desk.as_of(&mut page.frame);
    let stats = desk.tenant.stats();
    page.tabs = tabs("/console/events", stats.dead_letters);
    let marks = app.console().histories.marks(desk.tenant.no());
    let tenant = desk.tenant.clone();
    let taken = work(true, move || newest(&tenant, &marks)).await??;
    let (kind, source) = (params.get("type").unwrap_or_default(), params.get("source").unwrap_or_default());
    let row = |one: &Taken| {
        let object = one.event.as_object();
        let text =
            |name: &str| object.and_then(|object| object.get(name)).map(show::value).unwrap_or_default();
        let (is, from) = (text("type"), text("source"));
        if !kind.is_empty() && is != kind || !source.is_empty() && from != source {
            return None;
        }
        let said = object.and_then(|object| object.get("properties").or_else(|| object.get("traits")));
        let state = if one.position < desk.tenant.applied() { "processed" } else { "waiting" };
        Some(vec![
            desk.at(one.received_at),
            Cell::go(format!("/console/events/at/{}", one.position), is),
            Cell::text(from),
            Cell::text(show::short(&text("id"), 40)),
            Cell::text(said.map(|said| show::short(&show::value(said), 120)).unwrap_or_default()),
            show::badge(state),
        ])
    };
    let rows: Vec<_> = taken.iter().filter_map(row).take(SHOWN).collect();
    let block = if stats.accepted_ever == 0 {
        first(&desk)
    } else if rows.is_empty() {
        let what = "Nothing came since the server started that is of this kind. The page watches; an older event is found by its id, or on the timeline of a person.";
        show::nothing(what, None, "cdp events tail")
    } else {
        Block::Table(Table {
            caption: "Events as they were taken in, newest first".to_owned(),
            head: vec!["Received", "Event", "Source", "Id", "What it said", ""],
            rows,
            more: None,
        })
    };
    let note = format!("{} taken in since the server started; the newest first", thousands(stats.accepted));
    page.sections.push(Section::new("live", "As they come", vec![block]).note(note).refresh(2_000));
    let fields = vec![
        Field::text("id", "Id").required(),
        Field::text("source", "Source").hint("empty where the key’s own name is it"),
    ];
    let find = View::new("/console/events/find", "Find", fields).inline();
    page.sections.push(Section::new("find", "What became of an event", vec![Block::Form(find)]));
    show::page(&page)
}
