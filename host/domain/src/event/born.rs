//! Ids of events that plugins make of others.

use compact_str::{CompactString, format_compact};

/// The id of the `nth` event, from 1, that plugins made of the one that was accepted under `id`.
///
/// What is sent cannot have such an id ([`born_of`]), so none is taken twice.
#[must_use]
pub fn born_id(id: &str, nth: u8) -> CompactString {
    format_compact!("{id}.${nth}")
}

/// The id of the accepted event and the number, where an id is of an event that a plugin made.
#[must_use]
pub fn born_of(id: &str) -> Option<(&str, u8)> {
    let (accepted, number) = id.rsplit_once(".$")?;
    let plain = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
    let nth = number.parse().ok().filter(|_| plain)?;
    (!accepted.is_empty()).then_some((accepted, nth))
}

/// The id of the event that was accepted: of which a plugin made the one of this id, or the id itself.
#[must_use]
pub fn accepted_id(id: &str) -> &str {
    born_of(id).map_or(id, |(accepted, _)| accepted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_was_given_is_told_from_one_that_was_sent() {
        assert_eq!(born_of(&born_id("order-17", 1)), Some(("order-17", 1)));
        assert_eq!(born_of(&born_id("a.$b", 255)), Some(("a.$b", 255)));
        for sent in ["order-17", "a.$", ".$1", "a.$0", "a.$01", "a.$256", "a.$+1", "a$1", "a.$1 ", ""] {
            assert_eq!(born_of(sent), None, "{sent}");
            assert_eq!(accepted_id(sent), sent);
        }
        assert_eq!(accepted_id("a.$1"), "a");
    }
}
