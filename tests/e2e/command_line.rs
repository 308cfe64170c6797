//! The command line against a running server and beside a data directory: answers, forms, exit codes.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{CDP, Ended, Server, Tenant, run_to_end, send_all};

/// A command with the tenant's key in its environment.
fn as_tenant(tenant: &Tenant, args: &[&str]) -> Ended {
    let mut command = Command::new(CDP);
    command.args(args).env("CDP_URL", tenant.url()).env("CDP_API_KEY", tenant.key());
    run_to_end(command, Duration::from_secs(60))
}

fn ok(tenant: &Tenant, args: &[&str]) -> String {
    let ended = as_tenant(tenant, args);
    assert_eq!(ended.code, Some(0), "{args:?}: {} {}", ended.stdout, ended.stderr);
    ended.stdout
}

fn json_of(tenant: &Tenant, args: &[&str]) -> Value {
    serde_json::from_str(&ok(tenant, args)).unwrap()
}

fn plain(args: &[&str], dir: &Path) -> Ended {
    let mut command = Command::new(CDP);
    command.args(args).current_dir(dir);
    for name in ["CDP_API_KEY", "CDP_OPERATOR_KEY", "CDP_MASTER_KEY", "CDP_DATA_DIR"] {
        command.env_remove(name);
    }
    run_to_end(command, Duration::from_secs(60))
}

fn event(n: usize) -> Value {
    json!({"id": format!("e{n}"), "source": "till", "type": "purchase", "properties": {"total": n},
        "identifiers": [{"type": "customer_id", "value": format!("c{n}")}]})
}

#[test]
fn nouns_and_verbs_answer_in_every_form_and_with_their_exit_codes() {
    let own = tempfile::tempdir().unwrap();
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let file = |name: &str, body: &Value| {
        let path = own.path().join(name);
        std::fs::write(&path, body.to_string()).unwrap();
        path.to_string_lossy().into_owned()
    };
    let spend = file("spend.json", &json!({"kind": "sum", "event": "purchase", "property": "/total"}));
    let put = json_of(&tenant, &["attributes", "put", "spend", &spend, "--wait", "-o", "json"]);
    assert_eq!(put["version"], 1, "{put}");
    let big = json!({"title": "Big", "rule": {"attribute": "spend", "op": "gte", "value": 3}});
    let big = file("big.json", &big);
    ok(&tenant, &["segments", "put", "big", &big, "--wait"]);
    let sent = file("events.json", &json!([event(1), event(2), event(3), event(4)]));
    let sent = json_of(&tenant, &["events", "send", &sent, "--wait", "-o", "json"]);
    assert_eq!(sent["accepted"], 4, "{sent}");

    let listed = json_of(&tenant, &["segments", "list", "-o", "json"]);
    assert_eq!((&listed[0]["name"], listed[0]["size"].as_u64()), (&json!("big"), Some(2)), "{listed}");
    let csv = ok(&tenant, &["segments", "list", "-o", "csv"]);
    assert_eq!(csv.lines().collect::<Vec<_>>(), ["name,title,size,version,status", "big,Big,2,1,active"]);
    let lines = ok(&tenant, &["segments", "members", "big", "--limit", "0", "-o", "ndjson"]);
    let members: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(members.len(), 2, "{lines}");
    assert_eq!(
        ok(&tenant, &["segments", "members", "big", "--limit", "1", "-o", "ndjson"]).lines().count(),
        1
    );
    let table = ok(&tenant, &["segments", "list"]);
    assert!(table.starts_with("NAME") || table.starts_with(" NAME"), "{table}");

    let profile = json_of(&tenant, &["profiles", "lookup", "customer_id=c3", "-o", "json"]);
    let id = profile["id"].as_str().unwrap();
    assert_eq!(json_of(&tenant, &["profiles", "get", id, "-o", "json"])["id"], profile["id"]);
    assert_eq!(json_of(&tenant, &["profiles", "events", id, "-o", "json"])[0]["id"], "e3");
    assert_eq!(json_of(&tenant, &["profiles", "identity", id, "-o", "json"])["profile_id"], profile["id"]);
    let why = json_of(&tenant, &["segments", "explain", "big", id, "-o", "json"]);
    assert_eq!(why["member"], true, "{why}");
    let rule = file("rule.json", &json!({"attribute": "spend", "op": "lt", "value": 3}));
    assert_eq!(json_of(&tenant, &["segments", "preview", &rule, "-o", "json"])["size"], 2);
    let changes = json_of(&tenant, &["segments", "changes", "big", "-o", "json"]);
    assert_eq!(changes.as_array().unwrap().len(), 2, "{changes}");
    let receipt = json_of(&tenant, &["events", "get", "e3", "--source", "till", "-o", "json"]);
    assert_eq!(receipt["status"], "applied", "{receipt}");
    assert_eq!(json_of(&tenant, &["events", "list", "-o", "json"]), json!([]));
    ok(&tenant, &["events", "replay", "--wait"]);

    let jobs = json_of(&tenant, &["jobs", "list", "-o", "json"]);
    let job = jobs[0]["id"].as_str().unwrap();
    assert_eq!(json_of(&tenant, &["jobs", "get", job, "-o", "json"])["status"], "done");
    ok(&tenant, &["jobs", "wait", job]);
    assert_eq!(as_tenant(&tenant, &["jobs", "cancel", job]).code, Some(5), "it has ended");
    let key = json_of(&tenant, &["keys", "create", "till", "--scope", "ingest", "-o", "json"]);
    let keys = json_of(&tenant, &["keys", "list", "-o", "json"]);
    assert!(keys.as_array().unwrap().iter().any(|one| one["id"] == key["id"]), "{keys}");

    // Exit codes.
    for (args, code) in [
        (&["profiles", "lookup", "customer_id=nobody"][..], 4),
        (&["profiles", "lookup", "customer_id"], 2),
        (&["segments", "get", "none"], 4),
        (&["segments", "put", "bad", &spend], 7),
        (&["segments", "put", "bad", "nowhere.json"], 4),
        (&["keys", "revoke", "key_none"], 4),
        (&["segmnts", "list"], 2),
    ] {
        let ended = as_tenant(&tenant, args);
        assert_eq!(ended.code, Some(code), "{args:?}: {} {}", ended.stdout, ended.stderr);
        assert!(ended.stdout.is_empty(), "what is not a result goes to standard error: {}", ended.stdout);
    }
    let typo = as_tenant(&tenant, &["segmnts", "list"]);
    assert!(typo.stderr.contains("segments"), "{}", typo.stderr);
    let only_ingest = tenant.with_key(key["key"].as_str().unwrap());
    let mut command = Command::new(CDP);
    command.args(["segments", "list"]).env("CDP_URL", tenant.url()).env("CDP_API_KEY", only_ingest.key());
    assert_eq!(run_to_end(command, Duration::from_secs(60)).code, Some(6));
    ok(&tenant, &["keys", "revoke", key["id"].as_str().unwrap()]);
    let mut command = Command::new(CDP);
    command.args(["segments", "list", "--url", "http://127.0.0.1:9"]).env("CDP_API_KEY", tenant.key());
    assert_eq!(run_to_end(command, Duration::from_secs(60)).code, Some(8));
    assert_eq!(plain(&["segments", "list"], own.path()).code, Some(3), "there is no key");
    ok(&tenant, &["segments", "delete", "big"]);
    ok(&tenant, &["attributes", "delete", "spend"]);
    assert_eq!(json_of(&tenant, &["attributes", "list", "-o", "json"]), json!([]));
    server.finish();
}

#[test]
fn events_are_shown_as_they_come() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    send_all(&tenant, &[event(1)]);
    let mut command = Command::new(CDP);
    command.args(["events", "tail", "--type", "purchase", "--count", "3", "-o", "ndjson"]);
    command.args(["--after", "0"]).env("CDP_URL", tenant.url()).env("CDP_API_KEY", tenant.key());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut other = event(2);
    other["type"] = "visit".into();
    send_all(&tenant, &[other, event(3), event(4), event(5)]);
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let text = String::from_utf8(ended.stdout).unwrap();
    let ids: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["event"]["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids, ["e1", "e3", "e4"], "in the order in which they were taken in, of one type");
    let page = tenant.get("/v1/journal/events?after=0&limit=2").ok();
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    let next = page["next"].as_str().unwrap();
    let rest = tenant.get(&format!("/v1/journal/events?after={next}")).ok();
    assert_eq!(rest["items"].as_array().unwrap().len(), 3, "{rest}");
    let end = tenant.get("/v1/journal/events").ok();
    assert_eq!((&end["items"], &end["next"]), (&json!([]), &rest["next"]));
    tenant.get("/v1/journal/events?after=x").expect_problem(400);
    server.finish();
}

#[test]
fn an_installation_is_laid_down_looked_at_and_told_of() {
    let own = tempfile::tempdir().unwrap();
    let init = plain(&["init", "--data-dir", "data", "--listen", "127.0.0.1:0"], own.path());
    assert_eq!(init.code, Some(0), "{} {}", init.stdout, init.stderr);
    for made in ["cdp.toml", "data", "data.key", "data.operator"] {
        assert!(own.path().join(made).exists(), "{made}");
    }
    assert_eq!(plain(&["init", "--data-dir", "data"], own.path()).code, Some(5), "nothing is written over");
    let operator = std::fs::read_to_string(own.path().join("data.operator")).unwrap();
    assert!(!init.stdout.contains(operator.trim()), "secrets are not printed");

    let mut command = Command::new(CDP);
    command.args(["config", "show", "--origin", "-o", "json", "--cache-mib", "64"]).current_dir(own.path());
    command.env("CDP_CONNECTIONS_MAX", "77").env("CDP_OPERATOR_KEY", "secret-words");
    let shown = run_to_end(command, Duration::from_secs(60));
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert!(!shown.stdout.contains("secret-words"), "{}", shown.stdout);
    let rows: Vec<Value> = serde_json::from_str(&shown.stdout).unwrap();
    let of = |name: &str| {
        let row = rows.iter().find(|row| row["setting"] == name).unwrap();
        (row["value"].as_str().unwrap().to_owned(), row["origin"].as_str().unwrap().to_owned())
    };
    assert_eq!(of("cache_mib"), ("64".into(), "flag --cache-mib".into()));
    assert_eq!(of("connections_max"), ("77".into(), "environment CDP_CONNECTIONS_MAX".into()));
    assert_eq!(of("listen"), ("127.0.0.1:0".into(), "file cdp.toml".into()));
    assert_eq!(of("burst_seconds"), ("2".into(), "default".into()));
    assert_eq!(of("http.headers_max").1, "default");
    std::fs::write(own.path().join("bad.toml"), "lisen = 1").unwrap();
    assert_eq!(plain(&["config", "show", "--config", "bad.toml"], own.path()).code, Some(3));

    let doctor = plain(&["doctor", "-o", "json"], own.path());
    assert_eq!(doctor.code, Some(0), "{} {}", doctor.stdout, doctor.stderr);
    let checks: Vec<Value> = serde_json::from_str(&doctor.stdout).unwrap();
    for check in ["configuration", "data", "master key", "port", "disk", "clock", "open files"] {
        assert!(checks.iter().any(|one| one["check"] == check), "{check}: {}", doctor.stdout);
    }
    std::fs::create_dir_all(own.path().join("data/keys")).unwrap();
    std::fs::write(own.path().join("data/keys/installation"), "x").unwrap();
    std::fs::remove_file(own.path().join("data.key")).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let sick = plain(&["doctor", "--listen", &address], own.path());
    assert_eq!(sick.code, Some(9), "{}", sick.stdout);
    assert!(
        sick.stdout.contains("without it nothing can be read") && sick.stdout.contains(&address),
        "{}",
        sick.stdout
    );

    for shell in ["bash", "zsh", "fish"] {
        let completions = plain(&["completions", shell], own.path());
        assert_eq!(completions.code, Some(0), "{}", completions.stderr);
        assert!(completions.stdout.contains("segments") && completions.stdout.contains("backup"), "{shell}");
    }
    for command in
        ["tenants", "keys", "events", "profiles", "segments", "attributes", "jobs", "backup", "config"]
    {
        let help = plain(&[command, "--help"], own.path());
        assert_eq!(help.code, Some(0), "{command}");
    }
    let help = plain(&["segments", "members", "--help"], own.path());
    assert!(help.stdout.contains("Examples:\n  cdp segments members"), "{}", help.stdout);
}

#[test]
fn what_init_laid_down_is_served_and_makes_tenants() {
    let own = tempfile::tempdir().unwrap();
    let init = plain(&["init", "--data-dir", "data", "--listen", "127.0.0.1:0"], own.path());
    assert_eq!(init.code, Some(0), "{}", init.stderr);
    let mut command = Command::new(CDP);
    command.arg("serve").current_dir(own.path()).env("RUST_LOG", "error");
    command
        .env_remove("CDP_OPERATOR_KEY")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let url = line.trim().strip_prefix("listening on ").unwrap().to_owned();
    let tenants = |args: &[&str]| {
        let mut command = Command::new(CDP);
        command.args(["tenants"]).args(args).args(["--operator-key-file", "data.operator", "--url", &url]);
        command.current_dir(own.path()).env_remove("CDP_OPERATOR_KEY");
        run_to_end(command, Duration::from_secs(60))
    };
    let made = tenants(&["create", "shop", "--time-zone", "Europe/Riga", "-o", "json"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let made: Value = serde_json::from_str(&made.stdout).unwrap();
    assert!(made["admin_key"].as_str().unwrap().starts_with("cdp_live_"), "{made}");
    assert_eq!(tenants(&["create", "shop"]).code, Some(5), "there is one of this name");
    let listed = tenants(&["list", "-o", "csv"]);
    assert!(listed.stdout.contains("shop,shop,Europe/Riga"), "{}", listed.stdout);
    // What is asked of a data directory while a server runs on it.
    let doctor = plain(&["doctor"], own.path());
    assert!(doctor.stdout.contains("in use by process"), "{}", doctor.stdout);
    child.kill().unwrap();
    child.wait().unwrap();
}
