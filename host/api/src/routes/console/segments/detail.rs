//! One segment: its rule, its size over time, its members, who moved, what overlaps, and what uses it.

use axum::extract::{Path, State};
use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Fact, Figure, Link, Notice, Section, Table, Tone, Width};
use cdp_console::chart::{Bars, Line, percent, thousands};
use cdp_domain::json;
use cdp_domain::value::Value;
use cdp_engine::profiles::ProfileView;
use cdp_engine::segments::{Moved, Overlap, SegmentInfo, Size};
use cdp_engine::{Refused, Tenant};

use super::super::desk::Desk;
use super::super::overview::delta;
use super::super::profiles::detail::name_of;
use super::super::{May, show};
use super::draft::Cond;
use super::list::title;
use super::words;
use crate::app::App;
use crate::error::Answer;
use crate::params::Params;
use crate::work;

/// Days of the size over time, members and moves that a page shows.
const DAYS: i64 = 30;
const MEMBERS: usize = 20;
const MOVES: usize = 15;
/// Segments that it is compared with.
const OVERLAPS: usize = 6;

/// Everything that the page tells.
struct Told {
    info: SegmentInfo,
    members: Vec<ProfileView>,
    moves: Vec<Moved>,
    overlaps: Vec<(SegmentInfo, Overlap)>,
    used_by: Vec<(String, String)>,
}

fn refers(value: &Value, name: &str) -> bool {
    match value {
        Value::Object(object) => object
            .iter()
            .any(|(key, inner)| key == "segment" && inner.as_text() == Some(name) || refers(inner, name)),
        Value::List(items) => items.iter().any(|item| refers(item, name)),
        _ => false,
    }
}

fn tell(app: &App, tenant: &Tenant, name: &str) -> cdp_engine::Result<Told> {
    let info = tenant.segment(name)?;
    let members = tenant.members(name, MEMBERS, None)?.items;
    let members = members.into_iter().filter_map(|id| tenant.profile(id).ok()).collect();
    let moves = tenant.newest_changes(name, MOVES)?;
    let all = tenant.segments();
    let mut overlaps = Vec::new();
    for other in all.iter().filter(|other| other.name != name && other.status == "active").take(30) {
        overlaps.push((other.clone(), tenant.overlap(name, &other.name)?));
    }
    overlaps.sort_by_key(|(_, overlap)| std::cmp::Reverse(overlap.both));
    overlaps.truncate(OVERLAPS);
    let mut used_by: Vec<_> = all
        .iter()
        .filter(|other| refers(&other.rule, name))
        .map(|other| {
            (format!("/console/segments/{}", show::step(&other.name)), format!("segment {}", title(other)))
        })
        .collect();
    for schedule in app.exports().schedules(tenant) {
        if schedule["export"]["segment"] == name {
            used_by.push((
                "/console/exports/schedules".to_owned(),
                format!("schedule {}", show::text(&schedule["name"])),
            ));
        }
    }
    Ok(Told { info, members, moves, overlaps, used_by })
}

/// How large it was; None while that is being counted.
type Sizes = Option<Result<Vec<Size>, String>>;

/// The sizes over time, which are counted back over everybody who moved, with the size of now at their end.
async fn sizes_of(app: &App, tenant: &Tenant, info: &SegmentInfo) -> Sizes {
    let (of, name) = (tenant.clone(), info.name.to_string());
    let count = move || match of.segment_history(&name, DAYS) {
        Ok(sizes) => Ok(sizes),
        Err(Refused::Conflict(why)) => Err(why),
        Err(refused) => Err(refused.to_string()),
    };
    let key = (tenant.no(), info.name.to_string(), info.version, info.status);
    let mut sizes = app.console().sizes.get(key, count).await;
    if let Some(Ok(sizes)) = &mut sizes
        && let Some(last) = sizes.last_mut()
    {
        *last = Size { at: info.as_of, size: info.size };
    }
    sizes
}

fn sizes(desk: &Desk, info: &SegmentInfo, sizes: &Sizes) -> Section {
    let section = |block| {
        Section::new("sizes", "Size over time", vec![block])
            .note("at each midnight, and now")
            .width(Width::TwoThirds)
    };
    let block = match sizes {
        None => return section(Block::Text("Who entered and left is being counted.".to_owned())).refresh(1_000),
        Some(Err(why)) => Block::Text(show::sentence(why)),
        Some(Ok(sizes)) if sizes.len() < 2 => Block::Text(
            "The version that serves began today; the line begins with the next midnight. The builder can work out what an earlier size would have been.".to_owned(),
        ),
        Some(Ok(sizes)) => {
            let points: Vec<_> = sizes
                .iter()
                .map(|one| (desk.zone.show(one.at, "%-d %b"), desk.when(one.at).local, one.size))
                .collect();
            Block::Line(Line::of(format!("People in {} over time", title(info)), "People", &points))
        }
    };
    section(block)
}

fn members(desk: &Desk, told: &Told) -> Section {
    let step = show::step(&told.info.name);
    let row = |view: &ProfileView| {
        vec![
            Cell::go(format!("/console/profiles/{}", view.id), name_of(view)),
            desk.at(view.last_seen),
            Cell::go(format!("/console/segments/{step}/members/{}", view.id), "Why?"),
        ]
    };
    let block = if told.members.is_empty() {
        show::nothing("Nobody belongs to it now.", None, "")
    } else {
        Block::Table(Table {
            caption: "Some members".to_owned(),
            head: vec!["Person", "Last seen", ""],
            rows: told.members.iter().map(row).collect(),
            more: None,
        })
    };
    let note = format!("{} of {}", told.members.len(), thousands(told.info.size));
    Section::new("members", "Members", vec![block]).note(note).width(Width::Half)
}

fn moves(desk: &Desk, told: &Told) -> Section {
    let row = |one: &Moved| {
        let tone = if one.change == "entered" { Tone::Good } else { Tone::Warn };
        vec![
            Cell::badge(tone, one.change),
            Cell::go(
                format!("/console/profiles/{}", one.profile_id),
                show::short(&one.profile_id.to_string(), 16),
            ),
            Cell::text(one.cause),
            desk.at(one.at),
        ]
    };
    let block = if told.moves.is_empty() {
        show::nothing("Nobody entered or left since this version serves.", None, "")
    } else {
        Block::Table(Table {
            caption: "Who entered and left last".to_owned(),
            head: vec!["", "Person", "Because of", "When"],
            rows: told.moves.iter().map(row).collect(),
            more: None,
        })
    };
    Section::new("moves", "Who entered and left", vec![block]).note("newest first").width(Width::Half)
}

fn overlaps(told: &Told) -> Section {
    let items =
        told.overlaps.iter().map(|(other, overlap)| (title(other).to_owned(), overlap.both, Tone::Plain));
    let mut bars = Bars::of("", Some(told.info.size), items.collect());
    for (bar, (other, _)) in bars.items.iter_mut().zip(&told.overlaps) {
        bar.href = format!("/console/segments/{}", show::step(&other.name));
    }
    let block = if bars.items.is_empty() {
        Block::Text("There is no other segment to compare with.".to_owned())
    } else {
        Block::Bars(bars)
    };
    Section::new("overlap", "Overlap", vec![block]).note("members who are in others too").width(Width::Half)
}

/// The page.
pub(in super::super) async fn page(
    State(app): State<App>,
    desk: Desk,
    Path(name): Path<String>,
    params: Params,
) -> Answer<Response> {
    let (tenant, asked, at) = (desk.tenant.clone(), name.clone(), app.clone());
    let told = work(true, move || tell(&at, &tenant, &asked)).await??;
    let (info, step) = (&told.info, show::step(&name));
    let over_time = sizes_of(&app, &desk.tenant, info).await;
    let mut page = desk.below(title(info), &[("/console/segments", "Segments")]);
    page.frame.as_of = Some(desk.when(info.as_of));
    desk.done(&params, &mut page.frame);
    if desk.may(May::Export) {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("segment", &name);
        page.actions.push(Link::new(format!("/console/exports/new?{}", query.finish()), "Export"));
    }
    if desk.may(May::Define) {
        page.actions.push(Link::new(format!("/console/segments/{step}/edit"), "Edit"));
    }
    if info.status == "held" {
        page.frame.notices.push(Notice {
            tone: Tone::Warn,
            title: format!("Version {} is built and waits to be published.", info.version),
            ..Notice::default()
        });
    }
    let profiles = desk.tenant.stats().profiles;
    let change = match &over_time {
        Some(Ok(sizes)) => {
            let month = sizes.first().map_or(info.size, |size| size.size);
            match delta(info.size, month) {
                Cell::Delta(_, text) => format!("{text} in {DAYS} days"),
                _ => format!("unchanged in {DAYS} days"),
            }
        }
        _ => String::new(),
    };
    let figures = vec![
        Figure { label: "People".to_owned(), value: thousands(info.size), note: change, ..Figure::default() },
        Figure {
            label: "Of all".to_owned(),
            value: percent(info.size, profiles),
            note: thousands(profiles),
            ..Figure::default()
        },
        Figure {
            label: "Version".to_owned(),
            value: info.version.to_string(),
            note: info.status.to_owned(),
            ..Figure::default()
        },
    ];
    let refresh = if info.status == "building" { 1_000 } else { 10_000 };
    page.sections.push(Section::new("figures", "", vec![Block::Figures(figures)]).bare().refresh(refresh));
    let job = info.backfill_job.and_then(|job| app.engine().jobs().get(desk.tenant.no(), job));
    if let Some(job) = job {
        let section =
            Section::new("job", "The new version is being built", vec![Block::Jobs(vec![show::job(&job)])]);
        page.sections.push(section.note("until then the one before serves").refresh(1_000));
    }
    page.sections.push(sizes(&desk, info, &over_time));
    let draft = Cond::of_rule(&info.rule, &desk.zone);
    let rule = vec![
        Block::Words(words::words(&draft, "", &|_| None)),
        Block::Folded("As JSON".to_owned(), vec![Block::Code(String::new(), show::pretty(&info.rule))]),
    ];
    page.sections.push(Section::new("rule", "In words", rule).width(Width::Third));
    page.sections.push(members(&desk, &told));
    page.sections.push(moves(&desk, &told));
    page.sections.push(overlaps(&told));
    let mut facts = vec![Fact::new("Name", Cell::code(name.as_str()))];
    let used = told.used_by.iter().map(|(href, text)| Cell::go(href.as_str(), text.as_str()));
    let used: Vec<_> = used.collect();
    facts.push(Fact::new("Used by", if used.is_empty() { Cell::None } else { Cell::Many(used) }));
    facts.push(Fact::new("Rule", Cell::text(format!("{} bytes", json::to_string(&info.rule).len()))));
    let mut blocks = vec![Block::Facts(facts)];
    if desk.may(May::Define) {
        blocks.push(Block::Forms(actions(info, &step)));
    }
    page.sections.push(Section::new("about", "About", blocks).width(Width::Half));
    show::page(&page)
}

fn actions(info: &SegmentInfo, step: &str) -> Vec<cdp_console::blocks::Action> {
    let mut actions = Vec::new();
    if info.status == "held" {
        actions.push(cdp_console::blocks::Action {
            to: format!("/console/segments/{step}/publish"),
            label: "Publish".to_owned(),
            tone: Tone::Accent,
            ..Default::default()
        });
    }
    actions.push(cdp_console::blocks::Action {
        to: format!("/console/segments/{step}/remove"),
        label: "Remove".to_owned(),
        tone: Tone::Bad,
        ask: "The segment and its membership are gone; what was exported stays known.".to_owned(),
        ..Default::default()
    });
    actions
}

/// Lets the new version serve.
pub(in super::super) async fn publish(
    State(_): State<App>,
    desk: Desk,
    Path(name): Path<String>,
) -> Answer<Response> {
    desk.tenant.publish_segment(&name).await?;
    show::done(&format!("/console/segments/{}", show::step(&name)), "published")
}

/// Removes it.
pub(in super::super) async fn remove(
    State(app): State<App>,
    desk: Desk,
    Path(name): Path<String>,
) -> Answer<Response> {
    desk.tenant.delete_segment(&name).await?;
    let no = desk.tenant.no();
    app.console().moves.forget(|tenant| *tenant == no);
    show::done("/console/segments", "removed")
}
