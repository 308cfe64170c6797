//! Receivers that misbehave, on loopback, and a network whose names are scripted.

use std::collections::{HashMap, VecDeque};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream as StdStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::net::TcpStream;

use crate::network::{Network, Wait};
use crate::{Egress, Policy};

/// A listener on loopback that counts its connections, each handled on a thread of its own.
pub(crate) struct Fixture {
    pub(crate) address: SocketAddr,
    seen: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Fixture {
    pub(crate) fn on(address: &str, behave: impl Fn(StdStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, ended, behave) = (Arc::clone(&seen), Arc::clone(&stop), Arc::new(behave));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let behave = Arc::clone(&behave);
                std::thread::spawn(move || behave(stream.unwrap()));
            }
        });
        Self { address, seen, stop, thread: Some(thread) }
    }

    pub(crate) fn new(behave: impl Fn(StdStream) + Send + Sync + 'static) -> Self {
        Self::on("127.0.0.1:0", behave)
    }

    /// One that gives the same answer to every request.
    pub(crate) fn answering(answer: &'static str) -> Self {
        Self::new(move |mut stream| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while read_request(&mut reader).is_some() {
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        _ = StdStream::connect(self.address);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// A request: its head's lines and its body. None where the connection ended.
pub(crate) fn read_request(reader: &mut impl BufRead) -> Option<(Vec<String>, Vec<u8>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let length = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some((lines, body))
}

/// Names with the answers that a resolver gives one after the other; the last one stays.
#[derive(Debug, Default)]
pub(crate) struct Scripted {
    answers: Mutex<HashMap<String, VecDeque<Vec<IpAddr>>>>,
    /// Where a connection really goes, whatever address is dialled. None refuses all.
    leads_to: Option<SocketAddr>,
    pub(crate) dialled: Mutex<Vec<SocketAddr>>,
    pub(crate) asked: AtomicUsize,
}

impl Scripted {
    pub(crate) fn leading_to(leads_to: Option<SocketAddr>) -> Self {
        Self { leads_to, ..Self::default() }
    }

    pub(crate) fn name(&self, name: &str, answers: &[&[&str]]) {
        let answers = answers.iter().map(|answer| answer.iter().map(|a| a.parse().unwrap()).collect());
        self.answers.lock().insert(name.to_owned(), answers.collect());
    }
}

impl Network for Scripted {
    fn resolve<'a>(&'a self, name: &'a str, _: bool) -> Wait<'a, io::Result<Vec<IpAddr>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock();
        let found = answers
            .get_mut(name)
            .map(|answers| if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() });
        Box::pin(async move { found.ok_or_else(|| io::Error::other("no such name")) })
    }

    fn connect(&self, address: SocketAddr) -> Wait<'_, io::Result<TcpStream>> {
        self.dialled.lock().push(address);
        Box::pin(async move {
            match self.leads_to {
                Some(to) => TcpStream::connect(to).await,
                None => Err(io::ErrorKind::ConnectionRefused.into()),
            }
        })
    }

    fn is_own(&self, _: IpAddr) -> bool {
        false
    }
}

/// A way out that may talk to loopback.
pub(crate) fn to_loopback() -> Egress {
    Egress::new(Policy::read("127.0.0.1,localhost").unwrap()).unwrap()
}
