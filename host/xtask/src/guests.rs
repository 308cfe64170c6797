//! Builds the WebAssembly components that the demo and the tests load, into `target/guests`.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::command::{cargo, root, run as run_command, say, target};

const TARGET: &str = "wasm32-wasip2";
/// Packages that are components, and the files they become.
const GUESTS: &[&str] =
    &["brevo-list", "country-code", "order-lines", "rfm", "misbehave", "misfold", "misplan", "misdeliver"];
/// A small stack: a guest that recurses without end then traps early, and a fresh instance is cheap.
const FLAGS: &str = "-Clink-arg=-zstack-size=65536";

pub(crate) fn run(arguments: &[String]) -> crate::Outcome {
    ensure_target()?;
    // A directory of its own: other flags must not make the host build start anew.
    let build = target().join("guest-build");
    let mut command = cargo();
    command.args(["build", "--target", TARGET, "--profile", "guest", "--target-dir"]).arg(&build);
    for package in GUESTS {
        command.args(["--package", package]);
    }
    command.args(arguments).env("CARGO_ENCODED_RUSTFLAGS", FLAGS).env_remove("RUSTFLAGS");
    run_command(&mut command)?;
    let out = root().join("target/guests");
    std::fs::create_dir_all(&out).map_err(|error| format!("target/guests could not be made: {error}"))?;
    for package in GUESTS {
        let file = format!("{}.wasm", package.replace('-', "_"));
        copy(&build.join(TARGET).join("guest").join(&file), &out.join(&file))?;
    }
    Ok(())
}

/// All that `cdp bench hostile` uploads: the components, and those that are made of bytes. Tests make the latter themselves.
pub(crate) fn hostile(arguments: &[String]) -> crate::Outcome {
    run(arguments)?;
    let out = root().join("target/guests/hostile");
    run_command(cargo().args(["run", "--quiet", "--package", "cdp-hostile", "--"]).arg(out))
}

/// Copies beside the destination and renames, so that a running test never reads half a file.
fn copy(from: &Path, to: &Path) -> crate::Outcome {
    let half = to.with_extension(format!("{}.part", std::process::id()));
    std::fs::copy(from, &half)
        .and_then(|_| std::fs::rename(&half, to))
        .map_err(|error| format!("{} was built but could not be copied: {error}", from.display()))
}

/// Adds the target through rustup unless the toolchain has it.
fn ensure_target() -> crate::Outcome {
    if target_is_installed() {
        return Ok(());
    }
    if has_rustup() {
        return run_command(Command::new("rustup").args(["target", "add", TARGET]).current_dir(root()));
    }
    say(&format!("rustup is not here and the toolchain lacks {TARGET}; trying anyway"));
    Ok(())
}

fn target_is_installed() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let Ok(output) = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output()
    else {
        return false;
    };
    output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
}

fn has_rustup() -> bool {
    let mut command = Command::new("rustup");
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
