//! HTTP/2, frame by frame: how many streams a connection may have, and what becomes of one that only resets them.

use std::time::Duration;

use crate::harness::wire::Wire;
use crate::harness::{Server, until};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// The headers of a request whose body is still to come: literals without indexing (RFC 7541).
fn post_to(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend(path.as_bytes());
    block.extend([0x01, 1, b'x']);
    block.extend([0x0f, 13, 1, b'9']);
    block
}

struct Connection {
    wire: Wire,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn error_code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

impl Connection {
    fn to(server: &Server) -> Self {
        let mut wire = Wire::to(&server.url);
        wire.send([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[])].concat());
        Self { wire }
    }

    /// The next frame; None when the connection ends.
    fn next(&mut self) -> Option<Frame> {
        let head = self.wire.exactly(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
        let payload = self.wire.exactly(usize::try_from(length).unwrap())?;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }
}

#[test]
fn a_connection_has_as_many_streams_as_the_limit_says_and_one_more_is_refused() {
    let server = Server::configured("[http]\nhttp2_streams_max = 16\n");
    let mut connection = Connection::to(&server);
    let settings = loop {
        let frame = connection.next().expect("settings");
        if frame.kind == SETTINGS && frame.flags == 0 {
            break frame;
        }
    };
    let streams = settings.payload.chunks(6).find(|pair| pair[..2] == MAX_CONCURRENT_STREAMS.to_be_bytes());
    assert_eq!(streams.map(|pair| pair[2..].to_vec()), Some(16_u32.to_be_bytes().to_vec()));
    // Each waits for its body, which does not come.
    let open = |n: u32| frame(HEADERS, END_HEADERS, 2 * n + 1, &post_to("/v1/batch"));
    for n in 0..17 {
        connection.wire.send(open(n));
    }
    let refused = loop {
        let frame = connection.next().expect("a refusal");
        if frame.kind == RST_STREAM {
            break frame;
        }
        assert_ne!(frame.kind, HEADERS, "an answer on stream {} without its body", frame.stream);
    };
    assert_eq!((refused.stream, refused.error_code()), (33, REFUSED_STREAM));
    // The others are served when their bodies are there.
    for n in 0..16 {
        connection.wire.send(frame(DATA, END_STREAM, 2 * n + 1, b"[1,2,3,4]"));
    }
    let mut answered = 0;
    while answered < 16 {
        let frame = connection.next().expect("an answer");
        answered += u32::from(frame.kind == HEADERS);
    }
    drop(connection);
    server.finish();
}

#[test]
fn who_resets_what_it_asks_for_again_and_again_is_cut_off() {
    let server = Server::fresh();
    let mut connection = Connection::to(&server);
    let mut next = 0;
    let cut_off = until(Duration::from_secs(60), || {
        let mut burst = Vec::new();
        for _ in 0..500 {
            burst.extend(frame(HEADERS, END_HEADERS, 2 * next + 1, &post_to("/v1/batch")));
            burst.extend(frame(RST_STREAM, 0, 2 * next + 1, &8_u32.to_be_bytes()));
            next += 1;
        }
        (!connection.wire.send(burst)).then_some(())
    });
    assert!(cut_off.is_some(), "still welcome after {next} resets");
    let goaway = std::iter::from_fn(|| connection.next()).find(|frame| frame.kind == GOAWAY);
    // The end of the connection may overtake the frame that says why.
    assert!(goaway.is_none_or(|goaway| goaway.error_code() == ENHANCE_YOUR_CALM));
    server.finish();
}
