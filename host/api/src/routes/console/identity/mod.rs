//! Who is one person: the rules, what people said against them, and what happened to profiles.

pub(super) mod constraints;
pub(super) mod page;
pub(super) mod rules;
