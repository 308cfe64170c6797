//! Bytes over a socket: what no well-behaved client would send.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long an answer may take on a busy machine.
const LONGEST: Duration = Duration::from_secs(60);

/// A connection.
pub(crate) struct Wire {
    stream: TcpStream,
    /// What was read and not looked at yet.
    read: Vec<u8>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Told {
    /// A header's value; empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines
            .into_iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value.trim())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Checks that it is a problem of this status and code.
    #[track_caller]
    pub(crate) fn expect_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.head);
        assert!(!self.header("request-id").is_empty(), "{}", self.head);
        assert_eq!(self.json()["code"], code);
    }
}

impl Wire {
    /// To a server that listens at `http://…`.
    pub(crate) fn to(url: &str) -> Self {
        let stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(LONGEST)).unwrap();
        stream.set_write_timeout(Some(LONGEST)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::new() }
    }

    /// Sends; a server that has closed already takes nothing more.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Reads what there is; false at the end.
    fn more(&mut self) -> bool {
        let mut some = [0; 16 * 1024];
        match self.stream.read(&mut some) {
            Ok(0) => false,
            Ok(read) => {
                self.read.extend_from_slice(&some[..read]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing came within {LONGEST:?}; so far: {:?}", String::from_utf8_lossy(&self.read))
            }
            Err(_) => false,
        }
    }

    /// The next answer; None when the connection ends before it.
    pub(crate) fn answer(&mut self) -> Option<Told> {
        loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8(self.read.drain(..end + 4).collect()).unwrap();
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                let mut told = Told { status, head, body: Vec::new() };
                let length: usize = told.header("content-length").parse().unwrap_or(0);
                while self.read.len() < length && self.more() {}
                told.body = self.read.drain(..length.min(self.read.len())).collect();
                return Some(told);
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// The head of the next answer, which has no body whatever it announces.
    pub(crate) fn answer_to_head(&mut self) -> Told {
        while !self.read.windows(4).any(|four| four == b"\r\n\r\n") && self.more() {}
        let text = String::from_utf8(std::mem::take(&mut self.read)).unwrap();
        let (head, rest) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Told { status, head: head.to_owned(), body: rest.as_bytes().to_vec() }
    }

    /// Sends and reads one answer, which must come.
    #[track_caller]
    pub(crate) fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Told {
        self.send(bytes);
        self.answer().expect("an answer")
    }

    /// Everything until the server closes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.read)
    }

    /// Sends a byte now and then until the server closes; how long that took, and what it said.
    pub(crate) fn drip(&mut self, byte: u8) -> (Duration, Vec<u8>) {
        let began = Instant::now();
        self.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut some = [0; 4096];
        loop {
            assert!(began.elapsed() < LONGEST, "the server is too patient");
            match self.stream.read(&mut some) {
                Ok(0) => break,
                Ok(read) => self.read.extend_from_slice(&some[..read]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    self.send([byte]);
                }
                Err(_) => break,
            }
        }
        (began.elapsed(), std::mem::take(&mut self.read))
    }

    /// Exactly so many bytes; None when the connection ends before.
    pub(crate) fn exactly(&mut self, bytes: usize) -> Option<Vec<u8>> {
        while self.read.len() < bytes {
            if !self.more() {
                return None;
            }
        }
        Some(self.read.drain(..bytes).collect())
    }
}

/// Standard base64; what is no digit of it is left out.
pub(crate) fn unbase64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for six in text.bytes().filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte)) {
        bits = bits << 6 | u32::try_from(six).unwrap();
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held & 0xff).unwrap());
        }
    }
    out
}

/// Standard base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte))
            << (8 * (3 - three.len()));
        for n in 0..4 {
            let digit = DIGITS[bits >> (18 - 6 * n) & 63] as char;
            out.push(if n > three.len() { '=' } else { digit });
        }
    }
    out
}
