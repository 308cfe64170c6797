//! Where audiences go. Secrets are taken and never shown.

use axum::extract::{Path, State};
use axum::response::Response;
use cdp_console::blocks::{Action, Block, Cell, Notice, Section, Table, Tone, Width};
use cdp_console::form::{Choice, Field, Form as View, Kind};
use cdp_console::pages::Page;
use cdp_domain::value::Value;
use serde_json::Value as Json;

use super::super::desk::Desk;
use super::super::form::Form;
use super::super::show;
use super::tabs;
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::params::Params;
use crate::work;

/// Fields that a destination of some kind has.
const FIELDS: [(&str, &str, &str); 10] = [
    ("url", "Address", "https://… · s3://bucket/prefix · gs://… · az://… · postgres://…"),
    ("table", "Table", "Postgres only"),
    ("region", "Region", "S3 only"),
    ("endpoint", "Endpoint", "S3 and Azure, where it is not the vendor’s own"),
    ("access_key_id", "Access key id", "S3 only"),
    ("account", "Account", "Azure only"),
    ("secret", "Secret (webhook)", "whsec_…"),
    ("secret_access_key", "Secret access key (S3)", ""),
    ("service_account_key", "Service account key (Google)", "its JSON"),
    ("access_key", "Access key (Azure)", ""),
];

fn is_secret(name: &str) -> bool {
    matches!(name, "secret" | "secret_access_key" | "service_account_key" | "access_key")
}

fn row(one: &Json) -> Vec<Cell> {
    let name = show::text(&one["name"]);
    let action = |act: &str, label: &str, tone, ask: &str| {
        Cell::Do(Action {
            to: format!("/console/exports/destinations/{}/{act}", show::step(&name)),
            label: label.to_owned(),
            tone,
            ask: ask.to_owned(),
            ..Action::default()
        })
    };
    let why = one["disabled"]["reason"].as_str().map(|why| Cell::text(show::short(why, 120)));
    let turn = if one["status"] == "active" {
        action("pause", "Pause", Tone::Plain, "")
    } else {
        action("resume", "Resume", Tone::Accent, "")
    };
    vec![
        Cell::text(&name),
        Cell::text(show::text(&one["kind"]).replace('_', " ")),
        Cell::text(show::short(&show::text(&one["url"]), 60)),
        Cell::Many(
            [Some(show::badge(one["status"].as_str().unwrap_or("–"))), why].into_iter().flatten().collect(),
        ),
        Cell::Many(vec![
            action("test", "Try", Tone::Plain, ""),
            turn,
            action("remove", "Remove", Tone::Bad, "What was sent there stays known."),
        ]),
    ]
}

fn view(app: &App, desk: &Desk, form: &Form) -> Page {
    let mut page = desk.page("Destinations");
    page.tabs = tabs("/console/exports/destinations");
    let all = app.exports().destinations(&desk.tenant);
    let block = if all.is_empty() {
        show::nothing("No destination is set up. Without one, audiences are files for download.", None, "")
    } else {
        Block::Table(Table {
            caption: "Destinations".to_owned(),
            head: vec!["Name", "Kind", "Address", "Status", ""],
            rows: all.iter().take(show::ROWS_MAX).map(row).collect(),
            more: None,
        })
    };
    page.sections.push(Section::new("destinations", "", vec![block]));
    let kinds = [
        ("file", "file"),
        ("webhook", "webhook"),
        ("object_store", "object store"),
        ("postgres", "Postgres"),
    ];
    let mut fields = vec![
        Field::text("name", "Name").value(form.get("name")).required(),
        Field::new("kind", "Kind", Kind::Select(Choice::named(&kinds, form.get("kind")))),
    ];
    fields.extend(FIELDS.iter().map(|(name, label, hint)| {
        let kind = if is_secret(name) { Kind::Password } else { Kind::Text };
        let mut field = Field::new(name, label, kind).hint(*hint);
        field.autocomplete = if is_secret(name) { "new-password" } else { "off" };
        if is_secret(name) { field } else { field.value(form.get(name)) }
    }));
    let form = View::new("/console/exports/destinations", "Set up", fields);
    let section = Section::new("put", "Set one up, or change one", vec![Block::Form(form)]);
    page.sections.push(section.note("fields that the kind does not have stay empty").width(Width::TwoThirds));
    page
}

/// The page.
pub(in super::super) async fn page(State(app): State<App>, desk: Desk, params: Params) -> Answer<Response> {
    let mut page = view(&app, &desk, &Form::default());
    desk.as_of(&mut page.frame);
    desk.done(&params, &mut page.frame);
    show::page(&page)
}

/// Sets one up.
pub(in super::super) async fn put(State(app): State<App>, desk: Desk, form: Form) -> Answer<Response> {
    let mut members = vec![("kind", Value::from(form.get("kind")))];
    for (name, _, _) in FIELDS {
        let value = form.trimmed(name);
        if !value.is_empty() {
            members.push((name, Value::from(value)));
        }
    }
    match app.exports().put_destination(&desk.tenant, form.trimmed("name"), &show::object(members)).await {
        Ok(_) => show::done("/console/exports/destinations", "destination"),
        Err(refused) => {
            let mut page = view(&app, &desk, &form);
            page.frame.notices.push(show::notice_of(&show::told(Failure::from(refused))?, &desk.request_id));
            show::wrong(&page)
        }
    }
}

/// Tries, pauses, resumes or removes one.
pub(in super::super) async fn act(
    State(app): State<App>,
    desk: Desk,
    Path((name, act)): Path<(String, String)>,
) -> Answer<Response> {
    let here = "/console/exports/destinations";
    match act.as_str() {
        "pause" | "resume" => {
            let pause = act == "pause";
            app.exports().pause_destination(&desk.tenant, &name, pause).await?;
            show::done(here, if pause { "paused" } else { "resumed" })
        }
        "remove" => {
            app.exports().delete_destination(&desk.tenant, &name).await?;
            show::done(here, "removed")
        }
        "test" => {
            let (at, tenant, asked) = (app.clone(), desk.tenant.clone(), name.clone());
            let told = work(true, move || at.exports().test_destination(&tenant, &asked)).await??;
            let mut page = view(&app, &desk, &Form::default());
            let reached = told["ok"] == true;
            page.frame.notices.push(Notice {
                tone: if reached { Tone::Good } else { Tone::Bad },
                title: if reached {
                    format!("{name} can be reached.")
                } else {
                    format!("{name} cannot be reached.")
                },
                detail: told["detail"].as_str().map(show::sentence).unwrap_or_default(),
                help: if reached {
                    "No row of anybody’s left.".to_owned()
                } else {
                    format!("Code {}.", show::text(&told["code"]))
                },
                ..Notice::default()
            });
            show::page(&page)
        }
        _ => Err(Failure::not_found("page")),
    }
}
