//! `cdp plugin push|activate|replay|rollback|status|logs`: the same through a server's public interface.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::project::Project;
use super::tools::Policy;
use super::{Shown, load};
use crate::demo::client::Client;
use crate::remote::done;
use crate::{Failure, exit};

/// Which server, as whom.
#[derive(Debug, clap::Args)]
struct Server {
    /// The server.
    #[arg(long, env = "CDP_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// A file with an admin key of the tenant [default: the key in CDP_API_KEY].
    #[arg(long, env = "CDP_API_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cdp plugin push                      # builds the project in this folder
  cdp plugin push build/order-totals.wasm --url https://cdp.example.com --key-file admin.key")]
pub(crate) struct PushArgs {
    /// A project, which is built first, or a component.
    #[arg(default_value = ".")]
    plugin: PathBuf,
    /// Take what was built before.
    #[arg(long)]
    no_build: bool,
    /// Fetch no compiler.
    #[arg(long, env = "CDP_OFFLINE")]
    offline: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cdp plugin activate --grant all
  cdp plugin activate hygiene --version 3 --grant all --share 10
  cdp plugin activate order-totals --version 2 --grant /properties/revenue --config '{\"currency\": \"GBP\"}'")]
pub(crate) struct ActivateArgs {
    /// The plugin [default: the project in this folder].
    name: Option<String>,
    /// The version's number [default: the newest].
    #[arg(long)]
    version: Option<u64>,
    /// What it gets of what it asks for: `all`, a JSON pointer of a field, or the name of a table, secret or host; may
    /// be repeated. Without this it is shown what it asks for and nothing is activated.
    #[arg(long = "grant", value_name = "WHAT")]
    grants: Vec<String>,
    /// The configuration, a JSON object.
    #[arg(long, default_value = "{}", value_name = "JSON")]
    config: String,
    /// Tries a transformer on so many in a hundred of the events only, beside the version that runs.
    #[arg(long, default_value_t = 100, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    share: u8,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cdp plugin replay --last 10000
  cdp plugin replay order-totals --version 2 -o json")]
pub(crate) struct ReplayArgs {
    /// The plugin [default: the project in this folder].
    name: Option<String>,
    /// The version's number [default: the newest].
    #[arg(long)]
    version: Option<u64>,
    /// How many of the latest events.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    last: u64,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NamedArgs {
    /// The plugin [default: the project in this folder].
    name: Option<String>,
    #[command(flatten)]
    server: Server,
}

pub(super) fn push(args: &PushArgs) -> Result<(), Failure> {
    let client = args.server.client()?;
    let policy = Policy { offline: args.offline, talks: args.server.shown.is_for_people() };
    let (path, _) = load::component(&args.plugin, args.no_build, policy)?;
    let component = super::read(&path)?;
    // What a server would refuse is refused here, before anything is sent.
    let runtime = load::runtime()?;
    let name = load::prepare(&runtime, &component)?.descriptor().name.clone();
    let signature = super::sign::signature_of(&path);
    let path = format!("/v1/plugins/{name}/versions");
    let sent = match &signature {
        None => client.post(&path, "application/wasm", &component),
        Some(signature) => {
            let headers = [("content-type", "application/wasm"), ("x-plugin-signature", signature)];
            client.post_with(&path, &headers, &component)
        }
    };
    let uploaded = done(sent, "upload the component")?;
    args.server.shown.print(&uploaded, || {
        vec![
            format!("{name} version {} is uploaded", number(&uploaded["version"])),
            "Go on with: cdp plugin activate --grant all".to_owned(),
        ]
    })
}

pub(super) fn activate(args: &ActivateArgs) -> Result<(), Failure> {
    let client = args.server.client()?;
    let name = name(args.name.as_deref())?;
    let config: Value = serde_json::from_str(&args.config)
        .map_err(|error| Failure::new(exit::USAGE, format!("--config is no JSON: {error}")))?;
    let plugin = done(client.get(&format!("/v1/plugins/{name}")), "read the plugin")?;
    let version = version(&plugin, args.version)?;
    let requests = version["requests"].as_array().cloned().unwrap_or_default();
    if args.grants.is_empty() && !requests.is_empty() {
        let asked: Vec<String> = requests.iter().map(|one| format!("  {}", subject(one))).collect();
        let sentence = format!(
            "{name} asks for the following; say what it gets with --grant, or --grant all:\n{}",
            asked.join("\n")
        );
        return Err(Failure::new(exit::USAGE, sentence));
    }
    let all = args.grants.iter().any(|grant| grant == "all");
    if let Some(unknown) = args
        .grants
        .iter()
        .find(|grant| *grant != "all" && !requests.iter().any(|request| subject(request) == **grant))
    {
        return Err(Failure::new(exit::USAGE, format!("--grant {unknown}: {name} does not ask for it")));
    }
    let granted: Vec<&Value> =
        requests.iter().filter(|one| all || args.grants.iter().any(|grant| subject(one) == *grant)).collect();
    let number = number(&version["version"]);
    let answer = done(
        client.post_json(
            &format!("/v1/plugins/{name}/versions/{number}/activate"),
            &json!({"grants": granted, "config": config, "share": args.share}),
        ),
        "activate the version",
    )?;
    args.server.shown.print(&answer, || {
        vec![match args.share {
            100 => format!("{name} version {number} is active: the next event sees it"),
            share => format!("{name} version {number} is tried on {share} % of the events"),
        }]
    })
}

pub(super) fn replay(args: &ReplayArgs) -> Result<(), Failure> {
    let client = args.server.client()?;
    let name = name(args.name.as_deref())?;
    let plugin = done(client.get(&format!("/v1/plugins/{name}")), "read the plugin")?;
    let number = number(&version(&plugin, args.version)?["version"]);
    let path = format!("/v1/plugins/{name}/versions/{number}/replay");
    let started = done(client.post_json(&path, &json!({"last": args.last})), "replay events")?;
    let report = client
        .finish_job(&started)
        .map_err(|error| Failure::new(exit::FAILED, format!("the replay did not end well: {error}")))?;
    args.server.shown.print(&report, || {
        let mut lines = vec![format!("{name} version {number}, run on the last {} events:", args.last)];
        for (field, value) in report.as_object().into_iter().flatten() {
            lines.push(format!("  {}: {value}", field.replace('_', " ")));
        }
        lines
    })
}

pub(super) fn rollback(args: &NamedArgs) -> Result<(), Failure> {
    let client = args.server.client()?;
    let name = name(args.name.as_deref())?;
    let answer = done(client.post_json(&format!("/v1/plugins/{name}/rollback"), &json!({})), "roll back")?;
    args.server.shown.print(&answer, || {
        vec![format!("{name} runs version {} again", number(&answer["active"]["version"]))]
    })
}

pub(super) fn status(args: &NamedArgs) -> Result<(), Failure> {
    let client = args.server.client()?;
    let name = name(args.name.as_deref())?;
    let plugin = done(client.get(&format!("/v1/plugins/{name}")), "read the plugin")?;
    args.server.shown.print(&plugin, || {
        let mut lines = vec![format!("{name} is {}", plugin["status"].as_str().unwrap_or("there"))];
        if let Some(reason) = plugin["reason"].as_str() {
            lines.push(format!("  {reason}"));
        }
        for version in plugin["versions"].as_array().into_iter().flatten() {
            let runs = if number(&version["version"]) == number(&plugin["active"]["version"]) {
                ", active"
            } else {
                ""
            };
            lines.push(format!(
                "  version {}{runs}: {}",
                number(&version["version"]),
                version["digest"].as_str().unwrap_or_default()
            ));
        }
        lines
    })
}

pub(super) fn logs(args: &NamedArgs) -> Result<(), Failure> {
    let client = args.server.client()?;
    let name = name(args.name.as_deref())?;
    let page = done(client.get(&format!("/v1/plugins/{name}/logs")), "read the log")?;
    args.server.shown.print(&page, || {
        let text = |line: &Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
        let items = page["items"].as_array().into_iter().flatten();
        items
            .map(|line| format!("v{} {:<5} {}", line["version"], text(line, "level"), text(line, "message")))
            .collect()
    })
}

impl Server {
    fn client(&self) -> Result<Client, Failure> {
        let key = match &self.key_file {
            Some(file) => std::fs::read_to_string(file).map_err(|error| {
                Failure::because(exit::CONFIGURATION, &format!("read the key in {}", file.display()), &error)
            })?,
            None => std::env::var("CDP_API_KEY").map_err(|_| {
                let sentence =
                    "there is no key: put an admin key into CDP_API_KEY, or name its file with --key-file";
                Failure::new(exit::CONFIGURATION, sentence)
            })?,
        };
        Ok(Client::new(self.url.trim_end_matches('/'), key.trim()))
    }
}

/// The plugin that was named, or that of the project one is in.
fn name(named: Option<&str>) -> Result<String, Failure> {
    match named {
        Some(name) => Ok(name.to_owned()),
        None => Project::open(&PathBuf::from(".")).map(|project| project.name),
    }
}

/// The version that was asked for, or the newest.
fn version(plugin: &Value, wanted: Option<u64>) -> Result<Value, Failure> {
    let versions = plugin["versions"].as_array().cloned().unwrap_or_default();
    let found = match wanted {
        Some(wanted) => {
            versions.into_iter().find(|version| number(&version["version"]) == wanted.to_string())
        }
        None => {
            versions.into_iter().max_by_key(|version| number(&version["version"]).parse::<u64>().unwrap_or(0))
        }
    };
    found.ok_or_else(|| {
        Failure::new(exit::NOT_FOUND, "there is no such version: `cdp plugin push` uploads one")
    })
}

/// A version's number as text, however the server writes it.
fn number(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What a request is about, as it is named on the command line.
fn subject(request: &Value) -> String {
    ["pointer", "name", "url"]
        .iter()
        .find_map(|field| request[*field].as_str())
        .unwrap_or_default()
        .to_owned()
}
