//! What a request brings: events for the engine, and those that were refused before it saw them.

use std::task::Poll;

use cdp_domain::limits::EVENT_DEPTH_MAX;
use cdp_domain::problem::{Code as Wrong, Problem};
use cdp_domain::value::Value;
use cdp_engine::Tenant;
use cdp_engine::accept::{Accept, Accepted, Incoming, Verdict};
use compact_str::CompactString;

use super::EVENTS_MAX;
use super::cloud::Who;
use crate::error::{Answer, Code, Failure};
use crate::routes::segment::places::Places;
use crate::share::Turn;

/// The events of one request, in order.
#[derive(Debug, Default)]
pub struct Intake {
    /// For the engine.
    pub events: Vec<Incoming>,
    /// Refused already, by their index among all.
    pub refused: Vec<Refused>,
    /// What the events were made from; empty when they are as they were sent.
    origins: Vec<Origin>,
}

/// What an event was made from: faults are told where they stand in that.
#[derive(Debug)]
pub enum Origin {
    /// A message of an analytics library.
    Message(Places),
    /// A CloudEvent.
    CloudEvent(Who),
}

impl Origin {
    fn place(&self, pointer: &str) -> String {
        match self {
            Self::Message(places) => places.place(pointer),
            Self::CloudEvent(who) => who.place(pointer),
        }
    }
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
        Ok(Self { events: Vec::with_capacity(count), ..Self::default() })
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
        self.add(Incoming { value, bytes, digest_of: None }, None);
    }

    /// Adds an event that was made from something else, of so many bytes.
    pub fn push_from(&mut self, value: Value, bytes: usize, origin: Origin) {
        self.add(Incoming { value, bytes, digest_of: None }, Some(origin));
    }

    /// Adds an event that was made from something else, which identifies it.
    pub fn push_made(&mut self, event: Incoming, origin: Origin) {
        self.add(event, Some(origin));
    }

    /// The events of one request are all made from something else, or none is.
    fn add(&mut self, event: Incoming, origin: Option<Origin>) {
        let sent = event.digest_of.as_ref().unwrap_or(&event.value);
        if deeper_than(sent, EVENT_DEPTH_MAX) {
            let detail = format!("is nested deeper than {EVENT_DEPTH_MAX}");
            let id = event.value.as_object().and_then(|object| object.get("id")?.as_text()).map(Into::into);
            return self.refuse(id, vec![Problem::new("", Wrong::TooLong, detail)]);
        }
        self.events.push(event);
        self.origins.extend(origin);
    }

    /// Adds an item that cannot be an event.
    pub fn refuse(&mut self, id: Option<CompactString>, problems: Vec<Problem>) {
        let index = self.len();
        self.refused.push(Refused { index, id, problems });
    }

    /// Gives the events to the engine. A client that goes away changes nothing: what was begun is ended.
    ///
    /// The turn ends when the events are prepared: waiting for the disk takes none.
    ///
    /// # Errors
    /// The engine's, about the request as a whole.
    pub(crate) async fn accept(
        self,
        tenant: &Tenant,
        how: Accept,
        heavy: bool,
        turn: Option<Turn>,
    ) -> Answer<(Accepted, Vec<Refused>)> {
        let Self { events, refused, origins } = self;
        let tenant = tenant.clone();
        let accepting = async move {
            let mut accepting = std::pin::pin!(tenant.accept(events, &how));
            let first = std::future::poll_fn(|cx| Poll::Ready(accepting.as_mut().poll(cx))).await;
            drop(turn);
            match first {
                Poll::Ready(accepted) => accepted,
                Poll::Pending => accepting.await,
            }
        };
        let accepted = if heavy {
            let runtime = tokio::runtime::Handle::current();
            let behind = move || {
                // What is large lets what is small go first.
                cdp_threads::give_way();
                runtime.block_on(accepting)
            };
            tokio::task::spawn_blocking(behind).await
        } else {
            tokio::spawn(accepting).await
        };
        let mut accepted = accepted.map_err(Failure::internal)??;
        if accepted.rejected > 0 {
            for (item, origin) in accepted.items.iter_mut().zip(&origins) {
                let problems: &mut [Problem] = match &mut item.verdict {
                    Verdict::Invalid(problems) => problems,
                    _ => continue,
                };
                problems.iter_mut().for_each(|problem| problem.pointer = origin.place(&problem.pointer));
            }
        }
        Ok((accepted, refused))
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
