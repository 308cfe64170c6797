//! A connector of the world `connector-plan` that plans and judges what its configuration says, good or bad.

#![allow(missing_docs, unsafe_code, reason = "generated")]

wit_bindgen::generate!({ world: "connector-plan", path: "../../../wit" });

use cdp::plugin::http_types::HeaderValue;
use exports::cdp::plugin::connector::{
    Delivery, Failure, Guest, HttpError, Planned, Request, Response, Timestamp, Verdict,
};
use exports::cdp::plugin::metadata::{Descriptor, Guest as Metadata};

struct Misplan;

export!(Misplan);

impl Metadata for Misplan {
    fn describe() -> Descriptor {
        Descriptor {
            name: "misplan".to_owned(),
            version: "1.0.0".to_owned(),
            summary: String::new(),
            event_types: vec![],
            reads: vec![],
            writes: vec![],
            config_schema: String::new(),
            secrets: vec!["token".to_owned(), "spare".to_owned()],
            hosts: vec!["https://api.example.com".to_owned(), "https://spare.example.com".to_owned()],
            tables: vec![],
        }
    }

    fn check_config(_: String) -> Result<(), Vec<String>> {
        Ok(())
    }
}

impl Guest for Misplan {
    fn plan(config: String, now: Timestamp, items: Vec<Delivery>) -> Result<Vec<Planned>, Failure> {
        match config.as_str() {
            "transient" => return Err(Failure::Transient(Some(250))),
            "misconfigured" => return Err(Failure::Misconfigured("asked to".to_owned())),
            "rejected" => return Err(Failure::Rejected("asked to".to_owned())),
            "loop" => loop {
                std::hint::black_box(());
            },
            _ => {}
        }
        let mut out: Vec<Planned> = items
            .chunks(2)
            .enumerate()
            .map(|(at, pair)| {
                let first = u32::try_from(at * 2).unwrap_or(u32::MAX);
                let documents: Vec<&str> = pair.iter().map(|item| item.document.as_str()).collect();
                Planned {
                    covers: (first..).take(pair.len()).collect(),
                    request: Request {
                        method: "POST".to_owned(),
                        url: format!("https://api.example.com/v1/items?at={now}"),
                        headers: vec![
                            ("content-type".to_owned(), HeaderValue::Plain("application/json".to_owned())),
                            ("authorization".to_owned(), HeaderValue::Secret("token".to_owned())),
                        ],
                        body: format!("[{}]", documents.join(",")).into_bytes(),
                        timeout_ms: 1000,
                        idempotency_key: Some(pair[0].id.clone()),
                    },
                }
            })
            .collect();
        let first = &mut out[0];
        match config.as_str() {
            "twice" => first.covers.push(0),
            "uncovered" => _ = out.pop(),
            "out-of-range" => first.covers.push(99),
            "covers-none" => first.covers.clear(),
            "elsewhere" => first.request.url = "https://evil.example/".to_owned(),
            "plain-http" => first.request.url = "http://api.example.com/".to_owned(),
            "spare-host" => first.request.url = "https://spare.example.com/".to_owned(),
            "spare-secret" => first.request.headers[1].1 = HeaderValue::Secret("spare".to_owned()),
            "unknown-secret" => first.request.headers[1].1 = HeaderValue::Secret("root".to_owned()),
            "another-host-inside" => {
                first
                    .request
                    .headers
                    .push(("host".to_owned(), HeaderValue::Plain("evil.example".to_owned())));
            }
            "huge" => first.request.body = vec![b'x'; (4 << 20) + 1],
            _ => {}
        }
        Ok(out)
    }

    fn settle(config: String, items: Vec<Delivery>, reply: Result<Response, HttpError>) -> Vec<Verdict> {
        let verdict = match reply {
            Ok(reply) if (200..300).contains(&reply.status) => Verdict::Delivered,
            Ok(reply) if reply.status == 429 => Verdict::Retry(Some(1500)),
            Ok(reply) => Verdict::Rejected(String::from_utf8_lossy(&reply.body).into_owned()),
            Err(_) => Verdict::Retry(None),
        };
        let extra = usize::from(config == "too-many-verdicts");
        vec![verdict; items.len() + extra]
    }
}
