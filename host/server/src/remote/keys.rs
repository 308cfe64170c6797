//! `cdp keys create|list|revoke`: the keys that open a tenant.

use serde_json::json;

use super::{Column, Range, Server, part};
use crate::Failure;

/// What the list shows.
const COLUMNS: &[Column] = &[
    ("id", "/id"),
    ("name", "/name"),
    ("scopes", "/scopes"),
    ("public", "/public"),
    ("created", "/created_at"),
    ("expires", "/expires_at"),
];

/// A new key.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  cdp keys create till --scope ingest
  cdp keys create web --scope ingest --public -o json > web.key.json

The key is shown this once.")]
pub(crate) struct CreateArgs {
    /// For people, and the source of events that name none.
    name: String,
    /// What it may do; may be repeated.
    #[arg(long = "scope", required = true, value_name = "SCOPE", value_parser = ["ingest", "read", "export", "admin"])]
    scopes: Vec<String>,
    /// Anybody can read it, as in a web page: it joins nobody who is known already.
    #[arg(long)]
    public: bool,
    /// When it ends by itself, as RFC 3339 writes it.
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    #[command(flatten)]
    server: Server,
}

/// Which keys.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  cdp keys list\n  cdp keys list -o csv")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    range: Range,
    #[command(flatten)]
    server: Server,
}

/// Which key.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  cdp keys revoke key_01jd8z")]
pub(crate) struct RevokeArgs {
    /// Its id.
    id: String,
    #[command(flatten)]
    server: Server,
}

pub(crate) fn create(args: &CreateArgs) -> Result<(), Failure> {
    let mut body = json!({ "name": args.name, "scopes": args.scopes });
    if args.public {
        body["public"] = true.into();
    }
    if let Some(at) = &args.expires_at {
        body["expires_at"] = at.as_str().into();
    }
    let made = args.server.post("/v1/keys", &body)?;
    args.server.output.one(&made)
}

pub(crate) fn list(args: &ListArgs) -> Result<(), Failure> {
    args.server.output.list(COLUMNS, &args.server.list("/v1/keys", args.range)?)
}

pub(crate) fn revoke(args: &RevokeArgs) -> Result<(), Failure> {
    args.server.delete(&format!("/v1/keys/{}", part(&args.id))).map(|_| ())
}
