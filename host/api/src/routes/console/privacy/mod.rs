//! What people may ask for: that they are forgotten, that what is held about them is kept and not used, and that it is
//! given to them. And what goes without being asked for: how long events are kept.

pub(super) mod access;
pub(super) mod erasure;
pub(super) mod page;
pub(super) mod restriction;
pub(super) mod retention;
pub(super) mod rules;
pub(super) mod suppressions;

use cdp_console::form::{Field, Form as View, Kind};
use cdp_engine::Tenant;
use cdp_engine::privacy::REASON_BYTES_MAX;

use super::profiles::find::kinds;

/// Whom a form is about.
#[derive(Debug, Clone, Default)]
pub(super) struct Who {
    pub(super) kind: String,
    pub(super) value: String,
}

/// The form by which it is looked up what an erasure comprises.
pub(super) fn erase_form(tenant: &Tenant, who: &Who) -> View {
    let fields = vec![
        Field::text("type", "Identifier").value(&who.kind).required().suggest(kinds(tenant)),
        Field::text("value", "Value").value(&who.value).required().hint("in full, in any spelling"),
    ];
    View::new("/console/privacy/erasures/+preview", "See what it comprises", fields)
}

/// The form by which somebody is restricted. Its names differ from those of the form beside it.
pub(super) fn restrict_form(tenant: &Tenant, who: &Who, reason: &str) -> View {
    let fields = vec![
        Field::text("who_type", "Identifier").value(&who.kind).required().suggest(kinds(tenant)),
        Field::text("who_value", "Value").value(&who.value).required().hint("in full, in any spelling"),
        reason_field("who_reason", reason),
    ];
    View::new("/console/privacy/restrictions", "Restrict", fields)
}

/// The form by which everything that is held about somebody is put together.
pub(super) fn access_form(tenant: &Tenant, who: &Who) -> View {
    let fields = vec![
        Field::text("ask_type", "Identifier").value(&who.kind).required().suggest(kinds(tenant)),
        Field::text("ask_value", "Value").value(&who.value).required().hint("in full, in any spelling"),
    ];
    View::new(access::AT, "Put it together", fields)
}

/// The field for a reason.
pub(super) fn reason_field(name: &str, reason: &str) -> Field {
    let hint = format!(
        "at most {REASON_BYTES_MAX} bytes. It is kept for ever: name nobody in it, a ticket’s number does"
    );
    Field::new(name, "Reason", Kind::Lines(2)).value(reason).required().hint(hint)
}
