//! The types of `wit/cdp-plugin.wit` on the host's side; calls go through typed functions of [`crate::guest`].

#![allow(unreachable_pub, reason = "generated")]

wasmtime::component::bindgen!({
    // One world with every export that is run here, so that the shared types are generated once.
    inline: "
        package cdp:host;
        world all {
            include cdp:plugin/transformer@1.0.0;
            include cdp:plugin/deriver-plus@1.0.0;
            include cdp:plugin/connector-plan@1.0.0;
            include cdp:plugin/connector-io@1.0.0;
        }
    ",
    world: "cdp:host/all",
    path: "../../wit",
    additional_derives: [PartialEq],
});

pub(crate) use cdp::plugin::types::{Batch, BytesList, Cells, Column, Failure, Kind, Presence, TextList};
pub(crate) use exports::cdp::plugin::connector::Planned as RawPlanned;
pub(crate) use exports::cdp::plugin::derivation::{FoldShape, Laws, Readings};
pub(crate) use exports::cdp::plugin::metadata::Descriptor;
pub(crate) use exports::cdp::plugin::transform::{Assignment, Decision, NewEvent, Outcome};
