//! `cdp compile-plugin`: the hidden child of `cdp serve` in which plugins are compiled.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use cdp_runtime::{COMPLAINT, CompileLimits, Compiler, Work};

use crate::{Failure, exit};

/// What the hidden command is called.
const COMMAND: &str = "compile-plugin";

/// Flags of `cdp compile-plugin`; `serve` gives them all.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Which engine the machine code is for: `pure` or `io`.
    #[arg(long)]
    work: String,
    /// Seconds of processor time, of all cores together.
    #[arg(long)]
    cpu_seconds: u64,
    /// Bytes of address space.
    #[arg(long)]
    memory_bytes: u64,
}

/// Limits this process, compiles standard input, and writes machine code to standard output.
pub(crate) fn run(args: &Args) -> ExitCode {
    let Some(work) = [Work::Pure, Work::Io].into_iter().find(|work| work.name() == args.work) else {
        return complain("--work is pure or io", exit::USAGE);
    };
    match cdp_runtime::compile_here(work, args.cpu_seconds, args.memory_bytes) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(sentence)) => complain(&sentence, COMPLAINT),
        Err(error) => complain(&error.to_string(), exit::FAILED),
    }
}

fn complain(sentence: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{sentence}");
    ExitCode::from(code)
}

/// This very program, as the compiler of the server's plugins.
pub(crate) fn compiler() -> Result<Compiler, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::because(exit::FAILED, "find the program itself", &error))?;
    Ok(Compiler { program, arguments: vec![OsString::from(COMMAND)], limits: CompileLimits::default() })
}
