//! The audit log: who did what, and who read what is held about people.

use axum::extract::State;
use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Section, Table};
use serde_json::Value as Json;

use super::desk::Desk;
use super::show;
use crate::app::App;
use crate::error::Answer;
use crate::work;

/// Entries of the page.
const ENTRIES: usize = 100;

/// The page.
pub(super) async fn page(State(app): State<App>, desk: Desk) -> Answer<Response> {
    let tenant = desk.tenant.clone();
    let entries = work(true, move || tenant.newest_acts(ENTRIES)).await??;
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
    let note = "the newest; the interface has all, and cdp audit verify checks the chain offline";
    page.sections.push(Section::new("log", "", vec![block]).note(note));
    show::page(&page)
}
