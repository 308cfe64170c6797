//! The same rows out of PostgreSQL: a join of members and their decisions, as `COPY … TO STDOUT` writes it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde::Serialize;

use crate::bench::members::member;
use crate::demo::client::Fallible;

/// What COPY took.
#[derive(Debug, Serialize)]
pub(super) struct Copied {
    pub(super) rows: u64,
    pub(super) seconds: f64,
    pub(super) rows_per_second: f64,
}

const TABLES: &str = "DROP TABLE IF EXISTS cdp_bench_member, cdp_bench_decision;
CREATE TABLE cdp_bench_member (email text PRIMARY KEY, name text, city text, orders bigint, spent numeric);
CREATE TABLE cdp_bench_decision (email text, purpose text, status text, PRIMARY KEY (email, purpose));";

const COPY: &str = "COPY (SELECT m.email, m.name, m.city, m.orders, m.spent
FROM cdp_bench_member m JOIN cdp_bench_decision d ON d.email = m.email AND d.purpose = 'marketing'
WHERE d.status = 'granted') TO STDOUT WITH (FORMAT csv, HEADER)";

/// Fills two tables of a database with the members and times COPY, the second time.
pub(super) fn measure(connection: &str, members: u64) -> Fallible<Copied> {
    run(connection, TABLES)?;
    fill(connection, "cdp_bench_member", members, |text, n| {
        let of = member(n);
        _ = writeln!(text, "{},{},{},1,{}", of.email, of.name, of.city, of.total);
    })?;
    fill(connection, "cdp_bench_decision", members, |text, n| {
        let of = member(n);
        _ = writeln!(text, "{},marketing,{}", of.email, of.status);
    })?;
    for table in ["cdp_bench_member", "cdp_bench_decision"] {
        run(connection, &format!("VACUUM ANALYZE {table}"))?;
    }
    let mut copied = None;
    for _ in 0..2 {
        let began = Instant::now();
        let out = psql(connection).args(["-c", COPY]).stderr(Stdio::inherit()).output()?;
        let seconds = began.elapsed().as_secs_f64();
        if !out.status.success() {
            return Err("PostgreSQL did not copy".into());
        }
        let lines = out.stdout.iter().filter(|byte| **byte == b'\n').count() as u64;
        let rows = lines.saturating_sub(1);
        copied = Some(Copied { rows, seconds, rows_per_second: rows as f64 / seconds });
    }
    run(connection, "DROP TABLE cdp_bench_member, cdp_bench_decision;")?;
    copied.ok_or_else(|| "nothing was copied".into())
}

fn psql(connection: &str) -> Command {
    let mut psql = Command::new("psql");
    psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", connection]);
    psql
}

fn run(connection: &str, sql: &str) -> Fallible<()> {
    let status = psql(connection).args(["-c", sql]).stdout(Stdio::null()).status();
    match status.map_err(|error| format!("psql cannot be run: {error}"))?.success() {
        true => Ok(()),
        false => Err("PostgreSQL refuses; see above".into()),
    }
}

fn fill(connection: &str, table: &str, members: u64, line: impl Fn(&mut String, u64)) -> Fallible<()> {
    let copy = format!("COPY {table} FROM STDIN WITH (FORMAT csv)");
    let mut child = psql(connection).args(["-c", &copy]).stdin(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().ok_or("psql takes no input")?;
    let mut text = String::new();
    for n in 0..members {
        line(&mut text, n);
        if text.len() > 1 << 20 {
            input.write_all(text.as_bytes())?;
            text.clear();
        }
    }
    input.write_all(text.as_bytes())?;
    drop(input);
    if child.wait()?.success() { Ok(()) } else { Err(format!("{table} could not be filled").into()) }
}
