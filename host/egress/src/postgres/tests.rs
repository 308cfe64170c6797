//! A real server on loopback, which the test starts itself; without one installed the test says so and does nothing.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;
use crate::testkit::{Fixture, to_loopback};
use crate::{Policy, Rule};

/// A server in a directory of its own; ended and removed with the value.
struct Server {
    dir: PathBuf,
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Where Debian and most others put the programs of a server.
fn programs() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").is_file())
        .collect();
    found.sort();
    found.pop()
}

/// A command that runs as somebody whom the server accepts: it refuses to be root.
fn as_user(program: &Path) -> Command {
    let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

fn server(test: &str) -> Option<Server> {
    let Some(bin) = programs() else {
        eprintln!("SKIPPED {test}: no PostgreSQL server is installed");
        return None;
    };
    let dir = std::env::temp_dir().join(format!("cdp-egress-{test}-{}", std::process::id()));
    _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    _ = Command::new("chown").arg("postgres").arg(&dir).stderr(Stdio::null()).status();
    let password = dir.join("password");
    std::fs::write(&password, "pa ss/word\n").unwrap();
    _ = Command::new("chown").arg("postgres").arg(&password).stderr(Stdio::null()).status();
    let mut initdb = as_user(&bin.join("initdb"));
    initdb.arg("-D").arg(dir.join("data")).args([
        "-U",
        "own er",
        "-A",
        "scram-sha-256",
        "--no-sync",
        "-E",
        "UTF8",
    ]);
    let made = initdb.args(["--locale=C", "--pwfile"]).arg(&password).output();
    match made {
        Ok(made) if made.status.success() => {}
        other => {
            eprintln!("SKIPPED {test}: initdb does not work here: {other:?}");
            return None;
        }
    }
    // A free port, taken again at once by the server.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut serve = as_user(&bin.join("postgres"));
    serve.arg("-D").arg(dir.join("data")).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
    serve
        .args(["-c", "fsync=off", "-c", "unix_socket_directories="])
        .stderr(Stdio::null())
        .stdout(Stdio::null());
    let server = Server { dir, child: serve.spawn().unwrap(), port };
    Some(server)
}

impl Server {
    fn url(&self) -> String {
        format!("postgres://own%20er:pa%20ss%2Fword@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    fn table(&self, table: &str) -> Postgres {
        Postgres { url: self.url(), table: table.to_owned() }
    }

    /// Runs a statement with the server's own client library, by the same connection code.
    fn sql(&self, egress: &Egress, sql: &'static str) -> Vec<Vec<Option<String>>> {
        let table = self.table("unused");
        pollster::block_on(table.within(egress, move |session, _| {
            Box::pin(async move {
                let messages = session.client.simple_query(sql).await;
                let messages = messages.map_err(|error| fault("the server", &error))?;
                Ok(messages
                    .iter()
                    .filter_map(|message| match message {
                        tokio_postgres::SimpleQueryMessage::Row(row) => {
                            Some((0..row.len()).map(|n| row.get(n).map(str::to_owned)).collect())
                        }
                        _ => None,
                    })
                    .collect())
            })
        }))
        .unwrap()
    }

    fn wait(&self, egress: &Egress) {
        let begun = Instant::now();
        let table = self.table("nothing");
        loop {
            let fault = pollster::block_on(table.check(egress, "id", &[])).unwrap_err();
            if fault.code() == "not_found" {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{fault}");
        }
    }
}

fn rows(columns: &[&str], upserts: &[(&str, &[Option<&str>])], deletes: &[&str]) -> Rows {
    Rows {
        key: "id".into(),
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        upserts: upserts
            .iter()
            .map(|(key, values)| ((*key).to_owned(), values.iter().map(|v| v.map(str::to_owned)).collect()))
            .collect(),
        deletes: deletes.iter().map(|key| (*key).to_owned()).collect(),
    }
}

#[test]
fn rows_are_put_changed_and_taken_out_of_a_real_table() {
    let Some(server) = server("rows") else { return };
    let egress = to_loopback();
    server.wait(&egress);
    server.sql(
        &egress,
        "CREATE SCHEMA \"c r m\"; CREATE TABLE \"c r m\".\"pe\"\"ople\" (id text PRIMARY KEY, spend numeric(12,2), \
         seen timestamptz, tags jsonb, \"na;me\" text CHECK (\"na;me\" <> 'forbidden'), ok boolean); \
         INSERT INTO \"c r m\".\"pe\"\"ople\" (id, \"na;me\") VALUES ('foreign', 'stays'); \
         CREATE TABLE nokey (id text, x text)",
    );
    let table = server.table("c r m.pe\"ople");
    let names = ["spend", "seen", "tags", "na;me", "ok"];
    let named: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    pollster::block_on(table.check(&egress, "id", &named)).unwrap();
    let ada: &[Option<&str>] = &[
        Some("12.50"),
        Some("2026-11-26T01:02:03.004Z"),
        Some("[\"a\",\"ü\"]"),
        Some("'; DROP TABLE x; -- \"\\ \n"),
        Some("true"),
    ];
    let none: &[Option<&str>] = &[None, None, None, None, None];
    let put = rows(&names, &[("ada", ada), ("bob", none)], &["nobody"]);
    for _ in 0..2 {
        let applied = pollster::block_on(table.apply(&egress, put.clone())).unwrap();
        assert_eq!(
            applied,
            Applied { upserted: 2, deleted: 0, rejected: Vec::new() },
            "again changes nothing"
        );
    }
    let state = || {
        server.sql(
            &egress,
            "SET time zone 'UTC'; SELECT id, spend, seen, tags, \"na;me\", ok FROM \"c r m\".\"pe\"\"ople\" ORDER BY id",
        )
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        state(),
        [
            vec![
                text("ada"),
                text("12.50"),
                text("2026-11-26 01:02:03.004+00"),
                text("[\"a\", \"ü\"]"),
                text("'; DROP TABLE x; -- \"\\ \n"),
                text("t")
            ],
            vec![text("bob"), None, None, None, None, None],
            vec![text("foreign"), None, None, None, text("stays"), None],
        ]
    );
    // One row of three that the table will not have, by its type and by its constraint: its neighbours pass.
    let bad = rows(
        &["spend", "na;me"],
        &[
            ("cy", &[Some("1"), Some("c")]),
            ("bad", &[Some("canary-much"), None]),
            ("worse", &[None, Some("forbidden")]),
            ("dee", &[Some("2"), None]),
        ],
        &["bob"],
    );
    let applied = pollster::block_on(table.apply(&egress, bad)).unwrap();
    assert_eq!((applied.upserted, applied.deleted), (2, 1));
    assert_eq!(applied.rejected, [(1, "22P02".to_owned()), (2, "23514".to_owned())]);
    let ids: Vec<_> = state().into_iter().map(|mut row| row.remove(0).unwrap()).collect();
    assert_eq!(ids, ["ada", "cy", "dee", "foreign"]);
    // What is wrong with a definition is said in our words.
    for (table, columns, code, words) in [
        ("c r m.gone", &["x"][..], "not_found", "no table"),
        ("c r m.pe\"ople", &["gone"], "not_found", "no column gone"),
        ("nokey", &["x"], "definition", "unique"),
    ] {
        let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
        let fault = pollster::block_on(server.table(table).check(&egress, "id", &columns)).unwrap_err();
        assert_eq!(fault.code(), code, "{fault}");
        assert!(fault.to_string().contains(words), "{fault}");
    }
    let other = Postgres { url: server.url().replace("pa%20ss", "canary"), ..server.table("x") };
    let fault = pollster::block_on(other.check(&egress, "id", &[])).unwrap_err();
    assert_eq!(fault.code(), "unauthorised");
    assert!(!format!("{fault} {other:?}").contains("canary"));
    // The server has no certificate: without TLS it is not spoken to, unless the address says so.
    let tls = Postgres { url: server.url().replace("disable", "require"), ..server.table("x") };
    assert_eq!(pollster::block_on(tls.check(&egress, "id", &[])).unwrap_err().code(), "tls");
}

#[test]
fn a_call_has_as_many_rows_and_columns_as_may_be() {
    let names = |n: usize| (0..n).map(|n| format!("c{n}")).collect::<Vec<_>>();
    let with = |upserts: usize, deletes: usize, columns: usize| Rows {
        key: "id".into(),
        columns: names(columns),
        upserts: names(upserts).into_iter().map(|key| (key, vec![None; columns])).collect(),
        deletes: names(deletes),
    };
    assert_eq!(check_rows(&with(ROWS_MAX - 1, 1, 0)), Ok(()));
    assert!(check_rows(&with(ROWS_MAX, 1, 0)).is_err());
    assert_eq!(check_rows(&with(0, 0, COLUMNS_MAX - 1)), Ok(()));
    assert!(check_rows(&with(0, 0, COLUMNS_MAX)).is_err());
    let mut twice = with(2, 0, 0);
    twice.upserts[1].0 = "c0".into();
    assert!(check_rows(&twice).is_err());
    assert!(check_rows(&Rows { columns: vec!["id".into()], ..with(0, 0, 0) }).is_err());
    assert!(check_rows(&Rows { columns: vec!["x".into()], ..with(1, 0, 0) }).is_err());
}

#[test]
fn addresses_are_read_by_the_same_policy() {
    let open = Policy::read("").unwrap();
    let code = |policy: &Policy, url: &str| match connect::settings(policy, url) {
        Ok(_) => "ok",
        Err(Fault::Refused { rule: Rule::Scheme, .. }) => "refused_scheme",
        Err(fault) => fault.code(),
    };
    for (url, expected) in [
        ("postgres://u:p@db.example.com/x", "ok"),
        ("postgresql://u@db.example.com:6432/x?sslmode=verify-full", "ok"),
        ("postgres://u:p@db.example.com/x?sslmode=disable", "refused_scheme"),
        ("postgres://u:p@db.example.com/x?sslmode=prefer", "definition"),
        ("postgres://u:p@db.example.com/x?host=/tmp", "definition"),
        ("postgres://u:p@db.example.com/x?options=-c%20x", "definition"),
        ("postgres://db.example.com/x", "definition"),
        ("postgres://u@db.example.com/", "definition"),
        ("postgres://u@db.example.com/x#y", "refused_url"),
        ("postgres://u@db.example.com:21/x", "refused_port"),
        ("postgres://u@db.example.com:22/x", "refused_port"),
        ("postgres://u@localhost/x", "refused_name"),
        ("postgres://u@0x7f.1/x", "refused_literal"),
        ("postgres://u@2130706433/x", "refused_literal"),
        ("postgres://u@[::1]/x", "refused_literal"),
        ("postgres://u@%2Frun%2Fpostgresql/x", "refused_url"),
        ("postgres:///x", "refused_url"),
        ("mysql://u@db.example.com/x", "refused_scheme"),
        ("postgres://u@a.example,b.example/x", "refused_name"),
    ] {
        assert_eq!(code(&open, url), expected, "{url}");
    }
    let allowed = Policy::read("db.internal").unwrap();
    assert_eq!(code(&allowed, "postgres://u:p@db.internal:9999/x?sslmode=disable"), "ok");
}

#[test]
fn a_server_that_sends_without_end_is_left() {
    // An authentication message that claims two gigabytes, and goes on for ever.
    let floods = Fixture::new(|mut stream| {
        use std::io::{Read as _, Write as _};
        _ = stream.read(&mut [0; 1024]);
        _ = stream.write_all(b"R\x7f\xff\xff\xff");
        while stream.write_all(&[0; 1 << 16]).is_ok() {}
    });
    let table = Postgres {
        url: format!("postgres://u:p@127.0.0.1:{}/x?sslmode=disable", floods.address.port()),
        table: "x".into(),
    };
    let fault = pollster::block_on(table.check(&to_loopback(), "id", &[])).unwrap_err();
    assert_eq!(fault.code(), "too_large", "{fault}");
    let closes = Fixture::new(drop);
    let table = Postgres {
        url: format!("postgres://u:p@127.0.0.1:{}/x?sslmode=disable", closes.address.port()),
        table: "x".into(),
    };
    let fault = pollster::block_on(table.check(&to_loopback(), "id", &[])).unwrap_err();
    assert!(fault.is_retryable(), "{fault}");
}
