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
fn rules_on_how_long_events_are_kept_are_counted_set_and_removed() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let mut old = event(1);
    old["time"] = "2020-01-01T00:00:00Z".into();
    let mut first = event(1);
    (first["id"], first["type"]) = ("first".into(), "visit".into());
    first["time"] = "2019-01-01T00:00:00Z".into();
    send_all(&tenant, &[first, old, event(2)]);
    assert_eq!(json_of(&tenant, &["retention", "get", "-o", "json"]), json!([]));
    let set = ["retention", "set", "purchase", "--days", "30", "--derived", "decayed"];
    let dry = json_of(&tenant, &[&set[..], &["--dry-run", "-o", "json"]].concat());
    assert_eq!((&dry[0]["events"], &dry[0]["type"]), (&json!(1), &json!("purchase")), "{dry}");
    assert_eq!(json_of(&tenant, &["retention", "get", "-o", "json"]), json!([]), "nothing is done");

    let rule = json!({"type": "purchase", "days": 30, "derived": "decayed"});
    assert_eq!(json_of(&tenant, &[&set[..], &["--wait", "-o", "json"]].concat()), json!([rule]));
    let status = json_of(&tenant, &["retention", "status", "-o", "json"]);
    assert_eq!((&status["expired"], &status["carried_out"]), (&json!(1), &json!(true)), "{status}");
    assert_eq!(status["job"]["kind"], "retention", "{status}");
    let others = ["retention", "set", "*", "--days", "36500", "--derived", "frozen", "-o", "csv"];
    assert_eq!(
        ok(&tenant, &others).lines().collect::<Vec<_>>(),
        ["type,days,derived", "*,36500,frozen", "purchase,30,decayed"]
    );
    let left = ok(&tenant, &["retention", "remove", "*", "-o", "ndjson"]);
    assert_eq!(serde_json::from_str::<Value>(left.trim()).unwrap(), rule, "{left}");
    // Nothing is left to be carried out: it is not waited for.
    assert_eq!(json_of(&tenant, &["retention", "remove", "purchase", "--wait", "-o", "json"]), json!([]));
    let status = json_of(&tenant, &["retention", "status", "-o", "json"]);
    assert_eq!((&status["rules"], &status["expired"]), (&json!([]), &json!(1)), "{status}");
    assert!(ok(&tenant, &["retention", "status"]).contains("carried_out"));
    for (args, code) in [
        (&["retention", "remove", "purchase"][..], 4),
        (&["retention", "set", "purchase", "--days", "0", "--derived", "frozen"], 7),
        (&["retention", "set", "purchase", "--days", "0", "--derived", "frozen", "--dry-run"], 7),
        (&["retention", "set", "purchase", "--days", "9", "--derived", "kept"], 2),
        (&["retention", "set", "purchase", "--days", "9"], 2),
    ] {
        let ended = as_tenant(&tenant, args);
        assert_eq!(ended.code, Some(code), "{args:?}: {} {}", ended.stdout, ended.stderr);
        assert!(ended.stdout.is_empty(), "{}", ended.stdout);
    }
    server.finish();
}

#[test]
fn what_is_held_about_somebody_is_brought_and_who_was_erased_is_let_in_again() {
    use std::os::unix::fs::PermissionsExt as _;
    let own = tempfile::tempdir().unwrap();
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    send_all(&tenant, &[event(1), event(2)]);
    let state = json_of(&tenant, &["access-requests", "create", "customer_id=c1", "--wait", "-o", "json"]);
    assert_eq!((&state["status"], &state["document"]["events"]), (&json!("done"), &json!(1)), "{state}");
    let begun = json_of(&tenant, &["access-requests", "create", "customer_id=c1", "-o", "json"]);
    ok(&tenant, &["jobs", "wait", begun["job"].as_str().unwrap()]);
    let id = state["id"].as_str().unwrap();
    assert_eq!(json_of(&tenant, &["access-requests", "get", id, "-o", "json"]), state);
    let path = own.path().join("c1.json");
    let to = path.to_str().unwrap();
    let told = json_of(&tenant, &["access-requests", "download", id, "--to", to, "-o", "json"]);
    assert_eq!(told, state["document"]);
    let document: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(
        (&document["format"], &document["events"][0]["event"]["id"]),
        (&json!("cdp-access/1"), &json!("e1"))
    );
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "only who asked reads it");
    let other = own.path().join("other.json");
    let other = other.to_str().unwrap();
    for (args, code) in [
        (&["access-requests", "create", "customer_id=nobody"][..], 4),
        (&["access-requests", "create", "customer_id"], 2),
        (&["access-requests", "get", "job_none"], 4),
        (&["access-requests", "download", "job_none", "--to", other], 4),
        (&["access-requests", "download", id, "--to", to], 5),
        (&["access-requests", "download", id], 2),
    ] {
        let ended = as_tenant(&tenant, args);
        assert_eq!(ended.code, Some(code), "{args:?}: {} {}", ended.stdout, ended.stderr);
        assert!(ended.stdout.is_empty(), "{}", ended.stdout);
    }
    assert!(!Path::new(other).exists(), "nothing is left of what could not be brought");

    assert_eq!(json_of(&tenant, &["suppressions", "list", "-o", "json"]), json!([]));
    let who = json!({"identifier": {"type": "customer_id", "value": "c2"}, "reason": "asked for"});
    tenant.finish_job(&tenant.post("/v1/erasures", &who).expect_status(202));
    let listed = json_of(&tenant, &["suppressions", "list", "-o", "json"]);
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    let suppression = listed[0]["id"].as_str().unwrap();
    let csv = ok(&tenant, &["suppressions", "list", "-o", "csv"]);
    assert!(csv.starts_with("id,of,since,erasure\n") && csv.contains(suppression), "{csv}");
    let again = || {
        tenant.post(
            "/v1/events",
            &json!([{"id": "new", "type": "visit", "identifiers": [{"type": "customer_id", "value": "c2"}]}]),
        )
    };
    assert_eq!(again().json()["results"][0]["status"], "suppressed");
    for (args, code) in [
        (&["suppressions", "lift", suppression][..], 2),
        (&["suppressions", "lift", suppression, "--reason", " "], 7),
        (&["suppressions", "lift", "sup_none", "--reason", "x"], 4),
    ] {
        let ended = as_tenant(&tenant, args);
        assert_eq!(ended.code, Some(code), "{args:?}: {} {}", ended.stdout, ended.stderr);
    }
    ok(&tenant, &["suppressions", "lift", suppression, "--reason", "they came back & asked: ticket 4"]);
    assert_eq!(json_of(&tenant, &["suppressions", "list", "-o", "json"]), json!([]));
    assert_eq!(again().json()["accepted"], 1);
    assert!(tenant.get("/v1/audit?limit=1000").text().contains("they came back & asked: ticket 4"));
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
    for command in [
        "tenants",
        "keys",
        "events",
        "profiles",
        "segments",
        "attributes",
        "jobs",
        "retention",
        "suppressions",
        "access-requests",
        "backup",
        "config",
    ] {
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
