//! Every check, in the order in which a mistake is cheapest to find.

use crate::command::{cargo, has_cargo, run as run_command, say};

pub(crate) fn run(arguments: &[String]) -> crate::Outcome {
    check(&[], arguments)
}

pub(crate) fn ci(arguments: &[String]) -> crate::Outcome {
    check(&["--locked"], arguments)
}

/// Lints by themselves; arguments go to clippy.
pub(crate) fn lint(arguments: &[String]) -> crate::Outcome {
    lints(&[], arguments)
}

/// A warning is a failure here: what is left standing is never read again. Clippy needs no code of the crates we depend on,
/// only their interfaces, in the same target directory: a minute beside the ten of building and running the tests.
fn lints(common: &[&str], arguments: &[String]) -> crate::Outcome {
    if !has_cargo("clippy") {
        say("clippy is not installed: lints are not checked");
        return Ok(());
    }
    let mut clippy = cargo();
    clippy.args(["clippy", "--workspace", "--all-targets"]).args(common).args(arguments);
    run_command(clippy.args(["--", "-D", "warnings"]))
}

fn check(common: &[&str], arguments: &[String]) -> crate::Outcome {
    if has_cargo("fmt") {
        run_command(cargo().args(["fmt", "--all", "--check"]))?;
    } else {
        say("rustfmt is not installed: formatting is not checked");
    }
    if arguments.is_empty() {
        lints(common, &[])?;
    }
    let locked: Vec<String> = common.iter().map(|&flag| flag.to_owned()).collect();
    crate::guests::run(&locked)?;
    if has_cargo("nextest") {
        run_command(cargo().args(["nextest", "run", "--workspace"]).args(common).args(arguments))?;
    } else {
        run_command(cargo().args(["test", "--workspace", "--all-targets"]).args(common).args(arguments))?;
    }
    if !arguments.is_empty() {
        return Ok(());
    }
    run_command(cargo().args(["test", "--workspace", "--doc"]).args(common))?;
    if has_cargo("deny") {
        run_command(cargo().args([
            "deny",
            "--all-features",
            "--config",
            ".deny.toml",
            "check",
            "bans",
            "licenses",
            "sources",
        ]))?;
    } else {
        say("cargo-deny is not installed: licences and bans are not checked");
    }
    Ok(())
}
