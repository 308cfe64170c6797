//! Which purposes privacy signals are about: the tenant's mapping.

use std::collections::BTreeMap;

use cdp_domain::condition::unknown;
use cdp_domain::consent::signals::Mapping;
use cdp_domain::problem::{Code, Problem, step};
use cdp_domain::value::Value;
use compact_str::CompactString;

use crate::config::Change;
use crate::error::{Refused, Result};
use crate::tenant::Tenant;

/// Entries of one list or map of the mapping.
pub const SIGNALS_MAX: usize = 200;
/// The highest number of a purpose in TC strings.
const TCF_PURPOSES: u8 = 24;

impl Tenant {
    /// What signals mean.
    #[must_use]
    pub fn signals(&self) -> Mapping {
        self.config().signals.clone()
    }

    /// Says what signals mean from here on.
    ///
    /// # Errors
    /// [`Refused::Invalid`] with pointers, also for purposes that are not registered.
    pub async fn put_signals(&self, definition: &Value) -> Result<Mapping> {
        let mapping = read(definition)?;
        let _changing = self.core.changing.lock().await;
        let config = self.config();
        let unregistered =
            mapping.purposes().into_iter().filter(|(_, name)| !config.purposes.contains_key(*name));
        let problems: Vec<_> = unregistered
            .map(|(pointer, _)| Problem::new(pointer, Code::NotFound, "is not a registered purpose"))
            .collect();
        if !problems.is_empty() {
            return Err(Refused::Invalid(problems));
        }
        if config.signals != mapping {
            self.core.change(Change::SignalsPut { mapping: mapping.clone() }).await?;
        }
        Ok(mapping)
    }
}

fn read(definition: &Value) -> Result<Mapping> {
    let Some(object) = definition.as_object() else {
        return Err(Refused::invalid(Problem::new("", Code::WrongType, "must be a JSON object")));
    };
    let mut problems = Vec::new();
    unknown(object, &["gpc", "usp_sale", "tcf", "categories", "integrations"], "", &mut problems);
    let gpc = list(object.get("gpc"), "/gpc", &mut problems);
    let usp_sale = list(object.get("usp_sale"), "/usp_sale", &mut problems);
    let mut tcf = BTreeMap::new();
    for (key, name) in map(object.get("tcf"), "/tcf", &mut problems) {
        match key.parse().ok().filter(|no| (1..=TCF_PURPOSES).contains(no)) {
            Some(no) => drop(tcf.insert(no, name)),
            None => {
                let detail = format!("must be a number from 1 to {TCF_PURPOSES}");
                problems.push(Problem::new(format!("/tcf{}", step(&key)), Code::Invalid, detail));
            }
        }
    }
    let categories = map(object.get("categories"), "/categories", &mut problems);
    let integrations = map(object.get("integrations"), "/integrations", &mut problems);
    if problems.is_empty() {
        Ok(Mapping { gpc, usp_sale, tcf, categories, integrations })
    } else {
        Err(Refused::Invalid(problems))
    }
}

fn list(value: Option<&Value>, place: &str, problems: &mut Vec<Problem>) -> Vec<CompactString> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::List(items)) if items.len() <= SIGNALS_MAX => {
            let mut names = Vec::with_capacity(items.len());
            for (n, item) in items.iter().enumerate() {
                match item.as_text() {
                    Some(name) => names.push(name.into()),
                    None => problems.push(Problem::new(
                        format!("{place}/{n}"),
                        Code::WrongType,
                        "must be a purpose",
                    )),
                }
            }
            names
        }
        Some(_) => {
            let detail = format!("must be an array of at most {SIGNALS_MAX} purposes");
            problems.push(Problem::new(place, Code::WrongType, detail));
            Vec::new()
        }
    }
}

fn map(
    value: Option<&Value>,
    place: &str,
    problems: &mut Vec<Problem>,
) -> BTreeMap<CompactString, CompactString> {
    match value {
        None | Some(Value::Null) => BTreeMap::new(),
        Some(Value::Object(object)) if object.len() <= SIGNALS_MAX => {
            let mut names = BTreeMap::new();
            for (key, item) in object.iter() {
                match item.as_text() {
                    Some(name) => drop(names.insert(key.clone(), name.into())),
                    None => {
                        let pointer = format!("{place}{}", step(key));
                        problems.push(Problem::new(pointer, Code::WrongType, "must be a purpose"));
                    }
                }
            }
            names
        }
        Some(_) => {
            let detail = format!("must be an object of at most {SIGNALS_MAX} purposes");
            problems.push(Problem::new(place, Code::WrongType, detail));
            BTreeMap::new()
        }
    }
}
