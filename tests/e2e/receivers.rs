//! Receivers that misbehave, all at once: each has the outcome that its page of the documentation names, and the one that
//! behaves notices nothing of the others.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::receiver::Receiver;
use crate::harness::{Server, send_all, until};

const LONGEST: Duration = Duration::from_secs(120);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Listens, and does this with everybody who comes.
fn listen(with: impl Fn(TcpStream) + Send + Sync + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let came = Arc::new(AtomicUsize::new(0));
    let (count, with) = (came.clone(), Arc::new(with));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            count.fetch_add(1, Ordering::SeqCst);
            let with = with.clone();
            std::thread::spawn(move || with(stream));
        }
    });
    (url, came)
}

/// Reads what is there of a request, answers these bytes and that nothing comes after them, and reads on until the other
/// side is done: a socket that is closed with something unread takes back what was answered.
fn answers(bytes: &str) -> String {
    let bytes = bytes.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    listen(move |mut stream| {
        let mut request = [0; 65536];
        drop(stream.read(&mut request));
        drop(stream.write_all(bytes.as_bytes()));
        drop(stream.shutdown(std::net::Shutdown::Write));
        while matches!(stream.read(&mut request), Ok(1..)) {}
    })
    .0
}

fn endless() -> String {
    listen(|mut stream| {
        let mut request = [0; 65536];
        drop(stream.read(&mut request));
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"));
        while stream.write_all(b"4\r\nmore\r\n").is_ok() {}
    })
    .0
}

fn silent() -> String {
    listen(|mut stream| {
        let mut request = [0; 65536];
        // Until the other side gives up.
        while matches!(stream.read(&mut request), Ok(1..)) {}
    })
    .0
}

#[test]
fn each_has_its_outcome_and_the_others_are_unaffected() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    tenant.define(
        "/v1/purposes/marketing",
        &json!({"title": "News", "legal_basis": "consent", "channels": ["email"]}),
    );
    let rule = json!({"identifier": "email", "op": "exists"});
    tenant.define("/v1/segments/all", &json!({"title": "All", "rule": rule}));
    let person = |n: usize| {
        let address = format!("person{n}@example.com");
        json!({"id": n.to_string(), "type": "hello", "time": "2026-03-01T00:00:00Z",
               "identifiers": [{"type": "email", "value": address}],
               "channels": [{"channel": "email", "address": address}],
               "consents": [{"channel": "email", "address": address, "purpose": "marketing", "status": "granted",
                             "method": "form", "policy_version": "1", "expires_at": null}]})
    };
    send_all(&tenant, &(0..30).map(person).collect::<Vec<_>>());
    let (inside, followed) = listen(|_| ());
    let elsewhere =
        format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {inside}\r\ncontent-length: 0\r\n\r\n");
    let good = Receiver::willing();
    let busy = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 900\r\ncontent-length: 0\r\n\r\n";
    let wrong = "HTTP/1.1 422 Unprocessable Content\r\ncontent-length: 0\r\n\r\n";
    let gone = "HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n";
    // Where each stands in the end, and a word of its error.
    let table = [
        ("busy", answers(busy), "waiting", "429"),
        ("failing", answers("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n"), "waiting", "500"),
        ("silent", silent(), "waiting", "in time"),
        ("closing", listen(drop).0, "waiting", "closed"),
        ("redirecting", answers(&elsewhere), "waiting", "307"),
        ("talking", answers("SSH-2.0-OpenSSH_9.2p1\r\n"), "waiting", "HTTP"),
        ("endless", endless(), "done", ""),
        ("refusing", answers(wrong), "done", ""),
        ("gone", answers(gone), "failed", "410"),
        ("good", good.url.clone(), "done", ""),
    ];
    let mut runs = Vec::new();
    for (name, url, ..) in &table {
        let hook = json!({"kind": "webhook", "url": url, "secret": SECRET});
        tenant.put(&format!("/v1/destinations/{name}"), &hook).expect_status(201);
        let request = json!({
            "segment": "all", "destination": name, "format": "ndjson", "mode": "incremental", "batch": 10,
            "fields": [{"name": "email", "from": "channel.email"}],
            "consent": {"channel": "email", "purpose": "marketing"},
        });
        let started = tenant.post("/v1/exports", &request).expect_status(202);
        runs.push(format!("/v1/exports/{}", started["id"].as_str().unwrap()));
    }
    let state = |path: &str| tenant.get(path).ok();
    // The good one, which began last, is through while the silent one is still being waited for.
    until(LONGEST, || (state(&runs[9])["status"] == "done").then_some(())).expect("the good one is through");
    assert_ne!(state(&runs[2])["status"], "waiting", "it was not kept waiting by the silent one");
    assert_eq!(good.holds("email").len(), 30);
    for ((name, _, status, word), path) in table.iter().zip(&runs) {
        let reached = until(LONGEST, || {
            let info = state(path);
            (info["status"] == *status).then_some(info)
        });
        let info = reached.unwrap_or_else(|| panic!("{name} does not become {status}: {}", state(path)));
        let error = match *status {
            "waiting" => &info["retry"]["error"],
            _ => &info["error"],
        };
        let said = error.as_str().unwrap_or_default();
        assert!(said.contains(word), "{name}: {info}");
        assert!(!said.contains("/hook") && !said.contains("whsec"), "{name} tells a secret: {said}");
        match *name {
            "endless" | "good" => assert_eq!(info["rows"], 30, "{info}"),
            "refusing" => {
                assert_eq!((&info["rows"], &info["dead_letters"]), (&json!(0), &json!(30)), "{info}")
            }
            "busy" => assert_eq!(wait_of(&info), 900, "what it asks for is obeyed: {info}"),
            "gone" => assert_eq!(tenant.get("/v1/destinations/gone").ok()["status"], "disabled"),
            _ => assert!(wait_of(&info) < 900, "nobody asked for so long: {info}"),
        }
    }
    assert_eq!(followed.load(Ordering::SeqCst), 0, "nobody follows");
    server.finish();
}

/// Seconds from the first failure of a run to its next attempt.
fn wait_of(info: &Value) -> i64 {
    let time = |name: &str| info["retry"][name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    time("next_attempt_at").as_second() - time("since").as_second()
}
