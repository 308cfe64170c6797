//! What two real analytics libraries sent, byte for byte, and every payload that their vendor's specification shows.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::sets::shared;
use crate::harness::wire::{Told, Wire, base64, unbase64};
use crate::harness::{Server, Tenant, unpack};

/// Headers of a recording that belong to its connection.
const OF_CONNECTION: [&str; 6] =
    ["host", "content-length", "connection", "accept-encoding", "transfer-encoding", "expect"];

fn recordings(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for client in std::fs::read_dir(dir.join("clients")).unwrap().flatten() {
        for file in std::fs::read_dir(client.path()).into_iter().flatten().flatten() {
            let name = file.file_name().into_string().unwrap();
            if name.ends_with(".json") && name != "SUMMARY.json" {
                found.push(file.path());
            }
        }
    }
    found.sort();
    found
}

/// Sends a recorded request as it was, with our key in the place of its own.
fn replay(tenant: &Tenant, request: &Value) -> Told {
    let mut body = unbase64(request["body_base64"].as_str().unwrap());
    let mut zipped = false;
    let mut head = format!(
        "{} {} HTTP/1.1\r\nHost: x\r\n",
        request["method"].as_str().unwrap(),
        request["path"].as_str().unwrap()
    );
    for header in request["headers"].as_array().unwrap() {
        let (name, value) = (header[0].as_str().unwrap(), header[1].as_str().unwrap());
        if OF_CONNECTION.contains(&name.to_ascii_lowercase().as_str()) {
            continue;
        }
        zipped |= name.eq_ignore_ascii_case("content-encoding") && value == "gzip";
        let value = if name.eq_ignore_ascii_case("authorization") {
            format!("Basic {}", base64(format!("{}:", tenant.key()).as_bytes()))
        } else {
            value.to_owned()
        };
        head += &format!("{name}: {value}\r\n");
    }
    if zipped {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut plain).unwrap();
        body = plain;
    }
    let key = request["json"]["writeKey"].as_str().unwrap_or("no key");
    let mut text = String::from_utf8(body)
        .unwrap()
        .replace(&format!("\"{key}\""), &format!("\"{}\"", tenant.key()))
        .into_bytes();
    if zipped {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&text).unwrap();
        text = encoder.finish().unwrap();
    }
    let whole = [format!("{head}Content-Length: {}\r\n\r\n", text.len()).into_bytes(), text].concat();
    Wire::to(tenant.url()).ask(whole)
}

/// The ids that the messages of a request name.
fn people(request: &Value, all: &mut BTreeSet<(&'static str, String)>) {
    for message in request["json"]["batch"].as_array().into_iter().flatten() {
        for (name, kind) in [("userId", "user_id"), ("anonymousId", "anonymous_id")] {
            all.extend(message[name].as_str().map(|id| (kind, id.to_owned())));
        }
    }
}

/// Everybody as they are now, but for where the journal is.
fn state(tenant: &Tenant, people: &BTreeSet<(&'static str, String)>) -> BTreeMap<String, Value> {
    let of = |(kind, id): &(&'static str, String)| {
        let mut profile = tenant.profile(kind, id);
        profile.as_object_mut().unwrap().remove("position");
        let at = format!("/v1/profiles/{}/events?limit=1000", profile["id"].as_str().unwrap());
        (format!("{kind}={id}"), json!([profile, tenant.get(&at).expect_status(200)["items"]]))
    };
    people.iter().map(of).collect()
}

#[test]
fn every_recording_sent_twice_changes_nothing_the_second_time() {
    let Some(dir) = shared("every_recording_sent_twice_changes_nothing_the_second_time") else { return };
    let server = Server::fresh();
    // A message id of the journey is the same in both libraries, the message is not.
    for client in ["node-3.1.0", "python-2.4.0"] {
        let tenant = server.tenant(&client[..4]);
        let files: Vec<_> =
            recordings(&dir).into_iter().filter(|file| file.to_string_lossy().contains(client)).collect();
        twice(&tenant, &files);
    }
    assert_eq!(recordings(&dir).len(), 43);
    server.finish();
}

fn twice(tenant: &Tenant, files: &[PathBuf]) {
    let mut requests = Vec::new();
    let mut named = BTreeSet::new();
    for file in files {
        let recording: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        for request in recording["requests"].as_array().unwrap() {
            // A redirect is followed with a GET: nothing that a server of ours would be asked.
            if request["method"] == "POST" {
                people(request, &mut named);
                requests.push((file.file_name().unwrap().to_string_lossy().into_owned(), request.clone()));
            }
        }
    }
    let send = |(name, request): &(String, Value)| {
        let told = replay(tenant, request);
        let answer = told.json();
        assert_eq!((told.status, &answer["success"]), (200, &json!(true)), "{name}: {answer}");
        assert_eq!(answer["rejected"], 0, "{name}: {answer}");
        (answer["accepted"].as_u64().unwrap(), answer["position"].as_str().unwrap().to_owned())
    };
    let first: Vec<_> = requests.iter().map(send).collect();
    tenant.get(&format!("/v1/segments?min_position={}", first.last().unwrap().1)).expect_status(200);
    let before = state(tenant, &named);
    let accepted: u64 = first.iter().map(|sent| sent.0).sum();
    assert!(accepted > 50 && named.len() > 4, "{accepted} events of {} people", named.len());
    let second: u64 = requests.iter().map(|request| send(request).0).sum();
    assert_eq!(second, 0, "all were there");
    assert_eq!(state(tenant, &named), before);
    eprintln!(
        "{} requests of {} recordings: {accepted} events, none of them twice",
        requests.len(),
        files.len()
    );
}

/// What a call of the JavaScript library sends: its arguments as a message.
fn message(call: &str, args: &[Value]) -> Value {
    let texts: Vec<&Value> = args.iter().take_while(|arg| arg.is_string()).collect();
    let objects: Vec<&Value> = args.iter().filter(|arg| arg.is_object()).collect();
    let mut message = json!({"type": call, "anonymousId": "anon-spec"});
    let first = objects.first().copied().cloned().unwrap_or(json!({}));
    match call {
        "identify" | "group" => {
            if let Some(id) = texts.first() {
                message[if call == "group" { "groupId" } else { "userId" }] = (*id).clone();
            }
            message["traits"] = first;
        }
        "alias" => {
            message["userId"] = args[0].clone();
            message["previousId"] = json!("anon-spec");
        }
        "page" | "screen" => {
            if let Some(name) = texts.last() {
                message["name"] = (*name).clone();
            }
            message["properties"] = first;
        }
        // The server-side libraries take one object.
        _ if texts.is_empty() => {
            first.as_object().unwrap().iter().for_each(|(name, value)| message[name] = value.clone())
        }
        _ => {
            message["event"] = args[0].clone();
            message["properties"] = first;
        }
    }
    if let Some(options) = objects.get(1) {
        message["context"] = options.get("context").unwrap_or(options).clone();
    }
    message
}

#[test]
fn every_payload_of_the_specification_is_taken_or_refused_with_the_field_named() {
    let Some(dir) = shared("every_payload_of_the_specification_is_taken_or_refused_with_the_field_named")
    else {
        return;
    };
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let text = String::from_utf8(unpack(&dir.join("events/segment_spec_examples.ndjson.gz"))).unwrap();
    let (mut taken, mut refused) = (0, BTreeMap::<String, usize>::new());
    let count = text.lines().count();
    for (n, line) in text.lines().enumerate() {
        let example: Value = serde_json::from_str(line).unwrap();
        let place =
            format!("{n} {} {}", example["file"].as_str().unwrap(), example["heading"].as_str().unwrap());
        let mut payload = match example["call"].as_str() {
            Some(call) => message(call, example["args"].as_array().unwrap()),
            None => example["json"].clone(),
        };
        if payload.get("writeKey").is_some() {
            payload["writeKey"] = json!(tenant.key());
        }
        // The pages use one message id for different messages: each gets one of its own.
        if let Some(id) = payload["messageId"].as_str() {
            payload["messageId"] = json!(format!("{n}-{id}"));
        }
        let (path, body) = match &payload {
            batch if batch.get("batch").is_some() => ("/v1/batch".to_owned(), payload.clone()),
            typed if typed.get("type").is_some() || typed.get("action").is_some() => {
                ("/v1/batch".to_owned(), json!({"batch": [payload]}))
            }
            // The pages about the HTTP interface show bodies of the call that is the heading.
            _ if example["file"].as_str().unwrap().contains("http-api") => {
                let heading = example["heading"].as_str().unwrap().to_lowercase();
                let call = if heading.contains(' ') { "identify" } else { &heading };
                (format!("/v1/{call}"), payload.clone())
            }
            _ => ("/v1/batch".to_owned(), json!({"batch": [payload]})),
        };
        let answer = tenant.post(&path, &body).expect_status(200);
        let results = answer["results"].as_array().unwrap();
        assert!(!results.is_empty(), "{place}: {answer}");
        for result in results {
            match result["status"].as_str().unwrap() {
                "accepted" | "duplicate" => {
                    taken += 1;
                    eprintln!("{place}: {}", result["status"]);
                }
                "invalid" => {
                    let errors = result["problem"]["errors"].as_array().unwrap();
                    assert!(
                        !errors.is_empty()
                            && errors.iter().all(|error| error["pointer"].as_str().unwrap().len() > 1),
                        "{place}: {result}"
                    );
                    let pointers: Vec<_> =
                        errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
                    eprintln!("{place}: refused at {pointers:?}: {}", errors[0]["detail"]);
                    *refused.entry(pointers.join(" ")).or_default() += 1;
                }
                other => panic!("{place}: {other}: {result}"),
            }
        }
    }
    eprintln!("{count} payloads: {taken} messages taken, refused: {refused:?}");
    // Messages that name nobody, fragments that are no message, and times that are an ellipsis.
    let wanted = [("/timestamp", 2), ("/type", 3), ("/userId", 4)].map(|(at, count)| (at.to_owned(), count));
    assert_eq!((count, taken, refused), (153, 147, BTreeMap::from(wanted)));
    server.finish();
}
