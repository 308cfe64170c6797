//! The bounds on input that the rules of this crate enforce; `/v1/limits` serves them under the same names.

/// Bytes of one event as sent.
pub const EVENT_BYTES_MAX: usize = 32 * 1024;
/// Nesting of arrays and objects inside an event; the event itself is level 1.
pub const EVENT_DEPTH_MAX: u32 = 32;
/// Bytes of an event's `id`.
pub const EVENT_ID_BYTES_MAX: usize = 256;
/// Bytes of an event's `type`.
pub const EVENT_TYPE_BYTES_MAX: usize = 200;
/// Bytes of an event's `source`.
pub const SOURCE_BYTES_MAX: usize = 128;
/// Identifiers of one event.
pub const IDENTIFIERS_MAX: usize = 32;
/// Bytes of an identifier's type.
pub const IDENTIFIER_TYPE_BYTES_MAX: usize = 64;
/// Bytes of an identifier's value, and of a contact point's address.
pub const IDENTIFIER_BYTES_MAX: usize = 512;
/// Traits written by one event.
pub const TRAITS_MAX: usize = 256;
/// Bytes of the name of a trait, attribute, segment, purpose, channel or plugin.
pub const NAME_BYTES_MAX: usize = 128;
/// Contact points named by one event.
pub const CHANNELS_MAX: usize = 32;
/// Events that plugins may make of one accepted event, all on its way together; at most 255, for a byte numbers them.
pub const NEW_EVENTS_MAX: usize = 64;
/// Bytes of the documents of the events that plugins make of one accepted event, together; each has at most
/// [`EVENT_BYTES_MAX`].
pub const NEW_EVENTS_BYTES_MAX: usize = 256 * 1024;
/// Consent decisions carried by one event.
pub const CONSENTS_MAX: usize = 64;
/// Bytes of what a consent decision names as its evidence.
pub const CONSENT_EVIDENCE_BYTES_MAX: usize = 1024;
/// Values kept by a trait that is written with `$append`: the newest stay.
pub const TRAIT_LIST_MAX: usize = 100;
/// Writes of one trait that are kept apart (`$add`, `$set_once`); older `$add`s are summed up.
pub const TRAIT_WRITES_MAX: usize = 256;
/// Conditions in one segment rule.
pub const RULE_CONDITIONS_MAX: usize = 200;
/// Nesting of `all`, `any` and `not` in one segment rule.
pub const RULE_DEPTH_MAX: usize = 16;
/// Identifier types that one set of rules speaks of.
pub const RULED_TYPES_MAX: usize = 64;
/// The lowest priority that a rule may give; 1 is the highest.
pub const TYPE_PRIORITY_MAX: u32 = 1000;
/// The greatest limit on values of one type in one profile.
pub const TYPE_LIMIT_MAX: u32 = 1000;
/// Blocked values and patterns of one type.
pub const BLOCKED_PER_TYPE_MAX: usize = 1000;
/// The greatest `shared_after`.
pub const SHARED_AFTER_MAX: u32 = 1000;
/// Fragments that may be linked together, directly or through others. Where there would be more, identifiers of types
/// that are not unique link nobody among them, and where that does not help, no identifier does: so what a late event
/// costs is bounded.
pub const LINKED_FRAGMENTS_MAX: usize = 2000;
/// Constraints (`must_link`, `must_not_link`) of one tenant.
pub const CONSTRAINTS_MAX: usize = 10_000;
/// Parts of one attribute's expression.
pub const EXPRESSION_PARTS_MAX: usize = 200;
/// Nesting of one attribute's expression, attributes it refers to included.
pub const EXPRESSION_DEPTH_MAX: usize = 16;
/// Event types that one attribute or condition may name.
pub const EVENT_TYPES_PER_SOURCE_MAX: usize = 32;
