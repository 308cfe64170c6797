//! `cdp tenants`: the organisations of an installation, as its operator.

use std::path::PathBuf;

use serde_json::json;

use super::{Column, Range, Server};
use crate::{Failure, exit};

/// What the list shows.
const COLUMNS: &[Column] = &[
    ("slug", "/slug"),
    ("name", "/name"),
    ("zone", "/time_zone"),
    ("id", "/id"),
    ("created", "/created_at"),
];

/// What to do with tenants.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a tenant; its first admin key is shown this once.
    #[command(
        after_help = "Examples:\n  CDP_OPERATOR_KEY=… cdp tenants create shop --name \"The shop\" --time-zone Europe/Riga"
    )]
    Create(CreateArgs),
    /// List tenants.
    #[command(after_help = "Examples:\n  cdp tenants list --operator-key-file operator.key -o json")]
    List(ListArgs),
}

/// The operator.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Operator {
    /// A file with the operator's key [default: the key in CDP_OPERATOR_KEY].
    #[arg(long, env = "CDP_OPERATOR_KEY_FILE", value_name = "FILE")]
    operator_key_file: Option<PathBuf>,
    #[command(flatten)]
    server: Server,
}

/// A new tenant.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CreateArgs {
    /// Its name in addresses.
    slug: String,
    /// Its name for people [default: the slug].
    #[arg(long)]
    name: Option<String>,
    /// The IANA name of the zone that its days are counted in [default: UTC].
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    #[command(flatten)]
    operator: Operator,
}

/// Which tenants.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    range: Range,
    #[command(flatten)]
    operator: Operator,
}

impl Operator {
    fn server(&self) -> Result<Server, Failure> {
        let key = match &self.operator_key_file {
            Some(file) => super::read_key(file)?,
            None => std::env::var("CDP_OPERATOR_KEY").map_err(|_| {
                let sentence =
                    "there is no operator's key: put it into CDP_OPERATOR_KEY, or name its file with --operator-key-file";
                Failure::new(exit::CONFIGURATION, sentence)
            })?,
        };
        Ok(self.server.as_operator(key))
    }
}

/// Does it.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(args) => {
            let server = args.operator.server()?;
            let name = args.name.as_deref().unwrap_or(&args.slug);
            let mut body = json!({ "slug": args.slug, "name": name });
            if let Some(zone) = &args.time_zone {
                body["time_zone"] = zone.as_str().into();
            }
            server.output.one(&server.post("/v1/tenants", &body)?)
        }
        Command::List(args) => {
            let server = args.operator.server()?;
            server.output.list(COLUMNS, &server.list("/v1/tenants", args.range)?)
        }
    }
}
