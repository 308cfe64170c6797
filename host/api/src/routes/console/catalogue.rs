//! The event catalogue: what types come, what they carry, and what they should carry.

use axum::extract::{Path, State};
use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Fact, Figure, Section, Table, Width};
use cdp_console::chart::{Bars, thousands};
use cdp_console::form::{Choice, Field as FormField, Form as View, Kind};
use cdp_console::pages::Page;
use cdp_domain::value::Value;
use cdp_engine::catalogue::{Field, Mode, TypeView};

use super::desk::Desk;
use super::form::Form;
use super::{May, show};
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::params::Params;
use crate::work;

/// Types that the picture of volumes has.
const DRAWN_MAX: usize = 12;

/// The page of all types.
pub(super) async fn page(desk: Desk, params: Params) -> Answer<Response> {
    let mut page = desk.page("Event catalogue");
    desk.as_of(&mut page.frame);
    desk.done(&params, &mut page.frame);
    page.intro = "Written by what comes: every event type with its properties as they were seen. A schema says what they should be.".to_owned();
    let mut types = desk.tenant.event_types();
    types.sort_by(|a, b| b.volume.cmp(&a.volume).then(a.kind.cmp(&b.kind)));
    let row = |one: &TypeView| {
        let schema = one.schema.as_ref().map_or(Cell::None, |schema| {
            Cell::text(format!("version {}, {}", schema.version, schema.mode.as_str()))
        });
        vec![
            Cell::go(format!("/console/catalogue/{}", show::step(&one.kind)), one.kind.as_str()),
            Cell::number(thousands(one.volume)),
            Cell::number(one.properties.len().to_string()),
            Cell::number(one.traits.len().to_string()),
            desk.maybe_at(one.first_seen),
            desk.maybe_at(one.last_received),
            schema,
        ]
    };
    if types.is_empty() {
        page.sections.push(Section::new("types", "", vec![super::events::live::first(&desk)]));
        return show::page(&page);
    }
    let bars = types.iter().take(DRAWN_MAX).map(|one| (one.kind.to_string(), one.volume, Default::default()));
    let mut bars = Bars::of("", None, bars.collect());
    for (bar, one) in bars.items.iter_mut().zip(&types) {
        bar.href = format!("/console/catalogue/{}", show::step(&one.kind));
    }
    page.sections.push(Section::new("volumes", "Volume by type", vec![Block::Bars(bars)]));
    let table = Table {
        caption: "Event types".to_owned(),
        head: vec!["Type", "#Events", "#Properties", "#Traits", "First happened", "Last received", "Schema"],
        rows: types.iter().take(show::ROWS_MAX).map(row).collect(),
        more: None,
    };
    page.sections.push(Section::new("types", "Types", vec![Block::Table(table)]).refresh(10_000));
    show::page(&page)
}

fn fields(id: &'static str, title: &str, all: &[Field], more: bool) -> Section {
    let row = |one: &Field| vec![Cell::code(one.name.as_str()), Cell::text(one.types.join(", "))];
    let mut blocks = Vec::new();
    if all.is_empty() {
        blocks.push(Block::Text("None was seen.".to_owned()));
    } else {
        blocks.push(Block::Table(Table {
            caption: title.to_owned(),
            head: vec!["Name", "Types that were seen"],
            rows: all.iter().take(2 * show::ROWS_MAX).map(row).collect(),
            more: None,
        }));
    }
    if more {
        blocks.push(Block::Text("There are others, which are not listed.".to_owned()));
    }
    Section::new(id, title, blocks).width(Width::Half)
}

fn schema_form(kind: &str, view: &TypeView, given: Option<&Form>) -> Section {
    let known = view.schema.as_ref();
    let mode = known.map_or("quarantine", |schema| schema.mode.as_str());
    let text = |part: Option<&serde_json::Value>| part.map(show::pretty_answer).unwrap_or_default();
    let was = |name: &str, else_: String| given.map_or(else_, |form| form.get(name).to_owned());
    let fields = vec![
        FormField::new(
            "mode",
            "An event that violates it",
            Kind::Select(Choice::named(
                &[
                    ("block", "is refused"),
                    ("omit", "loses the values at fault"),
                    ("quarantine", "is accepted and kept out of state"),
                ],
                &was("mode", mode.to_owned()),
            )),
        ),
        FormField::new("properties", "Schema of properties (JSON Schema)", Kind::Lines(12))
            .value(was("properties", text(known.and_then(|schema| schema.properties.as_ref()))))
            .hint("empty means no demand"),
        FormField::new("traits", "Schema of traits", Kind::Lines(4))
            .value(was("traits", text(known.and_then(|schema| schema.traits.as_ref())))),
    ];
    let to = format!("/console/catalogue/{}/schema", show::step(kind));
    let form = View::new(to, if known.is_some() { "Change the schema" } else { "Demand this" }, fields);
    Section::new("schema", "Schema", vec![Block::Form(form)]).note("in force for events that come after it")
}

async fn view(desk: &Desk, kind: &str, given: Option<&Form>) -> Answer<Page> {
    let (tenant, asked) = (desk.tenant.clone(), kind.to_owned());
    let (view, sample) = work(true, move || tenant.event_type(&asked)).await??;
    let mut page = desk.below(kind, &[("/console/catalogue", "Event catalogue")]);
    desk.as_of(&mut page.frame);
    let figure = |label: &str, value: String| Figure { label: label.to_owned(), value, ..Figure::default() };
    let day = |at: Option<cdp_domain::time::Timestamp>| {
        at.map_or("–".to_owned(), |at| desk.zone.show(at, "%-d %b %Y"))
    };
    let figures = vec![
        figure("Events", thousands(view.volume)),
        figure("First happened", day(view.first_seen)),
        figure("Last happened", day(view.last_seen)),
        figure(
            "Last received",
            view.last_received.map_or("–".to_owned(), |at| desk.zone.show(at, "%-d %b, %H:%M")),
        ),
    ];
    page.sections.push(Section::new("figures", "", vec![Block::Figures(figures)]).bare());
    page.sections.push(fields("properties", "Properties", &view.properties, view.more_properties));
    page.sections.push(fields("traits", "Traits that it writes", &view.traits, view.more_traits));
    let block = match sample {
        Some(event) => Block::Code(String::new(), show::pretty(&event)),
        None => Block::Text("There is none: nothing came, or the person was erased.".to_owned()),
    };
    page.sections.push(Section::new("sample", "The newest of them", vec![block]).width(Width::Half));
    if desk.may(May::Extend) {
        page.sections.push(schema_form(kind, &view, given).width(Width::Half));
    } else if let Some(schema) = &view.schema {
        let facts = vec![
            Fact::new("Version", Cell::text(schema.version.to_string())),
            Fact::new("A violation", Cell::text(schema.mode.as_str())),
        ];
        page.sections.push(Section::new("schema", "Schema", vec![Block::Facts(facts)]).width(Width::Half));
    }
    Ok(page)
}

/// The page of a type.
pub(super) async fn detail(
    State(_): State<App>,
    desk: Desk,
    Path(kind): Path<String>,
    params: Params,
) -> Answer<Response> {
    let mut page = view(&desk, &kind, None).await?;
    desk.done(&params, &mut page.frame);
    show::page(&page)
}

/// Gives a type a schema, or takes it.
pub(super) async fn schema(
    State(_): State<App>,
    desk: Desk,
    Path(kind): Path<String>,
    form: Form,
) -> Answer<Response> {
    let put = async {
        let mode = Mode::ALL
            .into_iter()
            .map(Mode::as_str)
            .find(|mode| *mode == form.get("mode"))
            .unwrap_or("quarantine");
        let mut members = vec![("mode", Value::from(mode))];
        for name in ["properties", "traits"] {
            if !form.trimmed(name).is_empty() {
                members.push((name, show::read(form.get(name))?));
            }
        }
        if members.len() == 1 {
            desk.tenant.delete_schema(&kind).await?;
            return Ok("removed");
        }
        desk.tenant.put_schema(&kind, &show::object(members)).await?;
        Ok::<_, Failure>("schema")
    };
    match put.await {
        Ok(word) => show::done(&format!("/console/catalogue/{}", show::step(&kind)), word),
        Err(failure) => {
            let failure = show::told(failure)?;
            let mut page = view(&desk, &kind, Some(&form)).await?;
            page.frame.notices.push(show::notice_of(&failure, &desk.request_id));
            show::wrong(&page)
        }
    }
}
