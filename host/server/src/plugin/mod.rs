//! `cdp plugin`: the way of a plugin from nothing to a value on a profile.
//!
//! `new`, `build`, `test`, `inspect` and `run` need no server: they use the inspection, the limits and the sandbox that a
//! server uses. `push`, `activate`, `replay`, `rollback`, `status` and `logs` speak to one through its public interface.
//!
//! To add a language: a module in [`build`], a folder in `plugins/templates`, and rows in [`template`]. To add a world: the
//! same, and what a fixture of it looks like in [`fixture`], or in [`connect`] where it sees no events.

pub(crate) mod bench;
mod build;
mod component;
mod connect;
mod events;
mod fixture;
mod inspect;
mod load;
mod project;
mod remote;
mod run;
mod sign;
mod template;
mod test;
mod tools;

use serde_json::Value;

use crate::{Failure, exit, say};

/// What to do with a plugin.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Start a project: sources that build, a test, and the contract.
    New(template::Args),
    /// Build the project's component; compilers that are missing are fetched once.
    Build(build::Args),
    /// Check the component with the project's fixtures, and that its answers depend on nothing else.
    Test(test::Args),
    /// Show what a component is and asks for, and every reason against it.
    Inspect(inspect::Args),
    /// Put events, or rows of an audience, through a component and show what comes of them.
    Run(run::Args),
    /// Make a key to sign components with; its public part is printed.
    Keygen(sign::KeygenArgs),
    /// Sign a component, so that a server knows who made it.
    Sign(sign::SignArgs),
    /// Upload the component to a server, with the signature that lies beside it.
    Push(remote::PushArgs),
    /// Let a version run, with what it may see and do.
    Activate(remote::ActivateArgs),
    /// Run recent events of the server through a version and compare it with the active one.
    Replay(remote::ReplayArgs),
    /// Run again what ran before the last activation.
    #[command(after_help = "Examples:
  cdp plugin rollback order-totals")]
    Rollback(remote::NamedArgs),
    /// Show a plugin's versions, and which of them runs.
    #[command(after_help = "Examples:
  cdp plugin status order-totals -o json")]
    Status(remote::NamedArgs),
    /// Show what a plugin wrote down.
    #[command(after_help = "Examples:
  cdp plugin logs order-totals")]
    Logs(remote::NamedArgs),
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON document on standard output.
    Json,
}

/// The option that all commands share.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Shown {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

impl Shown {
    /// Prints the lines for people, or the document.
    fn print(self, document: &Value, lines: impl FnOnce() -> Vec<String>) -> Result<(), Failure> {
        match self.output {
            Output::Json => say(&format!("{document:#}")),
            Output::Text => lines().iter().try_for_each(|line| say(line)),
        }
    }

    /// Whether lines on the way are welcome.
    fn is_for_people(self) -> bool {
        self.output == Output::Text
    }
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::New(args) => template::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Keygen(args) => sign::keygen(&args),
        Command::Sign(args) => sign::sign(&args),
        Command::Push(args) => remote::push(&args),
        Command::Activate(args) => remote::activate(&args),
        Command::Replay(args) => remote::replay(&args),
        Command::Rollback(args) => remote::rollback(&args),
        Command::Status(args) => remote::status(&args),
        Command::Logs(args) => remote::logs(&args),
    }
}

/// Reads a file that was named.
fn read(path: &std::path::Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        let code = match error.kind() {
            std::io::ErrorKind::NotFound => exit::NOT_FOUND,
            _ => exit::CONFIGURATION,
        };
        Failure::because(code, &format!("read {}", path.display()), &error)
    })
}
