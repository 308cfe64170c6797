//! The words and pure rules of the customer data platform.
//!
//! Everyone may depend on this crate and it depends on none of ours.
//! It reads no clock, opens nothing and is not async: time, keys and randomness are arguments.
//! The same arguments give the same answer, on every machine and in every replay.
//!
//! | module | gives |
//! | --- | --- |
//! | [`ids`] | tenants, positions, fragments and other names, as types |
//! | [`value`], [`json`] | exact JSON values and the strict reader that makes them |
//! | [`problem`] | refusals as values: every problem at once, each with a pointer |
//! | [`time`], [`window`] | instants in milliseconds; stretches of time that end now |
//! | [`event`] | what happened, validated; fields by pointer |
//! | [`identifier`], [`identity`] | normalised identifiers; which fragments are one person |
//! | [`stamp`] | canonical order |
//! | [`fold`], [`traits`] | how facts grow with events, in any order |
//! | [`consent`] | contact points, purposes, decisions and what holds at an instant |
//! | [`condition`], [`currency`] | operators and their answers; decimal places of money |
//! | [`attribute`], [`expr`] | definitions of derived attributes; formulas over them |
//! | [`segment`] | boolean rules over readings, and what they compile to |
//! | [`limits`] | the bounds on input |

pub mod attribute;
pub mod condition;
pub mod consent;
pub mod currency;
pub mod event;
pub mod expr;
pub mod fold;
pub mod hex;
pub mod identifier;
pub mod identity;
pub mod ids;
pub mod json;
pub mod limits;
pub mod problem;
pub mod segment;
pub mod stamp;
pub mod time;
pub mod traits;
pub mod value;
pub mod window;
