//! Why these identifiers are one person: a picture, and the evidence as a table.

use cdp_console::blocks::{Block, Cell, Fact, Section, Step, Table, Tone, Width};
use cdp_console::chart::{Graph, thousands};
use cdp_domain::identity::{Decision, Reason, Standing};
use cdp_engine::identity::{FragmentView, IdentifierView, IdentityView};
use cdp_engine::profiles::ProfileView;

use super::super::desk::Desk;
use super::super::show;
use super::detail::name_of;

/// Identifiers in the picture.
const DRAWN_MAX: usize = 16;
/// Sets of identifiers in the table.
const SETS_MAX: usize = 50;

/// What an identifier does, as a word, and the class of its line.
fn standing(view: &IdentifierView) -> (&'static str, &'static str) {
    match (view.standing, view.set_aside.is_some()) {
        (Standing::Links, false) => ("links", "links"),
        (Standing::Links, true) => ("set aside", "aside"),
        (Standing::Blocked, _) => ("blocked: it names nobody", "blocked"),
        (Standing::Shared, _) => ("shared by too many", "aside"),
        (Standing::Overgrown, _) => ("links too many", "aside"),
    }
}

fn why(reason: &Reason) -> String {
    match reason {
        Reason::Unique(kind) => format!("a second {kind} would be in one person"),
        Reason::Limit(kind) => format!("there would be more values of {kind} than may be"),
        Reason::Constraint(id) => format!("the constraint con_{id} forbids it"),
        Reason::Client => "a web page alone joins nobody who is known".to_owned(),
    }
}

fn decision(decision: Decision) -> &'static str {
    match decision {
        Decision::Created => "new: nobody had these identifiers",
        Decision::Attached => "attached: one person had them",
        Decision::Merged => "merged: several people had them and became one",
    }
}

/// Each identifier once, with the set that showed it first.
fn once(view: &IdentityView) -> Vec<(&IdentifierView, &FragmentView)> {
    let mut seen: Vec<(&IdentifierView, &FragmentView)> = Vec::new();
    for set in &view.fragments {
        for one in &set.identifiers {
            match seen.iter_mut().find(|(known, _)| known.identifier == one.identifier) {
                // What links somewhere links.
                Some(known) if known.0.set_aside.is_some() && one.set_aside.is_none() => *known = (one, set),
                Some(_) => {}
                None => seen.push((one, set)),
            }
        }
    }
    seen
}

/// The identity as sections.
pub(super) fn sections(desk: &Desk, profile: &ProfileView, view: &IdentityView) -> Vec<Section> {
    let all = once(view);
    let nodes = all.iter().take(DRAWN_MAX).map(|(one, set)| {
        let first = desk.zone.show(set.first.time(), "%b %Y");
        let edge = show::short(&format!("{}, {first}", set.first.source()), 32);
        let (_, class) = standing(one);
        (one.identifier.kind.to_string(), show::short(&one.identifier.value, 30), edge, class)
    });
    let title = format!("{} identifiers of this person, each with the source that named it first", all.len());
    let graph = Graph::around(title, show::short(&name_of(profile), 11), nodes.collect());
    let row = |(one, set): &(&IdentifierView, &FragmentView)| {
        let (word, class) = standing(one);
        let tone = match class {
            "links" => Tone::Good,
            "blocked" => Tone::Bad,
            _ => Tone::Warn,
        };
        vec![
            Cell::text(one.identifier.kind.as_str()),
            Cell::text(one.identifier.value.as_str()),
            Cell::badge(tone, word),
            Cell::text(one.set_aside.as_ref().map(why).unwrap_or_default()),
            Cell::text(set.first.source()),
            desk.at(set.first.time()),
        ]
    };
    let table = Table {
        caption: "Identifiers and what they do".to_owned(),
        head: vec!["Type", "Value", "What it does", "Why", "First named by", "At"],
        rows: all.iter().take(show::ROWS_MAX).map(row).collect(),
        more: None,
    };
    let step = |set: &FragmentView| {
        let names: Vec<_> = set
            .identifiers
            .iter()
            .map(|one| format!("{} {}", one.identifier.kind, one.identifier.value))
            .collect();
        let mut facts = vec![
            Fact::new("Together", Cell::text(names.join(" · "))),
            Fact::new("First event", Cell::text(format!("{} of {}", set.first.id(), set.first.source()))),
            Fact::new("Events", Cell::text(thousands(set.events))),
        ];
        if !set.found.is_empty() {
            let found: Vec<_> = set.found.iter().map(ToString::to_string).collect();
            facts.push(Fact::new("Found", Cell::text(found.join(", "))));
        }
        Step {
            title: decision(set.decision).to_owned(),
            tone: if set.decision == Decision::Merged { Tone::Warn } else { Tone::Plain },
            at: Some(desk.when(set.first.time())),
            facts,
        }
    };
    let steps = view.fragments.iter().take(SETS_MAX).map(step).collect();
    let rules = vec![
        Fact::new("Rules", Cell::text(format!("version {}", view.rules_version))),
        Fact::new("Sets of identifiers", Cell::text(view.fragments.len().to_string())),
        Fact::new(
            "Constraints",
            if view.constraints.is_empty() {
                Cell::None
            } else {
                Cell::text(
                    view.constraints.iter().map(|id| format!("con_{id}")).collect::<Vec<_>>().join(", "),
                )
            },
        ),
    ];
    vec![
        Section::new("graph", "Identity graph", vec![Block::Graph(graph)])
            .note("lines join; dashed ones were set aside, dotted ones never join"),
        Section::new("evidence", "Evidence", vec![Block::Table(table)]),
        Section::new("decisions", "Decisions", vec![Block::Steps(steps)])
            .note("in the order of the events that decided")
            .width(Width::TwoThirds),
        Section::new("rules", "Decided by", vec![Block::Facts(rules)]).width(Width::Third),
    ]
}
