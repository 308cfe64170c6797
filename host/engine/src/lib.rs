//! The only crate that changes customer data.
//!
//! Everything that is accepted, an event or a change of configuration, is one record in a tenant's journal; state is a
//! fold over it, made by one writer per tenant. [`Engine`] is the installation, [`Tenant`] the door to one brand's data.
//!
//! | module | decides |
//! | --- | --- |
//! | [`registry`] | which tenants and keys there are |
//! | [`accept`] | what is taken into the journal, and what is a duplicate |
//! | `writer` | how records become state, in order, in micro-batches |
//! | `rows` | what state there is, and what of it is not on disk yet |
//! | [`identity`] | who is one person, why, and what an operator says about it |
//! | [`profiles`], [`segments`], [`attributes`], [`plugins`], [`purposes`] | what clients ask and change |
//! | [`accounting`], [`receipts`], [`dead_letters`] | where every accepted event is, what became of it, and why some are not in state |
//! | [`chains`] | whether the chains beside the journal are what was written |
//! | [`connectors`] | what plugins say to send for an audience |
//! | [`consent`] | who may be reached where and for what, and the proof of it |
//! | [`acts`] | the audit log |
//! | [`privacy`] | what people may ask for: that they are forgotten |
//! | [`answers`] | what was answered to requests that may come again |
//! | [`catalogue`] | which event types there are, and what they should carry |
//! | [`definitions`], [`build`] | how definitions become folds, and how the past gets into them |
//! | [`recent`] | events as they are taken in |
//! | [`replay`] | what was known at an instant of the past |
//! | [`trial`] | what a plugin would make of given events |
//! | [`rebuild`] | how state is made anew from the journal |
//!
//! Invariants: one writer per tenant; a micro-batch is seen whole or not at all; state on disk is always the state at
//! one position; no clock is read while a record is applied, its time of receipt is the time.

pub mod accept;
mod acceptance;
pub mod accounting;
pub mod acts;
pub mod answers;
pub mod attributes;
mod behind;
mod born;
pub mod build;
pub mod catalogue;
pub mod chains;
pub mod clock;
pub mod config;
pub mod connectors;
pub mod consent;
pub mod dead_letters;
pub mod definitions;
pub mod derivations;
mod engine;
pub mod error;
pub mod exports;
mod feed;
pub mod identity;
mod past;
pub mod plugins;
pub mod privacy;
pub mod profiles;
pub mod purposes;
pub mod rebuild;
pub mod receipts;
pub mod recent;
pub mod registry;
pub mod replay;
pub mod retention;
mod rows;
pub mod segments;
pub mod signatures;
pub mod tables;
mod tenant;
mod timeline;
pub mod trial;
pub mod users;
mod writer;

pub use acceptance::Checked;
pub use cdp_jobs::{JobView, Progress as JobProgress, ProgressView as JobProgressView, Status as JobStatus};
pub use cdp_store::kv::REOPEN_FREE_BYTES_MIN;
pub use consent::Withheld;
pub use engine::{Engine, Options, Readiness, Storage};
pub use error::{Refused, Result};
pub use feed::FEED_BYTES_MAX;
pub use tenant::{Page, Stats, Tenant};
pub use writer::{
    DERIVE_AGAIN_MS, DERIVE_EVERY_MS, FAULTS_IN_A_ROW_MAX, READ_AGAIN_GRID_MS, READ_AGAIN_MS_MIN,
};
