//! `cdp access-requests`: everything that is held about somebody, in one document for them.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use serde_json::json;

use super::{Server, Waiting, identifier, part};
use crate::{Failure, exit};

/// What to do with requests.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Have everything put together that is held about whom an identifier names.
    #[command(
        after_help = "Examples:\n  cdp access-requests create email=ann@example.com --wait\n  cdp access-requests create email=- --wait < address.txt\n  cdp access-requests create customer_id=5512 -o json | jq -r .job"
    )]
    Create(CreateArgs),
    /// Show how far a request is, and what is in its document.
    #[command(after_help = "Examples:\n  cdp access-requests get job_01jd8z -o json")]
    Get(OneArgs),
    /// Bring the document into a file that only you can read.
    #[command(after_help = "Examples:\n  cdp access-requests download job_01jd8z --to ann.json")]
    Download(DownloadArgs),
}

/// About whom.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CreateArgs {
    /// TYPE=VALUE, in any spelling of the value; - reads it from standard input, where nobody else sees it.
    identifier: String,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    server: Server,
}

/// Which request.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OneArgs {
    /// Its id, `job_…`.
    id: String,
    #[command(flatten)]
    server: Server,
}

/// Which request, and where to.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DownloadArgs {
    /// Its id, `job_…`.
    id: String,
    /// Where to; it may not be there yet.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    server: Server,
}

/// Does it.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    let path = |id: &str| format!("/v1/access-requests/{}", part(id));
    match command {
        Command::Create(args) => {
            let body = json!({ "identifier": identifier(&args.identifier)? });
            let started = args.server.post("/v1/access-requests", &body)?;
            if !args.waiting.wait {
                return args.server.output.one(&started);
            }
            // The document itself is brought by `download`.
            args.server.ended_as(&started, |job| path(job))?;
            args.server.output.one(&args.server.get(&path(started["job"].as_str().unwrap_or_default()))?)
        }
        Command::Get(args) => args.server.output.one(&args.server.get(&path(&args.id))?),
        Command::Download(args) => download(&args, &path(&args.id)),
    }
}

fn download(args: &DownloadArgs, path: &str) -> Result<(), Failure> {
    // What there is none of is told before a file is made.
    let state = args.server.get(path)?;
    let mut options = std::fs::File::options();
    let made = options.write(true).create_new(true).mode(0o600).open(&args.to);
    let mut file = made
        .map_err(|error| Failure::because(exit::CONFLICT, &format!("make {}", args.to.display()), &error))?;
    let wrote = args.server.client()?.download(&format!("{path}/document"), &mut file);
    if let Err(error) = wrote {
        drop(std::fs::remove_file(&args.to));
        let code = if state["status"] == "done" { exit::FAILED } else { exit::CONFLICT };
        return Err(Failure::new(code, format!("could not download the document: {error}")));
    }
    args.server.output.one(&state["document"])
}
