//! The types of `wit/cdp-plugin.wit` on the host's side; calls go through typed functions of [`crate::guest`].

#![allow(unreachable_pub, reason = "generated")]

wasmtime::component::bindgen!({
    world: "transformer",
    path: "../../wit",
});

pub(crate) use cdp::plugin::types::{Batch, Cells, Column, Failure, Kind, Presence, TextList};
pub(crate) use exports::cdp::plugin::metadata::Descriptor;
pub(crate) use exports::cdp::plugin::transform::{Assignment, Decision, NewEvent, Outcome};
