//! The system: how far behind it is, what it holds, its bounds and its settings.

use std::path::Path;

use axum::extract::State;
use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Fact, Figure, Notice, Section, Table, Tone, Width};
use cdp_console::chart::thousands;
use cdp_domain::ids::TenantNo;
use cdp_engine::accounting::Accounting;

use super::desk::Desk;
use super::{May, show};
use crate::app::{App, Setting};
use crate::error::Answer;
use crate::{limits, work};

/// Files that are looked at to tell the size of a folder.
const FILES_MAX: usize = 100_000;
/// What the folders of a data directory hold.
const FOLDERS: [(&str, &str); 9] = [
    ("index", "which events there were, and which came already"),
    ("journal", "every accepted event and every change of configuration"),
    ("state", "what is folded from it; can be thrown away"),
    ("timeline", "events by person"),
    ("identities", "ids of events that were accepted"),
    ("keys", "the keys of data, under the master key"),
    ("ledger", "consents and acts, chained by hashes"),
    ("exports", "files of audiences, and what was sent where"),
    ("plugins", "components, and their machine code"),
];

/// The folders of a data directory with their bytes and files, by name: whole where the tenant is `alone`, else of each
/// only what is the tenant's own. Blocks.
fn folders(dir: &Path, tenant: TenantNo, alone: bool) -> Vec<(String, u64, u64)> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.filter(|entry| entry.path().is_dir());
    let mut all: Vec<_> = names
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let own = if alone { entry.path() } else { entry.path().join(format!("{:08x}", tenant.0)) };
            bytes_below(&own).map(|(bytes, files)| (name, bytes, files))
        })
        .collect();
    all.sort();
    all
}

/// Bytes below a folder; None when it is not there.
fn bytes_below(dir: &Path) -> Option<(u64, u64)> {
    let (mut bytes, mut files) = (0, 0_u64);
    let mut waiting = vec![dir.to_owned()];
    if !dir.exists() {
        return None;
    }
    while let Some(dir) = waiting.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let Ok(about) = entry.metadata() else { continue };
            if about.is_dir() {
                waiting.push(entry.path());
            } else {
                bytes += about.len();
                files += 1;
            }
            if files as usize >= FILES_MAX {
                return Some((bytes, files));
            }
        }
    }
    Some((bytes, files))
}

fn accounting(counted: Option<&Accounting>, refused: &cdp_engine::Stats) -> Section {
    let mut facts = Vec::new();
    if let Some(counted) = counted {
        let fact = |name: &str, count: u64| Fact::new(name, Cell::text(thousands(count)));
        facts.extend([
            fact("Accepted", counted.accepted),
            fact("= applied", counted.applied),
            fact("+ rejected, kept for a replay", counted.dead_letters),
            fact("+ dropped by a plugin on purpose", counted.dropped),
            fact("+ suppressed, of erased people", counted.suppressed),
            fact("+ expired, gone by their age", counted.expired),
            fact("+ waiting", counted.pending),
        ]);
        let difference =
            counted.difference.map_or(Cell::text("too much waits to be counted"), |difference| {
                if difference == 0 {
                    Cell::badge(Tone::Good, "0")
                } else {
                    Cell::badge(Tone::Bad, difference.to_string())
                }
            });
        facts.push(Fact::new("Difference", difference));
    }
    facts.push(Fact::new("Repeats that were recognised", Cell::text(thousands(refused.duplicates))));
    facts.push(Fact::new("Refused", Cell::text(thousands(refused.rejected))));
    Section::new("accounting", "Where every event is", vec![Block::Facts(facts)])
        .note("both sides are counted apart; refusals since the server started")
        .width(Width::Half)
}

/// The page.
pub(super) async fn page(State(app): State<App>, desk: Desk) -> Answer<Response> {
    let mut page = desk.page("System");
    desk.as_of(&mut page.frame);
    let (tenant, dir) = (desk.tenant.clone(), app.engine().data_dir().to_owned());
    let alone = app.engine().tenants().len() == 1;
    let (counted, sizes) = work(true, move || {
        let counted = tenant.accounting().ok();
        (counted, folders(&dir, tenant.no(), alone))
    })
    .await?;
    let stats = desk.tenant.stats();
    let ready = app.engine().readiness();
    if !ready.ready {
        // Reasons may name other tenants; those of this one are told.
        page.frame.notices.push(Notice {
            tone: Tone::Bad,
            title: "Writes cannot be taken now.".to_owned(),
            detail: desk.tenant.unready().map(|why| show::sentence(&why)).unwrap_or_default(),
            help: "What was acknowledged is on disk. The server goes on by itself when the cause is gone."
                .to_owned(),
            ..Notice::default()
        });
    }
    let whole: u64 = sizes.iter().map(|size| size.1).sum();
    let figures = vec![
        Figure {
            label: "Ready".to_owned(),
            value: if ready.ready { "yes".to_owned() } else { "no".to_owned() },
            tone: if ready.ready { Tone::Good } else { Tone::Bad },
            ..Figure::default()
        },
        Figure {
            label: "Waiting".to_owned(),
            value: thousands(stats.pending),
            note: format!("{} of journal", show::bytes(stats.lag_bytes)),
            ..Figure::default()
        },
        Figure {
            label: "On disk".to_owned(),
            value: show::bytes(whole),
            note: if alone {
                String::new()
            } else {
                "of this organisation alone; state is shared".to_owned()
            },
            ..Figure::default()
        },
        Figure {
            label: "Identity alerts".to_owned(),
            value: thousands(stats.identity_alerts),
            ..Figure::default()
        },
    ];
    page.sections.push(Section::new("figures", "", vec![Block::Figures(figures)]).bare().refresh(10_000));
    page.sections.push(accounting(counted.as_ref(), &stats));
    let row = |(name, bytes, files): &(String, u64, u64)| {
        let what = FOLDERS.iter().find(|(known, _)| known == name).map_or("", |(_, what)| what);
        vec![
            Cell::code(name.as_str()),
            Cell::text(what),
            Cell::number(show::bytes(*bytes)),
            Cell::number(thousands(*files)),
        ]
    };
    let table = Table {
        caption: "What lies on disk".to_owned(),
        head: vec!["Folder", "Holds", "#Size", "#Files"],
        rows: sizes.iter().map(row).collect(),
        more: None,
    };
    page.sections.push(Section::new("store", "Store", vec![Block::Table(table)]).width(Width::Half));
    let backups = vec![show::nothing(
        "Backups are made beside the running server, by the command line; what was erased since never comes back with one.",
        None,
        "cdp backup create /backups/today --data-dir DIR\ncdp backup verify /backups/today",
    )];
    page.sections.push(Section::new("backups", "Backups", backups).width(Width::Half));
    page.sections.push(settings(&app, &desk, alone));
    let rows = limits::all(app.http()).into_iter().map(|(name, value)| {
        vec![Cell::code(name), Cell::number(value.as_u64().map_or_else(|| value.to_string(), thousands))]
    });
    let table = Table {
        caption: "Every bound".to_owned(),
        head: vec!["Name", "#Value"],
        rows: rows.collect(),
        more: None,
    };
    let limits = vec![Block::Folded("Show all bounds of this server".to_owned(), vec![Block::Table(table)])];
    page.sections.push(
        Section::new("limits", "Limits", limits).link("/metrics", "Metrics").link("/readyz", "Readiness"),
    );
    show::page(&page)
}

/// The settings that hold: for the admins of the only tenant all of them with their origin; where others share the
/// installation, or for other roles, those that are of the front door alone.
fn settings(app: &App, desk: &Desk, alone: bool) -> Section {
    let http = app.http();
    let fact = |name: &str, value: String| Fact::new(name, Cell::text(value));
    let settings = vec![
        fact("Connections at most", http.connections_max.to_string()),
        fact("Requests a second and key", rate(http.rates.requests_per_second)),
        fact("Events a second and key", rate(http.rates.events_per_second)),
        fact("Bytes a second and key", rate(http.rates.bytes_per_second)),
        fact("Changes a second and tenant", rate(http.rates.changes_per_second)),
        fact("Turns at work", http.ingest_turns.to_string()),
        fact("Memory for bodies", show::bytes(http.ingest_bytes_in_flight_max as u64)),
        fact("Time zone of the organisation", desk.tenant.info().time_zone.clone()),
        fact("Version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let mut blocks = vec![Block::Facts(settings)];
    let all = app.settings();
    if desk.may(May::Administer) && alone && !all.is_empty() {
        let row = |one: &Setting| {
            let origin = match one.origin.as_str() {
                "default" => Cell::badge(Tone::Plain, "default"),
                other => Cell::badge(Tone::Accent, other),
            };
            vec![Cell::code(one.name.as_str()), Cell::code(one.value.as_str()), origin]
        };
        let table = Table {
            caption: "Every setting, and where it comes from".to_owned(),
            head: vec!["Setting", "Value", "From"],
            rows: all.iter().map(row).collect(),
            more: None,
        };
        let title = "Show all settings and where each comes from".to_owned();
        blocks.push(Block::Folded(title, vec![Block::Table(table)]));
    } else if desk.may(May::Administer) {
        blocks.push(show::nothing(
            "Where each setting comes from, the server’s own command tells.",
            None,
            "cdp config show --origin",
        ));
    }
    Section::new("settings", "Settings that hold", blocks).width(Width::Half)
}

fn rate(most: u64) -> String {
    if most == 0 { "no limit".to_owned() } else { thousands(most) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_as_large_as_its_files() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/b"), [0; 10]).unwrap();
        std::fs::write(dir.path().join("c"), [0; 5]).unwrap();
        assert_eq!(bytes_below(dir.path()), Some((15, 2)));
        assert_eq!(bytes_below(&dir.path().join("none")), None);
        assert_eq!(folders(dir.path(), TenantNo(1), true), [("a".to_owned(), 10, 1)]);
        std::fs::create_dir(dir.path().join("a/00000002")).unwrap();
        assert_eq!(folders(dir.path(), TenantNo(1), false), []);
        assert_eq!(folders(dir.path(), TenantNo(2), false), [("a".to_owned(), 0, 0)]);
        assert_eq!((rate(0).as_str(), rate(1000).as_str()), ("no limit", "1,000"));
    }
}
