//! A person: facts, timeline, identity, consent, segments, disclosures.

use axum::extract::{Path, State};
use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Fact, Figure, Notice, Section, Tab, Table, Tone, Width};
use cdp_console::chart::thousands;
use cdp_domain::ids::FragmentId;
use cdp_engine::profiles::ProfileView;

use super::super::desk::Desk;
use super::super::{May, show};
use super::{consent, identity, timeline};
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::params::Params;
use crate::work;

/// The views of a person: the word in the address, and what it is called.
const VIEWS: [(&str, &str); 6] = [
    ("", "Facts"),
    ("timeline", "Timeline"),
    ("identity", "Identity"),
    ("consent", "Consent"),
    ("segments", "Segments"),
    ("disclosures", "Disclosures"),
];

/// What a person is called on a page: a name that was reported, or the strongest identifier.
pub(crate) fn name_of(view: &ProfileView) -> String {
    let text = |name: &str| {
        let found = view.traits.iter().find(|(known, _)| known == name);
        found.map(|(_, one)| show::value(&one.value)).filter(|text| !text.trim().is_empty() && text != "–")
    };
    let both = text("first_name").zip(text("last_name")).map(|(first, last)| format!("{first} {last}"));
    let by = || {
        ["email", "user_id", "customer_id", "phone"].iter().find_map(|kind| {
            view.identifiers.iter().find(|one| one.kind == *kind).map(|one| one.value.to_string())
        })
    };
    let any = || view.identifiers.first().map(|one| one.value.to_string());
    let name = text("name").or(both).or_else(by).or_else(any);
    show::short(&name.unwrap_or_else(|| view.id.to_string()), 80)
}

fn facts(desk: &Desk, view: &ProfileView) -> Vec<Section> {
    let identifiers = Table {
        caption: "Identifiers".to_owned(),
        head: vec!["Type", "Value"],
        rows: view
            .identifiers
            .iter()
            .map(|one| vec![Cell::text(one.kind.as_str()), Cell::text(one.value.as_str())])
            .collect(),
        more: None,
    };
    let row = |(name, one): &(_, cdp_engine::profiles::TraitView)| {
        let name: &compact_str::CompactString = name;
        vec![
            Cell::text(name.as_str()),
            Cell::text(show::short(&show::value(&one.value), 200)),
            Cell::text(one.source.as_str()),
            desk.at(one.time),
        ]
    };
    let traits = Table {
        caption: "Facts that were reported".to_owned(),
        head: vec!["Trait", "Value", "Source", "Since"],
        rows: view.traits.iter().map(row).collect(),
        more: None,
    };
    let row = |(name, one): &(compact_str::CompactString, cdp_engine::profiles::AttributeView)| {
        let value =
            one.value.as_ref().map_or(Cell::None, |value| Cell::text(show::short(&show::value(value), 200)));
        vec![
            Cell::go(format!("/console/attributes/{}", show::step(name)), name.as_str()),
            value,
            Cell::text(one.computed_by.as_str()),
            desk.maybe_at(one.valid_until),
        ]
    };
    let attributes = Table {
        caption: "Facts that are computed".to_owned(),
        head: vec!["Attribute", "Value", "Computed by", "May change by itself"],
        rows: view.attributes.iter().map(row).collect(),
        more: None,
    };
    let or = |table: Table, what: &str, next| {
        if table.rows.is_empty() { show::nothing(what, next, "") } else { Block::Table(table) }
    };
    let mut known_by = Section::new("identifiers", "Identifiers", vec![Block::Table(identifiers)]);
    if desk.may(May::Administer) {
        known_by = known_by.link(format!("/console/profiles/{}/privacy", view.id), "Give, restrict or erase");
    }
    vec![
        Section::new(
            "traits",
            "Reported facts",
            vec![or(traits, "No event reported a trait of this person.", None)],
        )
        .note("what events said, each with its source"),
        Section::new(
            "attributes",
            "Computed facts",
            vec![or(
                attributes,
                "Attributes are computed from events; none is defined.",
                Some(("/console/attributes", "Define an attribute")),
            )],
        )
        .width(Width::TwoThirds),
        known_by.width(Width::Third),
    ]
}

fn segments(view: &ProfileView, all: &[cdp_engine::segments::SegmentInfo]) -> Vec<Section> {
    let row = |info: &cdp_engine::segments::SegmentInfo| {
        let step = show::step(&info.name);
        let inside = view.segments.contains(&info.name);
        let title = if info.title.is_empty() { info.name.as_str() } else { &info.title };
        vec![
            Cell::go(format!("/console/segments/{step}"), title),
            if inside { Cell::badge(Tone::Good, "member") } else { Cell::badge(Tone::Plain, "not a member") },
            Cell::go(
                format!("/console/segments/{step}/members/{}", view.id),
                if inside { "Why?" } else { "Why not?" },
            ),
        ]
    };
    let mut rows: Vec<_> = all.iter().filter(|info| view.segments.contains(&info.name)).map(row).collect();
    rows.extend(all.iter().filter(|info| !view.segments.contains(&info.name)).map(row));
    rows.truncate(show::ROWS_MAX);
    let block = if rows.is_empty() {
        show::nothing(
            "No segment is defined yet.",
            Some(("/console/segments/+new", "Define the first segment")),
            "",
        )
    } else {
        let head = vec!["Segment", "", ""];
        Block::Table(Table { caption: "Segments of this person".to_owned(), head, rows, more: None })
    };
    vec![Section::new("segments", "Segments", vec![block])]
}

fn disclosures(desk: &Desk, items: &[serde_json::Value]) -> Vec<Section> {
    let row = |one: &serde_json::Value| {
        let id = show::text(&one["id"]);
        let fields: Vec<_> = one["fields"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|field| field["name"].as_str().or(field.as_str()))
            .collect();
        vec![
            desk.at_text(&one["at"]),
            Cell::go(format!("/console/exports/{id}"), show::short(&id, 16)),
            if one["destination"].is_null() {
                Cell::text("a file for download")
            } else {
                Cell::text(show::text(&one["destination"]))
            },
            Cell::text(fields.join(", ")),
            Cell::text(show::text(&one["said"]).replace('_', " ")),
            Cell::text(show::text(&one["segment"])),
        ]
    };
    let block = if items.is_empty() {
        show::nothing("No export told anybody of this person.", None, "")
    } else {
        Block::Table(Table {
            caption: "Exports that told of this person".to_owned(),
            head: vec!["When", "Export", "To", "Fields", "What was said", "Segment"],
            rows: items.iter().rev().take(show::ROWS_MAX).map(row).collect(),
            more: None,
        })
    };
    let section = Section::new("disclosures", "Who received this person", vec![block]);
    vec![section.note("also by exports whose files are gone")]
}

/// The page.
pub(in super::super) async fn page(
    State(_): State<App>,
    desk: Desk,
    Path(id): Path<String>,
    params: Params,
) -> Answer<Response> {
    let id: FragmentId = id.parse().map_err(|_| Failure::not_found("profile"))?;
    let wanted = params.get("view").unwrap_or_default();
    let shown = VIEWS.iter().find(|(word, _)| *word == wanted).map_or("", |(word, _)| word);
    let tenant = desk.tenant.clone();
    let view = work(true, move || tenant.profile(id)).await??;
    let mut page = desk.below(name_of(&view), &[("/console/profiles", "Profiles")]);
    desk.as_of(&mut page.frame);
    page.tabs = VIEWS
        .iter()
        .map(|(word, text)| Tab {
            href: if word.is_empty() {
                format!("/console/profiles/{}", view.id)
            } else {
                format!("/console/profiles/{}?view={word}", view.id)
            },
            text: if *word == "segments" {
                format!("{text} ({})", view.segments.len())
            } else {
                (*text).to_owned()
            },
            here: *word == shown,
        })
        .collect();
    if !view.restrictions.is_empty() {
        page.frame.notices.push(Notice {
            tone: Tone::Warn,
            title: "The use of this person’s data is restricted.".to_owned(),
            detail: "They are in no segment and no audience while a restriction holds.".to_owned(),
            ..Notice::default()
        });
    }
    if shown.is_empty() {
        let figures = vec![
            Figure {
                label: "First seen".to_owned(),
                value: desk.zone.show(view.first_seen, "%-d %b %Y"),
                ..Figure::default()
            },
            Figure {
                label: "Last seen".to_owned(),
                value: desk.zone.show(view.last_seen, "%-d %b %Y"),
                ..Figure::default()
            },
            Figure {
                label: "Identifiers".to_owned(),
                value: thousands(view.identifiers.len() as u64),
                href: format!("/console/profiles/{}?view=identity", view.id),
                ..Figure::default()
            },
            Figure {
                label: "Segments".to_owned(),
                value: thousands(view.segments.len() as u64),
                href: format!("/console/profiles/{}?view=segments", view.id),
                ..Figure::default()
            },
        ];
        page.sections.push(Section::new("figures", "", vec![Block::Figures(figures)]).bare());
    }
    let tenant = desk.tenant.clone();
    let sections = match shown {
        "timeline" => timeline::sections(&desk, &view, &params).await?,
        "identity" => {
            let found = work(true, move || tenant.identity(id)).await??;
            identity::sections(&desk, &view, &found)
        }
        "consent" => consent::sections(&desk, &view).await?,
        "segments" => segments(&view, &work(true, move || tenant.segments()).await?),
        "disclosures" => disclosures(&desk, &work(true, move || tenant.disclosures(id)).await??),
        _ => facts(&desk, &view),
    };
    page.sections.extend(sections);
    let ids = vec![
        Fact::new("Profile", Cell::code(view.id.to_string())),
        Fact::new("Applied up to record", Cell::code(view.position.to_string())),
    ];
    page.sections.push(
        Section::new("ids", "", vec![Block::Folded("For programs".to_owned(), vec![Block::Facts(ids)])])
            .bare(),
    );
    show::page(&page)
}
