//! What an operator says about two people: that they are one, or never are.

use cdp_domain::condition::unknown;
use cdp_domain::identity::{Force, Subject};
use cdp_domain::limits::CONSTRAINTS_MAX;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::value::Value;

use super::rules::check_apart;
use crate::config::{Change, Constrained};
use crate::error::{Refused, Result};
use crate::rows::Look;
use crate::tenant::{Page, Tenant};

/// Bytes of the reason for a constraint.
pub const REASON_BYTES_MAX: usize = 1000;

/// A constraint as it stands.
pub type ConstraintView = Constrained;

impl Tenant {
    /// Makes a constraint from `{"kind", "a", "b", "reason"}`. Returns when it is in force; one that says the same is
    /// given back instead of making another (the second is false then).
    ///
    /// # Errors
    /// [`Refused::Invalid`]; [`Refused::Conflict`] when the opposite is in force, or there are [`CONSTRAINTS_MAX`].
    pub async fn constrain(&self, definition: &Value) -> Result<(ConstraintView, bool)> {
        let Some(object) = definition.as_object() else {
            return Err(Refused::invalid(Problem::new("", Code::WrongType, "a constraint is a JSON object")));
        };
        let mut problems = Vec::new();
        unknown(object, &["kind", "a", "b", "reason"], "", &mut problems);
        let force = match object.get("kind").and_then(Value::as_text) {
            Some("must_link") => Some(Force::MustLink),
            Some("must_not_link") => Some(Force::MustNotLink),
            _ => {
                problems.push(Problem::new("/kind", Code::Invalid, "must be must_link or must_not_link"));
                None
            }
        };
        let a = self.subject(object.get("a"), "/a", &mut problems);
        let b = self.subject(object.get("b"), "/b", &mut problems);
        check_apart(a.is_some() && a == b, &mut problems);
        for (subject, pointer) in [(&a, "/a"), (&b, "/b")] {
            if let Some(Subject::Fragment(id)) = subject
                && self.core.rows.read().fragment(*id)?.is_none()
            {
                problems.push(Problem::new(
                    pointer,
                    Code::NotFound,
                    "is not the id of a profile or fragment here",
                ));
            }
        }
        let reason = object.get("reason").and_then(Value::as_text);
        let reason = reason.filter(|reason| !reason.trim().is_empty() && reason.len() <= REASON_BYTES_MAX);
        if reason.is_none() {
            let detail = format!("must be a string of 1 to {REASON_BYTES_MAX} bytes");
            problems.push(Problem::new("/reason", Code::Required, detail));
        }
        let (Some(force), Some(a), Some(b), Some(reason), true) = (force, a, b, reason, problems.is_empty())
        else {
            return Err(Refused::Invalid(problems));
        };
        let _changing = self.core.changing.lock().await;
        let config = self.config();
        let about = |known: &&Constrained| (known.a == a && known.b == b) || (known.a == b && known.b == a);
        let known: Vec<_> = config.identity.constraints.values().filter(about).collect();
        if let Some(same) = known.iter().find(|known| known.force == force) {
            return Ok(((*same).clone(), false));
        }
        if let Some(opposite) = known.first() {
            let detail = format!("the constraint con_{} says the opposite; remove it first", opposite.id);
            return Err(Refused::Conflict(detail));
        }
        room_for_another(config.identity.constraints.len())?;
        let (id, at) = (config.identity.next_constraint, self.core.clock.now());
        let constraint = Constrained { id, force, a, b, reason: reason.to_owned(), at };
        self.core.change(Change::ConstraintPut { constraint: constraint.clone() }).await?;
        Ok((constraint, true))
    }

    /// Removes a constraint. Returns when it is no longer in force.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub async fn release(&self, id: u32) -> Result<()> {
        let _changing = self.core.changing.lock().await;
        let constraint = self.config().identity.constraints.get(&id).cloned();
        let constraint = constraint.ok_or(Refused::NotFound("constraint"))?;
        self.core.change(Change::ConstraintDeleted { constraint }).await?;
        Ok(())
    }

    /// Constraints in force, oldest first. `after` continues a page.
    #[must_use]
    pub fn constraints(&self, limit: usize, after: Option<u32>) -> Page<ConstraintView, u32> {
        let config = self.config();
        let from = after.map_or(0, |after| after.saturating_add(1));
        let items: Vec<_> =
            config.identity.constraints.range(from..).take(limit).map(|(_, one)| one.clone()).collect();
        let next = items.last().filter(|_| items.len() == limit).map(|one| one.id);
        Page { items, next }
    }
}

fn room_for_another(there: usize) -> Result<()> {
    if there < CONSTRAINTS_MAX {
        return Ok(());
    }
    Err(Refused::Conflict(format!("there are {CONSTRAINTS_MAX} constraints already")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_up_to_the_limit() {
        assert!(room_for_another(CONSTRAINTS_MAX - 1).is_ok());
        assert!(matches!(room_for_another(CONSTRAINTS_MAX), Err(Refused::Conflict(_))));
    }
}
