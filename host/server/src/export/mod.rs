//! `cdp export`: audiences through a server's public interface, and checking them without one.

mod verify;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::remote::{Column, ListArgs as Listed, Server, Waiting, document, done, part};
use crate::{Failure, exit, say};

/// What a list shows.
const COLUMNS: &[Column] = &[
    ("id", "/id"),
    ("status", "/status"),
    ("segment", "/segment"),
    ("destination", "/destination"),
    ("mode", "/mode"),
    ("rows", "/rows"),
    ("created at", "/created_at"),
];

/// What to do with audiences.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Begin an export.
    Create(CreateArgs),
    /// List exports.
    #[command(after_help = "Examples:
  cdp export list
  cdp export list --destination crm --limit 0 -o csv")]
    List(ListedArgs),
    /// Say how an export went.
    #[command(after_help = "Examples:
  cdp export status exp_01jd8z -o json")]
    Status(OneArgs),
    /// End an export before its end.
    #[command(after_help = "Examples:
  cdp export cancel exp_01jd8z")]
    Cancel(OneArgs),
    /// Bring the file of an export, and its manifest.
    Fetch(FetchArgs),
    /// Check offline that a file is what its manifest says.
    Verify(verify::Args),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cdp export create big-spenders.json --wait
  echo '{\"segment\": \"vip\", …}' | cdp export create - -o json")]
pub(crate) struct CreateArgs {
    /// The request as JSON, as for POST /v1/exports; - reads standard input.
    request: PathBuf,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListedArgs {
    /// Only those to this destination.
    #[arg(long)]
    destination: Option<String>,
    #[command(flatten)]
    list: Listed,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OneArgs {
    /// The export, `exp_…`.
    id: String,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cdp export fetch exp_… --to audience.csv
  cdp export verify audience.csv.manifest.json audience.csv")]
pub(crate) struct FetchArgs {
    /// The export, `exp_…`.
    id: String,
    /// Where to; the manifest goes beside it, with `.manifest.json` behind its name. Neither may be there yet.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    server: Server,
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(args) => create(&args),
        Command::List(args) => {
            let wanted = args.destination.as_deref();
            let found = args.list.server.list("/v1/exports", args.list.range)?;
            let found =
                found.into_iter().filter(|info| wanted.is_none_or(|wanted| info["destination"] == wanted));
            args.list.server.output.list(COLUMNS, &found.collect::<Vec<_>>())
        }
        Command::Status(args) => {
            args.server.output.one(&args.server.get(&format!("/v1/exports/{}", part(&args.id)))?)
        }
        Command::Cancel(args) => {
            let path = format!("/v1/exports/{}/cancel", part(&args.id));
            args.server.output.one(&args.server.post(&path, &Value::Null)?)
        }
        Command::Fetch(args) => fetch(&args),
        Command::Verify(args) => verify::run(&args),
    }
}

fn create(args: &CreateArgs) -> Result<(), Failure> {
    let started = args.server.post("/v1/exports", &document(&args.request)?)?;
    if !args.waiting.wait {
        return args.server.output.one(&started);
    }
    let ended = args.server.ended(&started);
    let id = started["id"].as_str().unwrap_or_default();
    args.server.output.one(&args.server.get(&format!("/v1/exports/{}", part(id)))?)?;
    ended.map(drop)
}

fn fetch(args: &FetchArgs) -> Result<(), Failure> {
    let client = args.server.client()?;
    let path = format!("/v1/exports/{}", part(&args.id));
    let manifest = done(client.get(&format!("{path}/manifest")), "read the manifest")?;
    let mut beside = args.to.clone().into_os_string();
    beside.push(".manifest.json");
    let (mut file, mut note) = (create_new(&args.to)?, create_new(Path::new(&beside))?);
    let wrote = client.download(&format!("{path}/file"), &mut file);
    if let Err(error) = wrote {
        drop(std::fs::remove_file(&args.to));
        drop(std::fs::remove_file(&beside));
        return Err(Failure::new(exit::FAILED, format!("could not fetch the file: {error}")));
    }
    std::io::Write::write_all(&mut note, format!("{manifest:#}\n").as_bytes())
        .map_err(|error| Failure::because(exit::FAILED, "write the manifest", &error))?;
    say(&format!("{}: {} rows, SHA-256 {}", args.to.display(), manifest["rows"], manifest["sha256"]))
}

fn create_new(path: &Path) -> Result<std::fs::File, Failure> {
    let made = std::fs::File::options().write(true).create_new(true).open(path);
    made.map_err(|error| Failure::because(exit::CONFLICT, &format!("make {}", path.display()), &error))
}
