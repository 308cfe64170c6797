//! Trying a version on events: captured ones, or what somebody types. Nothing of it is kept.

use axum::extract::{Path, State};
use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Fact, Section, Width};
use cdp_console::chart::thousands;
use cdp_console::form::{Choice, Field, Form as View, Kind};
use cdp_console::pages::Page;
use cdp_domain::value::Value;
use cdp_engine::Tenant;
use cdp_engine::plugins::PluginInfo;
use cdp_engine::trial::Tried;

use super::super::desk::Desk;
use super::super::form::Form;
use super::super::show;
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::params::Params;
use crate::work;

/// Types of which the newest event is offered.
const CAPTURED: usize = 5;

/// The newest event of the largest types. Blocks.
fn captured(tenant: &Tenant) -> Vec<Value> {
    let mut types = tenant.event_types();
    types.sort_by_key(|one| std::cmp::Reverse(one.volume));
    types.iter().take(CAPTURED).filter_map(|one| tenant.event_type(&one.kind).ok()?.1).collect()
}

fn view(desk: &Desk, info: &PluginInfo, version: &str, events: &str, config: &str) -> Page {
    let step = show::step(&info.name);
    let above = format!("/console/plugins/{step}");
    let mut page =
        desk.below("Try on events", &[("/console/plugins", "Plugins"), (above.as_str(), info.name.as_str())]);
    desk.as_of(&mut page.frame);
    let choices = info.versions.iter().rev().map(|one| {
        let value = one.version.to_string();
        Choice { chosen: value == version, text: format!("version {value}"), value }
    });
    let fields = vec![
        Field::new("version", "Version", Kind::Select(choices.collect())),
        Field::new("events", "Events", Kind::Lines(22))
            .value(events)
            .required()
            .hint("a JSON array; at first the newest event of each of the largest types"),
        Field::new("config", "Settings", Kind::Lines(3)).value(config).hint("empty: those that it runs with"),
    ];
    let form = View::new(format!("/console/plugins/{step}/try"), "Run it on these", fields);
    let section = Section::new("try", "", vec![Block::Form(form)]);
    page.sections.push(section.note("nothing of it is kept").width(Width::Half));
    page
}

fn outcome(tried: &Tried) -> Section {
    let mut facts = vec![
        Fact::new("Took", Cell::text(format!("{} µs", thousands(tried.elapsed_us)))),
        Fact::new("Fuel", Cell::text(thousands(tried.fuel))),
        Fact::new("Memory", Cell::text(show::bytes(tried.memory_bytes))),
        Fact::new("Runs", Cell::text(tried.runs.to_string())),
    ];
    for one in &tried.skipped {
        facts.push(Fact::new(
            format!("Event {} left out", one.index),
            Cell::text(show::sentence(&one.reason)),
        ));
    }
    let mut blocks = vec![
        Block::Facts(facts),
        Block::Code("What it made of them".to_owned(), show::pretty_answer(&tried.outputs)),
    ];
    if !tried.log.is_empty() {
        let lines = serde_json::to_value(&tried.log).unwrap_or_default();
        let lines = lines.as_array().into_iter().flatten();
        let lines: Vec<_> = lines
            .map(|line| format!("{}: {}", show::text(&line["level"]), show::text(&line["message"])))
            .collect();
        blocks.push(Block::Code("What it wrote down".to_owned(), lines.join("\n")));
    }
    Section::new("outcome", "What came of it", blocks).width(Width::Half)
}

/// The form with captured events.
pub(in super::super) async fn page(
    State(_): State<App>,
    desk: Desk,
    Path(name): Path<String>,
    params: Params,
) -> Answer<Response> {
    let info = desk.tenant.plugin(&name)?;
    let newest = info.versions.last().map_or(1, |version| version.version).to_string();
    let version = params.get("version").unwrap_or(&newest).to_owned();
    let tenant = desk.tenant.clone();
    let events = work(true, move || captured(&tenant)).await?;
    show::page(&view(&desk, &info, &version, &show::pretty(&Value::List(events)), ""))
}

/// Runs a version on the events of the form.
pub(in super::super) async fn run(
    State(_): State<App>,
    desk: Desk,
    Path(name): Path<String>,
    form: Form,
) -> Answer<Response> {
    let info = desk.tenant.plugin(&name)?;
    let tried = async {
        let version: u32 = form.get("version").parse().map_err(|_| Failure::not_found("version"))?;
        let events = match show::read(form.get("events"))? {
            list @ Value::List(_) => list,
            one => Value::List(vec![one]),
        };
        let mut members = vec![("events", events)];
        if !form.trimmed("config").is_empty() {
            members.push(("config", show::read(form.get("config"))?));
        }
        Ok::<_, Failure>(desk.tenant.try_plugin(&name, version, &show::object(members)).await?)
    };
    let mut page = view(&desk, &info, form.get("version"), form.get("events"), form.get("config"));
    match tried.await {
        Ok(tried) => {
            page.sections.push(outcome(&tried));
            show::page(&page)
        }
        Err(failure) => {
            page.frame.notices.push(show::notice_of(&show::told(failure)?, &desk.request_id));
            show::wrong(&page)
        }
    }
}
