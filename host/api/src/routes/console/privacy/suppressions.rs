//! Of whom nothing is taken in, and letting it in again.

use axum::extract::{Path, State};
use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Fact, Link, Section, Table, Tone, Width};
use cdp_console::form::Form as View;
use cdp_console::pages::Page;
use cdp_engine::privacy::{SuppressionView, suppression_id};

use super::super::desk::Desk;
use super::super::form::Form;
use super::super::show;
use super::reason_field;
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::params::Params;
use crate::routes::privacy::suppressions::digest;
use crate::work;

const AT: &str = "/console/privacy/suppressions";

fn parse(id: &str) -> Answer<[u8; 16]> {
    digest(id).ok_or_else(|| Failure::not_found("suppression"))
}

fn of(view: &SuppressionView) -> Cell {
    Cell::text(view.of.replace('_', " "))
}

fn erasure(view: &SuppressionView) -> Cell {
    let id = view.erasure.to_string();
    Cell::go(format!("/console/privacy/erasures/{id}"), show::short(&id, 16))
}

/// A page of the list.
pub(in super::super) async fn page(State(_): State<App>, desk: Desk, params: Params) -> Answer<Response> {
    let after = params.get("after").map(parse).transpose()?;
    let tenant = desk.tenant.clone();
    let found = work(true, move || tenant.suppressions(show::ROWS_MAX, after)).await??;
    let mut page = desk.page("Suppressions");
    desk.as_of(&mut page.frame);
    desk.done(&params, &mut page.frame);
    page.intro = "Nothing is taken in that names an identifier or a contact point of somebody who was erased, whichever way it comes. Only keyed digests are kept: a suppression tells nobody whom it is of. The certificate of an erasure names its suppressions.".to_owned();
    let row = |one: &SuppressionView| {
        let id = suppression_id(&one.digest);
        vec![Cell::go(format!("{AT}/{id}"), show::short(&id, 20)), of(one), desk.at(one.at), erasure(one)]
    };
    let more = found.next.map(|next| Link::new(format!("{AT}?after={}", suppression_id(&next)), "Go on"));
    let block = if found.items.is_empty() {
        let (what, next) = match after {
            None => (
                "Nobody is suppressed. An erasure suppresses every identifier and contact point of the person.",
                None,
            ),
            Some(_) => ("The list ends here.", Some((AT, "Back to its beginning"))),
        };
        show::nothing(what, next, if after.is_none() { "cdp suppressions list" } else { "" })
    } else {
        Block::Table(Table {
            caption: "Suppressions in force, in the order of their digests".to_owned(),
            head: vec!["Suppression", "Of", "Since", "Erasure"],
            rows: found.items.iter().map(row).collect(),
            more,
        })
    };
    page.sections.push(Section::new("list", "Suppressions in force", vec![block]));
    show::page(&page)
}

/// One of them, with the form that lifts it.
async fn view(desk: &Desk, id: &str, reason: &str) -> Answer<Page> {
    let (tenant, digest) = (desk.tenant.clone(), parse(id)?);
    let view = work(true, move || tenant.suppression(digest)).await??;
    let mut page = desk.below("Suppression", &[(AT, "Suppressions")]);
    desk.as_of(&mut page.frame);
    let mut form = View::new(format!("{AT}/{id}/lift"), "Lift", vec![reason_field("reason", reason)]);
    form.tone = Tone::Bad;
    let text = "Events are taken in again that name this identifier or contact point, from now on. What was erased stays erased, and consent begins unknown. The person’s other suppressions stay.";
    let blocks = vec![Block::Text(text.to_owned()), Block::Form(form)];
    page.sections.push(Section::new("lift", "Lift it", blocks).width(Width::TwoThirds));
    let facts = vec![
        Fact::new("Suppression", Cell::code(id)),
        Fact::new("Of", of(&view)),
        Fact::new("Since", desk.at(view.at)),
        Fact::new("Erasure", erasure(&view)),
    ];
    page.sections.push(Section::new("about", "About", vec![Block::Facts(facts)]).width(Width::Third));
    Ok(page)
}

/// The page of one.
pub(in super::super) async fn detail(
    State(_): State<App>,
    desk: Desk,
    Path(id): Path<String>,
) -> Answer<Response> {
    show::page(&view(&desk, &id, "").await?)
}

/// Lifts one.
pub(in super::super) async fn lift(
    State(_): State<App>,
    desk: Desk,
    Path(id): Path<String>,
    form: Form,
) -> Answer<Response> {
    let (digest, reason) = (parse(&id)?, form.trimmed("reason"));
    match desk.tenant.lift_suppression(digest, reason, &desk.user.id.to_string()).await {
        Ok(()) => show::done(AT, "let_in"),
        Err(refused) => {
            let failure = show::told(Failure::from(refused))?;
            let mut page = view(&desk, &id, reason).await?;
            page.frame.notices.push(show::notice_of(&failure, &desk.request_id));
            show::wrong(&page)
        }
    }
}
