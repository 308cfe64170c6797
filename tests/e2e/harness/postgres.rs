//! A PostgreSQL server of one's own, where one is installed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::until;

/// A running server; stopped and removed when dropped.
pub(crate) struct Postgres {
    bin: PathBuf,
    dir: PathBuf,
    child: Child,
    port: u16,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Where Debian and most others put the programs of a server.
fn programs() -> Option<PathBuf> {
    let found = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let found = found.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    found.filter(|bin| bin.join("initdb").is_file() && bin.join("psql").is_file()).max()
}

/// A command that runs as somebody whom the server accepts: it refuses to be root.
fn as_user(program: &Path) -> Command {
    if !rustix::process::getuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

impl Postgres {
    /// None, and a line that says so, where there is no server or it does not run here.
    pub(crate) fn start(test: &str) -> Option<Self> {
        let Some(bin) = programs() else {
            eprintln!("SKIPPED {test}: no PostgreSQL server is installed");
            return None;
        };
        let dir = std::env::temp_dir().join(format!("cdp-journey-{test}-{}", std::process::id()));
        _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        _ = Command::new("chown").arg("postgres").arg(&dir).stderr(Stdio::null()).status();
        let mut initdb = as_user(&bin.join("initdb"));
        initdb.arg("-D").arg(dir.join("data"));
        initdb.args(["-U", "owner", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"]);
        match initdb.output() {
            Ok(made) if made.status.success() => {}
            other => {
                eprintln!("SKIPPED {test}: initdb does not work here: {other:?}");
                return None;
            }
        }
        // A free port, taken again at once by the server.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut serve = as_user(&bin.join("postgres"));
        serve.arg("-D").arg(dir.join("data")).args(["-p", &port.to_string()]);
        serve.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "unix_socket_directories="]);
        let child = serve.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let server = Self { bin, dir, child, port };
        until(Duration::from_secs(60), || server.try_sql("SELECT 1")).expect("the server answers");
        Some(server)
    }

    /// The destination's definition.
    pub(crate) fn destination(&self, table: &str) -> Value {
        let url = format!("postgres://owner:any@127.0.0.1:{}/postgres?sslmode=disable", self.port);
        json!({"kind": "postgres", "url": url, "table": table})
    }

    /// Runs a statement; rows with tabs between the columns.
    pub(crate) fn sql(&self, statement: &str) -> Vec<Vec<String>> {
        self.try_sql(statement).unwrap_or_else(|| panic!("{statement} fails"))
    }

    fn try_sql(&self, statement: &str) -> Option<Vec<Vec<String>>> {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "owner", "-d", "postgres"]);
        psql.args(["-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", statement]);
        let done = psql.output().unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        let rows = text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect();
        done.status.success().then_some(rows)
    }
}
