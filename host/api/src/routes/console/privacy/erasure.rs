//! Erasing somebody: what it comprises, asking for it, and the certificate.

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use cdp_console::blocks::{Block, Cell, Fact, Figure, Link, Notice, Section, Table, Tone, Width};
use cdp_console::chart::thousands;
use cdp_console::form::{Field, Form as View};
use cdp_domain::ids::JobId;
use cdp_engine::privacy::Preview;
use http::{HeaderValue, header};
use serde_json::Value as Json;

use super::super::desk::Desk;
use super::super::form::Form;
use super::super::show;
use super::{Who, page, reason_field};
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::params::Params;
use crate::routes::privacy::suppressions::digest;
use crate::work;

const ABOVE: (&str, &str) = ("/console/privacy", "Erasure & restriction");
/// Suppressions that the page of an erasure names.
const SUPPRESSIONS_SHOWN: usize = 20;

fn who(form: &Form) -> Who {
    Who { kind: form.trimmed("type").to_owned(), value: form.trimmed("value").to_owned() }
}

fn comprised(found: &Preview) -> Vec<Figure> {
    let figure = |label: &str, value: u64, note: String| Figure {
        label: label.to_owned(),
        value: thousands(value),
        note,
        ..Figure::default()
    };
    let shared = found.contact_points_shared;
    vec![
        figure("Events", found.events, format!("under {} sets of identifiers", thousands(found.fragments))),
        figure("Identifiers", found.identifiers, "suppressed from then on".to_owned()),
        figure(
            "Contact points",
            found.contact_points,
            if shared == 0 {
                "nobody else uses them".to_owned()
            } else {
                format!("of them {} stay: others use them too", thousands(shared))
            },
        ),
        figure("Consent decisions", found.consents, String::new()),
        figure("Export files", found.exports, "held ones that contain them; rows are taken out".to_owned()),
    ]
}

/// What an erasure comprises, and the form that asks for it.
async fn asked(desk: &Desk, who: &Who, reason: &str) -> Answer<cdp_console::pages::Page> {
    let (tenant, named) = (desk.tenant.clone(), who.clone());
    let found = work(true, move || tenant.preview_erasure(&named.kind, &named.value)).await??;
    let mut page = desk.below("Erase somebody", &[ABOVE]);
    desk.as_of(&mut page.frame);
    page.sections.push(Section::new("comprises", "", vec![Block::Figures(comprised(&found))]).bare());
    let fields = vec![
        Field::hidden("type", &who.kind),
        Field::hidden("value", &who.value),
        reason_field("reason", reason),
    ];
    let mut form = View::new("/console/privacy/erasures", "Erase for ever", fields);
    form.tone = Tone::Bad;
    let text = "When it is answered they are out of profiles, segments and audiences, the keys of their data are destroyed, and nothing that names them is taken in. It cannot be undone, not even with a backup.";
    let blocks = vec![Block::Text(text.to_owned()), Block::Form(form)];
    page.sections.push(Section::new("erase", "Erase for ever", blocks).width(Width::TwoThirds));
    let facts = vec![
        Fact::new("Identifier", Cell::text(format!("{} {}", who.kind, who.value))),
        Fact::new(
            "Person",
            Cell::go(format!("/console/profiles/{}", found.profile), found.profile.to_string()),
        ),
    ];
    page.sections.push(Section::new("who", "Whom", vec![Block::Facts(facts)]).width(Width::Third));
    Ok(page)
}

/// Counts what an erasure comprises; nothing is done.
pub(in super::super) async fn preview(State(_): State<App>, desk: Desk, form: Form) -> Answer<Response> {
    let who = who(&form);
    match asked(&desk, &who, "").await {
        Ok(page) => show::page(&page),
        Err(failure) => {
            let mut page = page::view(&desk, &who, "").await?;
            page.frame.notices.push(show::notice_of(&show::told(failure)?, &desk.request_id));
            show::wrong(&page)
        }
    }
}

/// Erases.
pub(in super::super) async fn erase(State(_): State<App>, desk: Desk, form: Form) -> Answer<Response> {
    let (who, reason) = (who(&form), form.trimmed("reason"));
    let by = desk.user.id.to_string();
    match desk.tenant.erase(&who.kind, &who.value, reason, &by).await {
        Ok(job) => show::done(&format!("/console/privacy/erasures/{job}"), "erased"),
        Err(refused) => {
            let failure = show::told(Failure::from(refused))?;
            let mut page = match asked(&desk, &who, reason).await {
                Ok(page) => page,
                Err(_) => page::view(&desk, &who, "").await?,
            };
            page.frame.notices.push(show::notice_of(&failure, &desk.request_id));
            show::wrong(&page)
        }
    }
}

fn parse(id: &str) -> Answer<JobId> {
    id.parse().map_err(|_| Failure::not_found("erasure"))
}

fn counts(certificate: &Json) -> Table {
    let row = |(name, count): (&String, &Json)| {
        vec![Cell::text(name.replace('_', " ")), Cell::number(show::number(count))]
    };
    Table {
        caption: "What was erased".to_owned(),
        head: vec!["What", "#How much"],
        rows: certificate["counts"].as_object().into_iter().flatten().map(row).collect(),
        more: None,
    }
}

/// The suppressions of an erasure that are in force, as far as the page names them. Blocks.
fn suppressed(tenant: &cdp_engine::Tenant, certificate: &Json) -> Vec<Cell> {
    let ids = certificate["suppressions"].as_array().into_iter().flatten().filter_map(Json::as_str);
    let in_force = ids.filter(|id| digest(id).is_some_and(|digest| tenant.suppression(digest).is_ok()));
    let go = |id: &str| Cell::go(format!("/console/privacy/suppressions/{id}"), show::short(id, 14));
    in_force.take(SUPPRESSIONS_SHOWN).map(go).collect()
}

fn recipients(certificate: &Json) -> Section {
    let row = |one: &Json| {
        let id = show::text(&one["export"]);
        vec![
            Cell::go(format!("/console/exports/{id}"), show::short(&id, 16)),
            if one["destination"].is_null() {
                Cell::text("a file for download")
            } else {
                Cell::text(show::text(&one["destination"]))
            },
        ]
    };
    let rows: Vec<_> = certificate["recipients"].as_array().into_iter().flatten().map(row).collect();
    let block = if rows.is_empty() {
        show::nothing("No export told anybody of them.", None, "")
    } else {
        let caption = "Exports that told of them".to_owned();
        Block::Table(Table { caption, head: vec!["Export", "To"], rows, more: None })
    };
    Section::new("recipients", "Who received them", vec![block])
        .note("incremental destinations are told by their next run; files that were fetched are with who fetched them")
        .width(Width::Half)
}

/// An erasure: how far it is, and its certificate.
pub(in super::super) async fn detail(
    State(app): State<App>,
    desk: Desk,
    Path(id): Path<String>,
    params: Params,
) -> Answer<Response> {
    let job = parse(&id)?;
    let tenant = desk.tenant.clone();
    let (certificate, suppressed) = work(true, move || {
        let certificate = tenant.erasure(job)?;
        let suppressed = suppressed(&tenant, &certificate);
        Ok::<_, cdp_engine::Refused>((certificate, suppressed))
    })
    .await??;
    let over = certificate["status"] == "done";
    let mut page = desk.below("Erasure", &[ABOVE]);
    desk.as_of(&mut page.frame);
    desk.done(&params, &mut page.frame);
    if over {
        page.actions.push(Link::new(format!("/console/privacy/erasures/{id}/certificate"), "Certificate"));
    } else if let Some(view) = app.engine().jobs().get(desk.tenant.no(), job) {
        let section = Section::new("job", "What is left of it", vec![Block::Jobs(vec![show::job(&view)])]);
        page.sections.push(section.note("files and the timeline are written anew").refresh(1_000));
    }
    if !over {
        page.frame.notices.push(Notice {
            tone: Tone::Accent,
            title: "They are out of everything; what is left on disk is being written anew.".to_owned(),
            ..Notice::default()
        });
    }
    let text = |name: &str| Cell::text(show::text(&certificate[name]));
    let mut facts = vec![
        Fact::new("Status", show::badge(certificate["status"].as_str().unwrap_or("–"))),
        Fact::new("Reason", text("reason")),
        Fact::new("Asked for", desk.at_text(&certificate["requested_at"])),
        Fact::new("By", Cell::code(show::text(&certificate["requested_by"]))),
        Fact::new("Ended", desk.at_text(&certificate["completed_at"])),
        Fact::new("With record", Cell::code(show::text(&certificate["position"]))),
    ];
    if !suppressed.is_empty() {
        facts.push(Fact::new("Suppressions in force", Cell::Many(suppressed)));
    }
    if let Some(hash) = certificate["chains"]["audit"]["hash"].as_str() {
        facts.push(Fact::new("Audit log, hash", Cell::code(hash)));
    }
    page.sections.push(Section::new("about", "About", vec![Block::Facts(facts)]).width(Width::Half));
    let blocks = vec![Block::Table(counts(&certificate))];
    page.sections.push(Section::new("counts", "What was erased", blocks).width(Width::Half));
    if over {
        page.sections.push(recipients(&certificate));
    }
    let blocks = vec![Block::Folded(
        "As JSON".to_owned(),
        vec![Block::Code(String::new(), show::pretty_answer(&certificate))],
    )];
    page.sections.push(Section::new("json", "For programs", blocks).width(Width::Half));
    show::page(&page)
}

/// The certificate as a file.
pub(in super::super) async fn certificate(
    State(_): State<App>,
    desk: Desk,
    Path(id): Path<String>,
) -> Answer<Response> {
    let job = parse(&id)?;
    let certificate = work(true, move || desk.tenant.erasure(job)).await??;
    let name = format!("attachment; filename=\"erasure-{job}.json\"");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_str(&name).map_err(Failure::internal)?),
    ];
    Ok((headers, show::pretty_answer(&certificate)).into_response())
}
