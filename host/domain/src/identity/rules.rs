//! A tenant's rules of identity: what each identifier type may do.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::blocked::{blocked_everywhere, like};
use crate::condition::unknown;
use crate::event::check_name;
use crate::identifier::{Identifier, Normaliser};
use crate::limits::{
    BLOCKED_PER_TYPE_MAX, IDENTIFIER_BYTES_MAX, IDENTIFIER_TYPE_BYTES_MAX, RULED_TYPES_MAX, SHARED_AFTER_MAX,
    TYPE_LIMIT_MAX, TYPE_PRIORITY_MAX,
};
use crate::problem::{Code, Problem};
use crate::value::{Object, Value};

/// With how many different values of one unique type a value may be seen before it counts as shared, where nothing else
/// is said: a family fits, an office or a till does not.
pub const SHARED_AFTER_DEFAULT: u32 = 5;

/// What a tenant says about one identifier type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeRule {
    /// The type.
    #[serde(rename = "type")]
    pub kind: CompactString,
    /// 1 is the highest. A type in no rule has the lowest.
    pub priority: u32,
    /// Whether two values may never be in one profile.
    pub unique: bool,
    /// How many values one profile may have.
    pub limit: Option<u32>,
    /// How values become comparable.
    pub normaliser: Normaliser,
    /// Values that never link, beside those blocked for every type; `*` stands for any run of characters.
    pub blocked: Vec<CompactString>,
}

/// A tenant's rules of identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// 0 for the rules that a tenant begins with; grows with every change.
    pub version: u32,
    /// The types that something is said about, sorted by name.
    pub types: Vec<TypeRule>,
    /// A value that is seen with more different values of one unique type than this links nobody.
    pub shared_after: u32,
    /// Whether the values that name nobody are blocked for every type.
    pub block_usual: bool,
}

impl Default for Rules {
    /// The rules that a tenant begins with: `user_id` is unique and comes first, then e-mail and telephone; what is in
    /// no rule comes last. So hubs are held off before anybody has thought of rules.
    fn default() -> Self {
        let rule = |kind: &str, priority, unique| TypeRule {
            kind: kind.into(),
            priority,
            unique,
            limit: None,
            normaliser: Normaliser::usual_for(kind),
            blocked: Vec::new(),
        };
        let types = vec![rule("email", 2, false), rule("phone", 3, false), rule("user_id", 1, true)];
        Self { version: 0, types, shared_after: SHARED_AFTER_DEFAULT, block_usual: true }
    }
}

impl Rules {
    /// Rules that limit nothing: people are connected components of what is not shared or blocked.
    #[must_use]
    pub fn unlimited() -> Self {
        Self { version: 0, types: Vec::new(), shared_after: SHARED_AFTER_DEFAULT, block_usual: false }
    }

    /// How values of this type become comparable.
    #[must_use]
    pub fn normaliser(&self, kind: &str) -> Normaliser {
        self.rule(kind).map_or_else(|| Normaliser::usual_for(kind), |rule| rule.normaliser)
    }

    /// What is said about a type.
    #[must_use]
    pub fn rule(&self, kind: &str) -> Option<&TypeRule> {
        self.place(kind).map(|at| &self.types[at])
    }

    /// Where the rule of a type stands among [`Self::types`].
    pub(super) fn place(&self, kind: &str) -> Option<usize> {
        self.types.binary_search_by(|rule| rule.kind.as_str().cmp(kind)).ok()
    }

    /// Lower numbers are stronger.
    #[must_use]
    pub fn priority(&self, kind: &str) -> u32 {
        self.rule(kind).map_or(u32::MAX, |rule| rule.priority)
    }

    /// Whether two values of this type may never be in one profile.
    #[must_use]
    pub fn unique(&self, kind: &str) -> bool {
        self.rule(kind).is_some_and(|rule| rule.unique)
    }

    /// Whether a value names nobody, and never links.
    #[must_use]
    pub fn blocked(&self, identifier: &Identifier) -> bool {
        (self.block_usual && blocked_everywhere(&identifier.value))
            || self
                .rule(&identifier.kind)
                .is_some_and(|rule| rule.blocked.iter().any(|pattern| like(pattern, &identifier.value)))
    }

    /// Whether anything but the version differs.
    #[must_use]
    pub fn differ(&self, other: &Self) -> bool {
        Self { version: 0, ..self.clone() } != Self { version: 0, ..other.clone() }
    }

    /// Reads `{"types": [{"type", "priority", "unique", "limit", "normaliser", "blocked"}], "shared_after",
    /// "block_usual"}`. What a type does not say: not unique, no limit, the usual normaliser of its name, nothing blocked.
    ///
    /// # Errors
    /// Every problem, with pointers into the definition.
    pub fn read(definition: &Value) -> Result<Self, Vec<Problem>> {
        let Some(object) = definition.as_object() else {
            return Err(vec![Problem::new("", Code::WrongType, "rules are a JSON object")]);
        };
        let mut problems = Vec::new();
        unknown(object, &["types", "shared_after", "block_usual"], "", &mut problems);
        let mut types = Vec::new();
        match object.get("types") {
            Some(Value::List(items)) if items.len() <= RULED_TYPES_MAX => {
                for (n, item) in items.iter().enumerate() {
                    types.extend(read_type(item, &format!("/types/{n}"), &mut problems));
                }
            }
            Some(Value::List(_)) => {
                let detail = format!("has more than {RULED_TYPES_MAX} types");
                problems.push(Problem::new("/types", Code::TooLong, detail));
            }
            Some(_) => problems.push(Problem::new("/types", Code::WrongType, "must be an array")),
            None => problems.push(Problem::new("/types", Code::Required, "is required")),
        }
        for (n, rule) in types.iter().enumerate() {
            if types[..n].iter().any(|earlier: &TypeRule| earlier.kind == rule.kind) {
                let detail = "this type has a rule already";
                problems.push(Problem::new(format!("/types/{n}/type"), Code::Duplicate, detail));
            }
        }
        let shared_after = number(object, "shared_after", "", SHARED_AFTER_MAX, &mut problems);
        let block_usual = flag(object, "block_usual", "", true, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        types.sort_by(|a, b| a.kind.cmp(&b.kind));
        Ok(Self {
            version: 0,
            types,
            shared_after: shared_after.unwrap_or(SHARED_AFTER_DEFAULT),
            block_usual,
        })
    }

    /// Writes them as clients do, without the version; types by priority, then by name.
    #[must_use]
    pub fn write(&self) -> Value {
        let mut types: Vec<_> = self.types.iter().collect();
        types.sort_by(|a, b| (a.priority, &a.kind).cmp(&(b.priority, &b.kind)));
        let object = |fields: Vec<(&str, Value)>| {
            Value::Object(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
        };
        let one = |rule: &TypeRule| {
            object(vec![
                ("type", Value::Text(rule.kind.clone())),
                ("priority", i64::from(rule.priority).into()),
                ("unique", Value::Bool(rule.unique)),
                ("limit", rule.limit.map_or(Value::Null, |limit| i64::from(limit).into())),
                ("normaliser", normaliser_name(rule.normaliser).into()),
                ("blocked", Value::List(rule.blocked.iter().cloned().map(Value::Text).collect())),
            ])
        };
        object(vec![
            ("types", Value::List(types.into_iter().map(one).collect())),
            ("shared_after", i64::from(self.shared_after).into()),
            ("block_usual", Value::Bool(self.block_usual)),
        ])
    }
}

const NORMALISERS: [(&str, Normaliser); 3] =
    [("email", Normaliser::Email), ("phone", Normaliser::Phone), ("opaque", Normaliser::Opaque)];

fn normaliser_name(normaliser: Normaliser) -> &'static str {
    NORMALISERS.iter().find(|(_, known)| *known == normaliser).map_or("opaque", |(name, _)| name)
}

fn read_type(item: &Value, place: &str, problems: &mut Vec<Problem>) -> Option<TypeRule> {
    let Some(object) = item.as_object() else {
        problems.push(Problem::new(place, Code::WrongType, "must be an object"));
        return None;
    };
    unknown(object, &["type", "priority", "unique", "limit", "normaliser", "blocked"], place, problems);
    let kind = object.get("type").and_then(Value::as_text);
    let kind = kind.filter(|kind| kind.len() <= IDENTIFIER_TYPE_BYTES_MAX && check_name(kind).is_ok());
    if kind.is_none() {
        let detail = "must be the name of an identifier type";
        problems.push(Problem::new(format!("{place}/type"), Code::Invalid, detail));
    }
    let before = problems.len();
    let priority = number(object, "priority", place, TYPE_PRIORITY_MAX, problems);
    if priority.is_none() && problems.len() == before {
        let detail = format!("must be a whole number from 1 to {TYPE_PRIORITY_MAX}; 1 is the highest");
        problems.push(Problem::new(format!("{place}/priority"), Code::Required, detail));
    }
    let unique = flag(object, "unique", place, false, problems);
    let limit = number(object, "limit", place, TYPE_LIMIT_MAX, problems);
    if unique && limit.is_some_and(|limit| limit > 1) {
        let detail = "must be 1 or null: a unique type has one value";
        problems.push(Problem::new(format!("{place}/limit"), Code::Invalid, detail));
    }
    let normaliser = match object.get("normaliser") {
        None | Some(Value::Null) => Some(Normaliser::usual_for(kind.unwrap_or_default())),
        Some(value) => {
            let known = value.as_text().and_then(|name| NORMALISERS.iter().find(|(known, _)| *known == name));
            if known.is_none() {
                let names: Vec<_> = NORMALISERS.iter().map(|(name, _)| *name).collect();
                let detail = format!("must be one of {}", names.join(", "));
                problems.push(Problem::new(format!("{place}/normaliser"), Code::Invalid, detail));
            }
            known.map(|(_, normaliser)| *normaliser)
        }
    };
    let blocked = read_blocked(object, place, problems);
    Some(TypeRule {
        kind: kind?.into(),
        priority: priority?,
        unique,
        limit,
        normaliser: normaliser?,
        blocked,
    })
}

fn read_blocked(object: &Object, place: &str, problems: &mut Vec<Problem>) -> Vec<CompactString> {
    let place = format!("{place}/blocked");
    let items = match object.get("blocked") {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::List(items)) if items.len() <= BLOCKED_PER_TYPE_MAX => items,
        Some(Value::List(_)) => {
            let detail = format!("has more than {BLOCKED_PER_TYPE_MAX} values");
            problems.push(Problem::new(place, Code::TooLong, detail));
            return Vec::new();
        }
        Some(_) => {
            problems.push(Problem::new(place, Code::WrongType, "must be an array of strings"));
            return Vec::new();
        }
    };
    let mut out = Vec::with_capacity(items.len());
    for (n, item) in items.iter().enumerate() {
        match item.as_text().filter(|text| !text.is_empty() && text.len() <= IDENTIFIER_BYTES_MAX) {
            Some(text) => out.push(text.into()),
            None => {
                let detail = format!("must be a string of 1 to {IDENTIFIER_BYTES_MAX} bytes");
                problems.push(Problem::new(format!("{place}/{n}"), Code::WrongType, detail));
            }
        }
    }
    out.sort_unstable();
    out.dedup();
    out
}

/// A whole number from 1 to `max`; None when it is absent or a problem was told.
fn number(object: &Object, name: &str, place: &str, max: u32, problems: &mut Vec<Problem>) -> Option<u32> {
    let value = match object.get(name) {
        None | Some(Value::Null) => return None,
        Some(value) => value,
    };
    let number = match value {
        Value::Number(number) => number.plain().parse::<u32>().ok(),
        _ => None,
    };
    let number = number.filter(|number| (1..=max).contains(number));
    if number.is_none() {
        let detail = format!("must be a whole number from 1 to {max}");
        problems.push(Problem::new(format!("{place}/{name}"), Code::Invalid, detail));
    }
    number
}

fn flag(object: &Object, name: &str, place: &str, otherwise: bool, problems: &mut Vec<Problem>) -> bool {
    match object.get(name) {
        None | Some(Value::Null) => otherwise,
        Some(Value::Bool(flag)) => *flag,
        Some(_) => {
            problems.push(Problem::new(format!("{place}/{name}"), Code::WrongType, "must be true or false"));
            otherwise
        }
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
    fn rules_read_back_as_they_were_written() {
        let text = r#"{"types":[{"type":"loyalty","priority":1,"unique":true},
            {"type":"email","priority":2,"limit":3,"blocked":["*@shop.example"]}],"shared_after":7}"#;
        let rules = Rules::read(&value(text)).unwrap();
        assert_eq!(Rules::read(&rules.write()), Ok(rules.clone()));
        assert_eq!(rules.normaliser("email"), Normaliser::Email);
        assert!(rules.unique("loyalty") && rules.priority("email") == 2 && rules.priority("x") == u32::MAX);
        let of = |kind: &str, value: &str| Identifier { kind: kind.into(), value: value.into() };
        assert!(rules.blocked(&of("email", "till@shop.example")) && rules.blocked(&of("loyalty", "null")));
        assert!(!rules.blocked(&of("loyalty", "till@shop.example")));
    }

    #[test]
    fn every_problem_is_named_with_its_place() {
        let text = r#"{"types":[{"type":"","priority":0},{"type":"a","priority":1,"unique":1,"normaliser":"x"},
            {"type":"b","priority":1,"unique":true,"limit":2,"blocked":[""]},{"type":"b","priority":1},7,{"type":"c"}],
            "shared_after":0,"colour":1}"#;
        let problems = Rules::read(&value(text)).unwrap_err();
        let places: Vec<_> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
        let wanted = [
            "/colour",
            "/types/0/type",
            "/types/0/priority",
            "/types/1/unique",
            "/types/1/normaliser",
            "/types/2/limit",
            "/types/2/blocked/0",
            "/types/4",
            "/types/5/priority",
            "/types/1/type",
            "/shared_after",
        ];
        assert_eq!(places, wanted);
        let at = |n: u32| value(&format!(r#"{{"types":[],"shared_after":{n}}}"#));
        assert!(
            Rules::read(&at(SHARED_AFTER_MAX)).is_ok() && Rules::read(&at(SHARED_AFTER_MAX + 1)).is_err()
        );
        let many = |n: usize| {
            let types: Vec<_> = (0..n).map(|n| format!(r#"{{"type":"t{n}","priority":1}}"#)).collect();
            value(&format!(r#"{{"types":[{}]}}"#, types.join(",")))
        };
        assert!(
            Rules::read(&many(RULED_TYPES_MAX)).is_ok() && Rules::read(&many(RULED_TYPES_MAX + 1)).is_err()
        );
    }

    #[test]
    fn limits_hold_at_n_and_n_plus_1() {
        let rule = |more: &str| value(&format!(r#"{{"types":[{{"type":"a","priority":1{more}}}]}}"#));
        let priority = |n: u32| value(&format!(r#"{{"types":[{{"type":"a","priority":{n}}}]}}"#));
        let limit = |n: u32| rule(&format!(r#","limit":{n}"#));
        let blocked = |n: usize| rule(&format!(r#","blocked":[{}]"#, vec![r#""x""#; n].join(",")));
        let long = |n: usize| rule(&format!(r#","blocked":["{}"]"#, "x".repeat(n)));
        for (at_most, beyond) in [
            (priority(TYPE_PRIORITY_MAX), priority(TYPE_PRIORITY_MAX + 1)),
            (limit(TYPE_LIMIT_MAX), limit(TYPE_LIMIT_MAX + 1)),
            (blocked(BLOCKED_PER_TYPE_MAX), blocked(BLOCKED_PER_TYPE_MAX + 1)),
            (long(IDENTIFIER_BYTES_MAX), long(IDENTIFIER_BYTES_MAX + 1)),
        ] {
            assert!(Rules::read(&at_most).is_ok() && Rules::read(&beyond).is_err());
        }
    }
}
