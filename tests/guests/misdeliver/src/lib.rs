//! A connector of the world `connector-io` that sends and keeps what its configuration says, good or bad.

#![allow(missing_docs, unsafe_code, reason = "generated")]

wit_bindgen::generate!({ world: "connector-io", path: "../../../wit" });

use cdp::plugin::http_types::{HeaderValue, Request};
use cdp::plugin::{http, kv, log};
use exports::cdp::plugin::metadata::{Descriptor, Guest as Metadata};
use exports::cdp::plugin::session_connector::{Delivery, Failure, Guest, Timestamp, Verdict};

struct Misdeliver;

export!(Misdeliver);

impl Metadata for Misdeliver {
    fn describe() -> Descriptor {
        Descriptor {
            name: "misdeliver".to_owned(),
            version: "1.0.0".to_owned(),
            summary: String::new(),
            event_types: vec![],
            reads: vec![],
            writes: vec![],
            config_schema: String::new(),
            secrets: vec!["token".to_owned()],
            hosts: vec!["https://api.example.com".to_owned()],
            tables: vec![],
        }
    }

    fn check_config(config: String) -> Result<(), Vec<String>> {
        match config.as_str() {
            "loop" => loop {
                std::hint::black_box(());
            },
            _ => Ok(()),
        }
    }
}

fn request(url: &str, body: &str) -> Request {
    Request {
        method: "PUT".to_owned(),
        url: url.to_owned(),
        headers: vec![("authorization".to_owned(), HeaderValue::Secret("token".to_owned()))],
        body: body.as_bytes().to_vec(),
        timeout_ms: 1000,
        idempotency_key: None,
    }
}

const GOOD: &str = "https://api.example.com/v1";

impl Guest for Misdeliver {
    fn deliver(config: String, _: Timestamp, items: Vec<Delivery>) -> Result<Vec<Verdict>, Failure> {
        log::write(log::Level::Info, &config);
        match config.as_str() {
            "loop-there" => loop {
                std::hint::black_box(());
            },
            "grow" => {
                let mut held = Vec::new();
                loop {
                    held.push(std::hint::black_box(vec![1_u8; 1 << 20]));
                }
            }
            "misconfigured" => return Err(Failure::Misconfigured("asked to".to_owned())),
            "few-verdicts" => return Ok(vec![]),
            "send-for-ever" => loop {
                _ = std::hint::black_box(http::send(&request(GOOD, "")));
            },
            _ => {}
        }
        let say = |text: String| Ok(vec![Verdict::Rejected(text); items.len()]);
        match config.as_str() {
            "elsewhere" => {
                return say(format!("{:?}", http::send(&request("https://evil.example/", "")).err()));
            }
            "malformed" => return say(format!("{:?}", http::send(&request("not a url", "")).err())),
            "many" => {
                let sent = (0..2_000).take_while(|_| http::send(&request(GOOD, "")).is_ok()).count();
                return say(sent.to_string());
            }
            "hoard" => {
                let kept = (0..2_000).take_while(|n| kv::put(&format!("k{n}"), b"v", None).is_ok()).count();
                return say(kept.to_string());
            }
            _ => {}
        }
        let cursor = kv::get("cursor").ok().flatten();
        let verdicts = items.iter().map(|item| match http::send(&request(GOOD, &item.document)) {
            Ok(reply) if reply.status == 200 => Verdict::Delivered,
            Ok(reply) => Verdict::Rejected(reply.status.to_string()),
            Err(_) => Verdict::Retry(None),
        });
        let verdicts = verdicts.collect();
        let seen = cursor.map_or(0, |bytes| bytes.len()) + items.len();
        if kv::put("cursor", &vec![b'x'; seen], Some(60)).is_err() {
            return Err(Failure::Transient(None));
        }
        Ok(verdicts)
    }
}
