//! What receivers answer, and what becomes of it: every row of the table in `host/docs/api-reference/deliveries.md`.

use std::io::{BufReader, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use super::*;
use crate::testkit::{Fixture, Scripted, read_request, to_loopback};
use crate::{Policy, Rule};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn webhook(url: &str) -> Webhook {
    Webhook { url: url.to_owned(), secrets: vec![Secret::read(SECRET).unwrap()] }
}

fn send(egress: &Egress, url: &str) -> Result<Delivered, Fault> {
    pollster::block_on(webhook(url).send(egress, "msg_1", Bytes::from_static(b"{\"rows\":[]}")))
}

fn code(result: &Result<Delivered, Fault>) -> &'static str {
    result.as_ref().err().map_or("delivered", Fault::code)
}

#[test]
fn a_message_is_signed_whole_by_every_secret_and_keeps_its_id() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let fixture = Fixture::new(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Some(request) = read_request(&mut reader) {
            log.lock().push(request);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
    });
    let egress = to_loopback();
    let both = Webhook {
        url: fixture.url(),
        secrets: vec![Secret::read(SECRET).unwrap(), Secret::read(&Secret::generate().unwrap()).unwrap()],
    };
    for _ in 0..2 {
        let delivered =
            pollster::block_on(both.send(&egress, "msg_7", Bytes::from_static(b"{\"a\":1}"))).unwrap();
        assert_eq!(delivered.status, 200);
    }
    assert_eq!(fixture.connections(), 1, "the connection is used again");
    for (lines, body) in seen.lock().iter() {
        let header = |name: &str| {
            let line = lines.iter().find(|line| line.to_lowercase().starts_with(&format!("{name}:")));
            line.unwrap().split_once(':').unwrap().1.trim().to_owned()
        };
        assert!(lines[0].starts_with("POST /hook HTTP/1.1"), "{lines:?}");
        assert_eq!(header("webhook-id"), "msg_7");
        assert_eq!(header("content-type"), "application/json");
        assert_eq!(header("host"), fixture.address.to_string());
        let timestamp: u64 = header("webhook-timestamp").parse().unwrap();
        assert_eq!(header("webhook-signature"), sign::signatures(&both.secrets, "msg_7", timestamp, body));
    }
    assert_eq!(pollster::block_on(both.check(&egress)).unwrap().status, 200);
    assert_eq!(seen.lock().last().unwrap().1, br#"{"type":"cdp.test"}"#);
}

#[test]
fn a_status_has_its_outcome() {
    let egress = to_loopback();
    for (status, expected, retryable) in [
        ("200 OK", "delivered", false),
        ("201 Created", "delivered", false),
        ("202 Accepted", "delivered", false),
        ("204 No Content", "delivered", false),
        ("301 Moved Permanently", "redirected", true),
        ("302 Found", "redirected", true),
        ("304 Not Modified", "redirected", true),
        ("307 Temporary Redirect", "redirected", true),
        ("308 Permanent Redirect", "redirected", true),
        ("400 Bad Request", "rejected", false),
        ("401 Unauthorized", "unauthorised", true),
        ("403 Forbidden", "unauthorised", true),
        ("404 Not Found", "not_found", true),
        ("405 Method Not Allowed", "rejected", false),
        ("408 Request Timeout", "unavailable", true),
        ("409 Conflict", "unavailable", true),
        ("410 Gone", "gone", false),
        ("413 Content Too Large", "rejected", false),
        ("422 Unprocessable Content", "rejected", false),
        ("425 Too Early", "unavailable", true),
        ("429 Too Many Requests", "rate_limited", true),
        ("500 Internal Server Error", "unavailable", true),
        ("502 Bad Gateway", "unavailable", true),
        ("503 Service Unavailable", "unavailable", true),
        ("599 X", "unavailable", true),
    ] {
        let length =
            if status.starts_with("204") || status.starts_with("304") { "" } else { "Content-Length: 0\r\n" };
        let answer = format!("HTTP/1.1 {status}\r\n{length}Location: http://127.0.0.1:1/\r\n\r\n");
        let fixture = Fixture::answering(Box::leak(answer.into_boxed_str()));
        let result = send(&egress, &fixture.url());
        assert_eq!(code(&result), expected, "{status}");
        let fault = result.err();
        assert_eq!(fault.as_ref().is_some_and(Fault::is_retryable), retryable, "{status}");
        assert_eq!(fault.is_some_and(|fault| fault.disables()), status.starts_with("410"), "{status}");
    }
}

#[test]
fn retry_after_is_told_within_its_bound() {
    let egress = to_loopback();
    for (answer, after) in [
        ("HTTP/1.1 429 X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", Some(7)),
        ("HTTP/1.1 503 X\r\nRetry-After: 9999999\r\nContent-Length: 0\r\n\r\n", Some(6 * 3600)),
        (
            "HTTP/1.1 503 X\r\nRetry-After: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n",
            Some(0),
        ),
        ("HTTP/1.1 429 X\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n", None),
        ("HTTP/1.1 500 X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", None),
    ] {
        let fixture = Fixture::answering(answer);
        let fault = send(&egress, &fixture.url()).unwrap_err();
        assert_eq!(fault.after(), after.map(Duration::from_secs), "{answer}");
    }
}

#[test]
fn a_redirect_to_loopback_is_not_followed() {
    let inner = Fixture::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let answer = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{}/x\r\nContent-Length: 0\r\n\r\n",
        inner.address
    );
    let fixture = Fixture::answering(Box::leak(answer.into_boxed_str()));
    assert_eq!(code(&send(&to_loopback(), &fixture.url())), "redirected");
    assert_eq!((fixture.connections(), inner.connections()), (1, 0));
}

#[test]
fn an_endless_body_of_a_yes_is_a_yes_and_is_cut() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let fixture = Fixture::new(move |mut stream| {
        read_request(&mut BufReader::new(stream.try_clone().unwrap()));
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        let chunk = [b"400\r\n".as_slice(), &[b'x'; 0x400], b"\r\n"].concat();
        while stream.write_all(&chunk).is_ok() {
            count.fetch_add(chunk.len(), Ordering::SeqCst);
        }
    });
    let begun = Instant::now();
    assert_eq!(code(&send(&to_loopback(), &fixture.url())), "delivered");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    // The writer ends when the connection does; what it wrote by then stood in buffers.
    assert!(written.load(Ordering::SeqCst) < 64 << 20);
}

#[test]
fn whoever_does_not_speak_http_is_told_apart() {
    let egress = to_loopback();
    let closes = Fixture::new(|stream| {
        read_request(&mut BufReader::new(stream));
    });
    assert_eq!(code(&send(&egress, &closes.url())), "closed");
    let closes_at_once = Fixture::new(drop);
    assert_eq!(code(&send(&egress, &closes_at_once.url())), "closed");
    let talks = Fixture::answering("SSH-2.0-OpenSSH_9.9\r\n\r\n");
    assert_eq!(code(&send(&egress, &talks.url())), "protocol");
    let vanishes = Fixture::new(drop);
    let url = vanishes.url();
    drop(vanishes);
    assert_eq!(code(&send(&egress, &url)), "connect");
}

#[test]
fn the_head_of_an_answer_has_a_size_and_a_number_of_lines() {
    let egress = to_loopback();
    let many = |n: usize| {
        let lines: String = (0..n - 1).map(|n| format!("x-{n}: y\r\n")).collect();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{lines}\r\n");
        Fixture::answering(Box::leak(answer.into_boxed_str()))
    };
    assert_eq!(code(&send(&egress, &many(crate::REPLY_HEADERS_MAX).url())), "delivered");
    assert_eq!(code(&send(&egress, &many(crate::REPLY_HEADERS_MAX + 1).url())), "too_large");
    let wide = |bytes: usize| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nx: \r\n\r\n";
        let answer = head.replace("x: ", &format!("x: {}", "y".repeat(bytes - head.len())));
        Fixture::answering(Box::leak(answer.into_boxed_str()))
    };
    assert_eq!(code(&send(&egress, &wide(crate::REPLY_HEAD_BYTES_MAX - 1024).url())), "delivered");
    assert_ne!(code(&send(&egress, &wide(2 * crate::REPLY_HEAD_BYTES_MAX).url())), "delivered");
}

fn within(caps: Caps, url: &str) -> Result<Reply, Fault> {
    pollster::block_on(to_loopback().send(Request {
        method: Method::POST,
        url: url.to_owned(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        caps,
        destination: "slow".to_owned(),
    }))
}

const QUICK: Caps = Caps {
    head: Duration::from_millis(300),
    between: Duration::from_millis(300),
    whole: Duration::from_millis(900),
    body_bytes: 1_000,
};

#[test]
fn a_receiver_that_hangs_is_left() {
    let hangs = Fixture::new(|mut stream| {
        // Reads until we go.
        _ = stream.read_to_end(&mut Vec::new());
    });
    let begun = Instant::now();
    assert_eq!(within(QUICK, &hangs.url()).unwrap_err().code(), "timeout");
    assert!(begun.elapsed() < Duration::from_secs(5));
    // Informational answers without an end are no answer.
    let floods =
        Fixture::new(|mut stream| while stream.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").is_ok() {});
    assert!(within(QUICK, &floods.url()).unwrap_err().is_retryable());
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_body_that_drips_ends_at_the_whole_time_and_a_silent_one_before() {
    let drips = Fixture::new(|mut stream| {
        read_request(&mut BufReader::new(stream.try_clone().unwrap()));
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n").unwrap();
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let begun = Instant::now();
    let reply = within(QUICK, &drips.url()).unwrap();
    assert!(reply.truncated && !reply.body.is_empty());
    assert!(begun.elapsed() >= Duration::from_millis(600) && begun.elapsed() < Duration::from_secs(5));
    let silent = Fixture::new(|mut stream| {
        read_request(&mut BufReader::new(stream.try_clone().unwrap()));
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nab").unwrap();
        _ = stream.read_to_end(&mut Vec::new());
    });
    let reply = within(QUICK, &silent.url()).unwrap();
    assert!(reply.truncated);
    assert_eq!(&reply.body[..], b"ab");
}

#[test]
fn a_body_of_as_many_bytes_as_may_be_is_whole_and_one_more_is_cut() {
    for (bytes, truncated) in [(1_000, false), (1_001, true)] {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n{}", "x".repeat(bytes));
        let fixture = Fixture::answering(Box::leak(answer.into_boxed_str()));
        let reply = within(QUICK, &fixture.url()).unwrap();
        assert_eq!((reply.body.len(), reply.truncated), (1_000, truncated));
    }
}

#[test]
fn what_is_compressed_stays_so() {
    let fixture = Fixture::answering(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\n\u{1f}abcd",
    );
    let reply = within(QUICK, &fixture.url()).unwrap();
    assert_eq!(&reply.body[..], b"\x1fabcd");
}

#[test]
fn a_destination_that_hangs_leaves_others_alone() {
    let hangs = Fixture::new(|mut stream| {
        _ = stream.read_to_end(&mut Vec::new());
    });
    let works = Fixture::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let egress = to_loopback();
    std::thread::scope(|scope| {
        for _ in 0..crate::PER_DESTINATION_MAX {
            let (egress, url) = (&egress, hangs.url());
            scope.spawn(move || {
                let caps = Caps { head: Duration::from_secs(2), ..Caps::STANDARD };
                let request = Request {
                    method: Method::POST,
                    url: url.clone(),
                    headers: HeaderMap::new(),
                    body: Bytes::new(),
                    caps,
                    destination: url,
                };
                assert_eq!(pollster::block_on(egress.send(request)).unwrap_err().code(), "timeout");
            });
        }
        let begun = Instant::now();
        for _ in 0..20 {
            assert_eq!(code(&send(&egress, &works.url())), "delivered");
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    });
    assert!(hangs.connections() <= crate::PER_DESTINATION_MAX);
}

/// A receiver that speaks TLS with a certificate for these names, and the certificate.
fn tls(names: &[&str], expired: bool) -> (Fixture, rustls::pki_types::CertificateDer<'static>) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    if expired {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    }
    let certificate = params.self_signed(&key).unwrap();
    let der = certificate.der().clone();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![der.clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    let fixture = Fixture::new(move |mut tcp| {
        let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = rustls::Stream::new(&mut connection, &mut tcp);
        let mut reader = BufReader::new(&mut stream);
        if read_request(&mut reader).is_some() {
            _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
            _ = stream.flush();
        }
    });
    (fixture, der)
}

#[test]
fn a_certificate_must_be_valid_for_the_name_that_was_asked_for() {
    let through = |fixture: &Fixture, roots: Vec<_>, name: &str| {
        let network = Scripted::leading_to(Some(fixture.address));
        network.name(name, &[&["93.184.215.14"]]);
        let egress = Egress::over(Policy::default(), Arc::new(network), roots).unwrap();
        send(&egress, &format!("https://{name}/hook"))
    };
    let (good, root) = tls(&["hooks.example.com"], false);
    assert_eq!(code(&through(&good, vec![root.clone()], "hooks.example.com")), "delivered");
    let (expired, old_root) = tls(&["hooks.example.com"], true);
    for (result, words) in [
        (through(&good, Vec::new(), "hooks.example.com"), "nobody who is trusted"),
        (through(&good, vec![root], "other.example.com"), "for another name"),
        (through(&expired, vec![old_root], "hooks.example.com"), "expired"),
    ] {
        assert_eq!(code(&result), "tls");
        let fault = result.unwrap_err();
        assert!(fault.is_retryable() && fault.to_string().contains(words), "{fault}");
    }
    let plain = Fixture::new(|mut stream| {
        _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    assert_eq!(code(&through(&plain, Vec::new(), "hooks.example.com")), "tls");
}

#[test]
fn a_definition_that_is_none_sends_nothing() {
    let egress = to_loopback();
    let fixture = Fixture::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let url = fixture.url();
    let secret = || Secret::read(SECRET).unwrap();
    let with =
        |secrets: usize| Webhook { url: url.clone(), secrets: (0..secrets).map(|_| secret()).collect() };
    let sent = |webhook: Webhook, id: &str, bytes: usize| {
        code(&pollster::block_on(webhook.send(&egress, id, Bytes::from(vec![b' '; bytes]))))
    };
    assert_eq!(sent(with(SECRETS_MAX), "msg_1", BODY_BYTES_MAX), "delivered");
    assert_eq!(sent(with(0), "msg_1", 1), "definition");
    assert_eq!(sent(with(SECRETS_MAX + 1), "msg_1", 1), "definition");
    assert_eq!(sent(with(1), "msg_1", BODY_BYTES_MAX + 1), "definition");
    for id in ["", "a.b", "a b", "a\r\nb", "ü", &"x".repeat(256)] {
        assert_eq!(sent(with(1), id, 1), "definition", "{id}");
    }
    assert_eq!(fixture.connections(), 1);
    let refused = webhook("https://user@x.example/").read(&egress).unwrap_err();
    assert!(matches!(refused, Fault::Refused { rule: Rule::UserInfo, .. }));
}

#[test]
fn no_fault_has_a_secret_a_path_or_what_the_receiver_wrote() {
    let egress = to_loopback();
    let fixture = Fixture::answering("HTTP/1.1 500 x\r\nContent-Length: 12\r\n\r\ncanary-reply");
    let bad = Fixture::answering("canary-reply\r\n\r\n");
    for fixture in [&fixture, &bad] {
        let url = format!("http://{}/canary-path?canary-query", fixture.address);
        let fault = send(&egress, &url).unwrap_err();
        let said = format!("{fault} {fault:?} {:?}", webhook(&url).secrets);
        assert!(!said.contains("canary") && !said.contains(&SECRET[6..]), "{said}");
    }
}
