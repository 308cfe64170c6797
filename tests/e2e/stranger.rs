//! A stranger's path: `host/docs/developers/plugins/first-plugin.md`, command by command, in each of its languages.
//!
//! The page is the script. What stands in a block `sh` is run, in a block `sh LANGUAGE` only in that language's turn; every
//! line of a block `text` must stand in what the block before it printed.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{CDP, Server, root};

/// Commands from an empty folder to a value on a profile, fewer than this.
const COMMANDS_MAX: usize = 10;
/// Far above what the slowest compiler takes on a busy machine.
const LONGEST: Duration = Duration::from_secs(400);

/// Commands that are run together, and what has to be in their answer.
struct Step {
    commands: Vec<String>,
    answers: Vec<String>,
}

/// What the page says to one language's reader.
fn steps(page: &str, language: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else { continue };
        let block: Vec<String> =
            lines.by_ref().take_while(|line| *line != "```").map(str::to_owned).collect();
        match kind.split_once(' ').unwrap_or((kind, language)) {
            ("sh", wanted) if wanted == language => steps.push(Step { commands: block, answers: Vec::new() }),
            ("sh", _) => {}
            ("text", _) => steps.last_mut().expect("an answer follows a command").answers.extend(block),
            other => panic!("the page has a block of an unknown kind: {other:?}"),
        }
    }
    steps
}

/// Whether the program is here that pages send with.
pub(crate) fn has_curl() -> bool {
    Command::new("curl").arg("--version").output().is_ok_and(|output| output.status.success())
}

fn walk(language: &str) {
    if !has_curl() {
        eprintln!("curl is not here, and the page uses it: {language} is passed over");
        return;
    }
    let page = std::fs::read_to_string(root().join("host/docs/developers/plugins/first-plugin.md")).unwrap();
    let steps = steps(&page, language);
    let commands = steps.iter().map(|step| step.commands.len()).sum::<usize>();
    assert!((5..COMMANDS_MAX).contains(&commands), "{commands} commands");
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let home = tempfile::tempdir().unwrap();
    // One shell for all, because `cd` lasts; a mark tells the answers apart.
    let script: Vec<String> =
        steps.iter().map(|step| format!("{}\necho\necho @@@", step.commands.join("\n"))).collect();
    let bin = Path::new(CDP).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::env::join_paths(std::iter::once(bin.to_owned()).chain(std::env::split_paths(&path))).unwrap();
    let started = Instant::now();
    let output = Command::new("sh")
        .args(["-e", "-c", &script.join("\n")])
        .current_dir(home.path())
        .env("PATH", path)
        .env("CARGO_TARGET_DIR", crate::languages::cargo_target())
        .env("CDP_URL", &server.url)
        .env("CDP_API_KEY", tenant.key())
        .output()
        .unwrap();
    let took = started.elapsed();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if complained.contains("could not be fetched") {
        eprintln!("{language} is passed over: {complained}");
        return;
    }
    assert!(output.status.success(), "{language}: {said}{complained}");
    for (step, answer) in steps.iter().zip(said.split("@@@")) {
        for line in &step.answers {
            assert!(
                answer.contains(line.as_str()),
                "{language}: {line:?} is not in the answer to {:?}:\n{answer}",
                step.commands
            );
        }
    }
    assert!(took < LONGEST, "{language}: {took:?}");
    eprintln!("{language}: {commands} commands to a value on a profile in {:.1} s", took.as_secs_f64());
    server.finish();
}

#[test]
fn a_stranger_gets_to_a_value_on_a_profile_in_rust() {
    walk("rust");
}

#[test]
fn a_stranger_gets_to_a_value_on_a_profile_in_javascript() {
    walk("js");
}

#[test]
fn a_stranger_gets_to_a_value_on_a_profile_in_python() {
    walk("python");
}
