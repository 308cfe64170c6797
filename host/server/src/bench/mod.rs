//! `cdp bench`: what this machine gives, measured against the machine's own limits in the same run.
//!
//! The server is this executable started as a child, so that its memory and processor time are its own;
//! the load comes from this process over HTTP keep-alive.

mod body;
mod console;
mod export;
mod fairness;
mod hostile;
mod ingest;
mod limits;
mod load;
mod members;
mod plugin;
mod report;
mod segments;
mod setup;
mod usage;
mod wire;

use std::process::ExitCode;

/// Measures a server on this machine.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Events in: how many are acknowledged and applied a second, how soon, and at what cost.
    Ingest(ingest::Args),
    /// What one tenant notices of another that sends a hundred times as much.
    Fairness(fairness::Args),
    /// What one tenant notices of three others that bring every guest that means harm.
    Hostile(hostile::Args),
    /// Attributes and segments: what they cost while events come in, how fast they are built, and how soon they answer.
    Segments(segments::Args),
    /// Audiences: rows a second by format, memory, and where the time goes.
    Export(export::Args),
    /// The console: how long the server takes for each page, and how much the first one brings.
    Console(console::Args),
    /// Plugins: what one costs an event, in several languages and beside other hosts.
    Plugin(plugin::Args),
}

/// Runs the measurement and prints its tables.
pub(crate) fn run(args: Args) -> ExitCode {
    let measured = match args.what {
        What::Ingest(args) => ingest::run(&args),
        What::Fairness(args) => fairness::run(&args),
        What::Hostile(args) => hostile::run(&args),
        What::Segments(args) => segments::run(&args),
        What::Export(args) => export::run(&args),
        What::Console(args) => console::run(&args),
        What::Plugin(args) => plugin::run(&args),
    };
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("bench: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what the command is for")]
fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "progress and errors, apart from the figures")]
fn complain(line: &str) {
    eprintln!("{line}");
}
