//! The tasks of this repository. `cargo xtask` without arguments lists them.
//!
//! Needs a Rust toolchain and nothing else: what rustup can add is added, what is merely nice to have (nextest,
//! clippy, rustfmt) is used when present. To add a task: a module with `run`, and a row in [`TASKS`].

mod command;
mod demo;
mod fmt;
mod fuzz;
mod guests;
mod peers;
mod test;

use std::process::ExitCode;

/// What a task gives: nothing, or the sentence to end with.
type Outcome = Result<(), String>;

struct Task {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Outcome,
}

const TASKS: &[Task] = &[
    Task {
        name: "demo",
        about: "build everything and run the demo; arguments go to `cdp demo`",
        run: demo::run,
    },
    Task { name: "test", about: "run every check; arguments go to the test runner", run: test::run },
    Task { name: "guests", about: "build the WebAssembly guests into target/guests", run: guests::run },
    Task {
        name: "hostile",
        about: "build those, and write what `cdp bench hostile` uploads beside them",
        run: guests::hostile,
    },
    Task {
        name: "peers",
        about: "build the other hosts that `cdp bench plugin` compares with",
        run: peers::run,
    },
    Task { name: "ci", about: "what .ci/run runs: test, refusing a stale lock file", run: test::ci },
    Task { name: "lint", about: "clippy over everything; arguments go to it", run: test::lint },
    Task { name: "fuzz", about: "look for bytes that break a target: fuzz TARGET [SECONDS]", run: fuzz::run },
    Task { name: "fmt", about: "format the workspace", run: fmt::run },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        usage();
        return ExitCode::from(2);
    };
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        usage();
        return ExitCode::from(2);
    };
    match (task.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            command::say(&format!("failed: {sentence}"));
            ExitCode::FAILURE
        }
    }
}

fn usage() {
    command::say("usage: cargo xtask <task> [arguments]");
    for task in TASKS {
        command::say(&format!("  {:<8} {}", task.name, task.about));
    }
}
