//! All plugins, and the form that takes one in.

use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Section, Table, Width};
use cdp_console::chart::thousands;
use cdp_console::form::{Field, Form as View, Kind};
use cdp_console::pages::Page;
use cdp_engine::plugins::PluginInfo;

use super::super::desk::Desk;
use super::super::{May, show};
use super::{order, trust};
use crate::body::UPLOAD_BYTES_MAX;
use crate::error::Answer;
use crate::params::Params;

fn row(one: &PluginInfo) -> Vec<Cell> {
    let active = one.active.as_ref().map(|active| active.version);
    let health = active.and_then(|version| one.health.get(&version));
    let world = one.versions.last().map_or("", |version| version.world.as_str());
    let failed: u64 = health.map_or(0, |health| health.failed.values().sum());
    vec![
        Cell::go(format!("/console/plugins/{}", show::step(&one.name)), one.name.as_str()),
        Cell::text(if world.is_empty() { "transformer" } else { world }),
        show::badge(one.status),
        Cell::number(active.map_or("–".to_owned(), |version| version.to_string())),
        Cell::number(one.versions.len().to_string()),
        Cell::number(thousands(health.map_or(0, |health| health.calls))),
        Cell::number(thousands(failed)),
        Cell::number(health.map_or("–".to_owned(), |health| format!("{} µs", thousands(health.call_us_p99)))),
    ]
}

/// The page, with a name that was given.
pub(super) fn view(desk: &Desk, name: &str) -> Page {
    let mut page = desk.page("Plugins");
    desk.as_of(&mut page.frame);
    page.intro = "WebAssembly components that change events on their way, derive facts, or send audiences; each has only what it was granted.".to_owned();
    let all = desk.tenant.plugins();
    let block = if all.is_empty() {
        let command = "cdp plugin new value-band --world transformer --lang rust\ncd value-band && cdp plugin test\ncdp plugin push && cdp plugin activate --grant all";
        show::nothing(
            "None was taken in. A project with a test is begun by a command, in Rust, JavaScript, Python, Go or C#.",
            None,
            command,
        )
    } else {
        Block::Table(Table {
            caption: "Plugins".to_owned(),
            head: vec!["Plugin", "Kind", "Status", "#Active", "#Versions", "#Calls", "#Failed", "#p99"],
            rows: all.iter().map(row).collect(),
            more: None,
        })
    };
    let section = Section::new("plugins", "", vec![block]);
    page.sections.push(section.note("figures since the server started").refresh(5_000));
    if desk.may(May::Extend) {
        let fields = vec![
            Field::text("name", "Name").value(name).required().hint("a known name gets a new version"),
            Field::new("file", "Component", Kind::File)
                .required()
                .hint(format!("a .wasm file of at most {}", show::bytes(UPLOAD_BYTES_MAX as u64))),
            Field::text("signature", "Signature")
                .hint("its maker’s, in hex; needed where only trusted plugins are taken"),
        ];
        let mut form = View::new("/console/plugins", "Upload", fields);
        form.file = true;
        let section = Section::new("upload", "Upload a component", vec![Block::Form(form)]);
        page.sections.push(section.note("it is inspected; nothing of it runs").width(Width::Half));
    }
    page.sections.extend(order::section(desk));
    page.sections.push(trust::section(desk));
    page
}

/// The page.
pub(in super::super) async fn page(desk: Desk, params: Params) -> Answer<Response> {
    let mut page = view(&desk, "");
    desk.done(&params, &mut page.frame);
    show::page(&page)
}
