//! `cdp suppressions`: of whom nothing is taken in, and letting it in again.

use super::{Column, ListArgs, Server, part};
use crate::Failure;

/// What the list shows.
const COLUMNS: &[Column] = &[("id", "/id"), ("of", "/of"), ("since", "/since"), ("erasure", "/erasure")];

/// What to do with suppressions.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List suppressions in force, in the order of their digests.
    #[command(
        after_help = "Examples:\n  cdp suppressions list\n  cdp suppressions list --limit 0 -o ndjson | jq 'select(.erasure == \"job_01jd8z\")'"
    )]
    List(ListArgs),
    /// Take in again what names an identifier or contact point that was erased.
    #[command(
        after_help = "Examples:\n  cdp suppressions lift sup_9f2c --reason 'they signed up again, ticket 12'\n\nWhat was erased stays erased, and consent begins unknown."
    )]
    Lift(LiftArgs),
}

/// Which one, and why.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LiftArgs {
    /// Its id.
    id: String,
    /// Why. It is kept for ever in the audit log: name nobody in it.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    server: Server,
}

/// Does it.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => {
            args.server.output.list(COLUMNS, &args.server.list("/v1/suppressions", args.range)?)
        }
        Command::Lift(args) => {
            let path = format!("/v1/suppressions/{}?reason={}", part(&args.id), part(&args.reason));
            args.server.delete(&path).map(|_| ())
        }
    }
}
