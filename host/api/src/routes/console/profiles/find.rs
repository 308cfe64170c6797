//! Finding a person by an identifier. The identifier travels in the body of a form, never in an address.

use axum::extract::State;
use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Section, Table};
use cdp_console::chart::thousands;
use cdp_console::form::{Field, Form as View};
use cdp_console::pages::Page;
use cdp_domain::ids::FragmentId;
use cdp_engine::{Refused, Tenant};

use super::super::desk::Desk;
use super::super::form::Form;
use super::super::show;
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::params::Params;
use crate::work;

/// Types of identifiers that senders usually have.
const USUAL: [&str; 9] = [
    "email",
    "phone",
    "user_id",
    "customer_id",
    "loyalty_id",
    "crm_id",
    "order_id",
    "anonymous_id",
    "device_id",
];

/// The types that may be meant: those of the rules, and the usual ones.
pub(crate) fn kinds(tenant: &Tenant) -> Vec<String> {
    let mut kinds: Vec<String> =
        tenant.identity_rules().types.iter().map(|rule| rule.kind.to_string()).collect();
    kinds.extend(USUAL.iter().map(ToString::to_string));
    kinds.sort();
    kinds.dedup();
    kinds
}

/// Whom a value may belong to, whatever its type: the type and the profile. Blocks.
///
/// # Errors
/// The engine's.
pub(crate) fn anybody(tenant: &Tenant, value: &str) -> Result<Vec<(String, FragmentId)>, Failure> {
    let mut found: Vec<(String, FragmentId)> = Vec::new();
    for kind in kinds(tenant) {
        match tenant.lookup(&kind, value) {
            Ok(profile) if found.iter().all(|(_, id)| *id != profile.id) => found.push((kind, profile.id)),
            Ok(_) | Err(Refused::NotFound(_) | Refused::Invalid(_)) => {}
            Err(refused) => return Err(refused.into()),
        }
    }
    Ok(found)
}

fn view(desk: &Desk, kind: &str, value: &str) -> Page {
    let mut page = desk.page("Profiles");
    desk.as_of(&mut page.frame);
    let stats = desk.tenant.stats();
    page.intro = format!(
        "{} people are known by {} sets of identifiers. A person is found by any identifier that an event named them by.",
        thousands(stats.profiles),
        thousands(stats.fragments),
    );
    let fields = vec![
        Field::text("type", "Identifier")
            .value(kind)
            .suggest(kinds(&desk.tenant))
            .hint("empty looks through all"),
        Field::text("value", "Value").value(value).required().hint("in full, in any spelling"),
    ];
    let form = View::new("/console/profiles", "Find", fields).inline();
    page.sections.push(Section::new("find", "Find a person", vec![Block::Form(form)]));
    if stats.profiles == 0 {
        let first = super::super::events::live::first(desk);
        page.sections.push(Section::new("first", "Nobody is known yet", vec![first]));
    }
    page
}

/// The form.
pub(in super::super) async fn page(desk: Desk, params: Params) -> Answer<Response> {
    let mut page = view(&desk, "", "");
    desk.done(&params, &mut page.frame);
    let tenant = desk.tenant.clone();
    let some = work(true, move || -> cdp_engine::Result<_> {
        let mut rows = Vec::new();
        for segment in tenant.segments().into_iter().filter(|one| one.size > 0).take(4) {
            for id in tenant.members(&segment.name, 3, None)?.items {
                rows.push((id, segment.name.clone()));
            }
        }
        Ok(rows)
    })
    .await??;
    if !some.is_empty() {
        let row = |(id, segment): (FragmentId, compact_str::CompactString)| {
            vec![
                Cell::go(format!("/console/profiles/{id}"), id.to_string()),
                Cell::go(format!("/console/segments/{}", show::step(&segment)), segment.as_str()),
            ]
        };
        let table = Table {
            caption: "Some people, by segment".to_owned(),
            head: vec!["Profile", "Member of"],
            rows: some.into_iter().map(row).collect(),
            more: None,
        };
        page.sections.push(Section::new("some", "Some of them", vec![Block::Table(table)]));
    }
    show::page(&page)
}

/// Finds.
pub(in super::super) async fn find(State(_): State<App>, desk: Desk, form: Form) -> Answer<Response> {
    let (kind, value) = (form.trimmed("type").to_owned(), form.trimmed("value").to_owned());
    let (tenant, asked) = (desk.tenant.clone(), (kind.clone(), value.clone()));
    let found = work(true, move || -> Result<Vec<(String, FragmentId)>, Failure> {
        let (kind, value) = asked;
        if kind.is_empty() {
            return anybody(&tenant, &value);
        }
        Ok(vec![(kind.clone(), tenant.lookup(&kind, &value)?.id)])
    })
    .await?;
    let failure = match found {
        Ok(found) => match &found[..] {
            [(_, id)] => return Ok(show::see(&format!("/console/profiles/{id}"))),
            [] => Failure::not_found("person"),
            several => {
                let mut page = view(&desk, &kind, &value);
                let row = |(kind, id): &(String, FragmentId)| {
                    vec![Cell::go(format!("/console/profiles/{id}"), id.to_string()), Cell::text(kind)]
                };
                let table = Table {
                    caption: "People with this identifier".to_owned(),
                    head: vec!["Profile", "By"],
                    rows: several.iter().map(row).collect(),
                    more: None,
                };
                page.sections.push(Section::new(
                    "found",
                    "Several people have it",
                    vec![Block::Table(table)],
                ));
                return show::page(&page);
            }
        },
        Err(failure) => show::told(failure)?,
    };
    let mut page = view(&desk, &kind, &value);
    page.frame.notices.push(show::notice_of(&failure, &desk.request_id));
    show::wrong(&page)
}
