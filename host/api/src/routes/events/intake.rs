//! What a request brings: events for the engine, and those that were refused before it saw them.

use cdp_domain::limits::EVENT_DEPTH_MAX;
use cdp_domain::problem::{Code as Wrong, Problem};
use cdp_domain::value::Value;
use cdp_engine::Tenant;
use cdp_engine::accept::{Accept, Accepted, Incoming};
use compact_str::CompactString;

use super::EVENTS_MAX;
use crate::error::{Answer, Code, Failure};

/// The events of one request, in order.
#[derive(Debug, Default)]
pub struct Intake {
    /// For the engine.
    pub events: Vec<Incoming>,
    /// Refused already, by their index among all.
    pub refused: Vec<Refused>,
}

/// An item that the engine does not get to see.
#[derive(Debug)]
pub struct Refused {
    /// Its place among all items of the request.
    pub index: usize,
    /// Its id, where it has one.
    pub id: Option<CompactString>,
    /// Why; pointers are relative to it.
    pub problems: Vec<Problem>,
}

impl Intake {
    /// Room for so many.
    ///
    /// # Errors
    /// 413 beyond [`EVENTS_MAX`].
    pub fn for_items(count: usize) -> Answer<Self> {
        if count > EVENTS_MAX {
            return Err(Failure::new(
                Code::TooManyEvents,
                format!("a request carries at most {EVENTS_MAX} events"),
            ));
        }
        Ok(Self { events: Vec::with_capacity(count), refused: Vec::new() })
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len() + self.refused.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an event as it was sent.
    pub fn push(&mut self, value: Value, bytes: usize) {
        self.push_made(Incoming { value, bytes, digest_of: None });
    }

    /// Adds an event that was made from something else.
    pub fn push_made(&mut self, event: Incoming) {
        let sent = event.digest_of.as_ref().unwrap_or(&event.value);
        if deeper_than(sent, EVENT_DEPTH_MAX) {
            let detail = format!("is nested deeper than {EVENT_DEPTH_MAX}");
            let id = event.value.as_object().and_then(|object| object.get("id")?.as_text()).map(Into::into);
            return self.refuse(id, vec![Problem::new("", Wrong::TooLong, detail)]);
        }
        self.events.push(event);
    }

    /// Adds an item that cannot be an event.
    pub fn refuse(&mut self, id: Option<CompactString>, problems: Vec<Problem>) {
        let index = self.len();
        self.refused.push(Refused { index, id, problems });
    }

    /// Gives the events to the engine. A client that goes away changes nothing: what was begun is ended.
    ///
    /// # Errors
    /// The engine's, about the request as a whole.
    pub async fn accept(self, tenant: &Tenant, how: Accept, heavy: bool) -> Answer<(Accepted, Vec<Refused>)> {
        let Self { events, refused } = self;
        let tenant = tenant.clone();
        let accepting = async move { tenant.accept(events, &how).await };
        let accepted = if heavy {
            let runtime = tokio::runtime::Handle::current();
            tokio::task::spawn_blocking(move || runtime.block_on(accepting)).await
        } else {
            tokio::spawn(accepting).await
        };
        Ok((accepted.map_err(Failure::internal)??, refused))
    }
}

/// Whether arrays and objects are nested deeper than so many levels.
fn deeper_than(value: &Value, levels: u32) -> bool {
    match value {
        Value::List(items) => levels == 0 || items.iter().any(|item| deeper_than(item, levels - 1)),
        Value::Object(object) => {
            levels == 0 || object.iter().any(|(_, member)| deeper_than(member, levels - 1))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_counted_from_the_event_itself() {
        let nest = |levels: u32| {
            (1..levels).fold(Value::Object(Default::default()), |inner, _| Value::List(vec![inner]))
        };
        assert!(!deeper_than(&nest(EVENT_DEPTH_MAX), EVENT_DEPTH_MAX));
        assert!(deeper_than(&nest(EVENT_DEPTH_MAX + 1), EVENT_DEPTH_MAX));
    }

    #[test]
    fn a_request_carries_at_most_1000_events() {
        assert!(Intake::for_items(EVENTS_MAX).is_ok());
        assert_eq!(Intake::for_items(EVENTS_MAX + 1).unwrap_err().code, Code::TooManyEvents);
    }
}
