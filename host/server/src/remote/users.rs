//! `cdp users invite|list|link|remove`: who works in the console.

use serde_json::{Value, json};

use super::{Column, ListArgs, Server, part};
use crate::Failure;

/// What the list shows.
const COLUMNS: &[Column] = &[
    ("id", "/id"),
    ("name", "/name"),
    ("role", "/role"),
    ("since", "/created_at"),
    ("password set", "/password_set_at"),
];

/// Console users.
#[derive(Debug, Clone, clap::Subcommand)]
pub(crate) enum Command {
    /// Invite somebody: prints the link by which they come in, once.
    #[command(
        after_help = "Examples:\n  cdp users invite ana@example.com --role admin\n\nThe link works once, for 24 hours."
    )]
    Invite(InviteArgs),
    /// List console users.
    #[command(after_help = "Examples:\n  cdp users list\n  cdp users list -o json")]
    List(ListArgs),
    /// Make another link for somebody, such as who forgot their password; the one before is void.
    #[command(after_help = "Examples:\n  cdp users link usr_01jd8z")]
    Link(OneArgs),
    /// Remove somebody; their sessions end at once.
    #[command(after_help = "Examples:\n  cdp users remove usr_01jd8z")]
    Remove(OneArgs),
}

/// Whom to invite.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct InviteArgs {
    /// By which they sign in, such as an e-mail address.
    name: String,
    /// What they are there for.
    #[arg(long, default_value = "marketer", value_parser = ["marketer", "developer", "admin"])]
    role: String,
    #[command(flatten)]
    server: Server,
}

/// Which user.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OneArgs {
    /// Their id.
    id: String,
    #[command(flatten)]
    server: Server,
}

/// Does it.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Invite(args) => {
            let made = args.server.post("/v1/users", &json!({ "name": args.name, "role": args.role }))?;
            linked(&args.server, made)
        }
        Command::List(args) => args.server.output.list(COLUMNS, &args.server.list("/v1/users", args.range)?),
        Command::Link(args) => {
            let made = args.server.post(&format!("/v1/users/{}/link", part(&args.id)), &json!({}))?;
            linked(&args.server, made)
        }
        Command::Remove(args) => args.server.delete(&format!("/v1/users/{}", part(&args.id))).map(|_| ()),
    }
}

/// Prints what was made, with the whole address of its link.
fn linked(server: &Server, mut made: Value) -> Result<(), Failure> {
    if let Some(path) = made["link"].as_str() {
        made["link"] = format!("{}{path}", server.url.trim_end_matches('/')).into();
    }
    server.output.one(&made)
}
