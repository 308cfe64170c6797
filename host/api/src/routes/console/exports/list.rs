//! Runs, newest first.

use axum::extract::State;
use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Link, Section, Table};
use cdp_engine::Tenant;
use serde_json::Value as Json;

use super::super::desk::Desk;
use super::super::{May, show};
use super::tabs;
use crate::app::App;
use crate::error::Answer;
use crate::params::Params;
use crate::work;

/// Runs that are looked through for the newest.
const RUNS_READ: usize = 5_000;

/// Where an audience went, in words.
pub(super) fn target(info: &Json) -> String {
    match info["destination"].as_str() {
        Some(name) => name.to_owned(),
        None => "a file for download".to_owned(),
    }
}

/// The newest runs. Blocks.
pub(super) fn newest(app: &App, tenant: &Tenant, most: usize) -> cdp_engine::Result<Vec<Json>> {
    let (mut runs, mut after) = (Vec::new(), None);
    loop {
        let page = app.exports().list(tenant, 1_000, after)?;
        runs.extend(page.items);
        after = page.next.filter(|_| runs.len() < RUNS_READ);
        if after.is_none() {
            break;
        }
    }
    runs.sort_by(|a, b| b["created_at"].as_str().cmp(&a["created_at"].as_str()));
    runs.truncate(most);
    // What is under way is told as it stands now.
    for run in &mut runs {
        if let Some(id) = run["id"].as_str().and_then(|id| id.parse().ok()) {
            *run = app.exports().get(tenant, id)?;
        }
    }
    Ok(runs)
}

/// People that are withheld in all.
pub(super) fn withheld(info: &Json) -> u64 {
    info["withheld"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
}

/// The page.
pub(in super::super) async fn page(State(app): State<App>, desk: Desk, params: Params) -> Answer<Response> {
    let mut page = desk.page("Exports");
    desk.as_of(&mut page.frame);
    desk.done(&params, &mut page.frame);
    page.tabs = tabs("/console/exports");
    page.intro = "An audience is a segment at a moment, for one purpose on one channel. Consent is asked for every row when it is written.".to_owned();
    if desk.may(May::Export) {
        page.actions.push(Link::new("/console/exports/new", "New export"));
    }
    let (tenant, at) = (desk.tenant.clone(), app.clone());
    let runs = work(true, move || newest(&at, &tenant, 50)).await??;
    let under_way = runs.iter().any(|run| matches!(run["status"].as_str(), Some("running" | "waiting")));
    let row = |run: &Json| {
        let id = show::text(&run["id"]);
        let segment = show::text(&run["segment"]);
        vec![
            Cell::go(format!("/console/exports/{id}"), desk.at_words(&run["created_at"])),
            Cell::go(format!("/console/segments/{}", show::step(&segment)), segment),
            Cell::text(target(run)),
            Cell::text(show::text(&run["format"])),
            Cell::number(show::number(&run["rows"])),
            Cell::number(cdp_console::chart::thousands(withheld(run))),
            show::badge(run["status"].as_str().unwrap_or("–")),
        ]
    };
    let block = if runs.is_empty() {
        show::nothing(
            "No audience was exported yet. Choose a segment, for whom, and which fields; the first rows are shown before anything leaves.",
            Some(("/console/exports/new", "Begin the first export")),
            "cdp export create request.json --wait",
        )
    } else {
        Block::Table(Table {
            caption: "Runs, newest first".to_owned(),
            head: vec!["Begun", "Segment", "To", "Format", "#Rows", "#Withheld", "Status"],
            rows: runs.iter().map(row).collect(),
            more: None,
        })
    };
    page.sections.push(Section::new("runs", "", vec![block]).refresh(if under_way { 1_000 } else { 10_000 }));
    show::page(&page)
}
