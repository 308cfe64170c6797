//! This executable, started again as a server.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::client::Fallible;

/// Opening may rebuild state from the journal, which takes its time.
const START_MAX: Duration = Duration::from_secs(300);
const STOP_MAX: Duration = Duration::from_secs(30);

/// A running child; killed when dropped, asked to stop by [`Server::stop`].
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Such as `http://127.0.0.1:8080`.
    pub(crate) url: String,
}

impl Server {
    /// Starts `serve` and waits until it listens.
    pub(crate) fn start(data_dir: &Path, listen: &str, operator_key_file: &Path) -> Fallible<Self> {
        Self::start_with(data_dir, listen, operator_key_file, &[])
    }

    /// The same for measuring: one key may send, and one tenant may be changed, as much as can be.
    pub(crate) fn start_unlimited(data_dir: &Path, operator_key_file: &Path) -> Fallible<Self> {
        let environment = [
            ("CDP_CHANGES_PER_SECOND_MAX", "0"),
            ("CDP_REQUESTS_PER_SECOND_MAX", "0"),
            ("CDP_EVENTS_PER_SECOND_MAX", "0"),
            ("CDP_BYTES_PER_SECOND_MAX", "0"),
            // What is measured of deliveries goes to this machine.
            ("CDP_EGRESS_ALLOW", "127.0.0.1"),
        ];
        Self::start_with(data_dir, "127.0.0.1:0", operator_key_file, &environment)
    }

    fn start_with(
        data_dir: &Path,
        listen: &str,
        operator_key_file: &Path,
        environment: &[(&str, &str)],
    ) -> Fallible<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        if ["CDP_LOG", "RUST_LOG"].iter().all(|name| std::env::var_os(name).is_none()) {
            command.env("CDP_LOG", "warn"); // what is printed here is for people
        }
        let mut child = command
            .args([OsStr::new("serve"), OsStr::new("--data-dir"), data_dir.as_os_str()])
            .args(["--listen", listen])
            .env("CDP_OPERATOR_KEY_FILE", operator_key_file)
            .env_remove("CDP_OPERATOR_KEY")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("the server has no standard output")?;
        let (sender, receiver) = mpsc::channel();
        // Reads on after the address was found, so that the server never blocks on a full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(at) = line.find("listening on ") {
                    sender.send(line[at + "listening on ".len()..].trim().to_owned()).ok();
                }
            }
        });
        let mut server = Self { child, url: String::new() };
        match receiver.recv_timeout(START_MAX) {
            Ok(url) => server.url = url,
            Err(mpsc::RecvTimeoutError::Timeout) => return Err("the server did not start in time".into()),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = server.child.wait()?;
                return Err(format!("the server ended before it listened: {status}").into());
            }
        }
        Ok(server)
    }

    /// Process id, for looking at what it uses.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to finish what it began and to end.
    pub(crate) fn stop(mut self) -> Fallible<()> {
        self.terminate();
        match self.wait_for(STOP_MAX)? {
            Some(status) => ended(status),
            None => Err("the server did not end in time and was killed".into()),
        }
    }

    /// None when it still runs after `longest`.
    fn wait_for(&mut self, longest: Duration) -> Fallible<Option<ExitStatus>> {
        let deadline = Instant::now() + longest;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(None)
    }

    /// Serves until Ctrl-C or SIGTERM, or until the server ends by itself.
    pub(crate) fn wait_for_interrupt(mut self) -> Fallible<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ended_alone = runtime.block_on(async {
            let mut beat = tokio::time::interval(Duration::from_millis(200));
            let mut terminate = Terminate::new()?;
            loop {
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => return Fallible::Ok(None),
                    () = terminate.received() => return Ok(None),
                    _ = beat.tick() => {
                        if let Some(status) = self.child.try_wait()? {
                            return Ok(Some(status));
                        }
                    }
                }
            }
        })?;
        match ended_alone {
            Some(status) => ended(status),
            // A terminal's Ctrl-C has reached the child as well; only where it has not is it asked again.
            None => match self.wait_for(Duration::from_secs(2))? {
                Some(status) => ended(status),
                None => self.stop(),
            },
        }
    }

    #[cfg(unix)]
    fn terminate(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        }
    }

    #[cfg(not(unix))]
    fn terminate(&mut self) {
        self.child.kill().ok();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

/// A server that was interrupted has done what it was asked to.
fn ended(status: ExitStatus) -> Fallible<()> {
    if status.success() || status.code() == Some(130) {
        Ok(())
    } else {
        Err(format!("the server ended with {status}").into())
    }
}

/// SIGTERM, where there is such a thing.
struct Terminate {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Terminate {
    #[cfg(unix)]
    fn new() -> Fallible<Self> {
        Ok(Self { signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())? })
    }

    #[cfg(unix)]
    async fn received(&mut self) {
        self.signal.recv().await;
    }

    #[cfg(not(unix))]
    fn new() -> Fallible<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn received(&mut self) {
        std::future::pending::<()>().await;
    }
}

/// `wanted`, or the same host with any free port when it is in use.
pub(crate) fn free_address(wanted: &str) -> Fallible<String> {
    match TcpListener::bind(wanted) {
        Ok(_) => Ok(wanted.to_owned()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let (host, _) = wanted.rsplit_once(':').ok_or("an address is host:port")?;
            Ok(format!("{host}:0"))
        }
        Err(error) => Err(format!("{wanted} cannot be listened on: {error}").into()),
    }
}
