//! The audit log: who did what, and who read what is held about people.

use std::collections::VecDeque;

use axum::extract::State;
use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Section, Table};
use cdp_engine::Tenant;
use serde_json::Value as Json;

use super::desk::Desk;
use super::show;
use crate::app::App;
use crate::error::Answer;
use crate::work;

/// Entries of the page, and that are read to find the newest.
const ENTRIES: usize = 100;
const READ_MAX: usize = 200_000;
/// Entries that are read at a time.
const AT_A_TIME: usize = 1_000;

/// The newest entries, newest first, and whether all were read. Blocks.
fn newest(tenant: &Tenant) -> cdp_engine::Result<(Vec<Json>, bool)> {
    let (mut kept, mut from, mut read) = (VecDeque::with_capacity(ENTRIES), 0, 0);
    loop {
        let page = tenant.acts(AT_A_TIME, from)?;
        read += page.items.len();
        kept.extend(page.items);
        while kept.len() > ENTRIES {
            kept.pop_front();
        }
        match page.next {
            Some(next) if read < READ_MAX => from = next,
            next => return Ok((kept.into_iter().rev().collect(), next.is_none())),
        }
    }
}

/// The page.
pub(super) async fn page(State(app): State<App>, desk: Desk) -> Answer<Response> {
    let tenant = desk.tenant.clone();
    let (entries, whole) = work(true, move || newest(&tenant)).await??;
    let mut page = desk.page("Audit log");
    desk.as_of(&mut page.frame);
    page.intro = "Who did what with a key or in this console, and who read what is held about people; chained by hashes, newest first.".to_owned();
    let users = app.engine().users(&desk.tenant);
    let keys = app.engine().keys(&desk.tenant);
    let name = |by: &str| {
        let user = users.iter().find(|user| user.id.to_string() == by).map(|user| user.name.to_string());
        let key = || keys.iter().find(|key| key.id.to_string() == by).map(|key| format!("key {}", key.name));
        user.or_else(key).unwrap_or_else(|| by.to_owned())
    };
    let row = |one: &Json| {
        let by = show::text(&one["by"]);
        vec![
            Cell::number(show::text(&one["entry"])),
            desk.at_text(&one["time"]),
            Cell::text(name(&by)),
            Cell::text(show::text(&one["act"])),
            Cell::code(show::short(&show::text(&one["details"]["path"]), 90)),
            Cell::code(show::short(&show::text(&one["hash"]), 12)),
        ]
    };
    let block = if entries.is_empty() {
        show::nothing("Nothing stands here.", None, "cdp audit verify")
    } else {
        Block::Table(Table {
            caption: "The audit log, newest first".to_owned(),
            head: vec!["#Entry", "When", "Who", "What", "Where", "Hash"],
            rows: entries.iter().map(row).collect(),
            more: None,
        })
    };
    let note = if whole {
        "cdp audit verify checks the chain offline"
    } else {
        "of the first entries; the interface has all"
    };
    page.sections.push(Section::new("log", "", vec![block]).note(note));
    show::page(&page)
}
