//! Files of audiences, read back by readers that are not ours, and checked by the command line.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{CDP, Server, Tenant, root, run_to_end, send_all};
use crate::sdk::installed;

const PYARROW: &str = "pyarrow==26.0.1";
const LONGEST: Duration = Duration::from_secs(120);

/// Texts that break careless writers and readers.
const TEXTS: [&str; 14] = [
    "plain",
    "Zoë 🎉 日本",
    "a\r\nb\nc",
    "say \"hi\"",
    "comma, semicolon; tab\t",
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1:A9)",
    " spaces ",
    "\u{feff}bom",
    "'quoted'",
    "0123",
    "null",
];

fn person(n: usize, note: &str) -> Value {
    let address = format!("p{n:02}@example.com");
    json!({
        "id": format!("e{n}"), "type": "purchase", "time": "2026-03-01T10:20:30.125Z",
        "identifiers": [{"type": "email", "value": address}],
        "properties": {"total": format!("{n}.25")},
        "traits": {"member": true, "note": note, "vip": n.is_multiple_of(2), "seen": format!("2026-03-01T00:00:{n:02}.5Z")},
        "channels": [{"channel": "email", "address": address}],
        "consents": [{"channel": "email", "address": address, "purpose": "marketing", "status": "granted",
                      "method": "form", "policy_version": "1", "expires_at": null}],
    })
}

fn world(server: &Server) -> Tenant {
    let tenant = server.tenant("shop");
    tenant.define(
        "/v1/purposes/marketing",
        &json!({"title": "News", "legal_basis": "consent", "channels": ["email"]}),
    );
    tenant.define("/v1/attributes/orders", &json!({"kind": "count", "event": "purchase"}));
    tenant.define("/v1/attributes/spent", &json!({"kind": "sum", "event": "purchase", "property": "/total"}));
    let rule = json!({"trait": "member", "op": "eq", "value": true});
    tenant.define("/v1/segments/members", &json!({"title": "Members", "rule": rule}));
    let mut events: Vec<_> = TEXTS.iter().enumerate().map(|(n, text)| person(n, text)).collect();
    // Somebody of whom little is known.
    let mut little = person(TEXTS.len(), "");
    for name in ["note", "vip", "seen"] {
        little["traits"].as_object_mut().unwrap().remove(name);
    }
    events.push(little);
    send_all(&tenant, &events);
    tenant
}

fn asked(format: &str) -> Value {
    json!({
        "segment": "members", "format": format,
        "fields": [
            {"name": "email", "from": "channel.email"}, {"name": "note", "from": "trait.note"},
            {"name": "orders", "from": "attribute.orders"}, {"name": "spent", "from": "attribute.spent"},
            {"name": "vip", "from": "trait.vip", "type": "boolean"},
            {"name": "seen", "from": "trait.seen", "type": "timestamp"},
            {"name": "hashed", "from": "identifier.email", "hash": "sha256"},
        ],
        "consent": {"channel": "email", "purpose": "marketing"},
    })
}

fn write(dir: &Path, tenant: &Tenant, request: &Value, name: &str) -> (Value, PathBuf) {
    let started = tenant.post("/v1/exports", request).expect_status(202);
    tenant.finish_job(&started);
    let info = tenant.get(&format!("/v1/exports/{}", started["id"].as_str().unwrap())).ok();
    let file = tenant.get(&format!("/v1/exports/{}/file", started["id"].as_str().unwrap()));
    let path = dir.join(name);
    std::fs::write(&path, &file.body).unwrap();
    (info, path)
}

#[test]
fn csv_and_parquet_read_back_by_other_readers_are_the_members() {
    let test = "csv_and_parquet_read_back_by_other_readers_are_the_members";
    let packages = installed(test, PYARROW, |dir| {
        let mut command = Command::new("python3");
        let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"];
        command.args(quiet).arg(dir).arg(PYARROW);
        command
    });
    let Some(packages) = packages else { return };
    let server = Server::fresh();
    let tenant = world(&server);
    let dir = tempfile::tempdir().unwrap();
    let mut raw = asked("csv");
    raw["csv"] = json!({"formulas": "raw"});
    let (_, csv) = write(dir.path(), &tenant, &raw, "raw.csv");
    let (info, parquet) = write(dir.path(), &tenant, &asked("parquet"), "audience.parquet");
    assert_eq!(info["unfit"], json!({}), "{info}");
    let mut command = Command::new("python3");
    command.arg(root().join("tests/e2e/sdk/read_back.py")).arg(packages).args([&csv, &parquet]);
    let ended = run_to_end(command, LONGEST);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let read: Value = serde_json::from_str(&ended.stdout).unwrap();
    let sorted = |rows: &Value| {
        let mut rows = rows.as_array().unwrap().clone();
        rows.sort_by_key(|row| row["email"].as_str().unwrap().to_owned());
        rows
    };
    let (csv, parquet) = (sorted(&read["csv"]), sorted(&read["parquet"]));
    assert_eq!((csv.len(), parquet.len()), (TEXTS.len() + 1, TEXTS.len() + 1));
    let types = json!({"email": "string", "note": "string", "orders": "int64", "spent": "decimal128(38, 9)",
        "vip": "bool", "seen": "timestamp[ms, tz=UTC]", "hashed": "string"});
    assert_eq!(read["types"], types);
    for (n, (csv, parquet)) in csv.iter().zip(&parquet).enumerate() {
        let text = TEXTS.get(n);
        assert_eq!(csv["note"], text.copied().unwrap_or_default(), "{n}");
        assert_eq!(parquet["note"], text.map_or(Value::Null, |text| json!(text)), "{n}");
        assert_eq!((&parquet["orders"], &csv["orders"]), (&json!(1), &json!("1")));
        assert_eq!(csv["spent"], format!("{n}.25"));
        assert_eq!(parquet["spent"], format!("{n}.250000000"), "exact, and not a float");
        let vip = text.map(|_| n.is_multiple_of(2));
        assert_eq!(parquet["vip"], vip.map_or(Value::Null, Value::Bool));
        let seen = text.map(|_| format!("2026-03-01 00:00:{n:02}.500000+00:00"));
        assert_eq!(parquet["seen"], seen.map_or(Value::Null, Value::String));
        assert_eq!(parquet["hashed"].as_str().unwrap().len(), 64);
        assert_eq!(parquet["hashed"], csv["hashed"]);
    }
    server.finish();
}

#[test]
fn a_file_its_manifest_and_a_proof_are_checked_offline() {
    let server = Server::fresh();
    let tenant = world(&server);
    let dir = tempfile::tempdir().unwrap();
    let request = dir.path().join("request.json");
    std::fs::write(&request, asked("ndjson").to_string()).unwrap();
    let cdp = |arguments: &[&str]| {
        let mut command = Command::new(CDP);
        command.arg("export").args(arguments).env("CDP_URL", tenant.url()).env("CDP_API_KEY", tenant.key());
        run_to_end(command, LONGEST)
    };
    let made = cdp(&["create", request.to_str().unwrap(), "--wait", "-o", "json"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let info: Value = serde_json::from_str(&made.stdout).unwrap();
    let id = info["id"].as_str().unwrap();
    assert_eq!(
        (info["status"].as_str(), info["rows"].as_u64()),
        (Some("done"), Some(TEXTS.len() as u64 + 1))
    );
    assert!(cdp(&["list"]).stdout.contains(id));
    assert!(cdp(&["status", id, "-o", "json"]).stdout.contains("\"done\""));
    assert_eq!(cdp(&["status", "exp_nobody"]).code, Some(4));
    assert_eq!(cdp(&["cancel", id]).code, Some(5), "it is over");
    let file = dir.path().join("audience.ndjson");
    let manifest = dir.path().join("audience.ndjson.manifest.json");
    let (file_name, manifest_name) = (file.to_str().unwrap(), manifest.to_str().unwrap());
    let fetched = cdp(&["fetch", id, "--to", file_name]);
    assert_eq!(fetched.code, Some(0), "{}", fetched.stderr);
    assert_eq!(cdp(&["fetch", id, "--to", file_name]).code, Some(5), "nothing is written over");
    let proof = tenant.get(&format!("/v1/exports/{id}/proof?row=3")).ok();
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(proof["values"].as_str(), text.lines().nth(3), "the proof is of this row");
    assert!(proof["consent"].as_str().unwrap().contains("\"granted\""), "{proof}");
    let proof_path = dir.path().join("proof.json");
    std::fs::write(&proof_path, proof.to_string()).unwrap();
    let proof_name = proof_path.to_str().unwrap();
    let checked = cdp(&["verify", manifest_name, file_name, "--proof", proof_name]);
    assert_eq!(checked.code, Some(0), "{} {}", checked.stdout, checked.stderr);
    std::fs::write(&proof_path, proof.to_string().replace("granted", "guessed")).unwrap();
    assert_eq!(cdp(&["verify", manifest_name, file_name, "--proof", proof_name]).code, Some(9));
    std::fs::write(&file, text.replacen("p03", "p04", 1)).unwrap();
    assert_eq!(cdp(&["verify", manifest_name, file_name]).code, Some(9));
    server.finish();
}

#[test]
fn a_folder_takes_full_files_and_what_differs() {
    let server = Server::fresh();
    let tenant = world(&server);
    let dir = tempfile::tempdir().unwrap();
    tenant.put("/v1/destinations/shared", &json!({"kind": "file"})).expect_status(201);
    let mut request = asked("csv");
    request["destination"] = json!("shared");
    request["mode"] = json!("incremental");
    request["compression"] = json!("gzip");
    let (first, path) = write(dir.path(), &tenant, &request, "first.csv.gz");
    let text = String::from_utf8(crate::harness::unpack(&path)).unwrap();
    assert!(text.starts_with("change,email,") && first["changes"]["add"] == TEXTS.len() + 1, "{first}");
    let mut moved = person(0, "moved");
    moved["id"] = json!("moved");
    moved["time"] = json!("2026-03-02T00:00:00Z");
    send_all(&tenant, &[moved]);
    let (second, path) = write(dir.path(), &tenant, &request, "second.csv.gz");
    assert_eq!(
        (second["changes"]["update"].as_u64(), second["rows"].as_u64()),
        (Some(1), Some(1)),
        "{second}"
    );
    let text = String::from_utf8(crate::harness::unpack(&path)).unwrap();
    assert!(text.lines().nth(1).unwrap().starts_with("update,p00@example.com,moved,2,0.5,"), "{text}");
    let held = std::fs::read_dir(server.data_dir.join("exports")).unwrap().next().unwrap().unwrap().path();
    let name = format!("{}.csv.gz", second["id"].as_str().unwrap());
    assert!(held.join("to/shared").join(name).exists());
    server.finish();
}
