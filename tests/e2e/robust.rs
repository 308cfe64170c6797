//! What the front door does with requests that are slow, too many, too large or not quite HTTP.

use std::time::Duration;

use serde_json::json;

use crate::harness::wire::Wire;
use crate::harness::{Server, until};

const GET: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

fn limit(server: &Server, name: &str) -> usize {
    let limits = server.anonymous().get("/v1/limits").expect_status(200);
    usize::try_from(limits[name].as_u64().unwrap_or_else(|| panic!("{name} is no limit"))).unwrap()
}

#[test]
fn slow_headers_are_given_up() {
    let server = Server::configured("[http]\nheader_read_ms_max = 500\n");
    let mut slow = Wire::to(&server.url);
    slow.send("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    let (took, said) = slow.drip(b'x');
    assert!(took >= Duration::from_millis(400), "{took:?}");
    assert!(!String::from_utf8_lossy(&said).contains(" 200 "), "{said:?}");
    assert_eq!(Wire::to(&server.url).ask(GET).status, 200);
    server.finish();
}

#[test]
fn bodies_that_stop_or_crawl_are_told_so() {
    let server = Server::configured("[http]\nbody_idle_ms_max = 500\nbody_read_ms_max = 1500\n");
    let tenant = server.tenant("shop");
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 1000\r\n\r\n[",
        tenant.key()
    );
    let mut stopped = Wire::to(&server.url);
    let told = stopped.ask(&head);
    told.expect_problem(408, "request_timeout");
    assert_eq!((told.header("connection"), stopped.rest().len()), ("close", 0));
    let mut crawling = Wire::to(&server.url);
    crawling.send(&head);
    let (took, said) = crawling.drip(b' ');
    assert!(took >= Duration::from_millis(1400), "{took:?}");
    let said = String::from_utf8_lossy(&said);
    assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("request_timeout"), "{said}");
    server.finish();
}

#[test]
fn silent_connections_are_closed() {
    let server = Server::configured("[http]\nconnection_idle_ms_max = 500\n");
    let mut silent = Wire::to(&server.url);
    assert_eq!(silent.rest(), b"");
    let mut kept = Wire::to(&server.url);
    assert_eq!(kept.ask(GET).status, 200);
    assert_eq!(kept.rest(), b"", "kept alive without a request");
    server.finish();
}

#[test]
fn a_flood_of_connections_is_refused_at_n_plus_1_and_silent_ones_make_room() {
    let server = Server::configured("connections_max = 8\n[http]\nconnection_idle_crowded_ms_max = 1000\n");
    assert_eq!(limit(&server, "connections_max"), 8);
    // Whoever asked before may still be about to close: the flood waits until all eight have room.
    let flood = until(Duration::from_secs(60), || {
        let mut flood: Vec<_> = (0..8).map(|_| Wire::to(&server.url)).collect();
        flood.iter_mut().all(|one| one.ask(GET).status == 200).then_some(flood)
    });
    let flood = flood.expect("n connections are served");
    let mut refused = Wire::to(&server.url);
    let told = refused.answer().expect("a refusal");
    assert_eq!((told.status, told.header("retry-after"), told.header("connection")), (503, "1", "close"));
    assert_eq!(told.json()["code"], "overloaded");
    let served = until(Duration::from_secs(60), || {
        let mut honest = Wire::to(&server.url);
        honest.send(GET);
        honest.answer().filter(|told| told.status == 200)
    });
    assert!(served.is_some(), "the silent ones made room");
    drop(flood);
    server.finish();
}

#[test]
fn requests_that_can_be_understood_in_two_ways_are_refused_and_nothing_behind_them_is_answered() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let who = format!("Host: x\r\nAuthorization: Bearer {}\r\n", tenant.key());
    let hidden = "GET /v1/limits HTTP/1.1\r\nHost: x\r\n\r\n";
    for framing in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Content-Length: 2\r\nContent-Length: 2\r\n",
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "Content-Length: 2, 2\r\n",
        "Content-Length: +2\r\n",
        "Content-Length: -2\r\n",
        "Content-Length: 0x2\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Content-Length : 2\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "X: 1\nContent-Length: 2\r\n",
        "X: 1\r\n folded\r\nContent-Length: 2\r\n",
        "X\0: 1\r\nContent-Length: 2\r\n",
    ] {
        let mut wire = Wire::to(&server.url);
        wire.send(format!("POST /v1/events HTTP/1.1\r\n{who}{framing}\r\n[]\r\n0\r\n\r\n{hidden}"));
        let told = wire.answer().unwrap_or_else(|| panic!("no answer: {framing:?}"));
        assert_eq!(told.status, 400, "{framing:?}: {told:?}");
        told.expect_problem(400, "malformed_request");
        assert_eq!(wire.rest(), b"", "{framing:?}: nothing behind it is answered");
    }
    for nonsense in ["nonsense\r\n\r\n", "GET / HTTP/7.7\r\n\r\n", "\x16\x03\x01\x02\0\x01\0\r\n\r\n"] {
        let mut wire = Wire::to(&server.url);
        wire.send(nonsense);
        wire.answer().expect("an answer").expect_problem(400, "malformed_request");
        assert_eq!(wire.rest(), b"");
    }
    server.finish();
}

#[test]
fn a_bad_chunk_is_a_400_and_good_ones_are_put_together() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        tenant.key()
    );
    let mut good = Wire::to(&server.url);
    assert_eq!(good.ask(format!("{head}1\r\n[\r\n1\r\n]\r\n0\r\n\r\n")).status, 202);
    assert_eq!(good.ask(GET).status, 200, "the connection goes on");
    for bad in [
        "zz\r\n[]\r\n0\r\n\r\n",
        "-1\r\n[]\r\n0\r\n\r\n",
        "1\r\n[]]\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\n[]",
    ] {
        let mut wire = Wire::to(&server.url);
        let told = wire.ask(format!("{head}{bad}{GET}"));
        told.expect_problem(400, "malformed_body");
        assert_eq!(wire.rest(), b"", "{bad:?}: nothing behind it is answered");
    }
    server.finish();
}

#[test]
fn headers_and_addresses_are_taken_at_n_and_refused_at_n_plus_1() {
    let server = Server::fresh();
    let [count, bytes, uri] =
        ["headers_max", "header_bytes_max", "uri_bytes_max"].map(|name| limit(&server, name));
    let head = |count: usize, bytes: usize, uri: usize| {
        let mut text = format!("GET /healthz?{} HTTP/1.1\r\n", "x".repeat(uri - "/healthz?".len()));
        let mut left = bytes;
        for n in 0..count {
            let room = if n + 1 == count { left } else { 20 };
            left -= room;
            text.push_str(&format!("x-{n:03}: {}\r\n", "v".repeat(room - "x-000: \r\n".len())));
        }
        text + "\r\n"
    };
    let mut wire = Wire::to(&server.url);
    assert_eq!(wire.ask(head(count, bytes, uri)).status, 200);
    wire.ask(head(count + 1, bytes, uri)).expect_problem(431, "headers_too_large");
    wire.ask(head(count, bytes + 1, uri)).expect_problem(431, "headers_too_large");
    wire.ask(head(count, bytes, uri + 1)).expect_problem(414, "uri_too_long");
    assert_eq!(wire.ask(GET).status, 200, "the connection goes on");
    // Far beyond, where the request is not even read to its end.
    for (far, status, code) in [
        (head(400, 400 * 20, 20), 431, "headers_too_large"),
        (head(1, 1 << 20, 20), 431, "headers_too_large"),
        (head(1, 20, 1 << 20), 431, "headers_too_large"),
    ] {
        let mut wire = Wire::to(&server.url);
        wire.send(far);
        wire.answer().expect("an answer").expect_problem(status, code);
        assert_eq!(wire.rest(), b"");
    }
    server.finish();
}

#[test]
fn requests_in_one_go_are_answered_in_their_order() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let post = |id: &str| {
        let event = format!(r#"{{"id":"{id}","type":"t","identifiers":[{{"type":"u","value":"a"}}]}}"#);
        format!(
            "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{event}",
            tenant.key(),
            event.len()
        )
    };
    let mut wire = Wire::to(&server.url);
    wire.send(format!("{}{GET}{}{}", post("1"), post("1"), "GET /none HTTP/1.1\r\nHost: x\r\n\r\n"));
    let told: Vec<_> = (0..4).map(|_| wire.answer().unwrap()).collect();
    assert_eq!(told.iter().map(|told| told.status).collect::<Vec<_>>(), [202, 200, 202, 404]);
    assert_eq!((&told[0].json()["accepted"], &told[2].json()["duplicates"]), (&1.into(), &1.into()));
    server.finish();
}

#[test]
fn methods_are_answered_as_http_says() {
    let server = Server::fresh();
    let mut wire = Wire::to(&server.url);
    let told = wire.ask("OPTIONS /v1/events HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((told.status, told.header("allow")), (204, "OPTIONS, POST, GET, HEAD"));
    for method in ["BREW", "PATCH", "TRACE", "get"] {
        let told = wire.ask(format!("{method} /v1/events HTTP/1.1\r\nHost: x\r\n\r\n"));
        told.expect_problem(405, "method_not_allowed");
        let allowed = told.header("allow");
        assert!(["GET", "HEAD", "POST"].iter().all(|method| allowed.contains(method)), "{method}: {allowed}");
    }
    wire.ask("GET /v1/none HTTP/1.1\r\nHost: x\r\n\r\n").expect_problem(404, "unknown_route");
    wire.send("HEAD /v1/limits HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = wire.answer_to_head();
    assert_eq!((head.status, head.body.len()), (200, 0));
    let got = wire.ask("GET /v1/limits HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(head.header("content-length"), got.header("content-length"));
    server.finish();
}

#[test]
fn a_client_that_waits_is_told_to_go_on_only_when_its_body_is_wanted() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let head = |key: &str, length: usize| {
        format!(
            "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nExpect: 100-continue\r\n\
             Content-Length: {length}\r\n\r\n"
        )
    };
    let mut wire = Wire::to(&server.url);
    assert_eq!(wire.ask(head(tenant.key(), 2)).status, 100);
    assert_eq!(wire.ask("[]").status, 202);
    Wire::to(&server.url).ask(head("nobody", 2)).expect_problem(401, "invalid_key");
    Wire::to(&server.url).ask(head(tenant.key(), 2 << 20)).expect_problem(413, "body_too_large");
    server.finish();
}

#[test]
fn a_key_that_sends_too_much_is_told_how_long_to_wait_and_others_are_not_held_up() {
    let server = Server::configured("events_per_second_max = 100\nburst_seconds = 1\n");
    assert_eq!(limit(&server, "events_per_second_max"), 100);
    let (busy, other) = (server.tenant("busy"), server.tenant("other"));
    let events = |from: usize, count: usize| {
        let one =
            |n| json!({"id": format!("{n}"), "type": "t", "identifiers": [{"type": "u", "value": "a"}]});
        json!((from..from + count).map(one).collect::<Vec<_>>())
    };
    assert_eq!(busy.post("/v1/events", &events(0, 100)).expect_status(202)["accepted"], 100);
    let refused = until(Duration::from_secs(60), || {
        let answer = busy.post("/v1/events", &events(100, 100));
        (answer.status == 429).then_some(answer)
    });
    let refused = refused.expect("a second lot at once is too much");
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert_eq!(wait, 1);
    let problem = refused.expect_problem(429);
    assert_eq!(
        (problem["code"].as_str(), problem["budget"].as_str()),
        (Some("rate_limited"), Some("events"))
    );
    assert_eq!(other.post("/v1/events", &events(0, 100)).expect_status(202)["accepted"], 100);
    let passes = until(Duration::from_secs(60), || {
        (busy.post("/v1/events", &events(500, 100)).status == 202).then_some(())
    });
    assert!(passes.is_some(), "the same passes later");
    server.finish();
}
