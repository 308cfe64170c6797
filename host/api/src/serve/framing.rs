//! Where each HTTP/1 request on a connection ends, read strictly.
//!
//! The HTTP library takes some requests whose end can be understood in two ways, and decides. Two servers in a row that
//! decide differently let one request hide in another (request smuggling), so such a request is refused here. What the
//! library itself refuses is none of this module's business.

/// Bytes of a head that is looked at; the library refuses far smaller ones.
const HEAD_BYTES_MAX: usize = 256 * 1024;

/// Follows the bytes of a connection.
#[derive(Debug)]
pub(super) struct Framing {
    at: At,
    /// The head that is being read, as far as it came.
    head: Vec<u8>,
    /// Heads that were read.
    heads: u64,
    /// The first request that is ambiguous, counted from 0.
    ambiguous: Option<u64>,
}

#[derive(Debug, PartialEq, Eq)]
enum At {
    Head,
    /// So many bytes of a body are still to come.
    Body(u64),
    /// In the line with a chunk's length, which is this so far.
    ChunkLength {
        length: u64,
        digits: bool,
        done: bool,
    },
    /// So many bytes of a chunk, with the line end behind it, are still to come.
    Chunk(u64),
    /// Behind the last chunk; whether the line that is being read has anything.
    Trailers {
        empty: bool,
    },
    /// No longer followed: HTTP/2, or what the library will not go on with.
    Lost,
}

/// How a body's end is found.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Length(u64),
    Chunked,
    Ambiguous,
}

impl Framing {
    pub(super) fn new() -> Self {
        Self { at: At::Head, head: Vec::new(), heads: 0, ambiguous: None }
    }

    /// Whether the request of this number, from 0, can be understood in two ways.
    pub(super) fn is_ambiguous(&self, request: u64) -> bool {
        self.ambiguous.is_some_and(|first| request >= first)
    }

    /// Whether the client was in the middle of something, as far as that can be told.
    pub(super) fn expects_more(&self) -> bool {
        self.ambiguous.is_some() || !self.head.is_empty() || !matches!(self.at, At::Head | At::Lost)
    }

    /// Takes the next bytes from the client.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.at != At::Lost {
            let used = match &mut self.at {
                At::Head => self.feed_head(bytes),
                At::Body(left) | At::Chunk(left) => {
                    let used = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= used as u64;
                    if *left == 0 {
                        self.at = match self.at {
                            At::Chunk(_) => At::ChunkLength { length: 0, digits: false, done: false },
                            _ => At::Head,
                        };
                    }
                    used
                }
                At::ChunkLength { .. } | At::Trailers { .. } => {
                    self.feed_line(bytes[0]);
                    1
                }
                At::Lost => bytes.len(),
            };
            bytes = &bytes[used..];
        }
    }

    fn feed_head(&mut self, bytes: &[u8]) -> usize {
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        // A line end may lie across the border of two reads.
        let from = before.saturating_sub(3);
        let end =
            memchr::memchr_iter(b'\n', &self.head[from..]).map(|at| from + at).find_map(|at| {
                match self.head.get(at + 1..) {
                    Some([b'\n', ..]) => Some(at + 2),
                    Some([b'\r', b'\n', ..]) => Some(at + 3),
                    _ => None,
                }
            });
        if self.head.len() > HEAD_BYTES_MAX || self.head.starts_with(b"PRI * HTTP/2.0\r\n") {
            self.at = At::Lost;
            self.head = Vec::new();
            return bytes.len();
        }
        let Some(end) = end else { return bytes.len() };
        self.at = match end_of_body(&self.head[..end]) {
            End::Length(0) => At::Head,
            End::Length(length) => At::Body(length),
            End::Chunked => At::ChunkLength { length: 0, digits: false, done: false },
            End::Ambiguous => {
                self.ambiguous = Some(self.heads);
                At::Lost
            }
        };
        self.heads += 1;
        self.head.clear();
        end - before
    }

    fn feed_line(&mut self, byte: u8) {
        self.at = match (&self.at, byte) {
            (At::ChunkLength { length, digits: true, .. }, b'\n') => match length.checked_add(2) {
                Some(2) => At::Trailers { empty: true },
                Some(length) => At::Chunk(length),
                None => At::Lost,
            },
            (&At::ChunkLength { length, digits, done: false }, _) => match (byte as char).to_digit(16) {
                Some(digit) => match length.checked_mul(16) {
                    Some(length) => {
                        At::ChunkLength { length: length | u64::from(digit), digits: true, done: false }
                    }
                    None => At::Lost,
                },
                None => At::ChunkLength { length, digits, done: true },
            },
            (&At::ChunkLength { length, digits: true, done: true }, _) => {
                At::ChunkLength { length, digits: true, done: true }
            }
            (At::Trailers { empty: true }, b'\n') => At::Head,
            (At::Trailers { .. }, b'\n') => At::Trailers { empty: true },
            (&At::Trailers { empty }, _) => At::Trailers { empty: empty && byte == b'\r' },
            _ => At::Lost,
        };
    }
}

/// What the headers say about the body's end. Whatever is not one plain statement is ambiguous.
fn end_of_body(head: &[u8]) -> End {
    let mut lengths = 0;
    let mut codings = 0;
    let mut length = 0;
    let mut lines = head.split_inclusive(|byte| *byte == b'\n').enumerate();
    let ambiguous = lines.any(|(n, line)| {
        let Some(line) = line.strip_suffix(b"\r\n") else { return true };
        let Some(colon) = memchr::memchr(b':', line).filter(|_| n > 0) else { return false };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.trim_ascii().eq_ignore_ascii_case(b"content-length") {
            lengths += 1;
            let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            match std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).filter(|_| digits) {
                Some(given) => length = given,
                None => return true,
            }
        } else if name.trim_ascii().eq_ignore_ascii_case(b"transfer-encoding") {
            codings += 1;
            return !value.eq_ignore_ascii_case(b"chunked");
        }
        false
    });
    match (ambiguous, lengths, codings) {
        (false, 0, 0) => End::Length(0),
        (false, 1, 0) => End::Length(length),
        (false, 0, 1) => End::Chunked,
        _ => End::Ambiguous,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds in pieces of every size; all must agree.
    fn followed(text: &str) -> (u64, Option<u64>) {
        let all = |size: usize| {
            let mut framing = Framing::new();
            text.as_bytes().chunks(size).for_each(|piece| framing.feed(piece));
            (framing.heads, framing.ambiguous)
        };
        let whole = all(text.len());
        for size in 1..text.len() {
            assert_eq!(all(size), whole, "in pieces of {size}: {text}");
        }
        whole
    }

    #[test]
    fn plain_requests_are_followed_one_after_the_other() {
        let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let sized = "POST /a HTTP/1.1\r\ncontent-LENGTH: 10\r\n\r\n\r\n\r\nGET / ";
        let chunked = "POST /b HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n4;x=\"1\"\r\nab\r\n\r\n0A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
        let text = format!("{get}{sized}{chunked}{get}");
        assert_eq!(followed(&text), (4, None));
    }

    #[test]
    fn what_can_be_understood_in_two_ways_is_told_with_its_number() {
        let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        for head in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: -5\r\n",
            "Content-Length:\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length : 5\r\nContent-Length: 6\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Host: x\nContent-Length: 5\r\n",
            "Host: x\n",
        ] {
            let text = format!("{get}POST /v1/events HTTP/1.1\r\n{head}\r\nGET /hidden HTTP/1.1\r\n\r\n");
            assert_eq!(followed(&text), (2, Some(1)), "{head:?}");
        }
    }

    #[test]
    fn http2_and_nonsense_are_not_followed() {
        let mut framing = Framing::new();
        framing.feed(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        assert_eq!(framing.ambiguous, None);
        let mut framing = Framing::new();
        framing.feed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
        assert_eq!((&framing.at, framing.ambiguous), (&At::Lost, None));
        let mut framing = Framing::new();
        (0..40).for_each(|_| framing.feed(&[b'x'; 10_000]));
        assert_eq!((&framing.at, framing.head.len()), (&At::Lost, 0));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_followed_or_lost(pieces in proptest::collection::vec("[ -~\r\n]{0,40}", 0..20)) {
            let mut framing = Framing::new();
            pieces.iter().for_each(|piece| framing.feed(piece.as_bytes()));
        }
    }
}
