//! `cdp attributes`: what is derived of events.

use std::path::PathBuf;

use super::{Column, ListArgs, Server, Waiting, document, part};
use crate::Failure;

/// What the list shows.
const COLUMNS: &[Column] =
    &[("name", "/name"), ("version", "/version"), ("status", "/status"), ("definition", "/definition")];

/// What to do with attributes.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List attributes.
    #[command(after_help = "Examples:\n  cdp attributes list -o json")]
    List(ListArgs),
    /// Show an attribute.
    #[command(after_help = "Examples:\n  cdp attributes get total_spend -o json")]
    Get(OneArgs),
    /// Define or redefine an attribute from a JSON file, `-` for standard input.
    #[command(
        after_help = "Examples:\n  echo '{\"kind\": \"sum\", \"event\": \"purchase\", \"property\": \"/total\"}' | cdp attributes put total_spend - --wait"
    )]
    Put(PutArgs),
    /// Remove an attribute.
    #[command(after_help = "Examples:\n  cdp attributes delete total_spend")]
    Delete(OneArgs),
}

/// Which attribute.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OneArgs {
    /// Its name.
    name: String,
    #[command(flatten)]
    server: Server,
}

/// What it is to be.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PutArgs {
    /// Its name.
    name: String,
    /// A file with the definition.
    definition: PathBuf,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    server: Server,
}

/// Does it.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    let path = |name: &str| format!("/v1/attributes/{}", part(name));
    match command {
        Command::List(args) => {
            args.server.output.list(COLUMNS, &args.server.list("/v1/attributes", args.range)?)
        }
        Command::Get(args) => args.server.output.one(&args.server.get(&path(&args.name))?),
        Command::Put(args) => {
            let answer = args.server.put(&path(&args.name), &document(&args.definition)?)?;
            args.server.begun(&answer, args.waiting)
        }
        Command::Delete(args) => args.server.delete(&path(&args.name)).map(|_| ()),
    }
}
