//! Everything about erasure and restriction on one page, and the same about one person.

use axum::extract::{Path, State};
use axum::response::Response;
use cdp_console::blocks::{Action, Block, Cell, Section, Table, Tone, Width};
use cdp_console::pages::Page;
use cdp_domain::ids::{FragmentId, JobId};
use cdp_engine::privacy::{Restriction, restriction_id};
use cdp_engine::profiles::ProfileView;
use serde_json::Value as Json;

use super::super::desk::Desk;
use super::super::profiles::detail::name_of;
use super::super::show;
use super::{Who, access_form, erase_form, restrict_form};
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::params::Params;
use crate::work;

/// Erasures and restrictions that the page shows.
const SHOWN: usize = show::ROWS_MAX;
/// Erasures that are looked through for the newest.
const READ_MAX: usize = 5_000;
const READ_AT_ONCE: usize = 1_000;

/// What the page tells.
struct Told {
    erasures: Vec<Json>,
    restrictions: Vec<Restriction>,
}

/// The newest erasures, and the restrictions in force. Blocks.
fn tell(tenant: &cdp_engine::Tenant) -> cdp_engine::Result<Told> {
    let (mut erasures, mut after) = (Vec::new(), None::<JobId>);
    loop {
        let page = tenant.erasures(READ_AT_ONCE, after)?;
        erasures.extend(page.items);
        after = page.next.filter(|_| erasures.len() < READ_MAX);
        if after.is_none() {
            break;
        }
    }
    erasures.sort_by(|a, b| b["requested_at"].as_str().cmp(&a["requested_at"].as_str()));
    erasures.truncate(SHOWN);
    Ok(Told { erasures, restrictions: tenant.restrictions(SHOWN, None)?.items })
}

fn erasures(desk: &Desk, all: &[Json]) -> Section {
    let row = |one: &Json| {
        let id = show::text(&one["id"]);
        vec![
            Cell::go(format!("/console/privacy/erasures/{id}"), desk.at_words(&one["requested_at"])),
            show::badge(one["status"].as_str().unwrap_or("–")),
            Cell::text(show::short(&show::text(&one["reason"]), 120)),
            Cell::number(show::number(&one["counts"]["events"])),
            desk.at_text(&one["completed_at"]),
        ]
    };
    let under_way = all.iter().any(|one| one["status"] == "running");
    let block = if all.is_empty() {
        show::nothing(
            "Nobody was erased. An erasure takes somebody out of everything, destroys the keys of their data, and gives a certificate.",
            None,
            "",
        )
    } else {
        Block::Table(Table {
            caption: "Erasures, newest first".to_owned(),
            head: vec!["Asked for", "Status", "Reason", "#Events", "Ended"],
            rows: all.iter().map(row).collect(),
            more: None,
        })
    };
    Section::new("erasures", "Erasures", vec![block]).refresh(if under_way { 1_000 } else { 0 })
}

fn restrictions(desk: &Desk, all: &[Restriction]) -> Section {
    let row = |one: &Restriction| {
        vec![
            Cell::code(restriction_id(one.id)),
            Cell::go(format!("/console/profiles/{}", one.profile), show::short(&one.profile.to_string(), 16)),
            Cell::text(show::short(&one.reason, 120)),
            desk.at(one.at),
            Cell::Do(Action {
                to: format!("/console/privacy/restrictions/{}/lift", restriction_id(one.id)),
                label: "Lift".to_owned(),
                tone: Tone::Bad,
                ask: "They are in segments and audiences again as the rules say.".to_owned(),
                ..Action::default()
            }),
        ]
    };
    let block = if all.is_empty() {
        show::nothing(
            "Nobody is restricted. Who is restricted is kept, and is in no segment, no audience and no ranking.",
            None,
            "",
        )
    } else {
        Block::Table(Table {
            caption: "Restrictions in force, oldest first".to_owned(),
            head: vec!["Restriction", "Person", "Reason", "Since", ""],
            rows: all.iter().map(row).collect(),
            more: None,
        })
    };
    Section::new("restrictions", "Restrictions in force", vec![block])
}

fn forms(desk: &Desk, page: &mut Page, who: &Who, reason: &str) {
    let erase = Section::new("erase", "Erase somebody", vec![Block::Form(erase_form(&desk.tenant, who))]);
    page.sections
        .push(erase.note("first it is counted what that comprises; nothing is done yet").width(Width::Half));
    let form = restrict_form(&desk.tenant, who, reason);
    let restrict = Section::new("restrict", "Restrict somebody", vec![Block::Form(form)]);
    page.sections.push(restrict.note("everything is kept, and goes on being taken in").width(Width::Half));
}

/// The page, with what was typed before.
pub(super) async fn view(desk: &Desk, who: &Who, reason: &str) -> Answer<Page> {
    let tenant = desk.tenant.clone();
    let told = work(true, move || tell(&tenant)).await??;
    let mut page = desk.page("Erasure & restriction");
    desk.as_of(&mut page.frame);
    page.intro = "What people have a right to: to be forgotten, and that what is held about them is not used. Both hold at once, also for what comes later, and stand in the audit log.".to_owned();
    forms(desk, &mut page, who, reason);
    page.sections.push(restrictions(desk, &told.restrictions));
    page.sections.push(erasures(desk, &told.erasures));
    Ok(page)
}

/// The page.
pub(in super::super) async fn page(State(_): State<App>, desk: Desk, params: Params) -> Answer<Response> {
    let mut page = view(&desk, &Who::default(), "").await?;
    desk.done(&params, &mut page.frame);
    show::page(&page)
}

/// The identifier by which somebody is named in the forms: a strong one first.
fn named(view: &ProfileView) -> Who {
    let strong = ["user_id", "customer_id", "email", "phone"];
    let of = |kind: &&str| view.identifiers.iter().find(|one| one.kind == **kind);
    let one = strong.iter().find_map(of).or_else(|| view.identifiers.first());
    one.map(|one| Who { kind: one.kind.to_string(), value: one.value.to_string() }).unwrap_or_default()
}

/// The forms about one person, whose identifier travels in no address.
pub(in super::super) async fn of_person(
    State(_): State<App>,
    desk: Desk,
    Path(id): Path<String>,
) -> Answer<Response> {
    let id: FragmentId = id.parse().map_err(|_| Failure::not_found("profile"))?;
    let tenant = desk.tenant.clone();
    let view = work(true, move || tenant.profile(id)).await??;
    let (name, above) = (name_of(&view), format!("/console/profiles/{}", view.id));
    let mut page =
        desk.below("Privacy", &[("/console/profiles", "Profiles"), (above.as_str(), name.as_str())]);
    desk.as_of(&mut page.frame);
    let who = named(&view);
    let access =
        Section::new("access", "Give them what is held", vec![Block::Form(access_form(&desk.tenant, &who))]);
    page.sections.push(access.note("everything about them, in one document"));
    forms(&desk, &mut page, &who, "");
    show::page(&page)
}
