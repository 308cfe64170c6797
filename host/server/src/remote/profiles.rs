//! `cdp profiles`: what is known of a person.

use serde_json::json;

use super::{Column, Range, Server, identifier, part};
use crate::Failure;

/// What a timeline shows.
const EVENTS: &[Column] = &[
    ("time", "/time"),
    ("type", "/type"),
    ("source", "/source"),
    ("id", "/id"),
    ("properties", "/properties"),
];

/// What to do with profiles.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Find a profile by one of its identifiers.
    #[command(
        after_help = "Examples:\n  cdp profiles lookup email=ann@example.com\n  cdp profiles lookup customer_id=5512 -o json"
    )]
    Lookup(LookupArgs),
    /// Show a profile by its id, or that of any of its fragments.
    #[command(after_help = "Examples:\n  cdp profiles get prf_01jd8z -o json")]
    Get(OneArgs),
    /// List a profile's events, newest first.
    #[command(after_help = "Examples:\n  cdp profiles events prf_01jd8z --limit 20 -o csv")]
    Events(EventsArgs),
    /// Show of which fragments a profile is made, and why.
    #[command(after_help = "Examples:\n  cdp profiles identity prf_01jd8z -o json")]
    Identity(OneArgs),
}

/// Whose.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LookupArgs {
    /// TYPE=VALUE, in any spelling of the value; - reads it from standard input, where nobody else sees it.
    identifier: String,
    #[command(flatten)]
    server: Server,
}

/// Which profile.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OneArgs {
    /// Its id.
    id: String,
    #[command(flatten)]
    server: Server,
}

/// Which events.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct EventsArgs {
    /// The profile's id.
    id: String,
    #[command(flatten)]
    range: Range,
    #[command(flatten)]
    server: Server,
}

/// Does it.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Lookup(args) => {
            let body = json!({ "identifier": identifier(&args.identifier)? });
            args.server.output.one(&args.server.post("/v1/profiles/lookup", &body)?)
        }
        Command::Get(args) => {
            args.server.output.one(&args.server.get(&format!("/v1/profiles/{}", part(&args.id)))?)
        }
        Command::Events(args) => {
            let path = format!("/v1/profiles/{}/events", part(&args.id));
            args.server.output.list(EVENTS, &args.server.list(&path, args.range)?)
        }
        Command::Identity(args) => {
            args.server.output.one(&args.server.get(&format!("/v1/profiles/{}/identity", part(&args.id)))?)
        }
    }
}
