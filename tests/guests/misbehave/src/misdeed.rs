//! Misdeeds that need no answer.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cdp_plugin_sdk::log;

/// Does what the word says, if it names a misdeed. Most never return.
pub(crate) fn commit(word: &str) {
    match word {
        "loop" => loop {
            black_box(());
        },
        "trap" => panic!("asked to trap"),
        "exit" => std::process::exit(3),
        "grow" => _ = black_box(vec![1_u8; 1 << 30]),
        "grow-in-steps" => {
            let mut held = Vec::new();
            loop {
                held.push(black_box(vec![1_u8; 1 << 20]));
            }
        }
        "recurse" => _ = black_box(recurse(1)),
        "sleep" => std::thread::sleep(Duration::from_secs(3600)),
        "log" => log::info("one line"),
        "log-flood" => {
            for at in 0..10_000 {
                log::info(&format!("line {at}"));
            }
        }
        "log-forever" => loop {
            log::info("again");
        },
        "log-much" => log::info(&"x".repeat(40 << 20)),
        #[expect(clippy::print_stdout, clippy::print_stderr, reason = "what is tested")]
        "print" => {
            println!("to standard output");
            eprintln!("to standard error");
        }
        _ => {}
    }
}

#[expect(unconditional_recursion, reason = "the misdeed")]
fn recurse(depth: u64) -> u64 {
    let held = black_box([depth; 64]);
    recurse(depth + 1).wrapping_add(held[depth as usize % 64])
}

/// Everything a guest can ask about the world: the same each time, and nothing of the host's.
pub(crate) fn surroundings() -> String {
    let mut out = String::new();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let started = Instant::now();
    std::thread::sleep(Duration::from_secs(5));
    let slept = started.elapsed().as_secs();
    let random = format!("{:?}", std::hash::RandomState::new());
    let hash = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 1_u8);
    let _ = write!(
        out,
        "wall {wall}; slept {slept}; args {:?}; vars {:?}; dir {:?}; file {}; seed {hash} {}",
        std::env::args().collect::<Vec<_>>(),
        std::env::vars().count(),
        std::env::current_dir().ok(),
        std::fs::read("/etc/passwd").is_err(),
        random.len(),
    );
    out
}
