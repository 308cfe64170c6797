//! All segments.

use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Link, Section, Table};
use cdp_console::chart::{percent, round, thousands};
use cdp_engine::segments::SegmentInfo;

use super::super::desk::Desk;
use super::super::{May, show};
use crate::error::Answer;
use crate::params::Params;
use crate::work;

/// What a segment is called for people.
pub(crate) fn title(info: &SegmentInfo) -> &str {
    if info.title.is_empty() { &info.name } else { &info.title }
}

/// The page.
pub(in super::super) async fn page(desk: Desk, params: Params) -> Answer<Response> {
    let mut page = desk.page("Segments");
    desk.as_of(&mut page.frame);
    desk.done(&params, &mut page.frame);
    page.intro = "A segment is a rule over people. Members enter and leave within a second, also when only time passes.".to_owned();
    if desk.may(May::Define) {
        page.actions.push(Link::new("/console/segments/+new", "New segment"));
    }
    let tenant = desk.tenant.clone();
    let mut all = work(true, move || tenant.segments()).await?;
    all.sort_by_key(|one| title(one).to_lowercase());
    let profiles = desk.tenant.stats().profiles;
    let building = all.iter().any(|one| one.status == "building");
    let row = |info: &SegmentInfo| {
        let share = round(100.0 * info.size as f64 / profiles.max(1) as f64);
        vec![
            Cell::go(format!("/console/segments/{}", show::step(&info.name)), title(info)),
            Cell::code(info.name.as_str()),
            Cell::number(thousands(info.size)),
            Cell::Share(share.min(100.0), percent(info.size, profiles)),
            show::badge(info.status),
        ]
    };
    let block = if all.is_empty() {
        show::nothing(
            "None is defined yet. A segment answers “who”: such as people who spent £500 in 90 days, nothing in 30, and agreed to e-mail.",
            Some(("/console/segments/+new", "Define the first segment")),
            "cdp segments put lapsed lapsed.json --wait",
        )
    } else {
        Block::Table(Table {
            caption: "Segments".to_owned(),
            head: vec!["Segment", "Name", "#People", "Share", "Status"],
            rows: all.iter().map(row).collect(),
            more: None,
        })
    };
    let section = Section::new("segments", "", vec![block]);
    page.sections.push(section.refresh(if building { 1_000 } else { 10_000 }));
    show::page(&page)
}
