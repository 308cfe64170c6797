//! The field at the top: finds a person, a segment, an event. What is looked for stays out of addresses.

use axum::extract::State;
use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Section, Table};
use cdp_domain::ids::FragmentId;

use super::desk::Desk;
use super::form::Form;
use super::{profiles, show};
use crate::app::App;
use crate::error::Answer;
use crate::work;

/// Segments, attributes and types that a page of results has of each.
const FOUND_MAX: usize = 20;

/// Finds.
pub(super) async fn search(State(_): State<App>, desk: Desk, form: Form) -> Answer<Response> {
    let wanted = form.trimmed("q").to_owned();
    if wanted.is_empty() {
        return Ok(show::see("/console/profiles"));
    }
    if let Ok(id) = wanted.parse::<FragmentId>() {
        return Ok(show::see(&format!("/console/profiles/{id}")));
    }
    if wanted.parse::<cdp_domain::ids::ExportId>().is_ok() {
        return Ok(show::see(&format!("/console/exports/{wanted}")));
    }
    if wanted.parse::<cdp_domain::ids::JobId>().is_ok() {
        return Ok(show::see(&format!("/console/jobs/{wanted}")));
    }
    let (tenant, value) = (desk.tenant.clone(), wanted.clone());
    let people = work(true, move || profiles::find::anybody(&tenant, &value)).await??;
    let low = wanted.to_lowercase();
    let hit = |text: &str| text.to_lowercase().contains(&low);
    let segments = desk.tenant.segments();
    let segments: Vec<_> = segments.iter().filter(|one| hit(&one.name) || hit(&one.title)).collect();
    let attributes = desk.tenant.attributes();
    let attributes: Vec<_> = attributes.iter().filter(|one| hit(&one.name)).collect();
    let types = desk.tenant.event_types();
    let types: Vec<_> = types.iter().filter(|one| hit(&one.kind)).collect();
    if let ([one], true) = (&people[..], segments.is_empty() && attributes.is_empty() && types.is_empty()) {
        return Ok(show::see(&format!("/console/profiles/{}", one.1)));
    }
    let mut rows = Vec::new();
    rows.extend(people.iter().map(|(kind, id)| {
        vec![
            Cell::text("Person"),
            Cell::go(format!("/console/profiles/{id}"), id.to_string()),
            Cell::text(format!("by {kind}")),
        ]
    }));
    rows.extend(segments.iter().take(FOUND_MAX).map(|one| {
        let to = format!("/console/segments/{}", show::step(&one.name));
        vec![Cell::text("Segment"), Cell::go(to, one.name.as_str()), Cell::text(&one.title)]
    }));
    rows.extend(attributes.iter().take(FOUND_MAX).map(|one| {
        let to = format!("/console/attributes/{}", show::step(&one.name));
        vec![Cell::text("Attribute"), Cell::go(to, one.name.as_str()), Cell::text(one.status)]
    }));
    rows.extend(types.iter().take(FOUND_MAX).map(|one| {
        let to = format!("/console/catalogue/{}", show::step(&one.kind));
        vec![Cell::text("Event type"), Cell::go(to, one.kind.as_str()), Cell::None]
    }));
    let mut page = desk.page("Found");
    let block = if rows.is_empty() {
        show::nothing(
            "Nothing has this name or this identifier. People are found by an identifier in full, such as an e-mail address or a customer number.",
            Some(("/console/profiles", "Look for a person by type and value")),
            "",
        )
    } else {
        let head = vec!["What", "Which", ""];
        Block::Table(Table { caption: "What was found".to_owned(), head, rows, more: None })
    };
    page.sections.push(Section::new("found", "", vec![block]));
    show::page(&page)
}
