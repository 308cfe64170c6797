//! Purposes: what data may be used for. An export without a registered purpose is refused.

use cdp_domain::condition::unknown;
use cdp_domain::consent::basis::Basis;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::value::Value;
use compact_str::CompactString;

use crate::attributes::{Put, check_definition_name};
use crate::config::{Change, Policy, Purpose};
use crate::error::{Refused, Result};
use crate::tenant::Tenant;

/// Purposes of one tenant.
pub const PURPOSES_MAX: usize = 200;

/// Bytes of the address of a purpose's text.
pub const POLICY_URL_BYTES_MAX: usize = 1024;

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
    unknown(object, &["title", "legal_basis", "channels", "policy"], "", &mut problems);
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
    match (title, basis) {
        (Some(title), Some(basis)) if problems.is_empty() => Ok(Purpose {
            title: title.to_owned(),
            legal_basis: basis.to_owned(),
            channels,
            policy,
            version: 0,
        }),
        _ => Err(Refused::Invalid(problems)),
    }
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
