//! Access requests: everything that is held about somebody, in one document for them.

use axum::extract::{Path, State};
use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Fact, Link, Section, Table, Width};
use cdp_console::chart::thousands;
use cdp_console::pages::Page;
use cdp_domain::time::Timestamp;
use cdp_engine::privacy::ACCESS_EVENTS_MAX;
use cdp_engine::{JobStatus, JobView};

use super::super::desk::Desk;
use super::super::form::Form;
use super::super::show;
use super::{Who, access_form};
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::params::Params;
use crate::routes::privacy::access::{ACCESS_REQUEST, AccessSummary, document, find};
use crate::work;

pub(super) const AT: &str = "/console/privacy/access";

fn going(job: &JobView) -> bool {
    matches!(job.status, JobStatus::Queued | JobStatus::Running)
}

/// When a request came, by the tenant's clock.
fn came(desk: &Desk, job: &JobView) -> Timestamp {
    let age = i64::try_from(job.age.as_millis()).unwrap_or(i64::MAX);
    Timestamp(desk.tenant.now().0.saturating_sub(age))
}

fn status(job: &JobView) -> Cell {
    show::badge(&show::job(job).status)
}

fn person(summary: &AccessSummary) -> Cell {
    let id = &summary.profile_id;
    Cell::go(format!("/console/profiles/{id}"), show::short(id, 16))
}

fn list(desk: &Desk, all: &[JobView]) -> Section {
    let row = |job: &JobView| {
        let summary = job.result.as_deref().map(AccessSummary::of);
        vec![
            Cell::go(format!("{AT}/{}", job.id), desk.when(came(desk, job)).local),
            status(job),
            summary.as_ref().map_or(Cell::None, person),
            summary.as_ref().map_or(Cell::None, |summary| Cell::number(thousands(summary.events))),
            if summary.is_some() {
                Cell::go(format!("{AT}/{}/document", job.id), "Download")
            } else {
                Cell::None
            },
        ]
    };
    let block = if all.is_empty() {
        let what = "No request is known. One puts together everything that is held about somebody: profile, events, decisions, derived values, segments and exports.";
        show::nothing(what, None, "cdp access-requests create email=ann@example.com --wait")
    } else {
        Block::Table(Table {
            caption: "Access requests, newest first".to_owned(),
            head: vec!["Asked for", "Status", "Person", "#Events", ""],
            rows: all.iter().take(show::ROWS_MAX).map(row).collect(),
            more: None,
        })
    };
    let refresh = if all.iter().any(going) { 1_000 } else { 0 };
    Section::new("requests", "Requests", vec![block])
        .note("since the server started, and until anybody is erased: documents are kept in memory only")
        .refresh(refresh)
}

/// The page, with what was typed before.
fn view(app: &App, desk: &Desk, who: &Who) -> Page {
    let mut all = app.engine().jobs().list(desk.tenant.no());
    all.retain(|job| job.kind == ACCESS_REQUEST);
    all.sort_by_key(|job| job.age);
    let mut page = desk.page("Access requests");
    desk.as_of(&mut page.frame);
    page.intro = "Somebody asks what is held about them: one document has all of it, and can be taken in elsewhere. Who asked for it here, and who downloaded it, stands in the audit log.".to_owned();
    let form = access_form(&desk.tenant, who);
    let note = "events that name somebody else too are counted and not given";
    page.sections.push(Section::new("ask", "Put together what is held", vec![Block::Form(form)]).note(note));
    page.sections.push(list(desk, &all));
    page
}

/// The page.
pub(in super::super) async fn page(State(app): State<App>, desk: Desk) -> Answer<Response> {
    show::page(&view(&app, &desk, &Who::default()))
}

/// Asks for a document.
pub(in super::super) async fn ask(State(app): State<App>, desk: Desk, form: Form) -> Answer<Response> {
    let who = Who { kind: form.trimmed("ask_type").to_owned(), value: form.trimmed("ask_value").to_owned() };
    let (tenant, named, by) = (desk.tenant.clone(), who.clone(), desk.user.id.to_string());
    match work(true, move || tenant.request_access(&named.kind, &named.value, &by)).await? {
        Ok(job) => Ok(show::see(&format!("{AT}/{job}"))),
        Err(refused) => {
            let mut page = view(&app, &desk, &who);
            page.frame.notices.push(show::notice_of(&show::told(Failure::from(refused))?, &desk.request_id));
            show::wrong(&page)
        }
    }
}

/// A request: how far it is, and what is in its document.
pub(in super::super) async fn detail(
    State(app): State<App>,
    desk: Desk,
    Path(id): Path<String>,
    params: Params,
) -> Answer<Response> {
    let job = find(&app, &desk.tenant, &id)?;
    let mut page = desk.below("Access request", &[(AT, "Access requests")]);
    desk.as_of(&mut page.frame);
    desk.done(&params, &mut page.frame);
    let mut facts =
        vec![Fact::new("Asked for", desk.at(came(&desk, &job))), Fact::new("Status", status(&job))];
    let Some(document) = job.result.as_deref() else {
        let mut blocks = vec![Block::Jobs(vec![show::job(&job)])];
        if !going(&job) {
            blocks.push(show::nothing("There is no document.", Some((AT, "Ask again")), ""));
        }
        let refresh = if going(&job) { 1_000 } else { 0 };
        page.sections.push(Section::new("job", "Putting it together", blocks).refresh(refresh));
        page.sections.push(Section::new("about", "About", vec![Block::Facts(facts)]).width(Width::Half));
        return show::page(&page);
    };
    let summary = AccessSummary::of(document);
    page.actions.push(Link::new(format!("{AT}/{id}/document"), "Download"));
    let made_at = Timestamp::parse(&summary.made_at).ok();
    facts.push(Fact::new("As of", desk.maybe_at(made_at)));
    facts.push(Fact::new("Person", person(&summary)));
    page.sections.push(Section::new("about", "About", vec![Block::Facts(facts)]).width(Width::Half));
    let number = |name: &str, count: u64, note: &str| Fact {
        note: note.to_owned(),
        ..Fact::new(name, Cell::number(thousands(count)))
    };
    let events = if summary.events_truncated {
        format!("the newest: a document holds {}", thousands(ACCESS_EVENTS_MAX as u64))
    } else {
        "all that may be given".to_owned()
    };
    let facts = vec![
        number("Events", summary.events, &events),
        number("Events left out", summary.events_left_out, "they name somebody else too"),
        number("Contact points", summary.channels, "with every decision about them"),
        number("Exports", summary.exports, "held ones that contain them"),
    ];
    page.sections
        .push(Section::new("document", "What is in it", vec![Block::Facts(facts)]).width(Width::Half));
    show::page(&page)
}

/// The document as a file.
pub(in super::super) async fn file(
    State(app): State<App>,
    desk: Desk,
    Path(id): Path<String>,
) -> Answer<Response> {
    document(&app, &desk.tenant, &id).await
}
