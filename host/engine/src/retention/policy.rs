//! How long events are kept.

use std::collections::BTreeMap;

use cdp_domain::condition::unknown;
use cdp_domain::event::{EXPIRED, VOID};
use cdp_domain::problem::{Code as Wrong, Problem};
use cdp_domain::time::Timestamp;
use cdp_domain::value::{Number, Value};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::config::Change;
use crate::dead_letters::Code;
use crate::error::{Refused, Result};
use crate::feed::{Item, Unreadable};
use crate::tenant::Tenant;

/// Rules of one tenant.
pub const RETENTION_RULES_MAX: usize = 200;
/// The longest that a rule can keep events; without a rule they are kept for ever.
pub const RETENTION_DAYS_MAX: u32 = 36_500;
/// The rule for all types that have none of their own.
pub const REST: &str = "*";

const DAY_MS: i64 = 86_400_000;

/// What becomes of what events amounted to when they go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Derived {
    /// It goes with them.
    Decayed,
    /// It stays.
    Frozen,
}

impl Derived {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decayed => "decayed",
            Self::Frozen => "frozen",
        }
    }
}

/// How long events of a type are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Days of 24 hours after they happened; from 1 to [`RETENTION_DAYS_MAX`].
    pub days: u32,
    /// What becomes of what they amounted to.
    pub derived: Derived,
}

/// How long events are kept, by their type as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Retention {
    /// By event type, or [`REST`].
    pub rules: BTreeMap<CompactString, Keep>,
    /// When it was set last.
    pub set_at: Option<Timestamp>,
    /// As of when every event whose days were over is gone.
    pub swept_at: Option<Timestamp>,
}

/// How long events are kept, as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionView {
    /// The policy.
    pub retention: Retention,
    /// Events that are gone by their age.
    pub expired: u64,
}

impl Retention {
    /// The rule for a type; None when its events are kept for ever.
    #[must_use]
    pub fn keep(&self, kind: &str) -> Option<Keep> {
        self.rule(kind).map(|(_, keep)| keep)
    }

    /// The same with the type that the rule names: the event's own, or [`REST`].
    #[must_use]
    pub fn rule(&self, kind: &str) -> Option<(&str, Keep)> {
        if kind == VOID || kind == EXPIRED {
            return None;
        }
        let rule = self.rules.get_key_value(kind).or_else(|| self.rules.get_key_value(REST));
        rule.map(|(named, keep)| (named.as_str(), *keep))
    }

    /// When the days of an event are over, and what becomes of what it amounted to.
    #[must_use]
    pub fn ends(&self, kind: &str, time: Timestamp) -> Option<(Timestamp, Derived)> {
        let keep = self.keep(kind)?;
        Some((Timestamp(time.0.saturating_add(i64::from(keep.days) * DAY_MS)), keep.derived))
    }

    /// Whether the days of an event are over.
    #[must_use]
    pub fn is_over(&self, kind: &str, time: Timestamp, now: Timestamp) -> bool {
        self.ends(kind, time).is_some_and(|(end, _)| end <= now)
    }
}

/// What takes the place of an event whose days were over when it came.
pub(crate) fn late(retention: &Retention, item: &Item) -> Option<Item> {
    let Item::Event(pending) = item else { return None };
    let event = &pending.event;
    let keep = retention.keep(&event.kind)?;
    if !retention.is_over(&event.kind, event.time, pending.received_at) {
        return None;
    }
    Some(Item::Unreadable(Box::new(Unreadable {
        position: pending.position,
        received_at: pending.received_at,
        code: Code::Expired,
        reason: format!("events of its type are kept for {} days, and it was older when it came", keep.days),
        names: (event.id.clone(), event.source.clone(), event.kind.clone()),
    })))
}

impl Tenant {
    /// How long events are kept.
    #[must_use]
    pub fn retention(&self) -> RetentionView {
        let view = self.core.rows.read();
        RetentionView { retention: view.inner.config.retention.clone(), expired: view.inner.summary.expired }
    }

    /// Says how long events are kept from here on. What is over is gone soon after, by a job.
    ///
    /// # Errors
    /// [`Refused::Invalid`] with pointers.
    pub async fn put_retention(&self, definition: &Value) -> Result<RetentionView> {
        let rules = read(definition)?;
        let _changing = self.core.changing.lock().await;
        if self.config().retention.rules != rules {
            let at = self.core.clock.now();
            self.core.change(Change::RetentionPut { rules, at }).await?;
        }
        Ok(self.retention())
    }
}

pub(super) fn read(definition: &Value) -> Result<BTreeMap<CompactString, Keep>> {
    let Some(object) = definition.as_object() else {
        return Err(Refused::invalid(Problem::new("", Wrong::WrongType, "must be a JSON object")));
    };
    let mut problems = Vec::new();
    unknown(object, &["rules"], "", &mut problems);
    let mut rules = BTreeMap::new();
    match object.get("rules") {
        Some(Value::List(items)) if items.len() <= RETENTION_RULES_MAX => {
            for (n, item) in items.iter().enumerate() {
                let place = format!("/rules/{n}");
                if let Some((kind, keep)) = read_rule(item, &place, &mut problems)
                    && rules.insert(kind, keep).is_some()
                {
                    let detail = "has a rule already";
                    problems.push(Problem::new(format!("{place}/type"), Wrong::Duplicate, detail));
                }
            }
        }
        Some(Value::List(_)) => {
            let detail = format!("at most {RETENTION_RULES_MAX} rules");
            problems.push(Problem::new("/rules", Wrong::TooLong, detail));
        }
        Some(_) => problems.push(Problem::new("/rules", Wrong::WrongType, "must be a list")),
        None => problems.push(Problem::new("/rules", Wrong::Required, "is required")),
    }
    if problems.is_empty() { Ok(rules) } else { Err(Refused::Invalid(problems)) }
}

fn read_rule(item: &Value, place: &str, problems: &mut Vec<Problem>) -> Option<(CompactString, Keep)> {
    let Some(object) = item.as_object() else {
        problems.push(Problem::new(place, Wrong::WrongType, "must be a JSON object"));
        return None;
    };
    let before = problems.len();
    unknown(object, &["type", "days", "derived"], place, problems);
    let mut add = |field: &str, code, detail: String| {
        problems.push(Problem::new(format!("{place}/{field}"), code, detail));
    };
    let kind = match object.get("type") {
        Some(Value::Text(kind)) if kind == VOID || kind == EXPIRED => {
            add("type", Wrong::Invalid, "is a type of our own, which does not age".to_owned());
            None
        }
        Some(Value::Text(kind))
            if !kind.is_empty() && kind.len() <= cdp_domain::limits::EVENT_TYPE_BYTES_MAX =>
        {
            Some(kind.clone())
        }
        Some(Value::Text(_)) => {
            let max = cdp_domain::limits::EVENT_TYPE_BYTES_MAX;
            add("type", Wrong::Invalid, format!("must have 1 to {max} bytes"));
            None
        }
        Some(_) => {
            add("type", Wrong::WrongType, "must be a string".to_owned());
            None
        }
        None => {
            add("type", Wrong::Required, "is required: an event type, or `*` for all others".to_owned());
            None
        }
    };
    let days = match object.get("days") {
        Some(Value::Number(Number::Int(days))) if (1..=i64::from(RETENTION_DAYS_MAX)).contains(days) => {
            Some(*days as u32)
        }
        Some(Value::Number(_)) => {
            add("days", Wrong::Invalid, format!("must be a whole number from 1 to {RETENTION_DAYS_MAX}"));
            None
        }
        Some(_) => {
            add("days", Wrong::WrongType, "must be a number".to_owned());
            None
        }
        None => {
            add("days", Wrong::Required, "is required".to_owned());
            None
        }
    };
    let derived = match object.get("derived") {
        Some(Value::Text(word)) if word == "decayed" => Some(Derived::Decayed),
        Some(Value::Text(word)) if word == "frozen" => Some(Derived::Frozen),
        Some(_) => {
            add("derived", Wrong::Invalid, "must be `decayed` or `frozen`".to_owned());
            None
        }
        None => {
            add("derived", Wrong::Required, "is required: `decayed` or `frozen`".to_owned());
            None
        }
    };
    if problems.len() > before {
        return None;
    }
    Some((kind?, Keep { days: days?, derived: derived? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        cdp_domain::json::parse(json.as_bytes(), cdp_domain::json::Options::default()).unwrap()
    }

    fn pointers(json: &str) -> Vec<String> {
        match read(&value(json)) {
            Err(Refused::Invalid(problems)) => problems.into_iter().map(|one| one.pointer).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn many(n: usize) -> String {
        let rule = |n| format!(r#"{{"type": "t{n}", "days": 1, "derived": "frozen"}}"#);
        format!(r#"{{"rules": [{}]}}"#, (0..n).map(rule).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn rules_are_read_and_every_problem_is_told_with_its_place() {
        let rules = read(&value(
            r#"{"rules": [{"type": "view", "days": 1, "derived": "decayed"}, {"type": "*", "days": 36500, "derived": "frozen"}]}"#,
        ))
        .unwrap();
        assert_eq!(rules["view"], Keep { days: 1, derived: Derived::Decayed });
        assert_eq!(rules["*"].days, RETENTION_DAYS_MAX);
        assert_eq!(read(&value(r#"{"rules": []}"#)).unwrap(), BTreeMap::new());
        for (bad, at) in [
            (r#"{"rules": [{"type": "", "days": 0, "derived": "kept"}]}"#, vec!["type", "days", "derived"]),
            (r#"{"rules": [{"type": "a", "days": 36501, "derived": "frozen"}]}"#, vec!["days"]),
            (r#"{"rules": [{"type": "a", "days": 1.5, "derived": "frozen"}]}"#, vec!["days"]),
            (r#"{"rules": [{"type": "$void", "days": 1, "derived": "frozen", "x": 1}]}"#, vec!["x", "type"]),
            (r#"{"rules": [{}]}"#, vec!["type", "days", "derived"]),
        ] {
            let expected: Vec<_> = at.iter().map(|field| format!("/rules/0/{field}")).collect();
            assert_eq!(pointers(bad), expected, "{bad}");
        }
        let twice = r#"{"rules": [{"type": "a", "days": 1, "derived": "frozen"}, {"type": "a", "days": 2, "derived": "frozen"}]}"#;
        assert_eq!(pointers(twice), ["/rules/1/type"]);
        assert_eq!(pointers("{}"), ["/rules"]);
        assert_eq!(pointers(&many(RETENTION_RULES_MAX + 1)), ["/rules"]);
        assert_eq!(read(&value(&many(RETENTION_RULES_MAX))).unwrap().len(), RETENTION_RULES_MAX);
    }

    #[test]
    fn an_event_is_over_on_the_millisecond_and_only_by_the_rule_of_its_type() {
        let mut retention = Retention::default();
        assert!(!retention.is_over("view", Timestamp(0), Timestamp(i64::MAX)));
        retention.rules.insert("view".into(), Keep { days: 2, derived: Derived::Frozen });
        assert!(!retention.is_over("view", Timestamp(5), Timestamp(2 * DAY_MS + 4)));
        assert!(retention.is_over("view", Timestamp(5), Timestamp(2 * DAY_MS + 5)));
        assert!(!retention.is_over("buy", Timestamp(0), Timestamp(i64::MAX)));
        retention.rules.insert(REST.into(), Keep { days: 1, derived: Derived::Decayed });
        assert_eq!(retention.ends("buy", Timestamp(1)), Some((Timestamp(DAY_MS + 1), Derived::Decayed)));
        assert_eq!(retention.ends("view", Timestamp(1)), Some((Timestamp(2 * DAY_MS + 1), Derived::Frozen)));
        assert_eq!((retention.ends(VOID, Timestamp(1)), retention.ends(EXPIRED, Timestamp(1))), (None, None));
    }
}
