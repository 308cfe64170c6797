//! One data directory, one process.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Server, run_to_end, serve};

#[test]
fn a_second_process_on_the_data_directory_ends_at_once_and_says_why() {
    let server = Server::fresh();
    let ended = run_to_end(serve(&server.data_dir, "127.0.0.1:0"), Duration::from_secs(20));
    assert_eq!(ended.code, Some(5), "{}{}", ended.stdout, ended.stderr);
    let said = ended.stderr.to_lowercase();
    assert!(said.contains("in use") || said.contains("another process") || said.contains("lock"), "{said}");
    assert!(!ended.stdout.contains("listening on"), "{}", ended.stdout);
    let tenant = server.tenant("shop");
    let event =
        json!({"id": "1", "type": "purchase", "identifiers": [{"type": "customer_id", "value": "ann"}]});
    tenant.post("/v1/events?wait=applied", &event).expect_status(202);
    server.finish();
}
