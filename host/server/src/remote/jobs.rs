//! `cdp jobs`: background work, how far it is, and stopping it.

use serde_json::json;

use super::{Column, ListArgs, Server, part};
use crate::Failure;

/// What the list shows.
const COLUMNS: &[Column] = &[
    ("id", "/id"),
    ("kind", "/kind"),
    ("status", "/status"),
    ("done", "/progress/done"),
    ("total", "/progress/total"),
    ("seconds left", "/progress/eta_seconds"),
    ("error", "/error"),
];

/// What to do with jobs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List jobs.
    #[command(
        after_help = "Examples:\n  cdp jobs list\n  cdp jobs list -o ndjson | jq 'select(.status == \"running\")'"
    )]
    List(ListArgs),
    /// Show a job and its result.
    #[command(after_help = "Examples:\n  cdp jobs get job_01jd8z -o json")]
    Get(OneArgs),
    /// Wait until a job has ended; ends with 1 when it failed.
    #[command(after_help = "Examples:\n  cdp jobs wait job_01jd8z")]
    Wait(OneArgs),
    /// Stop a job; ends with 5 when it has ended already.
    #[command(after_help = "Examples:\n  cdp jobs cancel job_01jd8z")]
    Cancel(OneArgs),
}

/// Which job.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OneArgs {
    /// Its id.
    id: String,
    #[command(flatten)]
    server: Server,
}

/// Does it.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => args.server.output.list(COLUMNS, &args.server.list("/v1/jobs", args.range)?),
        Command::Get(args) => {
            let job = args.server.get(&format!("/v1/jobs/{}", part(&args.id)))?;
            args.server.output.one(&job)
        }
        Command::Wait(args) => {
            // One that is not there is told apart from one that failed.
            args.server.get(&format!("/v1/jobs/{}", part(&args.id)))?;
            args.server.output.one(&args.server.ended(&json!({ "job": args.id }))?)
        }
        Command::Cancel(args) => {
            let job = args.server.post(&format!("/v1/jobs/{}/cancel", part(&args.id)), &json!({}))?;
            args.server.output.one(&job)
        }
    }
}
