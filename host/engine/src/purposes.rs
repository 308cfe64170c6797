//! Purposes: what data may be used for. An export without a registered purpose is refused.

use cdp_domain::condition::unknown;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::value::Value;
use compact_str::CompactString;

use crate::attributes::{Put, check_definition_name};
use crate::config::{Change, Purpose};
use crate::error::{Refused, Result};
use crate::tenant::Tenant;

/// Purposes of one tenant.
pub const PURPOSES_MAX: usize = 200;

/// The legal bases that a purpose may name.
pub const LEGAL_BASES: [&str; 6] =
    ["consent", "contract", "legal_obligation", "vital_interest", "public_task", "legitimate_interest"];

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
    unknown(object, &["title", "legal_basis", "channels"], "", &mut problems);
    let title =
        object.get("title").and_then(Value::as_text).filter(|title| !title.is_empty() && title.len() <= 200);
    if title.is_none() {
        problems.push(Problem::new("/title", Code::Required, "must be a string of 1 to 200 bytes"));
    }
    let basis =
        object.get("legal_basis").and_then(Value::as_text).filter(|basis| LEGAL_BASES.contains(basis));
    if basis.is_none() {
        let detail = format!("must be one of {}", LEGAL_BASES.join(", "));
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
    match (title, basis) {
        (Some(title), Some(basis)) if problems.is_empty() => {
            Ok(Purpose { title: title.to_owned(), legal_basis: basis.to_owned(), channels, version: 0 })
        }
        _ => Err(Refused::Invalid(problems)),
    }
}
