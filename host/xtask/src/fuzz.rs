//! Looks for bytes that break a target of `tests/fuzz`, with libFuzzer and a stable toolchain.

use std::path::Path;
use std::process::Command;

use crate::command::{cargo, root, run as run_command, target};

const TARGETS: [&str; 2] = ["ingest_body", "normalisers"];
/// What a target is run for unless something else is asked for.
const SECONDS: u64 = 600;
/// The longest input, in bytes: long enough for several events.
const INPUT_BYTES_MAX: u32 = 4096;

/// `fuzz TARGET [SECONDS]`.
pub(crate) fn run(arguments: &[String]) -> crate::Outcome {
    let usage = || format!("usage: cargo xtask fuzz {} [seconds]", TARGETS.join("|"));
    let (name, seconds) = match arguments {
        [name] => (name, SECONDS),
        [name, seconds] => (name, seconds.parse().map_err(|_| usage())?),
        _ => return Err(usage()),
    };
    if !TARGETS.contains(&name.as_str()) {
        return Err(usage());
    }
    let program = format!("fuzz-{}", name.replace('_', "-"));
    // The wrapper sees our crates only: those of others are taken as the tests have built them.
    let mut build = cargo();
    build.args(["build", "--package", "cdp-fuzz", "--features", "libfuzzer", "--bin", &program]);
    // A cache of compilations would take the wrapper for a compiler that it does not know.
    build.env("RUSTC_WRAPPER", "").env("RUSTC_WORKSPACE_WRAPPER", root().join("tests/fuzz/instrument.sh"));
    run_command(&mut build)?;
    let found = target().join("fuzz").join(name);
    std::fs::create_dir_all(&found)
        .map_err(|error| format!("{} could not be made: {error}", found.display()))?;
    let corpus = root().join("tests/fuzz/corpus").join(name);
    let mut fuzz = Command::new(target().join("debug").join(program));
    fuzz.current_dir(&found);
    // New inputs go to the first folder; the kept ones are only read.
    fuzz.args([Path::new("."), &corpus]);
    fuzz.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={INPUT_BYTES_MAX}"));
    fuzz.args(["-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"]);
    run_command(&mut fuzz)
}
