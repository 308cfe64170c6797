//! Definitions of derived attributes, as clients write them.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::condition::{object, read_list, unknown, write_list};
use crate::currency;
use crate::expr::{Expr, Type};
use crate::fold::{Amount, How, Keep, Money, Printed, Read, Source, Spec, Unit};
use crate::json;
use crate::limits::{EVENT_TYPES_PER_SOURCE_MAX, NAME_BYTES_MAX};
use crate::problem::{Code, Problem};
use crate::value::{Object, Value};
use crate::window::Window;

/// What an attribute is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Definition {
    /// Read of a fold over events.
    Fold(Aggregate),
    /// Computed from others.
    Formula(Expr),
    /// Derived by a plugin.
    Plugin(Derived),
}

/// An output of a plugin that derives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Derived {
    /// The plugin's name.
    pub plugin: CompactString,
    /// Which of its outputs.
    pub output: CompactString,
    /// Its configuration as JSON text, members sorted; None takes the one that it was activated with.
    pub config: Option<String>,
    /// The types of the events that it sees, sorted; empty means all that it wants.
    pub events: Vec<CompactString>,
}

/// A fold over events and what is read of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregate {
    /// What is read.
    pub kind: Kind,
    /// Which events.
    pub source: Source,
    /// JSON pointer into `properties`.
    pub property: Option<CompactString>,
    /// What each value weighs in `most_frequent`: a JSON pointer into `properties`.
    pub weight: Option<CompactString>,
    /// Of which stretch of time; None is the whole history.
    pub window: Option<Window>,
    /// Amounts are money.
    pub money: Option<Money>,
    /// In what `time_since_…` counts.
    pub unit: Unit,
}

/// The kinds of attributes that are read of a fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the documentation has the table")]
pub enum Kind {
    Count,
    Sum,
    Min,
    Max,
    Avg,
    First,
    Last,
    MostFrequent,
    DistinctCount,
    UniqueList,
    TimeSinceFirst,
    TimeSinceLast,
}

const KINDS: [(&str, Kind); 12] = [
    ("count", Kind::Count),
    ("sum", Kind::Sum),
    ("min", Kind::Min),
    ("max", Kind::Max),
    ("avg", Kind::Avg),
    ("first", Kind::First),
    ("last", Kind::Last),
    ("most_frequent", Kind::MostFrequent),
    ("distinct_count", Kind::DistinctCount),
    ("unique_list", Kind::UniqueList),
    ("time_since_first", Kind::TimeSinceFirst),
    ("time_since_last", Kind::TimeSinceLast),
];

const UNITS: [(&str, Unit); 4] =
    [("seconds", Unit::Seconds), ("minutes", Unit::Minutes), ("hours", Unit::Hours), ("days", Unit::Days)];

const FIELDS: [&str; 10] = [
    "kind",
    "event",
    "property",
    "where",
    "window",
    "weight",
    "currency",
    "currency_property",
    "minor_units",
    "unit",
];

impl Kind {
    /// The word on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).expect("every kind is in the table").0
    }

    fn takes_amounts(self) -> bool {
        matches!(self, Self::Sum | Self::Min | Self::Max | Self::Avg)
    }

    fn needs_property(self) -> bool {
        self.takes_amounts() || matches!(self, Self::MostFrequent | Self::DistinctCount | Self::UniqueList)
    }

    fn is_elapsed(self) -> bool {
        matches!(self, Self::TimeSinceFirst | Self::TimeSinceLast)
    }
}

impl Aggregate {
    /// What the fold keeps.
    #[must_use]
    pub fn spec(&self) -> Spec {
        let property = || self.property.clone().unwrap_or_default();
        let amount = || Amount { property: property(), money: self.money.clone() };
        let keep = match (self.kind, self.window.map(Window::horizon_ms)) {
            (Kind::Count | Kind::TimeSinceFirst | Kind::TimeSinceLast, Some(horizon)) => {
                Keep::Series(None, horizon)
            }
            (Kind::Sum | Kind::Min | Kind::Max | Kind::Avg, Some(horizon)) => {
                Keep::Series(Some(amount()), horizon)
            }
            (_, Some(horizon)) => Keep::Samples(self.property.clone(), self.weight.clone(), horizon),
            (Kind::Count, None) => Keep::Count,
            (Kind::Sum, None) => Keep::Sum(amount()),
            (Kind::Min, None) => Keep::Least(amount()),
            (Kind::Max, None) => Keep::Greatest(amount()),
            (Kind::Avg, None) => Keep::Mean(amount()),
            (Kind::First, None) => Keep::First(self.property.clone()),
            (Kind::Last, None) => Keep::Last(self.property.clone()),
            (Kind::MostFrequent, None) => Keep::Tally(property(), self.weight.clone()),
            (Kind::DistinctCount, None) => Keep::Distinct(property()),
            (Kind::UniqueList, None) => Keep::Recent(property()),
            (Kind::TimeSinceFirst, None) => Keep::FirstAt,
            (Kind::TimeSinceLast, None) => Keep::LastAt,
        };
        Spec::new(self.source.clone(), keep)
    }

    /// What is read of a fold whose horizon is this.
    #[must_use]
    pub fn read(&self, horizon_ms: i64) -> Read {
        let how = match self.kind {
            Kind::Count => How::Count,
            Kind::Sum => How::Sum,
            Kind::Min => How::Least,
            Kind::Max => How::Greatest,
            Kind::Avg => How::Mean,
            Kind::First => How::First,
            Kind::Last => How::Last,
            Kind::MostFrequent => How::MostFrequent,
            Kind::DistinctCount => How::DistinctCount,
            Kind::UniqueList => How::UniqueList,
            Kind::TimeSinceFirst => How::SinceFirst(self.unit),
            Kind::TimeSinceLast => How::SinceLast(self.unit),
        };
        let printed = match &self.money {
            None => Printed::Plain,
            Some(Money { only: Some(code), .. }) => Printed::Money(code.clone()),
            Some(_) => Printed::Each,
        };
        Read { how, window: self.window, horizon_ms, printed }
    }

    /// What its value is.
    #[must_use]
    pub fn value_type(&self) -> Type {
        match self.kind {
            _ if self.money.as_ref().is_some_and(|money| money.only.is_none()) => Type::Amounts,
            Kind::First | Kind::Last if self.property.is_none() => Type::Time,
            Kind::First | Kind::Last | Kind::MostFrequent => Type::Any,
            Kind::UniqueList => Type::List,
            _ => Type::Number,
        }
    }
}

impl Definition {
    /// Reads `{"kind", "event", "property", "where", "window", …}`, `{"expr": …}` or `{"plugin", "output", …}`.
    ///
    /// # Errors
    /// Every problem, with pointers into the definition.
    pub fn read(definition: &Value) -> Result<Self, Vec<Problem>> {
        let Some(object) = definition.as_object() else {
            return Err(vec![Problem::new("", Code::WrongType, "a definition is a JSON object")]);
        };
        let mut problems = Vec::new();
        let read = match object.get("expr") {
            None if object.get("plugin").is_some() => derived(object, &mut problems).map(Self::Plugin),
            Some(expr) => {
                unknown(object, &["expr"], "", &mut problems);
                Expr::parse(expr, "/expr", &mut problems).map(Self::Formula)
            }
            None => aggregate(object, &mut problems).map(Self::Fold),
        };
        match read {
            Some(read) if problems.is_empty() => Ok(read),
            _ => Err(problems),
        }
    }

    /// Writes the definition as clients do.
    #[must_use]
    pub fn write(&self) -> Value {
        let aggregate = match self {
            Self::Formula(expr) => return object(vec![("expr", expr.write())]),
            Self::Plugin(derived) => return derived.write(),
            Self::Fold(aggregate) => aggregate,
        };
        let pointer = |pointer: &Option<CompactString>| pointer.clone().map_or(Value::Null, Value::Text);
        let mut members = vec![
            ("kind", Value::from(aggregate.kind.name())),
            ("event", write_events(&aggregate.source)),
            ("property", pointer(&aggregate.property)),
            ("where", write_list(&aggregate.source.filter)),
            ("window", aggregate.window.map_or(Value::Null, Window::write)),
        ];
        if aggregate.weight.is_some() {
            members.push(("weight", pointer(&aggregate.weight)));
        }
        if let Some(money) = &aggregate.money {
            members.push(("currency", money.only.clone().map_or_else(|| "each".into(), Value::Text)));
            members.push(("currency_property", Value::Text(money.property.clone())));
            members.push(("minor_units", Value::Bool(money.minor_units)));
        }
        if aggregate.kind.is_elapsed() {
            let unit =
                UNITS.iter().find(|(_, unit)| *unit == aggregate.unit).expect("every unit is in the table");
            members.push(("unit", unit.0.into()));
        }
        object(members)
    }
}

impl Derived {
    fn write(&self) -> Value {
        let mut members =
            vec![("plugin", Value::Text(self.plugin.clone())), ("output", Value::Text(self.output.clone()))];
        if let Some(config) = &self.config {
            let config = json::parse(config.as_bytes(), json::Options::default());
            members.push(("config", config.unwrap_or(Value::Null)));
        }
        if !self.events.is_empty() {
            members.push(("event", Value::List(self.events.iter().cloned().map(Value::Text).collect())));
        }
        object(members)
    }
}

fn derived(fields: &Object, problems: &mut Vec<Problem>) -> Option<Derived> {
    unknown(fields, &["plugin", "output", "config", "event"], "", problems);
    let mut name = |field: &str| match fields.get(field) {
        Some(Value::Text(name)) if !name.is_empty() && name.len() <= NAME_BYTES_MAX => Some(name.clone()),
        Some(_) => {
            let detail = format!("must be a string of 1 to {NAME_BYTES_MAX} bytes");
            problems.push(Problem::new(format!("/{field}"), Code::Invalid, detail));
            None
        }
        None => {
            problems.push(Problem::new(format!("/{field}"), Code::Required, "is required with plugin"));
            None
        }
    };
    let (plugin, output) = (name("plugin"), name("output"));
    let config = match fields.get("config") {
        None | Some(Value::Null) => None,
        Some(config @ Value::Object(_)) => Some(json::to_string(config)),
        Some(_) => {
            problems.push(Problem::new("/config", Code::WrongType, "must be an object"));
            return None;
        }
    };
    let events = match fields.get("event") {
        None | Some(Value::Null) => Vec::new(),
        some => read_events(some, "/event", problems)?,
    };
    Some(Derived { plugin: plugin?, output: output?, config, events })
}

fn aggregate(fields: &Object, problems: &mut Vec<Problem>) -> Option<Aggregate> {
    unknown(fields, &FIELDS, "", problems);
    let kind = match fields.get("kind").and_then(Value::as_text) {
        Some(name) => KINDS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind),
        None => None,
    };
    if kind.is_none() {
        let known: Vec<_> = KINDS.iter().map(|(name, _)| *name).collect();
        problems.push(Problem::new("/kind", Code::Invalid, format!("must be one of {}", known.join(", "))));
    }
    let events = read_events(fields.get("event"), "/event", problems);
    let property = read_pointer(fields, "property", "", problems);
    let weight = read_pointer(fields, "weight", "", problems);
    if let Some(kind) = kind {
        if kind.needs_property()
            && property.is_none()
            && matches!(fields.get("property"), None | Some(Value::Null))
        {
            problems.push(Problem::new(
                "/property",
                Code::Required,
                format!("is required for {}", kind.name()),
            ));
        }
        if weight.is_some() && kind != Kind::MostFrequent {
            problems.push(Problem::new("/weight", Code::Invalid, "only most_frequent weighs its values"));
        }
        for field in ["currency", "currency_property", "minor_units"] {
            if fields.get(field).is_some() && !kind.takes_amounts() {
                problems.push(Problem::new(
                    format!("/{field}"),
                    Code::Invalid,
                    "is for sum, min, max and avg",
                ));
            }
        }
        if fields.get("unit").is_some() && !kind.is_elapsed() {
            problems.push(Problem::new(
                "/unit",
                Code::Invalid,
                "is for time_since_first and time_since_last",
            ));
        }
    }
    let filter = fields.get("where").map_or_else(Vec::new, |list| read_list(list, "/where", problems));
    let window = match fields.get("window") {
        None | Some(Value::Null) => None,
        Some(window) => Window::read(window, "/window", problems),
    };
    let money = read_money(fields, problems);
    let unit = match fields.get("unit").map(|unit| unit.as_text().unwrap_or_default()) {
        None => Some(Unit::Seconds),
        Some(name) => UNITS.iter().find(|(known, _)| *known == name).map(|(_, unit)| *unit),
    };
    if unit.is_none() {
        problems.push(Problem::new("/unit", Code::Invalid, "must be seconds, minutes, hours or days"));
    }
    let source = Source { events: events?, filter, from: None, until: None };
    Some(Aggregate { kind: kind?, source, property, weight, window, money, unit: unit? })
}

fn read_money(fields: &Object, problems: &mut Vec<Problem>) -> Option<Money> {
    let minor_units = match fields.get("minor_units") {
        None | Some(Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(_) => {
            problems.push(Problem::new("/minor_units", Code::WrongType, "must be true or false"));
            false
        }
    };
    let property = read_pointer(fields, "currency_property", "", problems);
    let Some(currency) = fields.get("currency").filter(|currency| **currency != Value::Null) else {
        if minor_units || property.is_some() {
            problems.push(Problem::new(
                "/currency",
                Code::Required,
                "is required beside currency_property and minor_units",
            ));
        }
        return None;
    };
    let only = match currency.as_text() {
        Some("each") => None,
        Some(code) if currency::is_code(code) => Some(CompactString::from(code)),
        _ => {
            let detail = "must be a code of three capital letters, or \"each\" for an amount per currency";
            problems.push(Problem::new("/currency", Code::Invalid, detail));
            return None;
        }
    };
    Some(Money { property: property.unwrap_or_else(|| "/currency".into()), only, minor_units })
}

/// Reads a pointer that may be absent.
pub(crate) fn read_pointer(
    fields: &Object,
    field: &str,
    place: &str,
    problems: &mut Vec<Problem>,
) -> Option<CompactString> {
    match fields.get(field) {
        None | Some(Value::Null) => None,
        Some(Value::Text(pointer)) if pointer.starts_with('/') => Some(pointer.clone()),
        Some(_) => {
            let detail = "must be a JSON pointer into the properties, such as /total";
            problems.push(Problem::new(format!("{place}/{field}"), Code::Invalid, detail));
            None
        }
    }
}

/// Reads an event type, a list of them, or `"*"` for every type.
pub(crate) fn read_events(
    value: Option<&Value>,
    place: &str,
    problems: &mut Vec<Problem>,
) -> Option<Vec<CompactString>> {
    let items = match value {
        Some(Value::List(items)) if (1..=EVENT_TYPES_PER_SOURCE_MAX).contains(&items.len()) => &items[..],
        Some(one @ Value::Text(_)) => std::slice::from_ref(one),
        _ => {
            let code = if value.is_none() { Code::Required } else { Code::Invalid };
            let detail = format!(
                "must name the event type that counts, 1 to {EVENT_TYPES_PER_SOURCE_MAX} of them in an array, or \"*\" for every type"
            );
            problems.push(Problem::new(place, code, detail));
            return None;
        }
    };
    if let [Value::Text(any)] = items
        && any == "*"
    {
        return Some(Vec::new());
    }
    let mut events = Vec::new();
    for item in items {
        match item.as_text().filter(|name| !name.is_empty() && *name != "*") {
            Some(name) => events.push(CompactString::from(name)),
            None => {
                problems.push(Problem::new(place, Code::Invalid, "must name event types"));
                return None;
            }
        }
    }
    events.sort_unstable();
    events.dedup();
    Some(events)
}

/// Writes what [`read_events`] reads.
pub(crate) fn write_events(source: &Source) -> Value {
    match &source.events[..] {
        [] => "*".into(),
        [only] => Value::Text(only.clone()),
        all => Value::List(all.iter().cloned().map(Value::Text).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn value(text: &str) -> Value {
        json::parse(text.as_bytes(), json::Options::default()).unwrap()
    }

    #[test]
    fn a_definition_reads_back_as_it_was_written() {
        for text in [
            r#"{"kind":"sum","event":"purchase","property":"/total","where":[{"property":"/currency","op":"eq","value":"EUR"}]}"#,
            r#"{"kind":"avg","event":["b","a"],"property":"/total","window":{"days":90},"currency":"JPY","minor_units":true}"#,
            r#"{"kind":"sum","event":"*","property":"/total","currency":"each","currency_property":"/cur"}"#,
            r#"{"kind":"most_frequent","event":"p","property":"/sku","weight":"/n","window":{"calendar_days":3}}"#,
            r#"{"kind":"time_since_last","event":"p","unit":"days"}"#,
            r#"{"expr":{"if":[{"gt":[{"attribute":"a"},0]},{"div":[{"attribute":"b"},{"attribute":"a"}]}]}}"#,
            r#"{"expr":{"add":[{"rank":{"of":{"trait":"x"},"buckets":5}},{"floor":{"percentile_rank":{"attribute":"b"}}}]}}"#,
        ] {
            let definition = Definition::read(&value(text)).unwrap();
            assert_eq!(Definition::read(&definition.write()), Ok(definition), "{text}");
        }
    }

    #[test]
    fn every_problem_is_named_with_its_place() {
        let places = |text: &str| {
            let problems = Definition::read(&value(text)).unwrap_err();
            problems.into_iter().map(|problem| problem.pointer).collect::<Vec<_>>()
        };
        assert_eq!(
            places(r#"{"kind":"sum","where":[{"property":"total","op":"is"}],"colour":1}"#),
            ["/colour", "/event", "/property", "/where/0/property", "/where/0/op"]
        );
        assert_eq!(
            places(
                r#"{"kind":"count","event":"a","window":{"weeks":1},"currency":"eur","weight":"/a","unit":"days"}"#
            ),
            ["/weight", "/currency", "/unit", "/window", "/currency"]
        );
        assert_eq!(
            places(
                r#"{"kind":"sum","event":"a","property":"/x","where":[{"property":"/y","op":"matches","value":"(a{500}){500}"}]}"#
            ),
            ["/where/0/value"]
        );
        assert_eq!(
            places(r#"{"expr":{"add":[1,{"sub":[1]},{"nope":1},null]}}"#),
            ["/expr/add/1/sub", "/expr/add/2/nope", "/expr/add/3"]
        );
    }
}
