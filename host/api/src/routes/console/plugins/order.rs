//! In which order transformers take their turns.

use axum::extract::State;
use axum::response::Response;
use cdp_console::blocks::{Action, Block, Cell, Section, Table, Width};

use super::super::desk::Desk;
use super::super::form::Form;
use super::super::{May, show};
use crate::app::App;
use crate::error::{Answer, Failure};

/// The order as a section; none where there is nothing to order.
pub(super) fn section(desk: &Desk) -> Option<Section> {
    let names = desk.tenant.transformer_order();
    if names.len() < 2 {
        return None;
    }
    let may = desk.may(May::Extend);
    let last = names.len() - 1;
    let row = |(n, name): (usize, &compact_str::CompactString)| {
        let action = |to: &'static str, label: &str| {
            Cell::Do(Action {
                to: "/console/plugins/+order".to_owned(),
                label: label.to_owned(),
                fields: vec![("plugin", name.to_string()), ("to", to.to_owned())],
                ..Action::default()
            })
        };
        let mut acts = Vec::new();
        if may && n > 0 {
            acts.push(action("earlier", "Earlier"));
        }
        if may && n < last {
            acts.push(action("later", "Later"));
        }
        vec![
            Cell::number((n + 1).to_string()),
            Cell::go(format!("/console/plugins/{}", show::step(name)), name.as_str()),
            Cell::Many(acts),
        ]
    };
    let table = Table {
        caption: "Transformers in the order of their turns".to_owned(),
        head: vec!["#Turn", "Plugin", ""],
        rows: names.iter().enumerate().map(row).collect(),
        more: None,
    };
    let section = Section::new("order", "Order of transformers", vec![Block::Table(table)]);
    Some(section.note("each sees what those before it made of an event").width(Width::Half))
}

/// Has a transformer take its turn earlier or later by one.
pub(in super::super) async fn order(State(_): State<App>, desk: Desk, form: Form) -> Answer<Response> {
    let mut names = desk.tenant.transformer_order();
    let at = names.iter().position(|name| name == form.get("plugin"));
    let at = at.ok_or_else(|| Failure::not_found("transformer"))?;
    let other = match form.get("to") {
        "earlier" => at.checked_sub(1),
        "later" => Some(at + 1).filter(|other| *other < names.len()),
        _ => None,
    };
    let other = other.ok_or_else(|| Failure::not_found("turn"))?;
    names.swap(at, other);
    desk.tenant.order_transformers(names).await?;
    show::done("/console/plugins", "ordered")
}
