//! One plugin: what runs, what it asks for, what calls cost, its versions and logs.

use axum::extract::{Path, State};
use axum::response::Response;
use cdp_console::blocks::{Action, Block, Cell, Fact, Figure, Link, Notice, Section, Table, Tone, Width};
use cdp_console::chart::thousands;
use cdp_console::form::{Choice, Field, Form as View, Kind};
use cdp_console::pages::Page;
use cdp_domain::problem::{Code as Wrong, Problem};
use cdp_domain::value::Value;
use cdp_engine::plugins::PluginInfo;
use serde_json::Value as Json;

use super::super::desk::Desk;
use super::super::form::Form;
use super::super::{May, show};
use super::cost;
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::params::Params;

/// Log lines, versions and examples that a page shows.
const LINES: usize = 200;
const VERSIONS: usize = 30;
const EXAMPLES: usize = 5;
/// Shares of the events on which a version may be tried, in percent, in words.
const SHARES: [(&str, &str); 6] = [
    (ALL, "all of them"),
    ("50", "a half"),
    ("25", "a quarter"),
    ("10", "one in ten"),
    ("5", "one in twenty"),
    ("1", "one in a hundred"),
];
const ALL: &str = "100";
/// Events over which a version is compared with the one that runs.
const COMPARED: usize = 1_000;

fn figures(info: &PluginInfo) -> Vec<Figure> {
    let figure = |label: &str, value: String, note: String| Figure {
        label: label.to_owned(),
        value,
        note,
        ..Figure::default()
    };
    let active = info.active.as_ref().map(|active| active.version);
    let mut status = figure(
        "Status",
        info.status.to_owned(),
        active.map_or("nothing runs".to_owned(), |version| format!("version {version} runs")),
    );
    status.tone = show::tone(info.status);
    let mut figures = vec![status];
    if let Some(health) = active.and_then(|version| info.health.get(&version)) {
        let failed: u64 = health.failed.values().sum();
        let mut errors =
            figure("Failed", thousands(failed), format!("of {} events or states", thousands(health.rows)));
        errors.tone = if failed > 0 { Tone::Bad } else { Tone::Plain };
        figures.extend([
            figure("Calls", thousands(health.calls), "since the server started".to_owned()),
            errors,
            figure(
                "Time of a call",
                format!("{} µs", thousands(health.call_us_p50)),
                format!("p99 {} µs", thousands(health.call_us_p99)),
            ),
            figure(
                "Memory, at its peak",
                show::bytes(health.memory_bytes_peak as u64),
                format!("fuel {}", thousands(health.fuel)),
            ),
        ]);
    }
    figures
}

fn versions(info: &PluginInfo, may: bool) -> Section {
    let step = show::step(&info.name);
    let active = info.active.as_ref().map(|active| active.version);
    let row = |one: &cdp_engine::config::PluginVersion| {
        let runs = active == Some(one.version);
        let health = info.health.get(&one.version);
        let mut acts = Vec::new();
        if may {
            acts.push(Cell::Go(Link::new(
                format!("/console/plugins/{step}/try?version={}", one.version),
                "Try on events",
            )));
            if active.is_some() && !runs {
                acts.push(Cell::Do(Action {
                    to: format!("/console/plugins/{step}/compare"),
                    label: "Compare with what runs".to_owned(),
                    fields: vec![("version", one.version.to_string())],
                    ..Action::default()
                }));
            }
        }
        let tried = info.canary.as_ref().filter(|canary| canary.activation.version == one.version);
        let state = match tried {
            _ if runs => Cell::badge(Tone::Good, "runs"),
            Some(canary) => Cell::badge(Tone::Accent, format!("tried on {} %", canary.share)),
            None => Cell::None,
        };
        vec![
            Cell::number(one.version.to_string()),
            state,
            Cell::code(show::short(&one.digest, 12)),
            one.signed_by.as_ref().map_or(Cell::None, |key| Cell::code(show::short(key, 12))),
            Cell::number(thousands(health.map_or(0, |health| health.calls))),
            Cell::number(thousands(health.map_or(0, |health| health.failed.values().sum()))),
            Cell::Many(acts),
        ]
    };
    let table = Table {
        caption: "Versions, newest first".to_owned(),
        head: vec!["#Version", "", "Digest", "Signed by", "#Calls", "#Failed", ""],
        rows: info.versions.iter().rev().take(VERSIONS).map(row).collect(),
        more: None,
    };
    Section::new("versions", "Versions", vec![Block::Table(table)])
}

fn asks(info: &PluginInfo) -> Option<Section> {
    let newest = info.versions.last()?;
    let imports = newest.imports.iter().map(|name| Cell::code(name.as_str())).collect::<Vec<_>>();
    let facts = vec![
        Fact::new("Version", Cell::text(newest.version.to_string())),
        Fact::new("Imports", if imports.is_empty() { Cell::text("nothing") } else { Cell::Many(imports) }),
    ];
    let blocks = vec![
        Block::Facts(facts),
        Block::Code("What it asks for".to_owned(), show::pretty_answer(&newest.requests)),
        Block::Folded(
            "What it says of itself".to_owned(),
            vec![Block::Code(String::new(), show::pretty_answer(&newest.descriptor))],
        ),
    ];
    let section = Section::new("asks", "What it asks for", blocks);
    Some(
        section
            .note("what is not granted is not there for it: no network, no files, no clock")
            .width(Width::Half),
    )
}

fn activate(info: &PluginInfo, given: Option<&Form>) -> Option<Section> {
    let newest = info.versions.last()?;
    let active = info.active.as_ref();
    let was = |name: &str, else_: String| given.map_or(else_, |form| form.get(name).to_owned());
    let version = was("version", newest.version.to_string());
    let choices = info.versions.iter().rev().take(VERSIONS).map(|one| {
        let value = one.version.to_string();
        Choice { chosen: value == version, text: format!("version {value}"), value }
    });
    let mut fields = vec![
        Field::new("version", "Version", Kind::Select(choices.collect())),
        Field::new("grants", "What it is granted", Kind::Lines(8))
            .value(was("grants", show::pretty_answer(&newest.requests)))
            .hint("at most what it asks for"),
        Field::new("config", "Its settings", Kind::Lines(5))
            .value(was("config", active.map_or("{}".to_owned(), |active| active.config.clone()))),
    ];
    if matches!(newest.world.as_str(), "" | "transformer") && active.is_some() {
        let share = was("share", ALL.to_owned());
        fields.push(
            Field::new("share", "On how many of the events", Kind::Select(Choice::named(&SHARES, &share)))
                .hint("another version is tried beside the one that runs; an identifier’s events all go the same way"),
        );
    }
    let form = View::new(format!("/console/plugins/{}/activate", show::step(&info.name)), "Activate", fields);
    Some(
        Section::new("activate", "Activate a version", vec![Block::Form(form)])
            .note("the next event sees it")
            .width(Width::Half),
    )
}

fn logs(desk: &Desk, info: &PluginInfo) -> Answer<Section> {
    let lines = desk.tenant.plugin_logs(&info.name)?;
    let row = |(version, line): &(u32, cdp_engine::plugins::LogLine)| {
        let line = serde_json::to_value(line).unwrap_or_default();
        vec![
            Cell::number(version.to_string()),
            show::badge(&show::text(&line["level"]).to_lowercase()),
            Cell::code(show::short(&show::text(&line["message"]), 400)),
        ]
    };
    let block = if lines.is_empty() {
        show::nothing(
            "It wrote nothing down since the server started.",
            None,
            &format!("cdp plugin logs {}", info.name),
        )
    } else {
        Block::Table(Table {
            caption: "What it wrote down, newest last".to_owned(),
            head: vec!["#Version", "Level", "Line"],
            rows: lines.iter().rev().take(LINES).rev().map(row).collect(),
            more: None,
        })
    };
    Ok(Section::new("logs", "Logs", vec![block]).note("since the server started"))
}

fn controls(info: &PluginInfo) -> Vec<Action> {
    let step = show::step(&info.name);
    let action = |act: &str, label: &str, tone, ask: &str| Action {
        to: format!("/console/plugins/{step}/{act}"),
        label: label.to_owned(),
        tone,
        ask: ask.to_owned(),
        ..Action::default()
    };
    if let Some(canary) = &info.canary {
        let (version, share) = (canary.activation.version, canary.share);
        let mut all = action(
            "activate",
            &format!("Take version {version} for all events"),
            Tone::Accent,
            &format!("It runs on {share} in a hundred events now. The version beside it can be returned to."),
        );
        let grants = serde_json::to_string(&canary.activation.grants).unwrap_or_default();
        all.fields = vec![
            ("version", version.to_string()),
            ("grants", grants),
            ("config", canary.activation.config.clone()),
        ];
        let ask = "Its share of the events goes through the version that runs again.";
        return vec![all, action("rollback", "End the trial", Tone::Bad, ask)];
    }
    match info.status {
        "active" => vec![
            action(
                "rollback",
                "Roll back",
                Tone::Plain,
                "What ran before the last activation runs again, from the next event on.",
            ),
            action("suspend", "Suspend", Tone::Bad, "Events pass it untouched until it is resumed."),
        ],
        "suspended" => vec![
            action("resume", "Resume", Tone::Accent, ""),
            action(
                "rollback",
                "Roll back",
                Tone::Plain,
                "What ran before the last activation runs again, from the next event on.",
            ),
        ],
        _ => Vec::new(),
    }
}

fn view(desk: &Desk, name: &str, given: Option<&Form>) -> Answer<Page> {
    let info = desk.tenant.plugin(name)?;
    let may = desk.may(May::Extend);
    let mut page = desk.below(name, &[("/console/plugins", "Plugins")]);
    desk.as_of(&mut page.frame);
    if let Some(why) = &info.reason {
        page.frame.notices.push(Notice {
            tone: Tone::Bad,
            title: "It is suspended: events pass it untouched.".to_owned(),
            detail: show::sentence(why),
            ..Notice::default()
        });
    }
    if let Some(gave) = &info.rolled_back {
        page.frame.notices.push(Notice {
            tone: Tone::Warn,
            title: format!("Version {} failed and was rolled back by itself.", gave.version),
            detail: show::sentence(&gave.reason),
            ..Notice::default()
        });
    }
    page.sections
        .push(Section::new("figures", "", vec![Block::Figures(figures(&info))]).bare().refresh(3_000));
    let controls = controls(&info);
    if may && !controls.is_empty() {
        page.sections.push(Section::new("controls", "", vec![Block::Forms(controls)]).bare());
    }
    page.sections.push(versions(&info, may));
    page.sections.extend(cost::sections(&info));
    page.sections.extend(asks(&info));
    if may {
        page.sections.extend(activate(&info, given));
    }
    let active = info.active.as_ref().and_then(|active| info.health.get(&active.version));
    if let Some(health) = active.filter(|health| !health.failed.is_empty()) {
        let items = health.failed.iter().map(|(code, count)| (code.replace('_', " "), *count, Tone::Bad));
        let mut blocks = vec![Block::Bars(cdp_console::chart::Bars::of("", None, items.collect()))];
        if let Some(last) = &health.last_failure {
            blocks.push(Block::Text(format!("The last one: {}", show::sentence(last))));
        }
        let section = Section::new("failed", "What failed", blocks);
        page.sections.push(section.link("/console/events/rejected", "The events").width(Width::Half));
    }
    page.sections.push(logs(desk, &info)?);
    Ok(page)
}

/// What comparing a version with the one that runs gave.
pub(in super::super) fn difference(result: &Json) -> Block {
    let number = |name: &str| show::number(&result[name]);
    let cost = |who: &str| {
        let of = &result[who];
        format!(
            "{} µs, fuel {}, {} failed",
            show::number(&of["elapsed_us"]),
            show::number(&of["fuel"]),
            show::number(&of["failed"])
        )
    };
    let mut facts = vec![
        Fact::new("Compared", Cell::text(number("compared"))),
        Fact::new("The same", Cell::text(number("same"))),
        Fact::new(
            "Different",
            Cell::badge(if result["different"] == 0 { Tone::Good } else { Tone::Warn }, number("different")),
        ),
        Fact::new(format!("Version {} runs", number("active_version")), Cell::text(cost("active"))),
        Fact::new(format!("Version {}", number("candidate_version")), Cell::text(cost("candidate"))),
    ];
    for example in result["examples"].as_array().into_iter().flatten().take(EXAMPLES) {
        facts.push(Fact::new("Example", Cell::code(show::short(&example.to_string(), 400))));
    }
    Block::Facts(facts)
}

/// The share that a form asks for; none is all of the events.
fn share(text: &str) -> Answer<Option<u8>> {
    if text.is_empty() || text == ALL {
        return Ok(None);
    }
    let wrong = || {
        let detail = "must be a whole number of percent from 1 to 100";
        Failure::invalid(vec![Problem::new("/share", Wrong::Invalid, detail)])
    };
    text.parse().map(Some).map_err(|_| wrong())
}

/// The page.
pub(in super::super) async fn page(
    State(_): State<App>,
    desk: Desk,
    Path(name): Path<String>,
    params: Params,
) -> Answer<Response> {
    let mut page = view(&desk, &name, None)?;
    desk.done(&params, &mut page.frame);
    show::page(&page)
}

/// Activates, compares, rolls back, suspends or resumes.
pub(in super::super) async fn act(
    State(_): State<App>,
    desk: Desk,
    Path((name, act)): Path<(String, String)>,
    form: Form,
) -> Answer<Response> {
    let here = format!("/console/plugins/{}", show::step(&name));
    let tenant = &desk.tenant;
    let version = || form.get("version").parse::<u32>().map_err(|_| Failure::not_found("version"));
    match act.as_str() {
        "activate" => {
            let activated = async {
                let mut members: Vec<(&'static str, Value)> = vec![
                    ("grants", show::read(form.get("grants"))?),
                    ("config", show::read(form.get("config"))?),
                ];
                if let Some(share) = share(form.get("share"))? {
                    members.push(("share", Value::from(i64::from(share))));
                }
                Ok::<_, Failure>(tenant.activate_plugin(&name, version()?, &show::object(members)).await?)
            };
            match activated.await {
                Ok(jobs) => match jobs.first() {
                    Some(job) => show::done(&format!("/console/jobs/{job}"), "activated"),
                    None if tenant.plugin(&name)?.canary.is_some() => show::done(&here, "tried"),
                    None => show::done(&here, "activated"),
                },
                Err(failure) => {
                    let failure = show::told(failure)?;
                    let mut page = view(&desk, &name, Some(&form))?;
                    page.frame.notices.push(show::notice_of(&failure, &desk.request_id));
                    show::wrong(&page)
                }
            }
        }
        "compare" => {
            let job = tenant.shadow_plugin(&name, version()?, COMPARED)?;
            show::done(&format!("/console/jobs/{job}"), "compared")
        }
        "rollback" => {
            tenant.rollback_plugin(&name).await?;
            show::done(&here, "rolled_back")
        }
        "suspend" => {
            tenant.suspend_plugin(&name, "suspended by hand").await?;
            show::done(&here, "suspended")
        }
        "resume" => {
            tenant.resume_plugin(&name).await?;
            show::done(&here, "resumed")
        }
        _ => Err(Failure::not_found("page")),
    }
}
