//! `cdp demo`: a gift shop's year, loaded through the public API of a real server, and what a marketer sees first.
//!
//! The server is this very executable, started as a child with `serve`; everything here is a client like any other.
//! Restarting is safe: the keys are kept beside the data directory, definitions are put again unchanged,
//! and events that are there already answer "duplicate".

pub(crate) mod child;
pub(crate) mod client;
mod definitions;
pub(crate) mod keys;
mod load;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use child::Server;
use client::{Client, Fallible};

/// Loads a real data set into a fresh server, shows what comes of it, and keeps serving.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cdp demo
  cdp demo --listen 127.0.0.1:0 --data-dir /tmp/shop --exit")]
pub(crate) struct Args {
    /// Where to listen; another free port is taken when this one is in use.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: String,
    /// Where the demo's data lives. Its keys are kept beside it.
    #[arg(long, default_value = "cdp-demo-data")]
    data_dir: PathBuf,
    /// The component of the plugin `country-code` [default: target/guests/country_code.wasm, or beside the executable].
    #[arg(long)]
    plugin: Option<PathBuf>,
    /// Ends after printing, instead of serving until Ctrl-C.
    #[arg(long)]
    exit: bool,
}

/// Runs the demo; returns when it is interrupted, or with `--exit` when all is printed.
pub(crate) fn run(args: Args) -> ExitCode {
    match story(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("demo: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn story(args: &Args) -> Fallible<()> {
    let component = definitions::find_component(args.plugin.as_deref())?;
    let keys = keys::Keys::beside(&args.data_dir)?;
    let listen = child::free_address(&args.listen)?;
    if listen != args.listen {
        say(&format!("{} is in use, so another port is taken", args.listen));
    }
    let server = Server::start(&args.data_dir, &listen, &keys.operator_file)?;
    say(&format!("serving on {} from {}", server.url, args.data_dir.display()));

    let tenant = keys::tenant(&keys, &server.url)?;
    definitions::put(&tenant, &component)?;
    load::run(&tenant)?;
    show::segments(&tenant)?;
    show::profile(&tenant)?;
    show::exports(&tenant, &args.data_dir)?;
    show::next_steps(&tenant);
    show::console(&tenant)?;

    if args.exit {
        return server.stop();
    }
    say("\nserving until Ctrl-C");
    server.wait_for_interrupt()
}

/// The tenant's client and what is printed of it.
pub(crate) struct Tenant {
    pub(crate) client: Client,
    pub(crate) key: String,
}

#[expect(clippy::print_stdout, reason = "what the demo prints is what it is for")]
fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "the edge of the program: the chain is printed once, here")]
fn complain(line: &str) {
    eprintln!("{line}");
}
