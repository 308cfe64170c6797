//! What HTTP/2 allows a client to do to a server, in frames of our own: no client library would send them.

use std::collections::BTreeMap;

use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM_AND_HEADERS: u8 = 0x5;
const ACK: u8 = 0x1;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 0xb;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// A GET: method, scheme and authority by their places in the static table, the path in letters.
fn ask(stream: u32, path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x41, 1, b'x', 0x04, path.len() as u8];
    block.extend(path.as_bytes());
    frame(HEADERS, END_STREAM_AND_HEADERS, stream, &block)
}

/// A request that HTTP/2 forbids: a connection header.
fn ask_badly(stream: u32) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x84, 0x41, 1, b'x', 0x00, 10];
    block.extend(b"connection\x05close");
    frame(HEADERS, END_STREAM_AND_HEADERS, stream, &block)
}

fn cancel(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

/// What the server said until it had nothing more to say: answered streams, reset ones with the reason, and how it ended.
#[derive(Debug, Default)]
struct Said {
    streams_max: Option<u32>,
    answered: Vec<u32>,
    reset: BTreeMap<u32, u32>,
    goaway: Option<u32>,
    ponged: bool,
}

/// Sends frames in one go, then a ping, and reads until the ping is answered and `enough`, or the server closes.
async fn say(options: HttpOptions, frames: Vec<u8>, enough: impl Fn(&Said) -> bool) -> Said {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let slow = get(async || {
        std::future::pending::<()>().await;
        "never"
    });
    let router = Router::new().route("/", get(async || "ok")).route("/slow", slow);
    let serving = tokio::spawn(serve(listener, router, options, std::future::pending()));
    let mut stream = TcpStream::connect(at).await.unwrap();
    let mut all = PREFACE.to_vec();
    all.extend(frame(SETTINGS, 0, 0, &[]));
    all.extend(frames);
    all.extend(frame(PING, 0, 0, b"all said"));
    stream.write_all(&all).await.unwrap();
    let mut said = Said::default();
    let mut head = [0; 9];
    while !(said.ponged && enough(&said)) && stream.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length];
        if stream.read_exact(&mut payload).await.is_err() {
            break;
        }
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        match head[3] {
            SETTINGS if head[4] & ACK == 0 => {
                let of = |pair: &[u8]| u16::from_be_bytes([pair[0], pair[1]]);
                let value = |pair: &[u8]| u32::from_be_bytes(pair[2..6].try_into().unwrap());
                let found = payload.chunks_exact(6).find(|pair| of(pair) == MAX_CONCURRENT_STREAMS);
                said.streams_max = found.map(value);
            }
            HEADERS => said.answered.push(id),
            RST_STREAM => drop(said.reset.insert(id, number(0))),
            GOAWAY => said.goaway = Some(number(4)),
            PING => said.ponged |= head[4] & ACK != 0,
            _ => {}
        }
    }
    serving.abort();
    said
}

fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|n| 2 * n + 1)
}

#[tokio::test]
async fn requests_at_the_same_time_are_taken_at_n_and_refused_at_n_plus_1() {
    let options = || HttpOptions { h2_streams_max: 5, ..Default::default() };
    let open = |count| streams(count).flat_map(|id| ask(id, "/slow")).collect::<Vec<_>>();
    let said = say(options(), open(5), |_| true).await;
    assert_eq!((said.streams_max, said.reset.len(), said.goaway), (Some(5), 0, None), "{said:?}");
    let said = say(options(), open(6), |said| !said.reset.is_empty()).await;
    assert_eq!((said.reset.get(&11), said.reset.len()), (Some(&REFUSED_STREAM), 1), "{said:?}");
}

#[tokio::test]
async fn requests_that_are_reset_before_we_begin_are_borne_n_times() {
    let options = || HttpOptions { h2_resets_max: 5, ..Default::default() };
    let rapid = |count| {
        let mut frames: Vec<u8> = streams(count).flat_map(|id| [ask(id, "/"), cancel(id)].concat()).collect();
        frames.extend(ask(2 * count + 1, "/"));
        frames
    };
    let said = say(options(), rapid(5), |said| !said.answered.is_empty()).await;
    assert_eq!((said.answered, said.goaway), (vec![11], None));
    let said = say(options(), rapid(6), |said| said.goaway.is_some()).await;
    assert_eq!(said.goaway, Some(ENHANCE_YOUR_CALM), "{said:?}");
}

#[tokio::test]
async fn errors_that_cost_a_stream_are_borne_n_times() {
    let options = || HttpOptions { h2_error_resets_max: 5, ..Default::default() };
    let wrong = |count| {
        let mut frames: Vec<u8> = streams(count).flat_map(ask_badly).collect();
        frames.extend(ask(2 * count + 1, "/"));
        frames
    };
    let said = say(options(), wrong(5), |said| !said.answered.is_empty()).await;
    assert_eq!((said.reset.len(), said.answered, said.goaway), (5, vec![11], None));
    let said = say(options(), wrong(6), |said| said.goaway.is_some()).await;
    assert_eq!(said.goaway, Some(ENHANCE_YOUR_CALM), "{said:?}");
}
