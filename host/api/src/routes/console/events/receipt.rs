//! What became of an event: every step it took.

use axum::extract::{Path, State};
use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Fact, Figure, Section, Step, Tone, Width};
use cdp_domain::ids::Position;
use cdp_domain::problem::Problem;
use cdp_engine::receipts::{Receipt, SegmentRef, Stage};

use super::super::desk::Desk;
use super::super::form::Form;
use super::super::show;
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::work;

fn places(problems: &[Problem]) -> Vec<Fact> {
    problems.iter().map(|one| Fact::new(one.pointer.as_str(), Cell::text(&one.detail))).collect()
}

fn segments(name: &str, all: &[SegmentRef]) -> Option<Fact> {
    let link = |one: &SegmentRef| {
        Cell::go(format!("/console/segments/{}", show::step(&one.name)), one.name.as_str())
    };
    (!all.is_empty()).then(|| Fact::new(name, Cell::Many(all.iter().map(link).collect())))
}

fn plugin(name: &str) -> Option<Fact> {
    (!name.is_empty()).then(|| Fact::new("Plugin", Cell::text(name)))
}

fn step(desk: &Desk, stage: &Stage) -> Step {
    let mut at = None;
    let (title, tone, facts) = match stage {
        Stage::Accepted { position, at: when } => {
            at = Some(desk.when(*when));
            (
                "Accepted: it is on disk".to_owned(),
                Tone::Good,
                vec![Fact::new("Record", Cell::code(position.to_string()))],
            )
        }
        Stage::ClockJudged { original_time, sent_at, skew_ms } => (
            if *skew_ms == 0 {
                "The sender’s clock was right".to_owned()
            } else {
                "Its time was moved: the sender’s clock was wrong".to_owned()
            },
            Tone::Plain,
            vec![
                Fact::new("Happened, by the sender", desk.at(*original_time)),
                Fact::new("Sent, by the sender", desk.at(*sent_at)),
                Fact::new("Moved by", Cell::text(format!("{skew_ms} ms"))),
            ],
        ),
        Stage::Checked(checked) => {
            let mut facts = vec![Fact::new("Schema", Cell::text(format!("version {}", checked.version)))];
            if !checked.omitted.is_empty() {
                facts.push(Fact::new("Left out", Cell::text(checked.omitted.join(", "))));
            }
            facts.extend(places(&checked.quarantined));
            ("The schema of its type found it wanting".to_owned(), Tone::Warn, facts)
        }
        Stage::Guarded(values) => {
            let fact = |one: &cdp_engine::consent::Guarded| {
                let what = if one.hashed { "hashed" } else { "left out" };
                Fact::new(one.pointer.as_str(), Cell::text(format!("{what}: no consent for {}", one.purpose)))
            };
            (
                "Values were not stored, because consent is missing".to_owned(),
                Tone::Warn,
                values.iter().map(fact).collect(),
            )
        }
        Stage::KeptOut { code, plugin: by, reason, problems } => {
            let mut facts = vec![
                Fact::new("Code", Cell::code(code.as_str())),
                Fact::new("Why", Cell::text(show::sentence(reason))),
            ];
            facts.extend(plugin(by));
            facts.extend(places(problems));
            ("Kept out of state".to_owned(), Tone::Bad, facts)
        }
        Stage::Replayed(attempt) => {
            at = Some(desk.when(attempt.at));
            let mut facts = vec![Fact::new(
                "Job",
                Cell::go(format!("/console/jobs/{}", attempt.job), attempt.job.to_string()),
            )];
            facts.extend(plugin(&attempt.plugin));
            if attempt.code.is_some() {
                facts.push(Fact::new("Why", Cell::text(show::sentence(&attempt.reason))));
            }
            match attempt.code {
                None => ("Tried again: applied".to_owned(), Tone::Good, facts),
                Some(_) => ("Tried again: kept out again".to_owned(), Tone::Bad, facts),
            }
        }
        Stage::Transformed { plugin: by, version, outcome, changes, new_events, .. } => {
            let change = |one: &cdp_engine::receipts::Changed| {
                Fact::new(one.pointer.as_str(), Cell::text(if one.removed { "removed" } else { "set" }))
            };
            let words = outcome.as_str().replace('_', " ");
            let link = Fact::new(
                "Plugin",
                Cell::go(format!("/console/plugins/{}", show::step(by)), format!("{by} {version}")),
            );
            let made = |one: &cdp_engine::receipts::NewEventRef| {
                let what = if one.kept { "" } else { ", not kept" };
                Fact::new("New event", Cell::text(format!("{} ({}{what})", one.kind, one.id)))
            };
            let facts =
                std::iter::once(link).chain(changes.iter().map(change)).chain(new_events.iter().map(made));
            (format!("Transformer: {words}"), Tone::Plain, facts.collect())
        }
        Stage::Identified { fragment, profile, identifiers, first, fragments } => {
            let title = if *first { "Identified: the first with these identifiers" } else { "Identified" };
            let facts = vec![
                Fact::new("Person", Cell::go(format!("/console/profiles/{profile}"), profile.to_string())),
                Fact::new("By", Cell::text(identifiers.join(", "))),
                Fact::new("Set of identifiers", Cell::code(fragment.to_string())),
                Fact::new("Sets of the person", Cell::text(fragments.to_string())),
            ];
            (title.to_owned(), Tone::Plain, facts)
        }
        Stage::Applied { position, traits, channels, consents, attributes, entered, left } => {
            let mut facts = vec![Fact::new("With record", Cell::code(position.to_string()))];
            for one in traits {
                let what = if one.stands { "its value stands" } else { "a later event’s value stands" };
                facts.push(Fact::new(format!("trait {}", one.name), Cell::text(what)));
            }
            if *channels > 0 {
                facts.push(Fact::new("Contact points", Cell::text(channels.to_string())));
            }
            if *consents > 0 {
                facts.push(Fact::new("Consent decisions", Cell::text(consents.to_string())));
            }
            if !attributes.is_empty() {
                let link = |(name, version): &(compact_str::CompactString, u32)| {
                    Cell::go(format!("/console/attributes/{}", show::step(name)), format!("{name}@{version}"))
                };
                facts.push(Fact::new("Counts in", Cell::Many(attributes.iter().map(link).collect())));
            }
            facts.extend(segments("Entered", entered));
            facts.extend(segments("Left", left));
            ("Applied: it is in state".to_owned(), Tone::Good, facts)
        }
    };
    Step { title, tone, at, facts }
}

fn figures(desk: &Desk, receipt: &Receipt) -> Vec<Figure> {
    let figure = |label: &str, value: String| Figure { label: label.to_owned(), value, ..Figure::default() };
    let tone = show::tone(receipt.status);
    let mut status = figure("Status", receipt.status.replace('_', " "));
    status.tone = tone;
    status.note = receipt.code.map(|code| code.as_str().to_owned()).unwrap_or_default();
    let happened = receipt.time.map_or("–".to_owned(), |at| desk.when(at).local);
    vec![status, figure("Happened", happened), figure("Received", desk.when(receipt.received_at).local)]
}

/// The page of the event whose record stands at a place of the journal.
pub(in super::super) async fn page(
    State(_): State<App>,
    desk: Desk,
    Path(place): Path<String>,
) -> Answer<Response> {
    let position: Position = place.parse().map_err(|_| Failure::not_found("event"))?;
    let tenant = desk.tenant.clone();
    let (event, receipt) = work(true, move || -> Result<_, Failure> {
        let (taken, _) = tenant.taken_since(Some(position), 1)?;
        let taken = taken.into_iter().find(|one| one.position == position);
        let taken = taken.ok_or_else(|| Failure::not_found("event"))?;
        let text = |name: &str| {
            let object = taken.event.as_object();
            object.and_then(|object| object.get(name)).map(show::value).unwrap_or_default()
        };
        let receipt = tenant.receipt(&text("source"), &text("id"))?;
        Ok((taken.event, receipt))
    })
    .await??;
    let kind = receipt.kind.as_deref().unwrap_or("event");
    let mut page = desk.below(kind, &[("/console/events", "Live events")]);
    desk.as_of(&mut page.frame);
    if let Some(profile) = receipt.profile_id {
        page.actions
            .push(cdp_console::blocks::Link::new(format!("/console/profiles/{profile}"), "To the person"));
    }
    let pending = receipt.status == "accepted";
    let figures = Section::new("figures", "", vec![Block::Figures(figures(&desk, &receipt))]).bare();
    page.sections.push(figures.refresh(if pending { 1_000 } else { 0 }));
    let steps = receipt.stages.iter().map(|stage| step(&desk, stage)).collect();
    let steps = Section::new("steps", "Step by step", vec![Block::Steps(steps)]).width(Width::Half);
    page.sections.push(steps.refresh(if pending { 1_000 } else { 0 }));
    let facts = vec![
        Fact::new("Id", Cell::code(receipt.id.as_str())),
        Fact::new("Source", Cell::text(receipt.source.as_str())),
        Fact::new("Record", Cell::code(receipt.position.to_string())),
    ];
    let blocks = vec![Block::Facts(facts), Block::Code("As it is stored".to_owned(), show::pretty(&event))];
    page.sections.push(Section::new("event", "The event", blocks).width(Width::Half));
    show::page(&page)
}

/// Finds an event by its source and id.
pub(in super::super) async fn find(State(_): State<App>, desk: Desk, form: Form) -> Answer<Response> {
    let (source, id) = (form.trimmed("source").to_owned(), form.trimmed("id").to_owned());
    let tenant = desk.tenant.clone();
    let receipt = work(true, move || tenant.receipt(&source, &id)).await??;
    Ok(show::see(&format!("/console/events/at/{}", receipt.position)))
}
