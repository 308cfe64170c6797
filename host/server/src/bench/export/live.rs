//! From a membership that changes to the request that tells of it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;

use crate::demo::client::{Client, Fallible};

/// Changes whose way is timed, one after the other.
const CHANGES: u64 = 300;
/// Whoever waits longer waits for something that is broken.
const LONGEST: Duration = Duration::from_secs(60);

/// Milliseconds from the acknowledgement of the event that makes somebody a member to the webhook's request, whole.
#[derive(Debug, Serialize)]
pub(super) struct Live {
    pub(super) changes: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

/// Follows a segment of its own, and has people enter it.
pub(super) fn measure(client: &Client) -> Fallible<Live> {
    let (url, arrivals) = listen()?;
    let rule = json!({"rule": {"trait": "newcomer", "op": "eq", "value": true}});
    client.finish_job(&client.put("/v1/segments/newcomers", &rule)?.expect("defining the segment")?)?;
    let hook = json!({"kind": "webhook", "url": url, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"});
    client.put("/v1/destinations/hook", &hook)?.expect("setting the webhook up")?;
    let asked = json!({
        "segment": "newcomers", "destination": "hook", "format": "ndjson", "mode": "incremental", "follow": true,
        "fields": [{"name": "email", "from": "channel.email"}],
        "consent": {"channel": "email", "purpose": "marketing"},
    });
    let run = client.post_json("/v1/exports", &asked)?.expect("beginning to follow")?;
    let mut took = Vec::new();
    // The first ones wait until the run follows.
    for n in 0..CHANGES + 20 {
        let email = format!("newcomer{n}@example.com");
        let event = json!({"id": format!("new-{n}"), "type": "hello", "time": "2026-03-03T00:00:00Z",
            "identifiers": [{"type": "email", "value": email}], "traits": {"newcomer": true},
            "channels": [{"channel": "email", "address": email}],
            "consents": [{"channel": "email", "address": email, "purpose": "marketing", "status": "granted",
                          "method": "form", "policy_version": "1", "expires_at": null}]});
        client.post_json("/v1/events", &event)?.expect("sending an event")?;
        let acknowledged = Instant::now();
        let deadline = acknowledged + LONGEST;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (at, body) =
                arrivals.recv_timeout(left).map_err(|_| "the webhook did not hear of a change")?;
            if body.contains(&email) {
                took.push(at.saturating_duration_since(acknowledged).as_secs_f64() * 1000.0);
                break;
            }
        }
    }
    let id = run["id"].as_str().unwrap_or_default();
    client.post_json(&format!("/v1/exports/{id}/cancel"), &json!({}))?.expect("ending the run")?;
    let mut took = took.split_off(20);
    took.sort_by(f64::total_cmp);
    let at = |part: usize| took[(took.len() * part / 100).min(took.len() - 1)];
    Ok(Live { changes: CHANGES, p50_ms: at(50), p99_ms: at(99) })
}

/// A receiver that takes everything; whole requests come with the instant at which they were there.
fn listen() -> Fallible<(String, Receiver<(Instant, String)>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/hook", listener.local_addr()?);
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            std::thread::spawn(move || drop(serve(stream, &sender)));
        }
    });
    Ok((url, receiver))
}

fn serve(stream: TcpStream, sender: &Sender<(Instant, String)>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        drop(sender.send((Instant::now(), String::from_utf8_lossy(&body).into_owned())));
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    }
}
