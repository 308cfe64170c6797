//! `cdp doctor`: looks at what a server needs, changes nothing, and says what helps.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cdp_store::lock::DataLock;
use serde_json::{Value, json};

use crate::config::{File, Places, StoreArgs};
use crate::remote::{Column, Output};
use crate::{Failure, exit, serve};

/// Bytes that must be free: below, a full disk is near.
const FREE_BYTES_LEAST: u64 = 1 << 30;
/// Files that a process should be allowed to have open.
const FILES_LEAST: u64 = 4096;
/// No clock that is right shows less: the day this was written, in seconds.
const NOW_LEAST: u64 = 1_764_115_200;

const COLUMNS: &[Column] = &[("check", "/check"), ("result", "/result"), ("detail", "/detail")];

/// What to look at.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  cdp doctor --data-dir /var/lib/cdp
  cdp doctor -o json

Ends with 9 when something would keep a server from working.")]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArgs,
    /// The address that a server is to listen on [default: 127.0.0.1:8080].
    #[arg(long, env = "CDP_LISTEN", value_name = "ADDRESS")]
    listen: Option<String>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Good,
    /// It works, and something is worth knowing.
    Note,
    Bad,
}

#[derive(Default)]
struct Findings(Vec<Value>, bool);

impl Findings {
    fn add(&mut self, check: &str, result: Seen, detail: impl Into<String>) {
        let word = match result {
            Seen::Good => "good",
            Seen::Note => "note",
            Seen::Bad => "bad",
        };
        self.1 |= result == Seen::Bad;
        self.0.push(json!({ "check": check, "result": word, "detail": detail.into() }));
    }
}

/// Does it.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut found = Findings::default();
    let file = match File::read(args.store.config.as_deref()) {
        Ok(file) => {
            let named = args.store.config.as_deref().unwrap_or(Path::new("cdp.toml"));
            let what = if named.exists() {
                format!("{} is read", named.display())
            } else {
                "none; defaults hold".to_owned()
            };
            found.add("configuration", Seen::Good, what);
            file
        }
        Err(failure) => {
            found.add("configuration", Seen::Bad, failure.to_string());
            File::default()
        }
    };
    let places = Places::of(&args.store, &file);
    let running = data(&places, &mut found);
    key(&places, &mut found);
    let listen = args.listen.clone().or(file.listen).unwrap_or_else(|| serve::LISTEN.to_owned());
    port(&listen, running, &mut found);
    disk(&places.data_dir, &mut found);
    clock(&mut found);
    files(&mut found);
    toolchains(&mut found);
    args.output.list(COLUMNS, &found.0)?;
    if found.1 {
        return Err(Failure::new(exit::CHECKS_FAILED, "something would keep a server from working"));
    }
    Ok(())
}

/// The data directory; whether a server uses it.
fn data(places: &Places, found: &mut Findings) -> bool {
    let dir = &places.data_dir;
    if !dir.exists() {
        found.add(
            "data",
            Seen::Note,
            format!("{} does not exist yet: `cdp init` or `cdp serve` makes it", dir.display()),
        );
        return false;
    }
    if !dir.join("keys").join("installation").exists() {
        found.add("data", Seen::Note, format!("{} holds no installation yet", dir.display()));
        return false;
    }
    match DataLock::take(dir) {
        Ok(_held) => {
            found.add(
                "data",
                Seen::Good,
                format!("{} holds an installation that no server uses", dir.display()),
            );
            false
        }
        Err(error @ cdp_store::Error::Locked { .. }) => {
            found.add("data", Seen::Good, error.to_string());
            true
        }
        Err(error) => {
            found.add("data", Seen::Bad, error.to_string());
            false
        }
    }
}

fn key(places: &Places, found: &mut Findings) {
    if std::env::var_os("CDP_MASTER_KEY").is_some() {
        return found.add("master key", Seen::Good, "it comes from CDP_MASTER_KEY");
    }
    let path = &places.master_key_file;
    let installed = places.data_dir.join("keys").join("installation").exists();
    match std::fs::metadata(path) {
        Err(_) if installed => {
            found.add(
                "master key",
                Seen::Bad,
                format!("{} is missing, and without it nothing can be read", path.display()),
            );
        }
        Err(_) => {
            found.add("master key", Seen::Note, format!("{} is made at the first start", path.display()))
        }
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
            found.add(
                "master key",
                Seen::Bad,
                format!("{} can be read by others: chmod 600", path.display()),
            );
        }
        Ok(_) if path.starts_with(&places.data_dir) => {
            found.add(
                "master key",
                Seen::Bad,
                "it lies in the data directory: whoever has that can read everything",
            );
        }
        Ok(_) => found.add("master key", Seen::Good, format!("{}; keep a copy apart", path.display())),
    }
}

fn port(listen: &str, running: bool, found: &mut Findings) {
    match TcpListener::bind(listen) {
        Ok(_) => found.add("port", Seen::Good, format!("{listen} is free")),
        Err(error) if running && error.kind() == std::io::ErrorKind::AddrInUse => {
            found.add("port", Seen::Good, format!("{listen} is taken, and a server runs"));
        }
        Err(error) => found.add("port", Seen::Bad, format!("{listen} cannot be listened on: {error}")),
    }
}

fn disk(dir: &Path, found: &mut Findings) {
    let there = dir.ancestors().find(|dir| dir.as_os_str().is_empty() || dir.exists());
    let there = there.filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match rustix::fs::statvfs(there) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let result = if free < FREE_BYTES_LEAST { Seen::Bad } else { Seen::Good };
            found.add("disk", result, format!("{} MiB are free at {}", free >> 20, there.display()));
        }
        Err(error) => found.add("disk", Seen::Bad, format!("{}: {error}", there.display())),
    }
}

fn clock(found: &mut Findings) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    match now {
        now if now < Duration::from_secs(NOW_LEAST) => {
            found.add(
                "clock",
                Seen::Bad,
                "it shows a day before this release was made: times of receipt would be wrong",
            );
        }
        now => {
            let at = cdp_domain::time::Timestamp(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
            found.add("clock", Seen::Good, at.to_string());
        }
    }
}

fn files(found: &mut Findings) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let enough = limit.is_none_or(|limit| limit >= FILES_LEAST);
    let result = if enough { Seen::Good } else { Seen::Note };
    let detail = limit.map_or_else(|| "no limit".to_owned(), |limit| format!("{limit} may be open"));
    found.add("open files", result, detail);
}

/// What plugins are built with. A server needs none of it.
fn toolchains(found: &mut Findings) {
    for (name, arguments) in [
        ("cargo", &["--version"][..]),
        ("node", &["--version"]),
        ("python3", &["--version"]),
        ("go", &["version"]),
    ] {
        let ran = Command::new(name).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output();
        let detail = match ran {
            Ok(ran) if ran.status.success() => {
                String::from_utf8_lossy(&ran.stdout).lines().next().unwrap_or_default().to_owned()
            }
            _ => "not there; only needed to build plugins in its language".to_owned(),
        };
        found.add(&format!("toolchain {name}"), Seen::Note, detail);
    }
}
