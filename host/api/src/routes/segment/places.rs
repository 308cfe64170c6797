//! Where the parts of an event stood in the message that it was made from: faults are told there.

use smallvec::SmallVec;

use super::message::Kind;

/// Where an identifier stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `userId`.
    UserId,
    /// `anonymousId`.
    AnonymousId,
    /// `previousId`.
    PreviousId,
    /// The item of this number in `context.externalIds`.
    ExternalId(u16),
    /// The trait of this name, in `traits`, or in `context.traits`.
    Trait(&'static str, Traits),
}

/// Which traits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traits {
    /// `traits`.
    Own,
    /// `context.traits`.
    OfContext,
}

impl Traits {
    fn pointer(self) -> &'static str {
        match self {
            Self::Own => "/traits",
            Self::OfContext => "/context/traits",
        }
    }
}

impl Place {
    fn pointer(self) -> String {
        match self {
            Self::UserId => "/userId".to_owned(),
            Self::AnonymousId => "/anonymousId".to_owned(),
            Self::PreviousId => "/previousId".to_owned(),
            Self::ExternalId(n) => format!("/context/externalIds/{n}/id"),
            Self::Trait(name, of) => format!("{}/{name}", of.pointer()),
        }
    }
}

/// Of one message.
#[derive(Debug)]
pub struct Places {
    /// Which call it is.
    pub kind: Kind,
    /// Its identifiers, in the order of the event's.
    pub identifiers: SmallVec<[Place; 4]>,
    /// Where its traits stood.
    pub traits: Traits,
}

impl Places {
    /// A place in the event as a place in the message.
    #[must_use]
    pub fn place(&self, pointer: &str) -> String {
        let mut steps = pointer.splitn(4, '/').skip(1);
        match (steps.next().unwrap_or_default(), steps.next()) {
            ("id", None) => "/messageId".to_owned(),
            ("type", None) if self.kind == Kind::Track => "/event".to_owned(),
            ("time", None) => "/timestamp".to_owned(),
            ("identifiers", None) => Place::UserId.pointer(),
            ("identifiers", Some(n)) => {
                let place = n.parse::<usize>().ok().and_then(|n| self.identifiers.get(n));
                place.map_or_else(|| Place::UserId.pointer(), |place| place.pointer())
            }
            ("channels", _) => self.traits.pointer().to_owned(),
            ("traits", Some(_)) => format!("{}{}", self.traits.pointer(), &pointer["/traits".len()..]),
            ("traits", None) => self.traits.pointer().to_owned(),
            _ => pointer.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_the_event_are_told_as_places_in_the_message() {
        let identifiers = SmallVec::from_slice(&[
            Place::UserId,
            Place::ExternalId(2),
            Place::Trait("email", Traits::OfContext),
        ]);
        let mut places = Places { kind: Kind::Track, identifiers, traits: Traits::OfContext };
        for (of_event, of_message) in [
            ("/id", "/messageId"),
            ("/type", "/event"),
            ("/time", "/timestamp"),
            ("/identifiers", "/userId"),
            ("/identifiers/0/value", "/userId"),
            ("/identifiers/1/value", "/context/externalIds/2/id"),
            ("/identifiers/2/value", "/context/traits/email"),
            ("/traits", "/context/traits"),
            ("/traits/a/b", "/context/traits/a/b"),
            ("/properties", "/properties"),
            ("", ""),
        ] {
            assert_eq!(places.place(of_event), of_message, "{of_event}");
        }
        places.kind = Kind::Page;
        assert_eq!(places.place("/type"), "/type");
    }
}
