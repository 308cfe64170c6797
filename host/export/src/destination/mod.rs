//! Destinations: where an audience goes.
//!
//! | file | decides |
//! | --- | --- |
//! | `bounds` | what the way out allows, by name |
//! | `connector` | what a plugin plans, sent with the secrets it names |
//! | `read` | how each kind is set up, and what of that is secret |
//! | `shelves` | what connectors keep between deliveries |
//! | `target` | a destination that is dialled: files and rows, handed over |
//!
//! To add a kind: its name and settings in `read`, an arm of [`Target`], a row in `host/docs/api-reference/exports.md`.

mod bounds;
mod connector;
mod read;
mod shelves;
mod target;

pub use bounds::bounds;
pub use cdp_egress::Fault;
use cdp_engine::exports::{Destination, DestinationState};
use serde_json::{Value as Json, json};

pub(crate) use connector::check as check_plugin;
pub use connector::{DELIVERY_MAX, PLUGIN_SECRET_BYTES_MAX, PLUGIN_SECRETS_MAX};
pub(crate) use read::read;
pub use read::{SECRETS_MAX, URL_BYTES_MAX};
pub(crate) use shelves::Shelves;
pub(crate) use target::{Batch, Target, is_about_rows};

/// A destination as clients see it: never with its secrets, only with how many there are.
pub(crate) fn view(name: &str, destination: &Destination) -> Json {
    let (status, reason, since) = match &destination.state {
        DestinationState::Active => ("active", None, None),
        DestinationState::Paused => ("paused", None, None),
        DestinationState::Disabled { reason, at } => ("disabled", Some(reason), Some(at.to_string())),
    };
    let mut view = json!({
        "name": name,
        "kind": destination.kind.as_str(),
        "version": destination.version,
        "status": status,
        "created_at": destination.created_at.to_string(),
        "updated_at": destination.updated_at.to_string(),
        "secrets": destination.secrets.len(),
    });
    if let Some(reason) = reason {
        view["disabled"] = json!({ "reason": reason, "since": since });
    }
    for (name, value) in destination.settings.as_object().into_iter().flatten() {
        view[name] = value.clone();
    }
    view
}
