//! `cdp import`: files go in once, bad rows cost themselves, nothing newer is overridden and no opt-out undone.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::http::attribute;
use crate::harness::{CDP, Ended, Server, Tenant, root, run_to_end, until};

const LONGEST: Duration = Duration::from_secs(120);

struct Import {
    dir: TempDir,
    url: String,
    key: String,
}

impl Import {
    fn to(server: &Server, tenant: &Tenant) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), url: server.url.clone(), key: tenant.key.clone() }
    }

    fn file(&self, name: &str, content: &str) {
        std::fs::write(self.dir.path().join(name), content).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(CDP);
        command.arg("import").args(arguments).current_dir(self.dir.path());
        command.env("CDP_URL", &self.url).env("CDP_API_KEY", &self.key).env_remove("CDP_API_KEY_FILE");
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        run_to_end(self.command(arguments), LONGEST)
    }

    fn done(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        ended.stdout
    }

    fn refused_rows(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.path().join(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Waits until everything that was accepted so far is in state.
fn settle(tenant: &Tenant) {
    let mark = json!({"id": "settled", "type": "mark", "identifiers": [{"type": "mark", "value": "m"}]});
    tenant.post("/v1/events?wait=applied", &mark).expect_status(202);
}

const ORDERS: &str = "\
Order no,Customer,Total,Date,Note
1,ann,10.50,2026-01-01T10:00:00Z,first
2,ann,5,2026-01-02T10:00:00Z,
3,bob,7.25,2026-01-03T10:00:00Z,\"with, comma\"
";

const ORDER_MAP: [&str; 10] = [
    "--map",
    "Order no=id",
    "--map",
    "Customer=identifier.customer_id",
    "--map",
    "Total=property.total:number",
    "--map",
    "Date=time",
    "--set",
    "type=purchase",
];

#[test]
fn a_csv_file_of_events_goes_in_once_however_often_it_is_imported() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    tenant.define("/v1/attributes/spent", &json!({"kind": "sum", "event": "purchase", "property": "/total"}));
    let import = Import::to(&server, &tenant);
    import.file("orders.csv", ORDERS);
    let arguments: Vec<&str> = ["events", "orders.csv"].into_iter().chain(ORDER_MAP).collect();
    let first = import.done(&arguments);
    assert!(first.contains("3 rows: 3 accepted, 0 were there already, 0 refused"), "{first}");
    let second = import.done(&arguments);
    assert!(second.contains("3 rows: 0 accepted, 3 were there already, 0 refused"), "{second}");
    settle(&tenant);
    assert_eq!(attribute(&tenant.profile("customer_id", "ann"), "spent"), "15.5");
    assert_eq!(attribute(&tenant.profile("customer_id", "bob"), "spent"), "7.25");
    let left: Vec<_> =
        std::fs::read_dir(import.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["orders.csv"], "nothing is left beside the file");
    server.finish();
}

#[test]
fn a_gift_shops_year_goes_in_from_its_compressed_file() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    tenant.define("/v1/attributes/orders", &json!({"kind": "count", "event": "Order Completed"}));
    let import = Import::to(&server, &tenant);
    let file = root().join("examples/retail/orders.ndjson.gz");
    std::fs::copy(file, import.dir.path().join("orders.ndjson.gz")).unwrap();
    let told = import.done(&["events", "orders.ndjson.gz", "--concurrency", "4", "--batch", "1000"]);
    assert!(told.contains("22190 rows: 22190 accepted"), "{told}");
    let packed = std::fs::read(import.dir.path().join("orders.ndjson.gz")).unwrap();
    let mut again = import
        .command(&["events", "-", "--format", "ndjson"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    again.stdin.take().unwrap().write_all(&packed).unwrap();
    let told = String::from_utf8(again.wait_with_output().unwrap().stdout).unwrap();
    assert!(told.contains("22190 rows: 0 accepted, 22190 were there already"), "{told}");
    server.finish();
}

#[test]
fn bad_rows_stand_in_the_error_file_and_all_others_go_in() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let import = Import::to(&server, &tenant);
    let bad =
        "4,cat,lots,2026-01-04T10:00:00Z,\n5,dan,1,yesterday,\n6,eve,1\n7,fay,2,2026-01-05T10:00:00Z,\n";
    import.file("orders.csv", &format!("{ORDERS}{bad}"));
    let arguments: Vec<&str> = ["events", "orders.csv"].into_iter().chain(ORDER_MAP).collect();
    let dry: Vec<&str> = arguments.iter().copied().chain(["--dry-run", "--errors", "dry.ndjson"]).collect();
    let ended = import.run(&dry);
    assert_eq!(ended.code, Some(7), "{}", ended.stderr);
    assert!(ended.stdout.contains("4 would be sent"), "{}", ended.stdout);
    assert_eq!(tenant.post("/v1/profiles/lookup", &lookup("ann")).status, 404, "a dry run sends nothing");
    let ended = import.run(&arguments);
    assert_eq!(ended.code, Some(7), "{}", ended.stderr);
    assert!(ended.stdout.contains("7 rows: 4 accepted, 0 were there already, 3 refused"), "{}", ended.stdout);
    let rows = import.refused_rows("orders.csv.errors.ndjson");
    assert_eq!(rows, import.refused_rows("dry.ndjson"), "a dry run finds the same");
    let told: Vec<_> =
        rows.iter().map(|row| (&row["row"], &row["line"], &row["pointer"], &row["column"])).collect();
    let want = json!([[4, 5, "/properties/total", "Total"], [5, 6, "/time", "Date"], [6, 7, "", null],]);
    assert_eq!(json!(told), want, "{rows:?}");
    assert!(rows.iter().all(|row| row["detail"].is_string() && row["code"].is_string()), "{rows:?}");
    settle(&tenant);
    tenant.profile("customer_id", "fay");
    server.finish();
}

fn lookup(customer: &str) -> Value {
    json!({"identifier": {"type": "customer_id", "value": customer}})
}

#[test]
fn an_import_overrides_nothing_newer_and_undoes_no_opt_out() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    tenant
        .put("/v1/purposes/news", &json!({"title": "News", "legal_basis": "consent", "channels": ["email"]}))
        .ok();
    for (name, status) in [("out", "withdrawn"), ("none", "")] {
        let mut event = json!({"id": name, "type": "signed_up", "time": "2026-06-01T00:00:00Z",
            "identifiers": [{"type": "customer_id", "value": name}], "traits": {"city": "Riga"}});
        if !status.is_empty() {
            event["consents"] = json!([{"channel": "email", "address": format!("{name}@example.com"),
                "purpose": "news", "status": status, "time": "2026-06-01T00:00:00Z"}]);
        }
        tenant.post("/v1/events?wait=applied", &event).expect_status(202);
    }
    let import = Import::to(&server, &tenant);
    import.file(
        "people.csv",
        "Id,Mail,City,Street,News\nout,out@example.com,Cēsis,Rīgas iela,granted\nnone,none@example.com,Cēsis,,granted\n",
    );
    let map = [
        "profiles",
        "people.csv",
        "--map",
        "Id=identifier.customer_id",
        "--map",
        "Mail=channel.email",
        "--map",
        "City=trait.city",
        "--map",
        "Street=trait.street",
        "--map",
        "News=consent.email.news",
    ];
    // Once as of before the live events, once as of long after: what is undated never wins.
    for time in ["2026-05-01T00:00:00Z", "2026-10-01T00:00:00Z"] {
        let arguments: Vec<&str> = map.into_iter().chain(["--time", time]).collect();
        let told = import.done(&arguments);
        assert!(told.contains("2 rows:"), "{told}");
        settle(&tenant);
        let out = tenant.profile("customer_id", "out");
        assert_eq!(out["traits"]["city"]["value"], "Riga", "newer than the import: {out}");
        assert_eq!(out["traits"]["street"]["value"], "Rīgas iela", "{out}");
        assert_eq!(status(&out), "withdrawn", "as of {time}");
        assert_eq!(status(&tenant.profile("customer_id", "none")), "granted", "nobody said no");
    }
    import.file("later.csv", "Id,Mail,News,Since\nout,out@example.com,granted,2026-07-01\n");
    let told = import.done(&[
        "profiles",
        "later.csv",
        "--map",
        "Id=identifier.customer_id",
        "--map",
        "Mail=channel.email",
        "--map",
        "News=consent.email.news",
        "--map",
        "Since=consent_time.email.news",
    ]);
    assert!(told.contains("1 accepted"), "{told}");
    settle(&tenant);
    assert_eq!(
        status(&tenant.profile("customer_id", "out")),
        "withdrawn",
        "no import brings an opt-in back, dated or not"
    );
    server.finish();
}

fn status(profile: &Value) -> String {
    profile["channels"][0]["consents"]["news"]["status"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn an_interrupted_import_goes_on_and_counts_nothing_twice() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    tenant.define("/v1/attributes/orders", &json!({"kind": "count", "event": "purchase"}));
    let import = Import::to(&server, &tenant);
    let rows: String = (0..3000)
        .map(|n| {
            let event = json!({"type": "purchase", "time": "2026-01-01T00:00:00Z", "properties": {"n": n},
                "identifiers": [{"type": "customer_id", "value": "ann"}]});
            format!("{event}\n")
        })
        .collect();
    import.file("orders.ndjson", &rows);
    let arguments = ["events", "orders.ndjson", "--batch", "50"];
    let mut slow = import.command(&arguments);
    let mut slow = slow.args(["--rate", "500"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let progress = import.dir.path().join("orders.ndjson.import-progress");
    let begun = until(LONGEST, || rows_done(&progress).filter(|rows| *rows > 0));
    slow.kill().unwrap();
    slow.wait().unwrap();
    assert!(begun.is_some_and(|rows| rows < 3000), "it was interrupted: {begun:?}");
    let told = import.done(&arguments);
    assert!(told.contains("were dealt with by an earlier run"), "{told}");
    assert!(told.contains("3000 rows:") && told.contains("0 refused"), "{told}");
    assert!(!progress.exists());
    settle(&tenant);
    assert_eq!(attribute(&tenant.profile("customer_id", "ann"), "orders"), "3000");
    server.finish();
}

fn rows_done(progress: &Path) -> Option<u64> {
    let text = std::fs::read(progress).ok()?;
    serde_json::from_slice::<Value>(&text).ok()?["rows"].as_u64()
}

#[test]
fn exit_codes_say_what_stood_in_the_way() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    let mut import = Import::to(&server, &tenant);
    import.file("orders.csv", ORDERS);
    let arguments: Vec<&str> = ["events", "orders.csv"].into_iter().chain(ORDER_MAP).collect();
    assert_eq!(import.run(&["events", "none.csv", "--map", "a=id"]).code, Some(4));
    assert_eq!(import.run(&["events", "orders.csv"]).code, Some(2), "CSV without a mapping");
    assert_eq!(import.run(&["events", "orders.csv", "--map", "Order=id"]).code, Some(2), "no such column");
    import.key = "cdp_live_admin_wrong".to_owned();
    assert_eq!(import.run(&arguments).code, Some(6));
    import.url = "http://127.0.0.1:1".to_owned();
    let unreachable: Vec<&str> = arguments.iter().copied().chain(["--patience", "0"]).collect();
    assert_eq!(import.run(&unreachable).code, Some(8));
    server.finish();
}
