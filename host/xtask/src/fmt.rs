//! Formats the workspace.

use crate::command::{cargo, run as run_command};

pub(crate) fn run(arguments: &[String]) -> crate::Outcome {
    run_command(cargo().args(["fmt", "--all"]).args(arguments))
}
