//! A server of one's own, and clients that speak to it.

pub(crate) mod files;
pub(crate) mod http;
pub(crate) mod page;
pub(crate) mod postgres;
pub(crate) mod random;
pub(crate) mod receiver;
pub(crate) mod sets;
pub(crate) mod store;
pub(crate) mod wire;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) use http::Client;

/// The binary under test.
pub(crate) const CDP: &str = env!("CARGO_BIN_EXE_cdp");
const OPERATOR_KEY: &str =
    "cdp_live_operator_0000000000000000000000000000000000000000000000000000000000000000";
/// Nothing that we wait for takes longer on a busy machine, or it is broken.
const LONGEST: Duration = Duration::from_secs(120);

/// A running `cdp serve`; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    pub(crate) data_dir: PathBuf,
    /// A file of certificates that it trusts, in the place of the machine's.
    trusts: Option<PathBuf>,
    _own: Option<TempDir>,
}

/// A tenant of a server, spoken to with its admin key.
pub(crate) type Tenant = Client;

impl Server {
    /// In a fresh directory that goes when the server is dropped.
    pub(crate) fn fresh() -> Self {
        let own = tempfile::tempdir().unwrap();
        let mut server = Self::at(&own.path().join("data"));
        server._own = Some(own);
        server
    }

    /// In a fresh directory, with these settings in its `cdp.toml`.
    pub(crate) fn configured(settings: &str) -> Self {
        let own = tempfile::tempdir().unwrap();
        let (data_dir, file) = (own.path().join("data"), own.path().join("cdp.toml"));
        std::fs::write(&file, settings).unwrap();
        let mut command = serve(&data_dir, "127.0.0.1:0");
        let (child, url) = started(command.env("CDP_CONFIG", file));
        Self { child, url, data_dir, trusts: None, _own: Some(own) }
    }

    /// Of a command that somebody else put together; it must say where it listens.
    pub(crate) fn of(command: &mut Command) -> Self {
        let (child, url) = started(command.stdin(Stdio::null()));
        Self { child, url, data_dir: PathBuf::new(), trusts: None, _own: None }
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// In a directory that the caller keeps.
    pub(crate) fn at(data_dir: &Path) -> Self {
        Self::trusting(data_dir, None)
    }

    /// The same, with a file of certificates that it trusts in the place of the machine's.
    pub(crate) fn trusting(data_dir: &Path, trusts: Option<PathBuf>) -> Self {
        let (child, url) = start(data_dir, trusts.as_deref());
        Self { child, url, data_dir: data_dir.to_owned(), trusts, _own: None }
    }

    /// Makes a tenant and its client.
    pub(crate) fn tenant(&self, slug: &str) -> Tenant {
        self.tenant_in(slug, "UTC")
    }

    /// The same, in a time zone.
    pub(crate) fn tenant_in(&self, slug: &str, zone: &str) -> Tenant {
        let operator = Client::new(&self.url, OPERATOR_KEY);
        let made = operator
            .post("/v1/tenants", &json!({"slug": slug, "name": slug, "time_zone": zone}))
            .expect_status(201);
        Client::new(&self.url, made["admin_key"].as_str().unwrap())
    }

    /// Anybody, without a key.
    pub(crate) fn anonymous(&self) -> Client {
        Client::new(&self.url, "")
    }

    /// kill -9, and a new process on the same data. Clients must be renewed with [`Client::at`].
    pub(crate) fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        (self.child, self.url) = start(&self.data_dir, self.trusts.as_deref());
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A new process on the same data, after [`Server::kill`] or [`Server::terminate`].
    pub(crate) fn restart(&mut self) {
        (self.child, self.url) = start(&self.data_dir, self.trusts.as_deref());
    }

    /// Asks the process to end, and checks that it does so in good order.
    pub(crate) fn terminate(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = wait_for_exit(&mut self.child, LONGEST).expect("the server ends when asked to");
        assert!(status.success(), "the server ended with {status}");
    }

    /// The end of a test: the server is well, nothing is left undone, and it ends in good order.
    pub(crate) fn finish(mut self) {
        // A start answers before state is brought forward.
        let ready = until(LONGEST, || (self.anonymous().get("/readyz").status == 200).then_some(()));
        assert!(ready.is_some(), "the server becomes ready");
        self.anonymous().get("/healthz").expect_status(200);
        self.terminate();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn start(data_dir: &Path, trusts: Option<&Path>) -> (Child, String) {
    let mut command = serve(data_dir, "127.0.0.1:0");
    command.envs(trusts.map(|file| ("SSL_CERT_FILE", file)));
    started(&mut command)
}

fn started(command: &mut Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(at) = line.find("listening on ") {
                sender.send(line[at + "listening on ".len()..].trim().to_owned()).ok();
            }
        }
    });
    match receiver.recv_timeout(LONGEST) {
        Ok(url) => (child, url),
        Err(_) => {
            child.kill().ok();
            panic!("the server did not say where it listens; it ended with {:?}", child.wait());
        }
    }
}

/// `cdp serve` with the operator's key, quiet unless something is wrong.
pub(crate) fn serve(data_dir: &Path, listen: &str) -> Command {
    let mut command = Command::new(CDP);
    command
        .args([OsStr::new("serve"), OsStr::new("--data-dir"), data_dir.as_os_str()])
        .args(["--listen", listen])
        .env("CDP_OPERATOR_KEY", OPERATOR_KEY)
        .env_remove("CDP_OPERATOR_KEY_FILE")
        // What tests deliver to listens here.
        .env("CDP_EGRESS_ALLOW", "127.0.0.1")
        // Tests change more of a tenant in a second than people do.
        .env("CDP_CHANGES_PER_SECOND_MAX", "0")
        .stdin(Stdio::null());
    if std::env::var_os("RUST_LOG").is_none() {
        command.env("RUST_LOG", "error");
    }
    command
}

/// What a command that ends by itself said.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command that must end by itself.
pub(crate) fn run_to_end(mut command: Command, longest: Duration) -> Ended {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdout = read_all(child.stdout.take().unwrap());
    let stderr = read_all(child.stderr.take().unwrap());
    let status = wait_for_exit(&mut child, longest);
    if status.is_none() {
        child.kill().ok();
        child.wait().ok();
    }
    let ended = Ended {
        code: status.and_then(|status| status.code()),
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
    };
    assert!(status.is_some(), "{command:?} did not end: {}", ended.stderr);
    ended
}

fn read_all(mut from: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).ok();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait_for_exit(child: &mut Child, longest: Duration) -> Option<ExitStatus> {
    until(longest, || child.try_wait().unwrap())
}

/// Asks again and again until there is an answer, or gives None when `longest` has passed.
pub(crate) fn until<T>(longest: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + longest;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The folder of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where `cargo xtask guests` has put a component; `CDP_GUESTS_DIR` names another folder.
pub(crate) fn guest_path(file: &str) -> PathBuf {
    let given = std::env::var_os("CDP_GUESTS_DIR").map(PathBuf::from);
    given.unwrap_or_else(|| root().join("target/guests")).join(file)
}

/// A component that `cargo xtask guests` has built.
pub(crate) fn guest(file: &str) -> Vec<u8> {
    let path = root().join("target/guests").join(file);
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("target/guests/{file}: {error}; run `cargo xtask guests`"))
}

/// What a gzip file unpacks to.
pub(crate) fn unpack(path: &Path) -> Vec<u8> {
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    flate2::read::MultiGzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Sends events, 500 a request, all of which must be taken; returns when all are applied.
pub(crate) fn send_all(tenant: &Tenant, events: &[Value]) -> Sent {
    let mut sent = Sent::default();
    let mut chunks = events.chunks(500).peekable();
    while let Some(chunk) = chunks.next() {
        let path = if chunks.peek().is_none() { "/v1/events?wait=applied" } else { "/v1/events" };
        let answer = tenant.post_patiently(path, &json!({ "events": chunk })).expect_status(202);
        assert_eq!(answer["rejected"], 0, "{answer}");
        sent.accepted += answer["accepted"].as_u64().unwrap();
        sent.duplicates += answer["duplicates"].as_u64().unwrap();
        sent.position = answer["position"].as_str().unwrap().to_owned();
    }
    sent
}

/// What [`send_all`] was answered, summed up.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) accepted: u64,
    pub(crate) duplicates: u64,
    pub(crate) position: String,
}

/// The four lifetime attributes that the expected answers are compared on.
pub(crate) fn define_lifetime(tenant: &Tenant) {
    for (name, body) in [
        ("order_count", json!({"kind": "count", "event": "Order Completed"})),
        ("total_spend", json!({"kind": "sum", "event": "Order Completed", "property": "/revenue"})),
        ("first_order_at", json!({"kind": "first", "event": "Order Completed"})),
        ("last_order_at", json!({"kind": "last", "event": "Order Completed"})),
    ] {
        tenant.define(&format!("/v1/attributes/{name}"), &body);
    }
}
