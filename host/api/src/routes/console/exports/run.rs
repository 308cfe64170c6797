//! One run: how far it is, who is withheld and why, its file and its proof.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use cdp_console::blocks::{Action, Block, Cell, Fact, Figure, Link, Notice, Section, Table, Tone, Width};
use cdp_console::chart::{Bars, thousands};
use http::{HeaderValue, header};
use serde_json::Value as Json;

use super::super::desk::Desk;
use super::super::{May, show};
use super::list::{target, withheld};
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::params::Params;
use crate::routes::exports::{file as download, parse};
use crate::work;

/// People without a row that a page shows.
const WITHHELD: usize = 20;

fn facts(desk: &Desk, info: &Json) -> Vec<Fact> {
    let text = |name: &str| Cell::text(show::text(&info[name]));
    let segment = show::text(&info["segment"]);
    let consent = format!(
        "{} for {}",
        show::text(&info["consent"]["channel"]),
        show::text(&info["consent"]["purpose"])
    );
    let fields: Vec<_> = info["fields"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|field| {
            let hashed = if field["hash"].is_null() || field["hash"] == false { "" } else { ", hashed" };
            format!("{} ({}{hashed})", show::text(&field["name"]), show::text(&field["from"]))
        })
        .collect();
    let mut facts = vec![
        Fact::new("Segment", Cell::go(format!("/console/segments/{}", show::step(&segment)), segment)),
        Fact::new("Version of the segment", text("segment_version")),
        Fact::new("To", Cell::text(target(info))),
        Fact::new("Consent", Cell::text(consent)),
        Fact::new("Fields", Cell::text(fields.join(" · "))),
        Fact::new("Format", text("format")),
        Fact::new("Mode", text("mode")),
        Fact::new("Begun", desk.at_text(&info["created_at"])),
        Fact::new("Ended", desk.at_text(&info["ended_at"])),
        Fact::new("Up to record", Cell::code(show::text(&info["position"]))),
    ];
    if info["follow"] == true {
        facts.push(Fact::new("Follows", Cell::text("whoever enters or leaves is told of at once")));
    }
    if let Some(schedule) = info["schedule"].as_str() {
        facts.push(Fact::new("Schedule", Cell::text(schedule)));
    }
    if let Some(sha256) = info["sha256"].as_str() {
        facts.push(Fact::new("SHA-256", Cell::code(sha256)));
        facts.push(Fact::new("Bytes", Cell::text(show::bytes(info["bytes"].as_u64().unwrap_or(0)))));
    }
    facts
}

fn actions(info: &Json, id: &str) -> Vec<Action> {
    let action = |act: &str, label: &str, tone, ask: &str| Action {
        to: format!("/console/exports/{id}/{act}"),
        label: label.to_owned(),
        tone,
        ask: ask.to_owned(),
        ..Action::default()
    };
    let mut actions = Vec::new();
    match info["status"].as_str() {
        Some("running" | "waiting") => actions.push(action("pause", "Pause", Tone::Plain, "")),
        Some("paused") => actions.push(action("resume", "Go on", Tone::Accent, "")),
        _ => return actions,
    }
    actions.push(action("cancel", "Cancel", Tone::Bad, "What was sent stays sent, and known."));
    actions
}

/// The page.
pub(in super::super) async fn page(
    State(app): State<App>,
    desk: Desk,
    Path(id): Path<String>,
    params: Params,
) -> Answer<Response> {
    let run = parse(&id)?;
    let (tenant, at) = (desk.tenant.clone(), app.clone());
    let may = desk.may(May::Export);
    let (info, without) = work(true, move || -> cdp_engine::Result<_> {
        let info = at.exports().get(&tenant, run)?;
        let without =
            at.exports().withheld(&tenant, run, WITHHELD, 0).map(|page| page.items).unwrap_or_default();
        Ok((info, without))
    })
    .await??;
    let status = info["status"].as_str().unwrap_or("–").to_owned();
    let over = matches!(status.as_str(), "done" | "failed" | "cancelled");
    let mut page =
        desk.below(format!("Export of {}", show::text(&info["segment"])), &[("/console/exports", "Exports")]);
    desk.as_of(&mut page.frame);
    desk.done(&params, &mut page.frame);
    if may && info["file"] == "held" && status == "done" {
        page.actions.push(Link::new(format!("/console/exports/{id}/file"), "Download"));
    }
    if may && over {
        page.actions.push(Link::new(format!("/console/exports/{id}/manifest"), "Manifest"));
    }
    if let Some(error) = info["error"].as_str() {
        page.frame.notices.push(Notice {
            tone: Tone::Bad,
            title: "The run ended before its end.".to_owned(),
            detail: show::sentence(error),
            help: "Mend the cause, then begin again: what was sent already is known and not sent twice."
                .to_owned(),
            ..Notice::default()
        });
    }
    let figure = |label: &str, value: String, note: &str| Figure {
        label: label.to_owned(),
        value,
        note: note.to_owned(),
        ..Figure::default()
    };
    let refused = withheld(&info);
    let figures = vec![
        figure("Status", status.clone(), if over { "" } else { "under way" }),
        figure("Members", show::number(&info["members"]), "of the segment"),
        figure("Rows", show::number(&info["rows"]), "whose consent stands"),
        figure("Withheld", thousands(refused), "without a row, each with a reason"),
    ];
    let refresh = if over { 0 } else { 1_000 };
    let mut first = Section::new("figures", "", vec![Block::Figures(figures)]).bare();
    first.refresh_ms = refresh;
    page.sections.push(first);
    let job = info["job"].as_str().and_then(|job| job.parse().ok());
    if let Some(job) = job.and_then(|job| app.engine().jobs().get(desk.tenant.no(), job)).filter(|_| !over) {
        let mut blocks = vec![Block::Jobs(vec![show::job(&job)])];
        if may {
            blocks.push(Block::Forms(actions(&info, &id)));
        }
        page.sections.push(Section::new("progress", "Progress", blocks).refresh(1_000));
    }
    let reasons = info["withheld"].as_object().into_iter().flatten();
    let reasons = reasons.map(|(why, count)| (show::withheld(why), count.as_u64().unwrap_or(0), Tone::Bad));
    let mut bars: Vec<_> = reasons.collect();
    bars.sort_by_key(|bar| std::cmp::Reverse(bar.1));
    let block = if bars.is_empty() {
        Block::Text("Nobody was withheld.".to_owned())
    } else {
        Block::Bars(Bars::of("", info["members"].as_u64(), bars))
    };
    page.sections.push(Section::new("reasons", "Withheld, and why", vec![block]).width(Width::Half));
    let row = |(profile, why): &(cdp_domain::ids::FragmentId, &'static str)| {
        let profile = profile.to_string();
        vec![
            Cell::go(format!("/console/profiles/{profile}"), show::short(&profile, 20)),
            Cell::text(show::withheld(why)),
        ]
    };
    if !without.is_empty() {
        let table = Table {
            caption: "People without a row".to_owned(),
            head: vec!["Person", "Because of"],
            rows: without.iter().map(row).collect(),
            more: None,
        };
        let section = Section::new("without", "Some without a row", vec![Block::Table(table)]);
        page.sections.push(section.width(Width::Half));
    }
    let request = Block::Folded(
        "The request, for programs".to_owned(),
        vec![Block::Code(String::new(), show::pretty_answer(&info["request"]))],
    );
    page.sections.push(
        Section::new("facts", "About this run", vec![Block::Facts(facts(&desk, &info)), request])
            .width(Width::Half),
    );
    show::page(&page)
}

/// The file.
pub(in super::super) async fn file(
    State(app): State<App>,
    desk: Desk,
    Path(id): Path<String>,
) -> Answer<Response> {
    download::stream(&app, &desk.tenant, &id).await
}

/// What the run holds and why it may, to be checked offline.
pub(in super::super) async fn manifest(
    State(app): State<App>,
    desk: Desk,
    Path(id): Path<String>,
) -> Answer<Response> {
    let run = parse(&id)?;
    let manifest = work(true, move || app.exports().manifest(&desk.tenant, run)).await??;
    let mut response = Body::from(show::pretty_answer(&manifest)).into_response();
    let name = HeaderValue::from_str(&format!("attachment; filename=\"{run}.manifest.json\""));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CONTENT_DISPOSITION, name.map_err(Failure::internal)?);
    Ok(response)
}

/// Pauses, goes on, or ends it.
pub(in super::super) async fn act(
    State(app): State<App>,
    desk: Desk,
    Path((id, act)): Path<(String, String)>,
) -> Answer<Response> {
    let run = parse(&id)?;
    let word = match act.as_str() {
        "pause" => "paused",
        "resume" => "resumed",
        "cancel" => "cancelled",
        _ => return Err(Failure::not_found("page")),
    };
    work(true, move || match word {
        "paused" => app.exports().pause(&desk.tenant, run),
        "resumed" => app.exports().resume(&desk.tenant, run),
        _ => app.exports().cancel(&desk.tenant, run),
    })
    .await??;
    show::done(&format!("/console/exports/{id}"), word)
}
