//! Compiles components in a child process, for a compiler cannot be interrupted, and what it takes depends on what a
//! stranger wrote.
//!
//! The child is this program again, asked for [`compile_here`]: it limits its own processor time and memory before it
//! reads a byte, takes the component from standard input and gives machine code to standard output. It opens no file and
//! gets no environment. The parent waits so long and no longer. One component is compiled at a time, so that uploads
//! cannot take the machine; the child stands back behind whoever serves.

use std::ffi::OsString;
use std::io::{self, Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, nice, setrlimit};

use crate::admission::COMPONENT_BYTES_MAX;
use crate::engine::{self, Work};
use crate::error::{Cause, Error};
use crate::places::locked;

/// The program that compiles.
#[derive(Debug, Clone)]
pub struct Compiler {
    /// An absolute path; usually this very program.
    pub program: PathBuf,
    /// What makes it call [`compile_here`]. Behind these come `--work`, `--cpu-seconds` and `--memory-bytes`.
    pub arguments: Vec<OsString>,
    /// What one compilation may take.
    pub limits: CompileLimits,
}

/// What one compilation may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Seconds of processor time, of all cores together.
    pub cpu_seconds: u64,
    /// Bytes of address space.
    pub memory_bytes: u64,
    /// Time on the clock.
    pub deadline: Duration,
}

impl Default for CompileLimits {
    /// 60 seconds of work, 4 GiB, two minutes. The largest sensible component, a Python interpreter of 18 MB, takes 9
    /// seconds of work and 300 MB.
    fn default() -> Self {
        Self { cpu_seconds: 60, memory_bytes: 4 << 30, deadline: Duration::from_secs(120) }
    }
}

/// Bytes of machine code that are taken from a child, at most; ten times what the largest component comes to.
const CODE_BYTES_MAX: u64 = 384 << 20;
/// Bytes of what it says about a failure.
const WORDS_BYTES_MAX: u64 = 2 << 10;
/// How far the child stands behind those that serve, as `nice` counts.
const NICENESS: i32 = 10;
/// Descriptors that the child may have open.
const FILES_MAX: u64 = 64;

/// One child at a time.
static ONE: Mutex<()> = Mutex::new(());

impl Compiler {
    /// Compiles a component for an engine of [`engine::config`].
    ///
    /// # Errors
    /// [`Error::Compile`] when the component is to blame, also for what it took; [`Error::Compiler`] when we are.
    pub(crate) fn compile(&self, work: Work, component: &[u8]) -> Result<Vec<u8>, Error> {
        let ours = |error: io::Error| Error::Compiler(error.to_string());
        let _one = locked(&ONE);
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).args(["--work", work.name()]);
        command.args(["--cpu-seconds", &self.limits.cpu_seconds.to_string()]);
        command.args(["--memory-bytes", &self.limits.memory_bytes.to_string()]);
        command.env_clear().current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(ours)?;
        let (code, words, late) = self.converse(&mut child, component);
        if late {
            // It may have ended meanwhile.
            _ = child.kill();
        }
        let status = child.wait().map_err(ours)?;
        if late {
            let seconds = self.limits.deadline.as_secs();
            return Err(too_much(format!("compiling it takes more than {seconds} seconds")));
        }
        if let Some(refusal) = self.blame(status, &words) {
            return Err(refusal);
        }
        match code {
            Ok(code) if code.len() as u64 <= CODE_BYTES_MAX => Ok(code),
            Ok(_) => Err(too_much(format!("it compiles to more than {CODE_BYTES_MAX} bytes"))),
            Err(error) => Err(ours(error)),
        }
    }

    /// Hands the component over and takes what comes; whether it took too long.
    fn converse(&self, child: &mut Child, component: &[u8]) -> (io::Result<Vec<u8>>, String, bool) {
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut to), Some(from), Some(words)) = pipes else {
            return (Err(io::Error::other("the child has no pipes")), String::new(), true);
        };
        std::thread::scope(|scope| {
            // A child that ends early closes its end, and then the rest is not written.
            scope.spawn(move || _ = to.write_all(component));
            let words = scope.spawn(move || {
                let mut text = Vec::new();
                _ = words.take(WORDS_BYTES_MAX).read_to_end(&mut text);
                String::from_utf8_lossy(&text).trim().to_owned()
            });
            let (tell, told) = mpsc::channel();
            scope.spawn(move || {
                let mut code = Vec::new();
                let read = from.take(CODE_BYTES_MAX + 1).read_to_end(&mut code);
                _ = tell.send(read.map(|_| code));
            });
            let (code, late) = match told.recv_timeout(self.limits.deadline) {
                Ok(code) => (code, false),
                Err(_) => {
                    // The threads end once the pipes do.
                    _ = child.kill();
                    (Err(io::Error::other("too late")), true)
                }
            };
            (code, words.join().unwrap_or_default(), late)
        })
    }

    fn blame(&self, status: ExitStatus, words: &str) -> Option<Error> {
        if status.success() {
            return None;
        }
        let CompileLimits { cpu_seconds, memory_bytes, .. } = self.limits;
        Some(match (status.signal(), status.code()) {
            // SIGKILL and SIGXCPU.
            (Some(9 | 24), _) => {
                too_much(format!("compiling it takes more than {cpu_seconds} seconds of work"))
            }
            // SIGABRT: memory that is refused ends a program.
            (Some(6), _) => too_much(format!("compiling it takes more than {memory_bytes} bytes of memory")),
            (Some(signal), _) => too_much(format!("the compiler ended with signal {signal}")),
            (None, Some(code)) if code == i32::from(COMPLAINT) => Error::Compile(Cause::new(words)),
            (None, code) => Error::Compiler(format!("it ended with {code:?}: {words}")),
        })
    }
}

fn too_much(sentence: String) -> Error {
    Error::Compile(Cause::new(sentence))
}

/// The exit code that says that the component is to blame; what is wrong stands on standard error.
pub const COMPLAINT: u8 = 65;

/// What the child does: limits itself, compiles standard input and writes machine code to standard output.
///
/// The caller ends the process right after: with 0 when all is well, with [`COMPLAINT`] on the inner error, with
/// anything else on the outer one, the sentence on standard error.
///
/// # Errors
/// The outer one when the machine is to blame, the inner one when the component is.
pub fn compile_here(work: Work, cpu_seconds: u64, memory_bytes: u64) -> io::Result<Result<(), String>> {
    let limit =
        |resource, soft, hard| setrlimit(resource, Rlimit { current: Some(soft), maximum: Some(hard) });
    limit(Resource::Cpu, cpu_seconds, cpu_seconds + 1)?;
    limit(Resource::As, memory_bytes, memory_bytes)?;
    limit(Resource::Core, 0, 0)?;
    limit(Resource::Fsize, 0, 0)?;
    limit(Resource::Nofile, FILES_MAX, FILES_MAX)?;
    nice(NICENESS)?;
    let mut component = Vec::new();
    io::stdin().lock().take(COMPONENT_BYTES_MAX as u64 + 1).read_to_end(&mut component)?;
    let engine = engine::compiling(work).map_err(|error| io::Error::other(format!("{error:#}")))?;
    match engine.precompile_component(&component) {
        Ok(code) => io::stdout().lock().write_all(&code).map(Ok),
        Err(error) => Ok(Err(format!("{error:#}"))),
    }
}
