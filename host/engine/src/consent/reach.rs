//! Who may be reached: the one place that asks consent, for segments, exports and coverage alike.

use std::sync::Arc;

use cdp_domain::condition::Answer;
use cdp_domain::consent::ContactPoint;
use cdp_domain::consent::basis::Refusal;
use cdp_domain::segment::earlier;
use cdp_domain::time::Timestamp;

use crate::exports::Granted;
use crate::rows::Contact;
use crate::writer::Person;

/// Why somebody may not be reached; the greatest of several reasons is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Withheld {
    /// No contact point on the channel.
    NoContactPoint,
    /// Nothing was ever decided.
    Unknown,
    /// A grant ran out.
    Expired,
    /// The answer was no.
    Denied,
    /// A grant was taken back, or an objection made.
    Withdrawn,
    /// The purpose is not registered, or not for this channel.
    Purpose,
    /// The person is kept and not used.
    Restricted,
}

impl Withheld {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoContactPoint => "no_contact_point",
            Self::Unknown => "consent_unknown",
            Self::Expired => "consent_expired",
            Self::Denied => "consent_denied",
            Self::Withdrawn => "consent_withdrawn",
            Self::Purpose => "purpose_unknown",
            Self::Restricted => "restricted",
        }
    }
}

impl From<Refusal> for Withheld {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown => Self::Unknown,
            Refusal::Expired => Self::Expired,
            Refusal::Denied => Self::Denied,
            Refusal::Withdrawn => Self::Withdrawn,
        }
    }
}

/// What is known of one contact point for a purpose, weighed.
struct Weighed {
    answer: Result<(), Withheld>,
    /// When the grant that lets it be reached was decided.
    since: Timestamp,
    /// Until when this holds by itself.
    until: Option<Timestamp>,
}

impl Person<'_> {
    /// Of a channel: the contact point with the latest grant for the purpose at `as_of`, or the most telling refusal.
    /// A purpose that is not registered, or not for this channel, lets nobody be reached; who is restricted never is.
    pub(crate) fn granted(
        &self,
        channel: &str,
        purpose: &str,
        as_of: Timestamp,
    ) -> Result<Granted, Withheld> {
        if self.is_restricted() {
            return Err(Withheld::Restricted);
        }
        let mut best: Option<(Timestamp, ContactPoint, Option<Arc<Contact>>)> = None;
        let mut refused = Withheld::NoContactPoint;
        for point in self.contacts().into_iter().filter(|point| point.channel == channel) {
            let contact = self.contact(&point);
            let weighed = self.weigh(contact.as_deref(), channel, purpose, as_of);
            match weighed.answer {
                Ok(()) if best.as_ref().is_none_or(|(at, ..)| weighed.since > *at) => {
                    best = Some((weighed.since, point, contact));
                }
                Ok(()) => {}
                Err(why) => refused = refused.max(why),
            }
        }
        let (_, point, contact) = best.ok_or(refused)?;
        let decision = contact.and_then(|contact| contact.consent(purpose).cloned());
        Ok(Granted { point, decision })
    }

    /// Whether any contact point of a channel may be reached, and until when that holds by itself.
    pub(crate) fn reached(&self, channel: &str, purpose: &str, as_of: Timestamp) -> Answer {
        let mut answer = Answer { holds: false, valid_until: None };
        for point in self.contacts().iter().filter(|point| point.channel == channel) {
            let weighed = self.weigh(self.contact(point).as_deref(), channel, purpose, as_of);
            answer.holds |= weighed.answer.is_ok();
            answer.valid_until = earlier(answer.valid_until, weighed.until);
        }
        answer
    }

    fn weigh(&self, contact: Option<&Contact>, channel: &str, purpose: &str, as_of: Timestamp) -> Weighed {
        let Some(registered) = self.plan.purposes.get(purpose).filter(|known| known.covers(channel)) else {
            return Weighed { answer: Err(Withheld::Purpose), since: Timestamp::MIN, until: None };
        };
        let current = contact.and_then(|contact| contact.consent(purpose));
        let read = current.map(|current| current.read(as_of));
        Weighed {
            answer: registered.basis().permits(read.map(|(status, _)| status)).map_err(Withheld::from),
            since: current.map_or(Timestamp::MIN, |current| current.at),
            until: read.and_then(|(_, until)| until),
        }
    }
}
