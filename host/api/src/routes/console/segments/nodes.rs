//! The draft as the builder shows it: every condition with its fields, its count, and what is wrong with it.

use cdp_console::builder::{Node, Shape, Where as WhereView};
use cdp_console::chart::{round, thousands};
use cdp_console::form::Choice;
use cdp_domain::json;
use cdp_domain::value::Value;
use cdp_engine::Tenant;

use super::super::profiles;
use super::draft::{COUNT_WORDS, Cond, Did, Draft, OP_WORDS, UNITS, takes_value};

/// What a rule may refer to.
pub(crate) struct Names {
    attributes: Vec<String>,
    traits: Vec<String>,
    identifiers: Vec<String>,
    events: Vec<String>,
    /// By event type.
    properties: Vec<(String, Vec<String>)>,
    channels: Vec<String>,
    purposes: Vec<(String, String)>,
    segments: Vec<(String, String)>,
}

impl Names {
    /// Everything of a tenant. `editing` is left out of the segments: none may refer to itself.
    pub(crate) fn of(tenant: &Tenant, editing: &str) -> Self {
        let types = tenant.event_types();
        let fields = |all: &[cdp_engine::catalogue::Field]| -> Vec<String> {
            all.iter().map(|field| field.name.to_string()).collect()
        };
        let traits = traits(tenant);
        let properties = types.iter().map(|one| {
            let names = fields(&one.properties).into_iter().map(|name| format!("/{name}"));
            (one.kind.to_string(), names.collect())
        });
        let mut channels: Vec<_> =
            super::super::reach::pairs(tenant).into_iter().map(|(channel, _)| channel).collect();
        channels.extend(["email", "sms", "push"].map(str::to_owned));
        channels.sort();
        channels.dedup();
        let mut events: Vec<_> = types.iter().map(|one| one.kind.to_string()).collect();
        events.sort();
        Self {
            attributes: tenant.attributes().iter().map(|one| one.name.to_string()).collect(),
            traits,
            identifiers: profiles::find::kinds(tenant),
            events,
            properties: properties.collect(),
            channels,
            purposes: tenant
                .purposes()
                .into_iter()
                .map(|(name, one)| (name.to_string(), one.title))
                .collect(),
            segments: tenant
                .segments()
                .into_iter()
                .filter(|one| one.name != editing)
                .map(|one| (one.name.to_string(), one.title))
                .collect(),
        }
    }

    fn properties_of(&self, event: &str) -> Vec<String> {
        self.properties
            .iter()
            .find(|(known, _)| known == event)
            .map(|(_, names)| names.clone())
            .unwrap_or_default()
    }
}

/// The traits that events were seen to write, and those that segments ask for: plugins write some too.
pub(crate) fn traits(tenant: &Tenant) -> Vec<String> {
    fn walk(rule: &Value, out: &mut Vec<String>) {
        match rule {
            Value::Object(object) => object.iter().for_each(|(key, inner)| match (key.as_str(), inner) {
                ("trait", Value::Text(name)) => out.push(name.to_string()),
                _ => walk(inner, out),
            }),
            Value::List(items) => items.iter().for_each(|item| walk(item, out)),
            _ => {}
        }
    }
    let types = tenant.event_types().into_iter();
    let mut all: Vec<_> = types.flat_map(|one| one.traits).map(|one| one.name.to_string()).collect();
    tenant.segments().iter().for_each(|one| walk(&one.rule, &mut all));
    all.sort();
    all.dedup();
    all
}

/// What is known beside the draft.
pub(crate) struct Known<'a> {
    pub(crate) names: &'a Names,
    /// For how many a condition holds and has no value, by its pointer.
    pub(crate) count: &'a dyn Fn(&str) -> Option<(u64, u64)>,
    pub(crate) profiles: u64,
    /// Places of the draft and what is wrong there.
    pub(crate) places: &'a [(String, String)],
    /// Pointers into the rule and what is wrong there.
    pub(crate) pointers: &'a [(String, String)],
}

/// A condition's place: in the draft, in the rule, and among its neighbours.
pub(crate) struct Place {
    at: String,
    pointer: String,
    depth: usize,
    n: usize,
    of: usize,
}

impl Place {
    /// The whole rule.
    pub(crate) fn root() -> Self {
        Self { at: "r".to_owned(), pointer: String::new(), depth: 0, n: 0, of: 1 }
    }
}

fn choices(words: &[(&str, &str)], chosen: &str) -> Vec<Choice> {
    Choice::named(words, chosen)
}

/// A field of choices of which the first may be that none is made yet.
fn named(all: &[(String, String)], chosen: &str, none: &str) -> Vec<Choice> {
    let mut out = Vec::new();
    if !all.iter().any(|(name, _)| name == chosen) {
        let text = if chosen.is_empty() { none.to_owned() } else { chosen.to_owned() };
        out.push(Choice { value: chosen.to_owned(), text, chosen: true });
    }
    out.extend(all.iter().map(|(name, title)| Choice {
        value: name.clone(),
        text: if title.is_empty() { name.clone() } else { format!("{title} ({name})") },
        chosen: name == chosen,
    }));
    out
}

/// A condition as the builder shows it.
pub(crate) fn node(cond: &Cond, place: &Place, known: &Known<'_>) -> Node {
    let inner = if cond.not { format!("{}/not", place.pointer) } else { place.pointer.clone() };
    let group = matches!(cond.draft, Draft::Group { .. });
    let counted = (known.count)(&inner).or_else(|| (known.count)(&place.pointer));
    let held = counted.map(|(size, _)| if cond.not { known.profiles.saturating_sub(size) } else { size });
    let mut problems: Vec<String> =
        known.places.iter().filter(|(at, _)| *at == place.at).map(|(_, detail)| detail.clone()).collect();
    for (pointer, detail) in known.pointers {
        let Some(rest) = pointer.strip_prefix(place.pointer.as_str()) else { continue };
        let own = rest.is_empty() || rest.starts_with('/');
        let inside = rest.strip_prefix("/not").unwrap_or(rest);
        let of_a_part = group && ["/all/", "/any/"].iter().any(|way| inside.starts_with(way));
        if own && !of_a_part {
            problems.push(detail.clone());
        }
    }
    Node {
        at: place.at.clone(),
        depth: place.depth.min(4),
        shape: shape(cond, place, &inner, known),
        not: cond.not,
        count: held.map(thousands).unwrap_or_default(),
        missing: counted
            .map(|(_, missing)| missing)
            .filter(|missing| *missing > 0)
            .map(thousands)
            .unwrap_or_default(),
        share: held.map_or(0.0, |held| round(100.0 * held as f64 / known.profiles.max(1) as f64).min(100.0)),
        problems,
        can_move_up: place.n > 0,
        can_move_down: place.n + 1 < place.of,
    }
}

fn shape(cond: &Cond, place: &Place, inner: &str, known: &Known<'_>) -> Shape {
    let names = known.names;
    match &cond.draft {
        Draft::Group { any, inner: all } => {
            let way = if *any { "any" } else { "all" };
            let child = |(n, one): (usize, &Cond)| {
                let at = format!("{}.{n}", place.at);
                let pointer = format!("{inner}/{way}/{n}");
                node(one, &Place { at, pointer, depth: place.depth + 1, n, of: all.len() }, known)
            };
            Shape::Group {
                any: *any,
                inner: all.iter().enumerate().map(child).collect(),
                root: place.depth == 0,
            }
        }
        Draft::Fact { of, name, op, value, raw } => Shape::Fact {
            of,
            name: name.clone(),
            names: match *of {
                "attribute" => names.attributes.clone(),
                "trait" => names.traits.clone(),
                _ => names.identifiers.clone(),
            },
            ops: choices(&OP_WORDS, op),
            value: value.clone(),
            raw: raw.as_ref().map(json::to_string).unwrap_or_default(),
            no_value: !takes_value(op),
            hint: match op.as_str() {
                "between" => "from, to",
                "in" | "not_in" => "one, two, three",
                "within_last" | "within_next" => "30 days",
                "before" | "after" => "2026-11-23",
                _ => "value",
            }
            .to_owned(),
            values: Vec::new(),
        },
        Draft::Reachable { channel, purpose } => Shape::Reachable {
            channel: channel.clone(),
            channels: names.channels.clone(),
            purpose: named(&names.purposes, purpose, "choose a purpose"),
        },
        Draft::Segment(name) => Shape::Segment { names: named(&names.segments, name, "choose a segment") },
        Draft::Did(did) => done(did, names),
        Draft::Raw(text) => Shape::Raw { json: text.clone() },
    }
}

fn done(did: &Did, names: &Names) -> Shape {
    let properties = names.properties_of(&did.event);
    let one = |(n, one): (usize, &super::draft::Where)| WhereView {
        n,
        property: one.property.clone(),
        properties: properties.clone(),
        ops: choices(&OP_WORDS, &one.op),
        value: one.value.clone(),
        no_value: !takes_value(&one.op),
    };
    Shape::Did {
        event: did.event.clone(),
        events: names.events.clone(),
        ops: choices(&COUNT_WORDS, &did.op),
        times: did.times.clone(),
        spans: choices(&[("ever", "ever"), ("last", "in the last"), ("between", "from")], &did.when),
        span: match did.when.as_str() {
            "last" => "last",
            "between" => "between",
            _ => "",
        },
        number: did.number.clone(),
        unit: UNITS
            .iter()
            .map(|unit| Choice {
                value: (*unit).to_owned(),
                text: unit.replace('_', " "),
                chosen: *unit == did.unit,
            })
            .collect(),
        from: did.from.clone(),
        to: did.to.clone(),
        wheres: did.wheres.iter().enumerate().map(one).collect(),
    }
}

/// The groups below the whole, with their pointers: they are counted beside the conditions.
pub(crate) fn groups<'a>(cond: &'a Cond, pointer: &str, out: &mut Vec<(String, &'a Cond)>) {
    let Draft::Group { any, inner } = &cond.draft else { return };
    if !pointer.is_empty() && !inner.is_empty() {
        out.push((pointer.to_owned(), cond));
    }
    let within = if cond.not { format!("{pointer}/not") } else { pointer.to_owned() };
    let way = if *any { "any" } else { "all" };
    for (n, one) in inner.iter().enumerate() {
        groups(one, &format!("{within}/{way}/{n}"), out);
    }
}
