//! Audiences that go by themselves.

use axum::extract::{Path, State};
use axum::response::Response;
use cdp_console::blocks::{Action, Block, Cell, Link, Section, Table, Tone};
use serde_json::Value as Json;

use super::super::desk::Desk;
use super::super::{May, show};
use super::tabs;
use crate::app::App;
use crate::error::Answer;
use crate::params::Params;

/// The page.
pub(in super::super) async fn page(State(app): State<App>, desk: Desk, params: Params) -> Answer<Response> {
    let mut page = desk.page("Schedules");
    desk.as_of(&mut page.frame);
    desk.done(&params, &mut page.frame);
    page.tabs = tabs("/console/exports/schedules");
    page.actions.push(Link::new("/console/exports/new", "New schedule"));
    let all = app.exports().schedules(&desk.tenant);
    let row = |one: &Json| {
        let name = show::text(&one["name"]);
        let export = &one["export"];
        let last = match one["last"]["export"].as_str() {
            Some(id) => Cell::go(format!("/console/exports/{id}"), desk.at_words(&one["last"]["at"])),
            None => match one["last"]["skipped"].as_str() {
                Some(why) => Cell::text(format!("skipped: {why}")),
                None => Cell::None,
            },
        };
        vec![
            Cell::text(&name),
            Cell::text(show::text(&export["segment"])),
            Cell::text(super::list::target(export)),
            Cell::code(show::text(&one["cron"])),
            Cell::text(show::text(&one["time_zone"])),
            desk.at_text(&one["next_at"]),
            last,
            if desk.may(May::Export) {
                Cell::Do(Action {
                    to: format!("/console/exports/schedules/{}/remove", show::step(&name)),
                    label: "Remove".to_owned(),
                    tone: Tone::Bad,
                    ask: "A run that began goes on.".to_owned(),
                    ..Action::default()
                })
            } else {
                Cell::None
            },
        ]
    };
    let block = if all.is_empty() {
        show::nothing(
            "No audience goes by itself. Any export can be saved as a schedule instead of being begun.",
            Some(("/console/exports/new", "Choose an export")),
            "",
        )
    } else {
        Block::Table(Table {
            caption: "Schedules".to_owned(),
            head: vec!["Name", "Segment", "To", "When", "Zone", "Next", "Last", ""],
            rows: all.iter().take(show::ROWS_MAX).map(row).collect(),
            more: None,
        })
    };
    page.sections.push(Section::new("schedules", "", vec![block]));
    show::page(&page)
}

/// Removes one.
pub(in super::super) async fn remove(
    State(app): State<App>,
    desk: Desk,
    Path(name): Path<String>,
) -> Answer<Response> {
    app.exports().delete_schedule(&desk.tenant, &name).await?;
    show::done("/console/exports/schedules", "removed")
}
