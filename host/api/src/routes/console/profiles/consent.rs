//! What a person agreed to: for every contact point and purpose, with every decision.

use cdp_console::blocks::{Block, Cell, Section, Table};
use cdp_engine::consent::ContactView;
use cdp_engine::profiles::ProfileView;

use super::super::desk::Desk;
use super::super::show;
use crate::error::{Answer, Failure};
use crate::work;

/// Contact points that a page shows.
const POINTS_MAX: usize = 12;
/// Decisions of each.
const DECISIONS_MAX: usize = 30;

/// What is known of a contact point, as blocks.
pub(crate) fn blocks(desk: &Desk, view: &ContactView) -> Vec<Block> {
    let row = |one: &cdp_engine::consent::Holding| {
        vec![
            Cell::text(one.purpose.as_str()),
            show::badge(one.status),
            desk.at(one.at),
            desk.maybe_at(one.expires_at),
        ]
    };
    let held = Table {
        caption: "What holds now".to_owned(),
        head: vec!["Purpose", "Status", "Decided", "Ends by itself"],
        rows: view.consents.iter().map(row).collect(),
        more: None,
    };
    let row = |one: &serde_json::Value| {
        let said = ["method", "policy_version", "evidence", "text"].iter().filter_map(|name| {
            let value = &one[*name];
            (!value.is_null())
                .then(|| format!("{}: {}", name.replace('_', " "), show::short(&show::text(value), 80)))
        });
        vec![
            desk.at_text(&one["time"]),
            Cell::text(show::text(&one["purpose"])),
            show::badge(one["status"].as_str().unwrap_or("–")),
            Cell::text(show::text(&one["source"])),
            Cell::text(said.collect::<Vec<_>>().join(" · ")),
        ]
    };
    let history = Table {
        caption: "Every decision, newest first".to_owned(),
        head: vec!["When", "Purpose", "Said", "Source", "Evidence"],
        rows: view.history.iter().take(DECISIONS_MAX).map(row).collect(),
        more: None,
    };
    let mut blocks = Vec::new();
    if held.rows.is_empty() {
        blocks.push(Block::Text("Nothing was ever decided about it: unknown means no.".to_owned()));
    } else {
        blocks.push(Block::Table(held));
        blocks.push(Block::Folded(
            format!("{} decisions with their evidence", view.history.len()),
            vec![Block::Table(history)],
        ));
    }
    if view.profiles.len() > 1 {
        let others = format!(
            "{} people use this contact point and share what was decided about it.",
            view.profiles.len()
        );
        blocks.push(Block::Text(others));
    }
    blocks
}

/// What a contact point is called.
pub(crate) fn title(view: &ContactView) -> String {
    let verified = match view.verified {
        Some(true) => ", verified",
        Some(false) => ", not verified",
        None => "",
    };
    format!("{}: {}{verified}", view.point.channel, view.point.address)
}

/// The consents as sections.
pub(super) async fn sections(desk: &Desk, view: &ProfileView) -> Answer<Vec<Section>> {
    let points: Vec<_> = view.channels.iter().take(POINTS_MAX).map(|one| one.contact.clone()).collect();
    if points.is_empty() {
        let what = "No event named a contact point of this person, so no channel reaches them.";
        return Ok(vec![Section::new("points", "Consent", vec![show::nothing(what, None, "")])]);
    }
    let tenant = desk.tenant.clone();
    let views = work(true, move || -> Result<Vec<ContactView>, Failure> {
        points.iter().map(|point| Ok(tenant.contact_point(&point.channel, &point.address)?)).collect()
    })
    .await??;
    const IDS: [&str; POINTS_MAX] =
        ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11"];
    let section = |(n, one): (usize, &ContactView)| Section::new(IDS[n], title(one), blocks(desk, one));
    Ok(views.iter().enumerate().map(section).collect())
}
