//! Purposes: what data may be used for. An export without a registered purpose is refused.

use cdp_domain::condition::unknown;
use cdp_domain::consent::basis::Basis;
use cdp_domain::consent::guard::{Action, Guard, Place};
use cdp_domain::event::check_name;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::value::Value;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::attributes::{Put, check_definition_name};
use crate::config::Change;
use crate::error::{Refused, Result};
use crate::tenant::Tenant;

/// A registered purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purpose {
    /// For people.
    pub title: String,
    /// `consent`, `contract`, `legitimate_interest`, …
    pub legal_basis: String,
    /// On which channels it is used; empty means all.
    pub channels: Vec<CompactString>,
    /// The text that people are shown.
    #[serde(default)]
    pub policy: Option<Policy>,
    /// What of events is stored only where its consent stands.
    #[serde(default)]
    pub guards: Vec<Guard>,
    /// Grows with every change.
    pub version: u32,
}

/// The text of a purpose, as it stands somewhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Which version of it.
    pub version: CompactString,
    /// Where it is.
    pub url: String,
}

impl Purpose {
    /// Why it may be used.
    #[must_use]
    pub fn basis(&self) -> Basis {
        // What was registered was checked; of what was not, the strictest.
        Basis::find(&self.legal_basis).unwrap_or(Basis::Consent)
    }

    /// Whether it is used on this channel.
    #[must_use]
    pub fn covers(&self, channel: &str) -> bool {
        self.channels.is_empty() || self.channels.iter().any(|one| one == channel)
    }
}

/// Purposes of one tenant.
pub const PURPOSES_MAX: usize = 200;

/// Bytes of the address of a purpose's text.
pub const POLICY_URL_BYTES_MAX: usize = 1024;

/// Guards of one purpose.
pub const GUARDS_PER_PURPOSE_MAX: usize = 50;

/// Bytes of the pointer of a guard.
pub const GUARD_POINTER_BYTES_MAX: usize = 512;

impl Tenant {
    /// Registers or changes a purpose.
    ///
    /// # Errors
    /// [`Refused::Invalid`]; [`Refused::Conflict`] at [`PURPOSES_MAX`].
    pub async fn put_purpose(&self, name: &str, definition: &Value) -> Result<Put> {
        check_definition_name(name)?;
        let purpose = read(definition)?;
        let _changing = self.core.changing.lock().await;
        let config = self.config();
        let known = config.purposes.get(name);
        if known.is_none() && config.purposes.len() >= PURPOSES_MAX {
            return Err(Refused::Conflict(format!("there are {PURPOSES_MAX} purposes already")));
        }
        if let Some(same) = known.filter(|known| Purpose { version: 0, ..(*known).clone() } == purpose) {
            return Ok(Put { version: same.version, created: false, job: None });
        }
        let version = known.map_or(0, |known| known.version) + 1;
        self.core.change(Change::PurposePut { name: name.into(), purpose }).await?;
        Ok(Put { version, created: known.is_none(), job: None })
    }

    /// All purposes, by name.
    #[must_use]
    pub fn purposes(&self) -> Vec<(CompactString, Purpose)> {
        self.config().purposes.iter().map(|(name, purpose)| (name.clone(), purpose.clone())).collect()
    }
}

fn read(definition: &Value) -> Result<Purpose> {
    let Some(object) = definition.as_object() else {
        return Err(Refused::invalid(Problem::new("", Code::WrongType, "a definition is a JSON object")));
    };
    let mut problems = Vec::new();
    unknown(object, &["title", "legal_basis", "channels", "policy", "guards"], "", &mut problems);
    let title =
        object.get("title").and_then(Value::as_text).filter(|title| !title.is_empty() && title.len() <= 200);
    if title.is_none() {
        problems.push(Problem::new("/title", Code::Required, "must be a string of 1 to 200 bytes"));
    }
    let basis =
        object.get("legal_basis").and_then(Value::as_text).filter(|basis| Basis::find(basis).is_some());
    if basis.is_none() {
        let detail = format!("must be one of {}", Basis::ALL.map(Basis::as_str).join(", "));
        problems.push(Problem::new("/legal_basis", Code::Invalid, detail));
    }
    let mut channels = Vec::new();
    match object.get("channels") {
        None | Some(Value::Null) => {}
        Some(Value::List(items)) if items.len() <= 32 => {
            for (n, item) in items.iter().enumerate() {
                match item.as_text().filter(|name| cdp_domain::event::check_name(name).is_ok()) {
                    Some(name) => channels.push(CompactString::from(name)),
                    None => problems.push(Problem::new(
                        format!("/channels/{n}"),
                        Code::WrongType,
                        "must be a channel's name",
                    )),
                }
            }
        }
        Some(_) => {
            problems.push(Problem::new("/channels", Code::WrongType, "must be an array of at most 32 names"))
        }
    }
    let policy = policy(object.get("policy"), &mut problems);
    let guards = guards(object.get("guards"), &mut problems);
    match (title, basis) {
        (Some(title), Some(basis)) if problems.is_empty() => Ok(Purpose {
            title: title.to_owned(),
            legal_basis: basis.to_owned(),
            channels,
            policy,
            guards,
            version: 0,
        }),
        _ => Err(Refused::Invalid(problems)),
    }
}

/// Reads a list of `{"event", "property", "action"}` and `{"trait", "action"}`.
fn guards(value: Option<&Value>, problems: &mut Vec<Problem>) -> Vec<Guard> {
    let items = match value {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::List(items)) if items.len() <= GUARDS_PER_PURPOSE_MAX => items,
        Some(_) => {
            let detail = format!("must be an array of at most {GUARDS_PER_PURPOSE_MAX} guards");
            problems.push(Problem::new("/guards", Code::WrongType, detail));
            return Vec::new();
        }
    };
    let mut guards = Vec::with_capacity(items.len());
    for (n, item) in items.iter().enumerate() {
        guards.extend(guard(item, &format!("/guards/{n}"), problems));
    }
    guards
}

fn guard(item: &Value, at: &str, problems: &mut Vec<Problem>) -> Option<Guard> {
    let Some(object) = item.as_object() else {
        let detail = "a guard is {\"event\", \"property\", \"action\"} or {\"trait\", \"action\"}";
        problems.push(Problem::new(at, Code::WrongType, detail));
        return None;
    };
    unknown(object, &["event", "property", "trait", "action"], at, problems);
    let mut add = |name: &str, detail: &str| {
        problems.push(Problem::new(format!("{at}/{name}"), Code::Invalid, detail));
    };
    let text = |name: &str| object.get(name).filter(|value| **value != Value::Null).map(Value::as_text);
    let action = text("action").flatten();
    let action = Action::ALL.into_iter().find(|known| Some(known.as_str()) == action);
    if action.is_none() {
        add("action", "must be remove or hash");
    }
    let is_name = |name: &&str| check_name(name).is_ok();
    let place = match (text("property"), text("trait")) {
        (Some(Some(pointer)), None)
            if pointer.len() > 1 && pointer.starts_with('/') && pointer.len() <= GUARD_POINTER_BYTES_MAX =>
        {
            let event = text("event").map(|event| event.filter(is_name));
            if event == Some(None) {
                add("event", "must be an event type");
            }
            Some(Place::Property { event: event.flatten().map(Into::into), pointer: pointer.to_owned() })
        }
        (Some(_), None) => {
            let detail = format!(
                "must be a JSON pointer into properties, with a leading slash and at most {GUARD_POINTER_BYTES_MAX} bytes"
            );
            add("property", &detail);
            None
        }
        (None, Some(Some(name))) if is_name(&name) && !name.starts_with('$') => {
            if text("event").is_some() {
                add("event", "does not go with a trait: traits are guarded in every event");
            }
            Some(Place::Trait(name.into()))
        }
        (None, Some(_)) => {
            add("trait", "must be the name of a trait");
            None
        }
        _ => {
            add("property", "a guard has either a property or a trait");
            None
        }
    };
    Some(Guard { place: place?, action: action? })
}

/// Reads `{"version", "url"}`.
fn policy(value: Option<&Value>, problems: &mut Vec<Problem>) -> Option<Policy> {
    let object = match value {
        None | Some(Value::Null) => return None,
        Some(Value::Object(object)) => object,
        Some(_) => {
            problems.push(Problem::new("/policy", Code::WrongType, "must be {\"version\", \"url\"}"));
            return None;
        }
    };
    unknown(object, &["version", "url"], "/policy", problems);
    let mut text = |name: &str, bytes_max: usize| {
        let fits = |text: &&str| !text.is_empty() && text.len() <= bytes_max;
        let text = object.get(name).and_then(Value::as_text).filter(fits);
        if text.is_none() {
            let detail = format!("must be a string of 1 to {bytes_max} bytes");
            problems.push(Problem::new(format!("/policy/{name}"), Code::Required, detail));
        }
        text
    };
    let version = text("version", cdp_domain::limits::NAME_BYTES_MAX);
    let url = text("url", POLICY_URL_BYTES_MAX);
    Some(Policy { version: version?.into(), url: url?.to_owned() })
}
