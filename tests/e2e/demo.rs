//! `cdp demo`, twice on one directory.

use std::process::Command;
use std::time::Duration;

use crate::harness::{CDP, guest_path, run_to_end};

#[test]
fn the_demo_shows_its_results_and_may_be_run_again() {
    let own = tempfile::tempdir().unwrap();
    let run = || {
        let mut command = Command::new(CDP);
        command
            .args(["demo", "--exit", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(own.path().join("demo"))
            .arg("--plugin")
            .arg(guest_path("country_code.wasm"))
            .env_remove("CDP_OPERATOR_KEY")
            .env("RUST_LOG", "error");
        let ended = run_to_end(command, Duration::from_secs(200));
        assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
        ended.stdout
    };
    let (first, second) = (run(), run());
    for output in [&first, &second] {
        for line in [
            "Spent £1,000 or more",
            "1668",
            "1494",
            "1006",
            "customer-12415@example.com",
            "124914.53",
            "Withheld",
        ] {
            assert!(output.contains(line), "{line:?} is missing in\n{output}");
        }
    }
    assert!(first.contains("orders: 22190 events accepted, 0 were there already"), "{first}");
    assert!(second.contains("orders: 0 events accepted, 22190 were there already"), "{second}");
    let file = std::fs::read_to_string(own.path().join("demo.reachable_big_spenders.csv")).unwrap();
    assert_eq!(file.lines().count(), 1007, "a head and 1,006 people");
}
