//! Builds the guests and the server, and runs the demo.

use crate::command::{cargo, run as run_command};

pub(crate) fn run(arguments: &[String]) -> crate::Outcome {
    crate::guests::run(&[])?;
    run_command(cargo().args(["run", "--release", "--package", "cdp", "--", "demo"]).args(arguments))
}
