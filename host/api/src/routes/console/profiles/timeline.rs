//! What a person did, newest first.

use cdp_console::blocks::{Block, Cell, Link, Section, Table};
use cdp_engine::profiles::{ProfileView, TimelineEvent};

use super::super::desk::Desk;
use super::super::show;
use crate::error::{Answer, Failure};
use crate::params::Params;
use crate::work;

/// Events of one page.
const EVENTS: usize = 50;

fn row(desk: &Desk, one: &TimelineEvent) -> Vec<Cell> {
    let object = one.event.as_object();
    let text = |name: &str| object.and_then(|object| object.get(name)).map(show::value).unwrap_or_default();
    let said = object.and_then(|object| object.get("properties").or_else(|| object.get("traits")));
    vec![
        desk.at(one.time),
        Cell::go(format!("/console/events/at/{}", one.position), text("type")),
        Cell::text(text("source")),
        Cell::text(said.map(|said| show::short(&show::value(said), 160)).unwrap_or_default()),
        desk.at(one.received_at),
    ]
}

/// The timeline as sections.
pub(super) async fn sections(desk: &Desk, view: &ProfileView, params: &Params) -> Answer<Vec<Section>> {
    let before = match params.get("before") {
        None => None,
        Some(text) => {
            Some(cdp_domain::hex::decode(text).ok_or_else(|| Failure::not_found("place on the timeline"))?)
        }
    };
    let (tenant, id) = (desk.tenant.clone(), view.id);
    let page = work(true, move || tenant.timeline(id, EVENTS, before)).await??;
    let more = page.next.map(|next| {
        let hex = cdp_domain::hex::encode(&next);
        Link::new(format!("/console/profiles/{id}?view=timeline&before={hex}"), "Older events")
    });
    let block = if page.items.is_empty() {
        show::nothing("No further event.", None, "")
    } else {
        Block::Table(Table {
            caption: "Events of this person, newest first".to_owned(),
            head: vec!["Happened", "Event", "Source", "What it said", "Received"],
            rows: page.items.iter().map(|one| row(desk, one)).collect(),
            more,
        })
    };
    Ok(vec![
        Section::new("timeline", "Timeline", vec![block])
            .note("newest first; an event leads to what became of it"),
    ])
}
