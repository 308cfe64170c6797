//! What is erased is in no file, in no spelling; and what people are called is in no log line, metric or error.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::files::in_files;
use crate::harness::{Client, Server, serve, until};

/// Who is looked for: each in an address, a number, a name beyond ASCII, and words in other places.
const PEOPLE: usize = 20;
/// Ways to write a text that are looked for.
const SPELLINGS: usize = 20;

fn word(n: usize) -> String {
    // Letters that no other text here has in this order, of all kinds.
    format!("žubīte-kanārija-{n:02}-qx{}", n * 7919 % 1000)
}

fn mail(n: usize) -> String {
    format!("kanarija{n:02}qx{}@example.com", n * 7919 % 1000)
}

/// The forms in which a text may stand in a file. The last, compressed, is looked for by unpacking.
fn spellings(text: &str) -> Vec<Vec<u8>> {
    let bytes = text.as_bytes();
    let utf16 = |le: bool| -> Vec<u8> {
        text.encode_utf16()
            .flat_map(|unit| if le { unit.to_le_bytes() } else { unit.to_be_bytes() })
            .collect()
    };
    let base64 = |shift: usize, url: bool| {
        const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let shifted = [&vec![b'.'; shift][..], bytes].concat();
        let mut out = Vec::new();
        for group in shifted.chunks_exact(3) {
            let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
            out.extend([18, 12, 6, 0].map(|by| {
                let digit = STANDARD[(bits >> by & 63) as usize];
                match (url, digit) {
                    (true, b'+') => b'-',
                    (true, b'/') => b'_',
                    _ => digit,
                }
            }));
        }
        // What a neighbour has a part in is left out.
        out.split_off(if shift == 0 { 0 } else { 4 })
    };
    let hex = |upper: bool| {
        let one = |byte: &u8| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
        bytes.iter().map(one).collect::<String>().into_bytes()
    };
    let escaped = |all: bool| {
        let one = |unit: u16| {
            let plain = char::from_u32(unit.into()).filter(|c| c.is_ascii() && !all);
            plain.map_or_else(|| format!("\\u{unit:04x}"), |c| c.to_string())
        };
        text.encode_utf16().map(one).collect::<String>().into_bytes()
    };
    let percent = |all: bool| {
        let plain = |byte: u8| !all && (byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte));
        let one =
            |byte: &u8| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
        bytes.iter().map(one).collect::<String>().into_bytes()
    };
    let quoted = || {
        let one = |byte: &u8| {
            if byte.is_ascii_graphic() && *byte != b'=' {
                char::from(*byte).to_string()
            } else {
                format!("={byte:02X}")
            }
        };
        bytes.iter().map(one).collect::<String>().into_bytes()
    };
    let all = vec![
        bytes.to_vec(),
        text.to_uppercase().into_bytes(),
        text.to_lowercase().into_bytes(),
        utf16(true),
        utf16(false),
        base64(0, false),
        base64(1, false),
        base64(2, false),
        base64(0, true),
        base64(1, true),
        base64(2, true),
        hex(false),
        hex(true),
        escaped(true),
        escaped(false),
        percent(true),
        percent(false),
        quoted(),
        bytes.iter().rev().copied().collect(),
    ];
    assert_eq!(all.len() + 1, SPELLINGS, "and the compressed one");
    all
}

/// Finds any of many texts: by their first four bytes, then whole.
struct Finder {
    by_start: std::collections::HashMap<[u8; 4], Vec<(String, Vec<u8>)>>,
}

impl Finder {
    fn new(texts: impl Iterator<Item = String>) -> Self {
        let mut by_start: std::collections::HashMap<_, Vec<_>> = std::collections::HashMap::new();
        for text in texts {
            for form in spellings(&text) {
                let start = form[..4].try_into().unwrap();
                by_start.entry(start).or_default().push((text.clone(), form));
            }
        }
        Self { by_start }
    }

    fn find(&self, bytes: &[u8]) -> Option<&str> {
        for at in 0..bytes.len().saturating_sub(3) {
            let start: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
            for (text, form) in self.by_start.get(&start).into_iter().flatten() {
                if bytes[at..].starts_with(form) {
                    return Some(text);
                }
            }
        }
        None
    }

    /// The same in what is compressed within.
    fn find_packed(&self, bytes: &[u8]) -> Option<&str> {
        for at in 0..bytes.len().saturating_sub(2) {
            let mut out = Vec::new();
            let read = match bytes[at..at + 2] {
                [0x1f, 0x8b] => {
                    flate2::read::GzDecoder::new(&bytes[at..]).take(1 << 22).read_to_end(&mut out)
                }
                [0x78, 0x01 | 0x5e | 0x9c | 0xda] => {
                    flate2::read::ZlibDecoder::new(&bytes[at..]).take(1 << 22).read_to_end(&mut out)
                }
                _ => continue,
            };
            // What was unpacked before an error counts too.
            drop(read);
            if let Some(found) = self.find(&out) {
                return Some(found);
            }
        }
        None
    }

    /// Every file below a directory that holds any of them, and how many bytes were looked at.
    fn files(&self, dir: &Path) -> (Vec<(PathBuf, String)>, u64) {
        let seen = in_files(dir, |path, bytes| {
            let hit = self.find(bytes).or_else(|| self.find_packed(bytes));
            (hit.map(|text| (path.to_owned(), text.to_owned())), bytes.len() as u64)
        });
        let scanned = seen.iter().map(|(_, bytes)| bytes).sum();
        (seen.into_iter().filter_map(|(found, _)| found).collect(), scanned)
    }
}

fn events(n: usize) -> Vec<Value> {
    let who = json!([{"type": "customer_id", "value": word(n)}, {"type": "email", "value": mail(n)}]);
    vec![
        json!({"id": format!("order-{}", word(n)), "type": "purchase", "time": "2026-03-01T00:00:00Z", "identifiers": who,
            "properties": {"total": "150", "note": word(n), "deep": {"er": [word(n)]}}, "traits": {"name": word(n)},
            "channels": [{"channel": "email", "address": mail(n)}], "beside": word(n)}),
        json!({"id": format!("consent-{n}"), "type": "preference", "time": "2026-03-02T00:00:00Z", "identifiers": who,
            "consents": [{"channel": "email", "address": mail(n), "purpose": "marketing", "status": "granted",
                "method": "web-form", "evidence": word(n), "actor": word(n)}]}),
        json!({"id": format!("future-{}", word(n)), "type": "purchase", "time": "2126-03-01T00:00:00Z", "identifiers": who,
            "properties": {"note": word(n)}}),
        json!({"id": format!("bad-{}", word(n)), "type": "visit", "time": "2026-03-03T00:00:00Z", "identifiers": who,
            "properties": {"pages": word(n)}}),
    ]
}

#[test]
fn nothing_of_the_erased_is_in_any_file_in_any_spelling() {
    let own = tempfile::tempdir().unwrap();
    let mut server = Server::at(&own.path().join("data"));
    let mut tenant = server.tenant("shop");
    let purpose = json!({"title": "News", "legal_basis": "consent"});
    tenant.define("/v1/purposes/marketing", &purpose);
    tenant.define("/v1/attributes/spend", &json!({"kind": "sum", "event": "purchase", "property": "/total"}));
    let notes = json!({"kind": "unique_list", "event": "purchase", "property": "/note"});
    tenant.define("/v1/attributes/notes", &notes);
    let rule = json!({"attribute": "spend", "op": "gte", "value": "100"});
    tenant.define("/v1/segments/big", &json!({"title": "Big", "rule": rule}));
    let schema = json!({"mode": "quarantine", "properties": {"properties": {"pages": {"type": "number"}}}});
    tenant.put("/v1/catalogue/types/visit/schema", &schema).ok();
    let all: Vec<Value> = (0..=PEOPLE).flat_map(events).collect();
    crate::harness::send_all(&tenant, &all);
    for format in ["csv", "ndjson"] {
        let export = json!({"segment": "big", "format": format, "mode": "full",
            "fields": [{"name": "mail", "from": "channel.email"}, {"name": "name", "from": "trait.name"}],
            "consent": {"channel": "email", "purpose": "marketing"}});
        assert_eq!(tenant.export(&export).1.lines().count(), PEOPLE + 1 + usize::from(format == "csv"));
    }
    for n in 0..PEOPLE {
        let asked = json!({"identifier": {"type": "email", "value": mail(n)}});
        tenant.call_with("POST", "/v1/profiles/lookup", &[("idempotency-key", &mail(n))], &asked).ok();
        let started = tenant.post("/v1/access-requests", &asked).expect_status(202);
        assert_eq!(tenant.finish_job(&started).unwrap()["status"], "done");
    }
    let finder = Finder::new((0..PEOPLE).flat_map(|n| [word(n), mail(n)]));
    // The state's own buffers reach the disk when the server ends.
    server.terminate();
    let (found, _) = finder.files(&server.data_dir);
    assert!(found.iter().any(|(path, _)| path.to_string_lossy().contains("state")), "{found:?}");
    assert!(
        found.iter().any(|(path, _)| path.to_string_lossy().contains("exports")),
        "or nothing is shown: {found:?}"
    );
    server.restart();
    tenant = tenant.at(&server.url);
    let started: Vec<Value> = (0..PEOPLE)
        .map(|n| {
            let asked = json!({"identifier": {"type": "email", "value": mail(n)}, "reason": "asked for"});
            tenant.post_patiently("/v1/erasures", &asked).expect_status(202)
        })
        .collect();
    for started in &started {
        let job = tenant.finish_job(started).unwrap();
        assert_eq!(
            (job["status"].as_str(), job["result"]["state_rewritten"].as_bool()),
            (Some("done"), Some(true)),
            "{job}"
        );
    }
    let (found, _) = finder.files(own.path());
    assert_eq!(found, [], "while it runs");
    server.terminate();
    let (found, scanned) = finder.files(own.path());
    assert_eq!(found, [], "when it has ended");
    let survivor = Finder::new([word(PEOPLE), mail(PEOPLE)].into_iter());
    assert!(!survivor.files(own.path()).0.is_empty(), "who was not erased is still there");
    eprintln!("{} texts in {SPELLINGS} spellings looked for in {scanned} bytes: none", 2 * PEOPLE);
}

#[test]
fn every_spelling_is_found() {
    let finder = Finder::new([word(1)].into_iter());
    for form in spellings(&word(1)) {
        let around = [b"....".as_slice(), &form, b"...."].concat();
        assert_eq!(finder.find(&around), Some(word(1).as_str()));
    }
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packer, word(1).as_bytes()).unwrap();
    let packed = [b"..".as_slice(), &packer.finish().unwrap(), b".."].concat();
    assert_eq!((finder.find(&packed), finder.find_packed(&packed)), (None, Some(word(1).as_str())));
}

/// A server whose every word is kept.
struct Loud {
    child: Child,
    url: String,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Loud {
    fn start(dir: &Path) -> Self {
        let mut command = serve(&dir.join("data"), "127.0.0.1:0");
        command.arg("--panic-probe").env("RUST_LOG", "trace").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let mut errors = child.stderr.take().unwrap();
        let kept = said.clone();
        std::thread::spawn(move || {
            let mut part = [0; 1 << 16];
            while let Ok(read @ 1..) = errors.read(&mut part) {
                kept.lock().unwrap().extend_from_slice(&part[..read]);
            }
        });
        let (tell, told) = std::sync::mpsc::channel();
        let (out, kept) = (child.stdout.take().unwrap(), said.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some(at) = line.find("listening on ") {
                    tell.send(line[at + "listening on ".len()..].trim().to_owned()).ok();
                }
                kept.lock().unwrap().extend_from_slice(line.as_bytes());
            }
        });
        let url = told.recv_timeout(std::time::Duration::from_secs(120)).unwrap();
        Self { child, url, said }
    }
}

impl Drop for Loud {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Requests of the test below; `CDP_CANARY_REQUESTS` asks for another number. The figure that is reported is for 50,000.
fn requests() -> usize {
    std::env::var("CDP_CANARY_REQUESTS").ok().and_then(|text| text.parse().ok()).unwrap_or(2000)
}

#[test]
fn no_log_line_metric_or_error_says_what_people_are_called() {
    let own = tempfile::tempdir().unwrap();
    let loud = Loud::start(own.path());
    let operator = Client::new(
        &loud.url,
        "cdp_live_operator_0000000000000000000000000000000000000000000000000000000000000000",
    );
    let made = operator.post("/v1/tenants", &json!({"slug": "shop", "name": "Shop"})).expect_status(201);
    let tenant = Client::new(&loud.url, made["admin_key"].as_str().unwrap());
    tenant.define("/v1/purposes/marketing", &json!({"title": "News", "legal_basis": "consent"}));
    tenant.define("/v1/attributes/spend", &json!({"kind": "sum", "event": "purchase", "property": "/total"}));
    let finder = Finder::new((0..PEOPLE).flat_map(|n| [word(n), mail(n)]));
    let (mut answers, mut panics) = (0, 0);
    for sent in 0..requests() {
        let (n, w, m) = (sent % PEOPLE, word(sent % PEOPLE), mail(sent % PEOPLE));
        let id = json!({"type": "email", "value": m});
        let answer = match sent / PEOPLE % 23 {
            0 => tenant.post("/v1/events", &events(n)[0]),
            1 => tenant.post(
                "/v1/events",
                &json!({"id": w, "type": "visit", "identifiers": [{"type": "email", "value": w}]}),
            ),
            2 => {
                tenant.post("/v1/events", &json!({"id": [w], "type": {"a": w}, "time": w, "identifiers": w}))
            }
            3 => tenant.post_bytes(
                "/v1/events",
                "application/json",
                format!("{{\"id\": \"{w}\" {m}").as_bytes(),
            ),
            4 => tenant.post_bytes("/v1/events", "application/json", w.as_bytes()),
            5 => tenant.post("/v1/profiles/lookup", &json!({"identifier": id, "other": w})),
            6 => tenant.post("/v1/profiles/lookup", &json!({"identifier": {"type": w, "value": m}})),
            7 => tenant.get(&format!("/v1/profiles/{}", m.replace('@', "%40"))),
            8 => tenant
                .post("/v1/consents", &json!({"channel": "email", "address": w, "purpose": m, "status": w})),
            9 => tenant.post("/v1/channels/lookup", &json!({"channel": "email", "address": m, "x": w})),
            10 => tenant.post(
                "/v1/identify",
                &json!({"messageId": w, "userId": w, "traits": {"email": w, "name": m}}),
            ),
            11 => tenant.post(
                "/v1/batch",
                &json!({"batch": [{"type": w, "userId": m}, {"type": "track", "event": w}]}),
            ),
            12 => tenant.post("/v1/identity/explain", &json!({"a": id, "b": {"type": "email", "value": w}})),
            13 => tenant.post(
                "/v1/erasures",
                &json!({"identifier": {"type": "email", "value": format!("nobody{m}")}, "reason": w}),
            ),
            14 => tenant.post("/v1/access-requests", &json!({"identifier": {"type": "none", "value": w}})),
            15 => tenant
                .put("/v1/segments/some", &json!({"title": w, "rule": {"trait": w, "op": m, "value": w}})),
            16 => tenant
                .post("/v1/segments/preview", &json!({"rule": {"trait": "name", "op": "eq", "value": w}})),
            17 => tenant.with_key(&w.replace(|c: char| !c.is_ascii(), "")).post("/v1/events", &events(n)[0]),
            18 => tenant.get(&format!("/v1/events/{}?source=none", m.replace('@', "%40"))),
            19 => tenant
                .post("/v1/restrictions", &json!({"identifier": {"type": "none", "value": w}, "reason": m})),
            20 => tenant.post(
                "/v1/opendsr/requests",
                &json!({"subject_request_id": w, "subject_request_type": "access", "subject_identities": [
                    {"identity_type": "email", "identity_value": m, "identity_format": w}]}),
            ),
            // A handler panics, and its words name somebody.
            21 => {
                let probe = [("panic-probe", m.as_str())];
                // On a connection of its own: it ends with the panic, and the next request must not meet its end.
                let answer = tenant.at_same().call_with("POST", "/v1/events", &probe, &events(n)[0]);
                assert_eq!(answer.status, 500, "{}", answer.text());
                panics += 1;
                answers += 1;
                assert_eq!(finder.find(&answer.body), None, "{}", answer.text());
                continue;
            }
            _ => tenant.post("/v1/identity/constraints", &json!({"kind": w, "a": id, "b": m, "reason": w})),
        };
        assert_ne!(answer.status, 500, "{}", answer.text());
        // What was asked for by name may be told; a refusal tells nothing.
        if answer.status >= 400 {
            answers += 1;
            assert_eq!(finder.find(&answer.body), None, "{}", answer.text());
        }
    }
    assert_eq!(finder.find(&tenant.get("/metrics").body), None, "metrics");
    drop(tenant);
    let last = operator.get("/healthz");
    assert_eq!(last.status, 200);
    // Everything that was said until now has been read when nothing more comes.
    let mut length = 0;
    until(std::time::Duration::from_secs(30), || {
        let now = loud.said.lock().unwrap().len();
        let done = now == length && now > 0;
        length = now;
        std::thread::sleep(std::time::Duration::from_millis(200));
        done.then_some(())
    });
    let said = loud.said.lock().unwrap();
    assert!(said.len() > 1000, "it was loud: {} bytes", said.len());
    if let Some(found) = finder.find(&said) {
        let text = String::from_utf8_lossy(&said);
        let line = text.lines().find(|line| finder.find(line.as_bytes()).is_some()).unwrap_or_default();
        panic!("{found} stands in the log: {line}");
    }
    eprintln!(
        "{} requests, {answers} refusals, {panics} of them panics, {} bytes of log at trace level: nobody is named",
        requests(),
        said.len()
    );
}
