//! `cdp export`: audiences through a server's public interface, and checking them without one.

mod verify;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::demo::client::{Answer, Client, Fallible};
use crate::{Failure, exit, say};

/// What to do with audiences.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Begin an export.
    Create(CreateArgs),
    /// List exports.
    List(ListArgs),
    /// Say how an export went.
    Status(OneArgs),
    /// End an export before its end.
    Cancel(OneArgs),
    /// Bring the file of an export, and its manifest.
    Fetch(FetchArgs),
    /// Check offline that a file is what its manifest says.
    Verify(verify::Args),
}

/// Which server, as whom.
#[derive(Debug, clap::Args)]
struct Server {
    /// The server.
    #[arg(long, env = "CDP_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// A file with a key of the scope export [default: the key in CDP_API_KEY].
    #[arg(long, env = "CDP_API_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cdp export create big-spenders.json --wait
  echo '{\"segment\": \"vip\", …}' | cdp export create -")]
pub(crate) struct CreateArgs {
    /// The request as JSON, as for POST /v1/exports; - reads standard input.
    request: PathBuf,
    /// Return when it is over: 0 when it is done, 1 when it is not.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only those to this destination.
    #[arg(long)]
    destination: Option<String>,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OneArgs {
    /// The export, `exp_…`.
    id: String,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
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
        Command::List(args) => list(&args),
        Command::Status(args) => {
            let path = format!("/v1/exports/{}", args.id);
            show(&done(args.server.client()?.get(&path), "read the export")?)
        }
        Command::Cancel(args) => {
            let path = format!("/v1/exports/{}/cancel", args.id);
            let answer = args.server.client()?.post_json(&path, &Value::Null);
            show(&done(answer, "cancel the export")?)
        }
        Command::Fetch(args) => fetch(&args),
        Command::Verify(args) => verify::run(&args),
    }
}

fn create(args: &CreateArgs) -> Result<(), Failure> {
    let text = if args.request == Path::new("-") {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|error| Failure::because(exit::FAILED, "read standard input", &error))?;
        text
    } else {
        let doing = format!("read {}", args.request.display());
        std::fs::read_to_string(&args.request)
            .map_err(|error| Failure::because(exit::CONFIGURATION, &doing, &error))?
    };
    let request: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::because(exit::INPUT_REJECTED, "read the request", &error))?;
    let client = args.server.client()?;
    let started = done(client.post_json("/v1/exports", &request), "begin the export")?;
    if !args.wait {
        return show(&started);
    }
    let ended = client.finish_job(&started);
    let id = started["id"].as_str().unwrap_or_default();
    let info = done(client.get(&format!("/v1/exports/{id}")), "read the export")?;
    show(&info)?;
    ended.map(drop).map_err(|error| Failure::new(exit::FAILED, error.to_string()))
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let client = args.server.client()?;
    let mut path = "/v1/exports?limit=1000".to_owned();
    loop {
        let page = done(client.get(&path), "list exports")?;
        for info in page["items"].as_array().into_iter().flatten() {
            let text = |name: &str| info[name].as_str().unwrap_or("-").to_owned();
            if args.destination.as_deref().is_none_or(|wanted| info["destination"] == wanted) {
                let (rows, to) = (&info["rows"], info["destination"].as_str().unwrap_or("download"));
                say(&format!(
                    "{} {:<9} {:<11} {} → {to}, {rows} rows, {}",
                    text("id"),
                    text("status"),
                    text("mode"),
                    text("segment"),
                    text("created_at")
                ))?;
            }
        }
        let Some(cursor) = page["next_cursor"].as_str() else { return Ok(()) };
        path = format!("/v1/exports?limit=1000&cursor={cursor}");
    }
}

fn fetch(args: &FetchArgs) -> Result<(), Failure> {
    let client = args.server.client()?;
    let manifest = done(client.get(&format!("/v1/exports/{}/manifest", args.id)), "read the manifest")?;
    let mut beside = args.to.clone().into_os_string();
    beside.push(".manifest.json");
    let (mut file, mut note) = (create_new(&args.to)?, create_new(Path::new(&beside))?);
    let wrote = client.download(&format!("/v1/exports/{}/file", args.id), &mut file);
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

fn show(document: &Value) -> Result<(), Failure> {
    say(&format!("{document:#}"))
}

/// What was answered, or the failure with the exit code that its status means.
fn done(answer: Fallible<Answer>, doing: &str) -> Result<Value, Failure> {
    let answer =
        answer.map_err(|error| Failure::new(exit::UNREACHABLE, format!("could not {doing}: {error}")))?;
    let code = match answer.status {
        401 | 403 => exit::NOT_ALLOWED,
        404 => exit::NOT_FOUND,
        409 => exit::CONFLICT,
        400 | 413 | 415 | 422 => exit::INPUT_REJECTED,
        429 | 503 => exit::UNREACHABLE,
        _ => exit::FAILED,
    };
    answer.expect(doing).map_err(|error| Failure::new(code, error.to_string()))
}

impl Server {
    fn client(&self) -> Result<Client, Failure> {
        let key = match &self.key_file {
            Some(file) => std::fs::read_to_string(file).map_err(|error| {
                let doing = format!("read the key from {}", file.display());
                Failure::because(exit::CONFIGURATION, &doing, &error)
            })?,
            None => std::env::var("CDP_API_KEY").unwrap_or_default(),
        };
        if key.trim().is_empty() {
            let sentence = "no key is given: set CDP_API_KEY or name a file with --key-file";
            return Err(Failure::new(exit::CONFIGURATION, sentence));
        }
        Ok(Client::new(self.url.trim_end_matches('/'), key.trim()))
    }
}
