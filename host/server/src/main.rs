//! `cdp`: the server and its tools. The only crate that reads flags, files and environment, and that knows all others.

mod audit;
mod backup;
mod bench;
mod compile;
mod config;
mod demo;
mod docs;
mod doctor;
mod export;
mod http;
mod import;
mod init;
mod keys;
mod panics;
mod plugin;
mod remote;
mod serve;
mod show;
mod store;

use std::error::Error;
use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// Many small values live long and die on other threads: the system's allocator fragments on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What do we know about this customer right now, and which audience do they belong to?
#[derive(Debug, Parser)]
#[command(name = "cdp", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::Args),
    /// Load a real data set into a fresh server and show what comes of it.
    Demo(demo::Args),
    /// Lay down settings and keys for a new installation.
    Init(init::Args),
    /// Look at what a server needs, and say what helps.
    Doctor(doctor::Args),
    /// The settings that hold.
    #[command(subcommand)]
    Config(show::Command),
    /// Make and list tenants, as the operator.
    #[command(subcommand)]
    Tenants(remote::tenants::Command),
    /// Send events, and see what becomes of them.
    #[command(subcommand)]
    Events(remote::events::Command),
    /// See what is known of a person.
    #[command(subcommand)]
    Profiles(remote::profiles::Command),
    /// Define attributes.
    #[command(subcommand)]
    Attributes(remote::attributes::Command),
    /// Define segments, and see who belongs to them and why.
    #[command(subcommand)]
    Segments(remote::segments::Command),
    /// See how far background work is.
    #[command(subcommand)]
    Jobs(remote::jobs::Command),
    /// Say how long events are kept, and see how far that is carried out.
    #[command(subcommand)]
    Retention(remote::retention::Command),
    /// See of whom nothing is taken in after an erasure, and let it in again.
    #[command(subcommand)]
    Suppressions(remote::suppressions::Command),
    /// Put together for somebody what is held about them.
    #[command(subcommand)]
    AccessRequests(remote::access_requests::Command),
    /// Bring a file of events or profiles into a running server.
    #[command(subcommand)]
    Import(import::Command),
    /// Begin, fetch and check exports.
    #[command(subcommand)]
    Export(export::Command),
    /// Write, build, test and run plugins.
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Measure a server on this machine.
    Bench(bench::Args),
    /// Look after a data directory while no server uses it.
    #[command(subcommand)]
    Store(store::Command),
    /// Make, check and put back backups of a data directory.
    #[command(subcommand)]
    Backup(backup::Command),
    /// Make and revoke API keys, or change the key that opens a data directory.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Invite and remove those who work in the console.
    #[command(subcommand)]
    Users(remote::users::Command),
    /// Check what is chained by hashes.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Print the description of the HTTP interface.
    #[command(after_help = "Examples:
  cdp openapi > openapi.json")]
    Openapi,
    /// Print completions for a shell.
    #[command(after_help = "Examples:\n  cdp completions bash > /etc/bash_completion.d/cdp")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Compile a component from standard input to standard output, for `serve`.
    #[command(hide = true)]
    CompilePlugin(compile::Args),
}

fn main() -> ExitCode {
    // clap ends with 2 itself when the command line is wrong.
    let matches = Arguments::command().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let outcome = match arguments.command {
        Command::Serve(args) => serve::run(args, matches.subcommand_matches("serve")),
        Command::Audit(command) => audit::run(command),
        Command::Backup(command) => backup::run(command),
        Command::Init(args) => init::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Config(command) => show::run(command, &matches),
        Command::Tenants(command) => remote::tenants::run(command),
        Command::Events(command) => remote::events::run(command),
        Command::Profiles(command) => remote::profiles::run(command),
        Command::Attributes(command) => remote::attributes::run(command),
        Command::Segments(command) => remote::segments::run(command),
        Command::Jobs(command) => remote::jobs::run(command),
        Command::Retention(command) => remote::retention::run(command),
        Command::Suppressions(command) => remote::suppressions::run(command),
        Command::AccessRequests(command) => remote::access_requests::run(command),
        Command::Completions { shell } => completions(shell),
        Command::Keys(command) => keys::run(command),
        Command::Users(command) => remote::users::run(command),
        Command::Store(command) => store::run(command),
        Command::Import(command) => import::run(command),
        Command::Export(command) => export::run(command),
        Command::Plugin(command) => plugin::run(command),
        Command::Openapi => openapi(),
        Command::CompilePlugin(args) => return compile::run(&args),
        Command::Demo(args) => return demo::run(args),
        Command::Bench(args) => return bench::run(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // The edge of the program: the chain is printed once, here.
            let _ = writeln!(std::io::stderr(), "cdp: {failure}");
            ExitCode::from(failure.code)
        }
    }
}

/// The whole command line, for whoever describes it.
pub(crate) fn command_line() -> clap::Command {
    Arguments::command()
}

fn openapi() -> Result<(), Failure> {
    let text = cdp_api::describe()
        .to_pretty_json()
        .map_err(|error| Failure::because(exit::FAILED, "describe the interface", &error))?;
    say(&text)
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "cdp", &mut text);
    say(String::from_utf8_lossy(&text).trim_end())
}

/// Prints a line of what the command is for.
pub(crate) fn say(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        // Whoever reads has read enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Failure::because(exit::FAILED, "print", &error)),
    }
}

/// The exit codes, as documented.
pub(crate) mod exit {
    /// It did not work.
    pub(crate) const FAILED: u8 = 1;
    /// The command line means nothing.
    pub(crate) const USAGE: u8 = 2;
    /// A setting, a file or a key is not usable.
    pub(crate) const CONFIGURATION: u8 = 3;
    /// There is no such thing.
    pub(crate) const NOT_FOUND: u8 = 4;
    /// Something else is there already: another process, another listener.
    pub(crate) const CONFLICT: u8 = 5;
    /// The key may not do this.
    pub(crate) const NOT_ALLOWED: u8 = 6;
    /// Some of the input is not acceptable.
    pub(crate) const INPUT_REJECTED: u8 = 7;
    /// The server cannot be reached, or takes nothing.
    pub(crate) const UNREACHABLE: u8 = 8;
    /// What was to be checked does not hold.
    pub(crate) const CHECKS_FAILED: u8 = 9;
    /// It was interrupted before it could end in order.
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// The sentence and the code to end with.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    sentence: String,
}

impl Failure {
    /// A failure that explains itself.
    pub(crate) fn new(code: u8, sentence: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into() }
    }

    /// A failure to do something, with all causes in one line.
    pub(crate) fn because(code: u8, doing: &str, error: &(dyn Error + 'static)) -> Self {
        let mut sentence = format!("could not {doing}: {error}");
        let mut at = error.source();
        while let Some(cause) = at {
            sentence.push_str(&format!(": {cause}"));
            at = cause.source();
        }
        Self { code, sentence }
    }
}

impl Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command that does something, with the words that lead to it.
    fn leaves(command: &clap::Command, way: &str, out: &mut Vec<(String, String)>) {
        let way = format!("{way} {}", command.get_name());
        if command.get_subcommands().next().is_none() {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            out.push((way, after));
            return;
        }
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            leaves(inner, &way, out);
        }
    }

    #[test]
    fn every_command_shows_examples_of_itself() {
        let mut all = Vec::new();
        leaves(&command_line(), "", &mut all);
        assert!(all.len() > 60, "{all:?}");
        let mut lacking = Vec::new();
        for (way, after) in all {
            let way = way.trim().to_owned();
            if !after.contains("Examples:") || !after.contains(&way) {
                lacking.push(way);
            }
        }
        assert_eq!(lacking, Vec::<String>::new());
    }
}
