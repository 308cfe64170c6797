//! The child in which plugins are compiled: what it takes, what it gives, and what stops it.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::harness::{Server, guest, until};

/// Runs the hidden command on these bytes.
fn compile(component: &[u8], work: &str, cpu_seconds: u64, memory_bytes: u64) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cdp"))
        .args(["compile-plugin", "--work", work])
        .args(["--cpu-seconds", &cpu_seconds.to_string(), "--memory-bytes", &memory_bytes.to_string()])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || _ = to.write_all(component));
        child.wait_with_output().unwrap()
    })
}

/// Many functions that are dear to compile, within every bound of admission: minutes of work.
fn bomb() -> Vec<u8> {
    // Each function is a long chain of additions over many locals.
    let body = "local.get 0 local.get 1 i64.add local.set 2 local.get 2 local.get 0 i64.mul local.set 1 "
        .repeat(2_000);
    // The result keeps the work from being left out.
    let function = format!("(func (param i64 i64) (result i64) (local i64) {body} local.get 1)");
    wat::parse_str(format!("(component (core module {}))", function.repeat(400))).unwrap()
}

#[test]
fn machine_code_comes_out_and_complaints_have_their_own_code() {
    let done = compile(&guest("country_code.wasm"), "pure", 60, 4 << 30);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(&done.stdout[..4], b"\x7fELF");
    let io = compile(&guest("country_code.wasm"), "io", 60, 4 << 30);
    assert!(io.status.success() && io.stdout != done.stdout, "each kind of work has code of its own");
    let bad = compile(b"\0asm\x0d\0\x01\0 and then nothing sensible", "pure", 60, 4 << 30);
    assert_eq!((bad.status.code(), bad.stdout.len()), (Some(65), 0));
    assert!(!bad.stderr.is_empty());
}

#[test]
fn a_compilation_that_takes_too_much_time_or_memory_ends() {
    use std::os::unix::process::ExitStatusExt as _;
    let bomb = bomb();
    let slow = compile(&bomb, "pure", 1, 4 << 30);
    assert!(matches!(slow.status.signal(), Some(9 | 24)), "{:?}", slow.status);
    let hungry = compile(&bomb, "pure", 60, 256 << 20);
    assert!(!hungry.status.success() && hungry.stdout.is_empty(), "{:?}", hungry.status);
}

#[test]
fn the_server_compiles_in_a_child_and_not_by_itself() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let pid = server.pid();
    let seen = std::thread::scope(|scope| {
        let watching = scope.spawn(move || {
            until(Duration::from_secs(60), || {
                let children =
                    std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
                let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
                let all: String = tasks
                    .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok())
                    .chain([children])
                    .collect();
                let compiles = |child: &str| {
                    std::fs::read_to_string(format!("/proc/{child}/cmdline"))
                        .is_ok_and(|line| line.contains("compile-plugin"))
                };
                all.split_whitespace().any(compiles).then_some(())
            })
        });
        let path = "/v1/plugins/misbehave/versions";
        tenant.post_bytes(path, "application/wasm", &guest("misbehave.wasm")).ok();
        watching.join().unwrap()
    });
    assert!(seen.is_some(), "a child was seen compiling");
    server.finish();
}
