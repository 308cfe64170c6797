//! The overview: how many people, how events come in, what moved, what is under way.

use axum::extract::State;
use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Figure, Section, Table, Tone, Width};
use cdp_console::chart::{Stack, percent, spark, thousands};
use cdp_engine::Tenant;

use super::desk::Desk;
use super::{May, history, reach, show};
use crate::app::App;
use crate::error::Answer;
use crate::params::Params;

/// Days over which a segment's moves are told.
const MOVED_DAYS: i64 = 7;
/// Segments that are looked at for it, and shown.
const MOVED_LOOKED_AT: usize = 100;
const MOVED_SHOWN: usize = 6;
/// Milliseconds after which figures are shown anew.
const REFRESH_MS: u32 = 5_000;

/// A segment that moved.
#[derive(Debug, Clone)]
pub(crate) struct Move {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) size: u64,
    pub(crate) before: u64,
    pub(crate) sizes: Vec<u64>,
}

/// Those that moved most.
pub(crate) type Moves = Vec<Move>;

fn moves(tenant: &Tenant) -> Moves {
    let all = tenant.segments().into_iter().filter(|segment| segment.status == "active");
    let mut moves: Vec<_> = all
        .take(MOVED_LOOKED_AT)
        .map(|segment| {
            let sizes: Vec<u64> = tenant
                .segment_history(&segment.name, MOVED_DAYS)
                .map(|sizes| sizes.iter().map(|size| size.size).collect())
                .unwrap_or_default();
            Move {
                name: segment.name.to_string(),
                title: segment.title,
                size: segment.size,
                before: sizes.first().copied().unwrap_or(segment.size),
                sizes,
            }
        })
        .collect();
    let share = |one: &Move| one.size.abs_diff(one.before) * 1000 / one.before.max(1);
    moves.sort_by(|a, b| share(b).cmp(&share(a)).then(b.size.cmp(&a.size)).then(a.name.cmp(&b.name)));
    moves.truncate(MOVED_SHOWN);
    moves
}

/// How a size changed, as a cell.
pub(super) fn delta(size: u64, before: u64) -> Cell {
    let change = size as i64 - before as i64;
    let (tone, sign) = match change.signum() {
        1 => (Tone::Good, "+"),
        -1 => (Tone::Bad, "−"),
        _ => return Cell::Number("0".to_owned()),
    };
    Cell::Delta(tone, format!("{sign}{}", thousands(change.unsigned_abs())))
}

fn moved(moves: Option<Moves>) -> Section {
    let section = |blocks| {
        Section::new("moved", "Segments that moved most", blocks)
            .note("in the last 7 days")
            .link("/console/segments", "All segments")
            .width(Width::Half)
    };
    let Some(moves) = moves else {
        return section(vec![Block::Text("They are being counted.".to_owned())]).refresh(1_000);
    };
    if moves.is_empty() {
        return section(vec![show::nothing(
            "A segment is a rule over people; its members are always current. None is defined yet.",
            Some(("/console/segments/+new", "Define the first segment")),
            "",
        )]);
    }
    let row = |one: Move| {
        let title = if one.title.is_empty() { one.name.clone() } else { one.title.clone() };
        vec![
            Cell::go(format!("/console/segments/{}", show::step(&one.name)), title),
            Cell::number(thousands(one.size)),
            delta(one.size, one.before),
            Cell::Spark(spark(&one.sizes)),
        ]
    };
    let table = Table {
        caption: "Segments that moved most".to_owned(),
        head: vec!["Segment", "#People", "#7 days", "Trend"],
        rows: moves.into_iter().map(row).collect(),
        more: None,
    };
    section(vec![Block::Table(table)])
}

fn jobs(app: &App, desk: &Desk) -> Section {
    let mut all = app.engine().jobs().list(desk.tenant.no());
    let rank = |job: &cdp_engine::JobView| match job.status {
        cdp_engine::JobStatus::Running => 0,
        cdp_engine::JobStatus::Queued => 1,
        cdp_engine::JobStatus::Failed => 2,
        _ => 3,
    };
    all.sort_by_key(rank);
    let under_way = all.iter().any(|job| rank(job) < 2);
    all.truncate(5);
    let block = if all.is_empty() {
        show::nothing("Backfills, exports, replays and erasures show here how far they are.", None, "")
    } else {
        Block::Jobs(all.iter().map(show::job).collect())
    };
    Section::new("jobs", "Jobs", vec![block])
        .link("/console/jobs", "All jobs")
        .width(Width::Half)
        .refresh(if under_way { 1_000 } else { REFRESH_MS })
}

/// How events came in, as a section.
fn ingest(app: &App, desk: &Desk, hours: bool) -> Section {
    let now = desk.tenant.now();
    let (slots, since) = app.console().histories.of(desk.tenant.no(), now, hours);
    let form = if hours { "%-d %b %H:%M" } else { "%H:%M" };
    let columns: Vec<_> = slots
        .iter()
        .map(|(at, counts)| {
            (desk.zone.show(*at, form), vec![counts.accepted, counts.repeated, counts.refused])
        })
        .collect();
    let names = vec![("accepted", "one"), ("repeated", "two"), ("refused", "three")];
    let title =
        if hours { "Events by the hour, the last 7 days" } else { "Events by the minute, the last hour" };
    let note = match since {
        Some(since) => format!("noted since {}, when the server started", desk.when(since).local),
        None => "noted from now on".to_owned(),
    };
    let other = if hours { ("/console", "Last hour") } else { ("/console?span=week", "Last 7 days") };
    Section::new("ingest", title, vec![Block::Stack(Stack::of(title, names, &columns))])
        .note(note)
        .link(other.0, other.1)
        .refresh(REFRESH_MS)
}

/// The page.
pub(super) async fn page(State(app): State<App>, desk: Desk, params: Params) -> Answer<Response> {
    let mut page = desk.page("Overview");
    desk.as_of(&mut page.frame);
    desk.done(&params, &mut page.frame);
    if desk.may(May::Export) {
        page.actions.push(cdp_console::blocks::Link::new("/console/exports/new", "New export"));
    }
    page.actions.push(cdp_console::blocks::Link::new("/console/segments/+new", "New segment"));
    let stats = desk.tenant.stats();
    let day = app.console().histories.last_day(desk.tenant.no(), desk.tenant.now());
    let mut figures = vec![
        Figure {
            label: "Profiles".to_owned(),
            value: thousands(stats.profiles),
            note: format!("of {} sets of identifiers", thousands(stats.fragments)),
            href: "/console/profiles".to_owned(),
            ..Figure::default()
        },
        Figure {
            label: "Events".to_owned(),
            value: thousands(stats.accepted_ever),
            note: format!("{} in the last 24 hours", thousands(day.accepted)),
            href: "/console/events".to_owned(),
            ..Figure::default()
        },
    ];
    let tenant = desk.tenant.clone();
    let moves = app.console().moves.get(desk.tenant.no(), move || moves(&tenant));
    let first = reach::pairs(&desk.tenant).into_iter().next();
    let reached = async {
        let (channel, purpose) = first?;
        let reached = reach::reached(&app, &desk.tenant, &channel, &purpose).await;
        Some((channel, purpose, reached))
    };
    let (moves, reached) = tokio::join!(moves, reached);
    if let Some((channel, purpose, reached)) = reached {
        let (value, note) = match reached {
            Some(Ok(found)) => (
                percent(found.reachable, found.profiles),
                format!(
                    "{} for {purpose}, as of {}",
                    thousands(found.reachable),
                    desk.zone.show(found.as_of, "%H:%M:%S")
                ),
            ),
            Some(Err(why)) => ("–".to_owned(), why),
            None => ("…".to_owned(), "being counted".to_owned()),
        };
        figures.push(Figure {
            label: format!("Reachable by {channel}"),
            value,
            note,
            href: "/console/channels".to_owned(),
            ..Figure::default()
        });
    }
    figures.push(Figure {
        label: "Rejected".to_owned(),
        value: thousands(stats.dead_letters),
        note: if stats.dead_letters > 0 {
            "kept for a replay".to_owned()
        } else {
            "nothing waits".to_owned()
        },
        href: "/console/events/rejected".to_owned(),
        tone: if stats.dead_letters > 0 { Tone::Bad } else { Tone::Plain },
    });
    page.sections.push(Section::new("figures", "", vec![Block::Figures(figures)]).bare().refresh(REFRESH_MS));
    if stats.accepted_ever == 0 {
        page.sections.push(Section::new(
            "first",
            "No event came yet",
            vec![super::events::live::first(&desk)],
        ));
    }
    page.sections.push(ingest(&app, &desk, params.get("span") == Some("week")));
    page.sections.push(moved(moves));
    page.sections.push(jobs(&app, &desk));
    show::page(&page)
}

const _: () = assert!(history::MINUTES_KEPT == 60, "the title says an hour");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_which_way_it_went() {
        assert!(matches!(delta(5, 3), Cell::Delta(Tone::Good, text) if text == "+2"));
        assert!(matches!(delta(1000, 3000), Cell::Delta(Tone::Bad, text) if text == "−2,000"));
        assert!(matches!(delta(3, 3), Cell::Number(text) if text == "0"));
    }
}
