//! `cdp segments`: who belongs to what, and why.

use std::path::PathBuf;

use serde_json::json;

use super::{Column, ListArgs, Range, Server, Waiting, document, part};
use crate::Failure;

/// What the list shows.
const COLUMNS: &[Column] = &[
    ("name", "/name"),
    ("title", "/title"),
    ("size", "/size"),
    ("version", "/version"),
    ("status", "/status"),
];
/// What a list of members shows.
const MEMBERS: &[Column] = &[("profile", "/profile_id")];
/// What a list of changes shows.
const CHANGES: &[Column] =
    &[("at", "/at"), ("profile", "/profile_id"), ("change", "/change"), ("cause", "/cause")];

/// What to do with segments.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List segments.
    #[command(after_help = "Examples:\n  cdp segments list\n  cdp segments list -o csv")]
    List(ListArgs),
    /// Show a segment with its rule.
    #[command(after_help = "Examples:\n  cdp segments get big_spenders -o json")]
    Get(OneArgs),
    /// Define or redefine a segment from a JSON file, `-` for standard input.
    #[command(after_help = "Examples:\n  cdp segments put big_spenders big_spenders.json --wait")]
    Put(PutArgs),
    /// Try a rule out: how many, and for how many each condition holds.
    #[command(
        after_help = "Examples:\n  echo '{\"attribute\": \"total_spend\", \"op\": \"gte\", \"value\": \"500\"}' | cdp segments preview -"
    )]
    Preview(PreviewArgs),
    /// List members.
    #[command(after_help = "Examples:\n  cdp segments members big_spenders --limit 0 -o ndjson")]
    Members(NamedListArgs),
    /// Show why a profile belongs to a segment, or does not.
    #[command(after_help = "Examples:\n  cdp segments explain big_spenders prf_01jd8z -o json")]
    Explain(ExplainArgs),
    /// List who entered and left, oldest first.
    #[command(after_help = "Examples:\n  cdp segments changes big_spenders -o csv")]
    Changes(NamedListArgs),
    /// Remove a segment.
    #[command(after_help = "Examples:\n  cdp segments delete big_spenders")]
    Delete(OneArgs),
}

/// Which segment.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OneArgs {
    /// Its name.
    name: String,
    #[command(flatten)]
    server: Server,
}

/// Of which segment.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct NamedListArgs {
    /// Its name.
    name: String,
    #[command(flatten)]
    range: Range,
    #[command(flatten)]
    server: Server,
}

/// What it is to be.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PutArgs {
    /// Its name.
    name: String,
    /// A file with `{"title", "rule"}`.
    definition: PathBuf,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    server: Server,
}

/// Which rule.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PreviewArgs {
    /// A file with the rule.
    rule: PathBuf,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    server: Server,
}

/// Who, and where.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ExplainArgs {
    /// The segment.
    name: String,
    /// The profile's id.
    profile: String,
    #[command(flatten)]
    server: Server,
}

/// Does it.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    let path = |name: &str, rest: &str| format!("/v1/segments/{}{rest}", part(name));
    match command {
        Command::List(args) => {
            args.server.output.list(COLUMNS, &args.server.list("/v1/segments", args.range)?)
        }
        Command::Get(args) => args.server.output.one(&args.server.get(&path(&args.name, ""))?),
        Command::Put(args) => {
            let answer = args.server.put(&path(&args.name, ""), &document(&args.definition)?)?;
            args.server.begun(&answer, args.waiting)
        }
        Command::Preview(args) => {
            let body = json!({ "rule": document(&args.rule)? });
            let answer = args.server.post("/v1/segments/preview", &body)?;
            args.server.begun(&answer, args.waiting)
        }
        Command::Members(args) => {
            let list = args.server.list(&path(&args.name, "/members"), args.range)?;
            args.server.output.list(MEMBERS, &list)
        }
        Command::Explain(args) => {
            let rest = format!("/members/{}", part(&args.profile));
            args.server.output.one(&args.server.get(&path(&args.name, &rest))?)
        }
        Command::Changes(args) => {
            let list = args.server.list(&path(&args.name, "/changes"), args.range)?;
            args.server.output.list(CHANGES, &list)
        }
        Command::Delete(args) => args.server.delete(&path(&args.name, "")).map(|_| ()),
    }
}
