//! What we send, judged by programs of others: the libraries that the authors of Standard Webhooks publish for receivers,
//! and a store that checks signatures.
//!
//! They are installed at test time into `target/sdk`, from the registries that their users install them from; where a
//! registry or the language is not there, the test says so and does nothing.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "this whole target is tests")]

mod store;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cdp_egress::{Egress, Policy, Secret, Webhook};
use serde_json::{Value, json};

const NODE: &str = "standardwebhooks@1.1.1";
const PYTHON: &str = "standardwebhooks==1.1.0";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Installs a package once. None, with the reason printed, where that is not possible.
fn installed(test: &str, name: &str, install: impl Fn(&Path) -> Command) -> Option<PathBuf> {
    let dir = root().join("target/sdk").join(name);
    if dir.join("complete").exists() {
        return Some(dir);
    }
    std::fs::create_dir_all(&dir).unwrap();
    match install(&dir).current_dir(&dir).output() {
        Ok(done) if done.status.success() => {
            std::fs::write(dir.join("complete"), "").unwrap();
            Some(dir)
        }
        Ok(done) => {
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            eprintln!(
                "SKIPPED {test}: {name} cannot be installed: {}",
                said.lines().last().unwrap_or_default()
            );
            None
        }
        Err(error) => {
            eprintln!("SKIPPED {test}: {name} cannot be installed: {error}");
            None
        }
    }
}

/// What a receiver got: headers in lower case, and the body.
type Received = (BTreeMap<String, String>, Vec<u8>);

/// Sends bodies to a receiver on loopback and gives what it got.
fn sent(secrets: &[&str], bodies: &[&'static [u8]]) -> Vec<Received> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let webhook = Webhook {
        url: format!("http://{}/hook", listener.local_addr().unwrap()),
        secrets: secrets.iter().map(|secret| Secret::read(secret).unwrap()).collect(),
    };
    let count = bodies.len();
    let receiver = std::thread::spawn(move || {
        let mut got = Vec::new();
        let mut reader = BufReader::new(listener.accept().unwrap().0);
        while got.len() < count {
            let mut headers = BTreeMap::new();
            loop {
                let mut line = String::new();
                assert_ne!(reader.read_line(&mut line).unwrap(), 0, "one connection for all");
                let Some((name, value)) = line.trim_end().split_once(": ") else {
                    if line.trim_end().is_empty() {
                        break;
                    }
                    continue;
                };
                headers.insert(name.to_lowercase(), value.to_owned());
            }
            let mut body = vec![0; headers["content-length"].parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            got.push((headers, body));
        }
        got
    });
    let egress = Egress::new(Policy::read("127.0.0.1").unwrap()).unwrap();
    for (n, body) in bodies.iter().enumerate() {
        let id = format!("msg_{n}");
        pollster::block_on(webhook.send(&egress, &id, Bytes::from_static(body))).unwrap();
    }
    receiver.join().unwrap()
}

/// Good messages and broken ones, each with what a receiver must say.
fn messages() -> Value {
    let [old, new, foreign] = [(); 3].map(|()| Secret::generate().unwrap().as_str().to_owned());
    let bodies: [&'static [u8]; 3] = [
        br#"{"type":"cdp.audience","rows":[{"email":"a@x.example"}]}"#,
        "{\"rows\":[{\"name\":\"Ünïcödé “q” 🎉\\n\"}]}".as_bytes(),
        b"{}",
    ];
    let mut all = Vec::new();
    let mut add = |name: String, secret: &str, (headers, body): &Received, good: bool| {
        all.push(json!({"name": name, "secret": secret, "headers": headers,
                        "body_base64": STANDARD.encode(body), "good": good}));
    };
    for (when, secrets, old_good, new_good) in [
        ("before", &[old.as_str()][..], true, false),
        ("both live", &[&new, &old], true, true),
        ("after", &[&new], false, true),
    ] {
        for (n, received) in sent(secrets, &bodies).iter().enumerate() {
            add(format!("{when} {n}, old secret"), &old, received, old_good);
            add(format!("{when} {n}, new secret"), &new, received, new_good);
            add(format!("{when} {n}, foreign secret"), &foreign, received, false);
            let live = if new_good { &new } else { &old };
            // A flipped bit of the body, wherever it stays text.
            for at in 0..received.1.len().min(40) {
                let (headers, mut body) = received.clone();
                body[at] ^= 1;
                if std::str::from_utf8(&body).is_ok() {
                    add(format!("{when} {n}, bit of byte {at}"), live, &(headers, body), false);
                }
            }
            for (header, value) in [
                ("webhook-id", "msg_other".to_owned()),
                ("webhook-timestamp", {
                    let at: u64 = received.0["webhook-timestamp"].parse().unwrap();
                    (at - 1).to_string()
                }),
                ("webhook-signature", "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned()),
            ] {
                let (mut headers, body) = received.clone();
                headers.insert(header.to_owned(), value);
                add(format!("{when} {n}, another {header}"), live, &(headers, body), false);
            }
        }
    }
    Value::Array(all)
}

fn verifies(program: &str, script: &str, packages: &Path) {
    let messages = messages();
    let good = messages.as_array().unwrap().iter().filter(|message| message["good"] == true).count();
    assert!(good == 12 && messages.as_array().unwrap().len() > 100);
    let file = std::env::temp_dir().join(format!("cdp-egress-{}-{script}.json", std::process::id()));
    std::fs::write(&file, messages.to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/specification").join(script);
    let ended = Command::new(program).arg(script).arg(packages).arg(&file).output().unwrap();
    std::fs::remove_file(file).unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn the_library_from_npm_verifies_what_we_send() {
    let test = "the_library_from_npm_verifies_what_we_send";
    let packages = installed(test, "standardwebhooks-node-1.1.1", |dir| {
        let mut command = Command::new("npm");
        command.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(dir).arg(NODE);
        command
    });
    if let Some(packages) = packages {
        verifies("node", "verify.mjs", &packages);
    }
}

#[test]
fn the_library_from_pypi_verifies_what_we_send() {
    let test = "the_library_from_pypi_verifies_what_we_send";
    let packages = installed(test, "standardwebhooks-python-1.1.0", |dir| {
        let mut command = Command::new("python3");
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
        command.arg(dir).arg(PYTHON);
        command
    });
    if let Some(packages) = packages {
        verifies("python3", "verify.py", &packages);
    }
}
