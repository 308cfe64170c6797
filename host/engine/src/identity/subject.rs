//! What clients name in questions and constraints: an identifier, or the id of a profile or fragment.

use cdp_domain::identifier::Identifier;
use cdp_domain::identity::Subject;
use cdp_domain::ids::FragmentId;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::value::Value;

use super::ground::Ground;
use crate::error::{Refused, Result};
use crate::rows::View;
use crate::tenant::Tenant;

impl Tenant {
    /// An identifier in comparable form.
    pub(crate) fn identifier(&self, kind: &str, value: &str, pointer: &str) -> Result<Identifier> {
        let rules = self.core.accepting.read().clone();
        let value = rules
            .normaliser(kind)
            .normalise(value)
            .map_err(|detail| Refused::invalid(Problem::new(pointer, Code::Invalid, detail)))?;
        Ok(Identifier { kind: kind.into(), value })
    }

    /// The fragment whose profile an identifier names.
    pub(crate) fn owner(&self, view: &View<'_>, identifier: &Identifier) -> Result<Option<FragmentId>> {
        let resolver = self.core.resolver.read().clone();
        let revision = view.inner.config.identity.revision;
        Ground::new(view, &self.core.digests, &resolver, Some(revision)).owner(identifier)
    }

    /// Reads `{"type", "value"}`, or an id as a string.
    pub(crate) fn subject(
        &self,
        value: Option<&Value>,
        pointer: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<Subject> {
        match value {
            None | Some(Value::Null) => {
                problems.push(Problem::new(pointer, Code::Required, "is required"));
                None
            }
            Some(Value::Text(id)) => match id.parse() {
                Ok(id) => Some(Subject::Fragment(id)),
                Err(_) => {
                    let detail = "is neither an identifier {type, value} nor the id of a profile or fragment";
                    problems.push(Problem::new(pointer, Code::Invalid, detail));
                    None
                }
            },
            Some(Value::Object(object)) => {
                cdp_domain::condition::unknown(object, &["type", "value"], pointer, problems);
                let mut text = |name: &str| {
                    let text = object.get(name).and_then(Value::as_text).filter(|text| !text.is_empty());
                    if text.is_none() {
                        let detail = "must be a string that is not empty";
                        problems.push(Problem::new(format!("{pointer}/{name}"), Code::Required, detail));
                    }
                    text
                };
                let (kind, value) = (text("type"), text("value"));
                match self.identifier(kind?, value?, &format!("{pointer}/value")) {
                    Ok(identifier) => Some(Subject::Identifier(identifier)),
                    Err(Refused::Invalid(more)) => {
                        problems.extend(more);
                        None
                    }
                    Err(_) => None,
                }
            }
            Some(other) => {
                let detail =
                    format!("must be an identifier {{type, value}} or an id, not {}", other.type_name());
                problems.push(Problem::new(pointer, Code::WrongType, detail));
                None
            }
        }
    }
}

impl Ground<'_> {
    /// The fragment that stands for a subject: itself, or the owner of an identifier.
    pub(crate) fn stands_for(&self, subject: &Subject) -> Result<Option<FragmentId>> {
        match subject {
            Subject::Identifier(identifier) => self.owner(identifier),
            Subject::Fragment(id) => Ok(self.look.fragment(*id)?.map(|_| *id)),
        }
    }
}
