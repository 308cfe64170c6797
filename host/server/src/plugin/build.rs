//! `cdp plugin build`: the project's component, by the compiler of its language.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::json;

use super::component;
use super::project::{Language, Project};
use super::tools::{self, COMPONENTIZE_PY, COMPONENTIZE_QJS, ESBUILD, GO, Policy, ZIG};
use super::{Shown, load};
use crate::{Failure, exit};

/// What to build.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cdp plugin build
  cdp plugin build plugins/value-band --offline -o json")]
pub(crate) struct Args {
    /// The project's folder.
    #[arg(default_value = ".")]
    project: PathBuf,
    /// Fetch no compiler; say which one is missing.
    #[arg(long, env = "CDP_OFFLINE")]
    offline: bool,
    #[command(flatten)]
    shown: Shown,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let project = Project::open(&args.project)?;
    let started = Instant::now();
    let policy = Policy { offline: args.offline, talks: args.shown.is_for_people() };
    let built = build(&project, policy)?;
    let seconds = started.elapsed().as_secs_f64();
    let bytes = fs::metadata(&built).map_or(0, |metadata| metadata.len());
    let component = super::read(&built)?;
    let inspection = load::inspect(&component)?;
    let document = json!({"component": built, "bytes": bytes, "seconds": seconds,
        "digest": inspection.digest.to_string(), "imports": inspection.imports});
    args.shown.print(&document, || {
        vec![format!("built {} ({} KB) in {seconds:.1} s", built.display(), bytes.div_ceil(1024))]
    })
}

/// Builds a project; gives the component's path.
pub(super) fn build(project: &Project, policy: Policy) -> Result<PathBuf, Failure> {
    let out = project.built();
    let dir = project.dir.join("build");
    fs::create_dir_all(&dir)
        .map_err(|error| Failure::because(exit::CONFIGURATION, &format!("make {}", dir.display()), &error))?;
    match project.language {
        Language::Rust => rust(project, &out, policy)?,
        Language::Js => javascript(project, "plugin.js", &out, policy)?,
        Language::Ts => typescript(project, &out, policy)?,
        Language::Python => python(project, &out, policy)?,
        Language::Go => go(project, &out, policy)?,
        Language::C => c(project, &out, policy)?,
    }
    Ok(out)
}

fn rust(project: &Project, out: &Path, policy: Policy) -> Result<(), Failure> {
    const TARGET: &str = "wasm32-wasip2";
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| project.dir.join("target"), |dir| project.dir.join(dir));
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--release", "--target", TARGET, "--target-dir"]).arg(&target);
    if policy.offline {
        cargo.arg("--offline");
    }
    // Flags for the host's programs are none for a guest: the project has its own.
    cargo.current_dir(&project.dir).env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let installed = tools::compile(&mut cargo, policy.talks);
    installed.map_err(|failure| match has_target(TARGET) {
        true => failure,
        false => Failure::new(
            exit::CONFIGURATION,
            format!("the Rust target {TARGET} is not installed: `rustup target add {TARGET}` brings it"),
        ),
    })?;
    let file = format!("{}.wasm", project.name.replace('-', "_"));
    let built = target.join(TARGET).join("release").join(file);
    fs::copy(&built, out)
        .map(|_| ())
        .map_err(|error| Failure::because(exit::FAILED, &format!("copy {}", built.display()), &error))
}

fn has_target(target: &str) -> bool {
    let asked = Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output();
    asked.is_ok_and(|said| Path::new(String::from_utf8_lossy(&said.stdout).trim()).is_dir())
}

fn javascript(project: &Project, entry: &str, out: &Path, policy: Policy) -> Result<(), Failure> {
    let mut componentize = Command::new(tools::find(COMPONENTIZE_QJS, project, policy)?);
    componentize.args(["--wit", "wit", "--world", project.world.name(), "--js", entry]);
    // Without the component model's async, and without anything of the outer world.
    componentize.args(["--module-root", ".", "--sync", "--stub-wasi", "--output"]).arg(out);
    tools::compile(componentize.current_dir(&project.dir), policy.talks)
}

fn typescript(project: &Project, out: &Path, policy: Policy) -> Result<(), Failure> {
    const BUNDLE: &str = "build/plugin.js";
    let mut esbuild = Command::new(tools::find(ESBUILD, project, policy)?);
    esbuild.args(["plugin.ts", "--bundle", "--format=esm", "--target=es2022", "--external:cdp:*"]);
    esbuild.args(["--log-level=warning", &format!("--outfile={BUNDLE}")]);
    tools::compile(esbuild.current_dir(&project.dir), policy.talks)?;
    javascript(project, BUNDLE, out, policy)
}

fn python(project: &Project, out: &Path, policy: Policy) -> Result<(), Failure> {
    let mut componentize = Command::new(tools::find(COMPONENTIZE_PY, project, policy)?);
    componentize.args(["--quiet", "--wit-path", "wit", "--world", project.world.name()]);
    componentize.args(["componentize", "plugin", "--stub-wasi", "--output"]).arg(out);
    tools::compile(componentize.current_dir(&project.dir), policy.talks)
}

fn go(project: &Project, out: &Path, policy: Policy) -> Result<(), Failure> {
    const CORE: &str = "build/core.wasm";
    let mut go = Command::new(tools::find(GO, project, policy)?);
    go.args(["build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", CORE, "."]);
    go.envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("CGO_ENABLED", "0"), ("GOTOOLCHAIN", "local")]);
    tools::compile(go.current_dir(&project.dir), policy.talks)?;
    encode(project, CORE, out)
}

fn c(project: &Project, out: &Path, policy: Policy) -> Result<(), Failure> {
    const CORE: &str = "build/core.wasm";
    let mut zig = Command::new(tools::find(ZIG, project, policy)?);
    zig.args(["cc", "--target=wasm32-wasi", "-mexec-model=reactor", "-std=c11", "-O2", "-Wall", "-Wextra"]);
    // A small stack: a guest that recurses without end then traps early, and a fresh instance is cheap.
    zig.args(["-Wl,-s", "-Wl,-z,stack-size=65536", "plugin.c", "world.c", "-o", CORE]);
    tools::compile(zig.current_dir(&project.dir), policy.talks)?;
    encode(project, CORE, out)
}

/// Makes the component of a core module.
fn encode(project: &Project, core: &str, out: &Path) -> Result<(), Failure> {
    let module = super::read(&project.dir.join(core))?;
    let made = component::encode(module, &project.dir.join("wit"), project.world.name()).map_err(|why| {
        Failure::new(exit::FAILED, format!("no component could be made of the module: {why}"))
    })?;
    fs::write(out, made)
        .map_err(|error| Failure::because(exit::CONFIGURATION, &format!("write {}", out.display()), &error))
}
