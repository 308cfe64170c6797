//! `cdp events`: sending events, what became of them, and watching them come.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Column, Range, Server, Waiting, document, part};
use crate::{Failure, say};

/// What a list of events that are kept out of state shows.
const KEPT_OUT: &[Column] = &[
    ("received", "/received_at"),
    ("status", "/status"),
    ("type", "/type"),
    ("id", "/id"),
    ("code", "/code"),
    ("reason", "/reason"),
];

/// How long to wait before asking for more.
const PAUSE: Duration = Duration::from_millis(500);

/// What to do with events.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Send events from a JSON file, `-` for standard input; files of many are for `cdp import`.
    #[command(
        after_help = "Examples:\n  cdp events send order.json\n  jq -c . order.json | cdp events send -"
    )]
    Send(SendArgs),
    /// Show what became of an event: every stage it passed.
    #[command(after_help = "Examples:\n  cdp events get pos-riga-3/884213 --source pos -o json")]
    Get(GetArgs),
    /// Show events as they are taken in, until interrupted.
    #[command(
        after_help = "Examples:\n  cdp events tail\n  cdp events tail --type purchase -o ndjson | jq .event.properties"
    )]
    Tail(TailArgs),
    /// List events that are kept out of state, with the reason.
    #[command(after_help = "Examples:\n  cdp events list\n  cdp events list --status dropped -o csv")]
    List(ListArgs),
    /// Try events again that are kept out of state.
    #[command(after_help = "Examples:\n  cdp events replay --wait")]
    Replay(ReplayArgs),
}

/// What to send.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SendArgs {
    /// One event, an array, or `{"events": […]}`.
    file: PathBuf,
    /// Answer when state, attributes and segments have seen them.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    server: Server,
}

/// Which event.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct GetArgs {
    /// Its id.
    id: String,
    /// Its source [default: the key's].
    #[arg(long)]
    source: Option<String>,
    #[command(flatten)]
    server: Server,
}

/// What to watch.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TailArgs {
    /// Only events of this type.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Begin behind this place of the journal rather than at its end.
    #[arg(long, value_name = "POSITION")]
    after: Option<String>,
    /// End after so many; 0 goes on until interrupted.
    #[arg(long, default_value_t = 0, value_name = "N")]
    count: u64,
    #[command(flatten)]
    server: Server,
}

/// Which events.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ListArgs {
    /// Why they are kept out.
    #[arg(long, default_value = "dead_letter", value_parser = ["dead_letter", "dropped", "suppressed"])]
    status: String,
    #[command(flatten)]
    range: Range,
    #[command(flatten)]
    server: Server,
}

/// How to try again.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    server: Server,
}

/// Does it.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Send(args) => {
            let path = if args.wait { "/v1/events?wait=applied" } else { "/v1/events" };
            args.server.output.one(&args.server.post(path, &document(&args.file)?)?)
        }
        Command::Get(args) => {
            let source = args.source.as_deref().map(|source| format!("?source={}", part(source)));
            let path = format!("/v1/events/{}{}", part(&args.id), source.unwrap_or_default());
            args.server.output.one(&args.server.get(&path)?)
        }
        Command::Tail(args) => tail(&args),
        Command::List(args) => {
            let list = args.server.list(&format!("/v1/events?status={}", args.status), args.range)?;
            args.server.output.list(KEPT_OUT, &list)
        }
        Command::Replay(args) => {
            let answer = args.server.post("/v1/dead-letters/replay", &json!({}))?;
            args.server.begun(&answer, args.waiting)
        }
    }
}

fn tail(args: &TailArgs) -> Result<(), Failure> {
    let mut after = args.after.clone();
    let mut shown = 0;
    loop {
        let from = after.as_deref().map(|after| format!("&after={}", part(after))).unwrap_or_default();
        let page = args.server.get(&format!("/v1/journal/events?limit=1000{from}"))?;
        let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        for item in items {
            let is_wanted = |kind: &String| item["event"]["type"].as_str() == Some(kind);
            if !args.kind.as_ref().is_none_or(is_wanted) {
                continue;
            }
            say(&line(item, args.server.output))?;
            shown += 1;
            if args.count > 0 && shown >= args.count {
                return Ok(());
            }
        }
        after = page["next"].as_str().map(str::to_owned);
        if items.is_empty() {
            std::thread::sleep(PAUSE);
        }
    }
}

/// An event on one line: a table would have to know how wide what comes will be.
fn line(item: &Value, output: super::Output) -> String {
    let event = &item["event"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match output {
        super::Output::Json | super::Output::Ndjson => item.to_string(),
        super::Output::Table => format!(
            "{}  {:<20} {:<12} {}  {}",
            text(&item["received_at"]),
            text(&event["type"]),
            text(&event["source"]),
            text(&event["id"]),
            event["properties"]
        ),
        super::Output::Csv => {
            let cells = [&item["received_at"], &event["type"], &event["source"], &event["id"]].map(text);
            let quoted = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
            let mut cells: Vec<String> = cells.iter().map(quoted).collect();
            cells.push(quoted(&event["properties"].to_string()));
            cells.join(",")
        }
    }
}
