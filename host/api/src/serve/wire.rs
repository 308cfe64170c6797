//! A connection's bytes on their way between the socket and the HTTP library.
//!
//! On the way in, [`Framing`] follows where requests end. On the way out, the bare answers that the library gives by
//! itself to what it cannot read (`400`, `414`, `431` without a body) become problems like every other error. When a
//! connection is closed on a client that is still sending, what it sends is read for a moment, or it would see a reset
//! instead of the answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::framing::Framing;
use crate::error::{Code, Failure};

/// How long a client that is still sending is listened to.
const LINGERING_MAX: Duration = Duration::from_millis(500);
/// A bare answer is a short head.
const BARE_BYTES_MAX: usize = 512;

/// A stream between client and library.
pub(super) struct Wire<S> {
    stream: S,
    framing: Arc<Mutex<Framing>>,
    /// What takes the place of a bare answer, as far as it is not written.
    instead: Vec<u8>,
    refused: bool,
    lingering: Option<Pin<Box<Sleep>>>,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, framing: Arc<Mutex<Framing>>) -> Self {
        Self { stream, framing, instead: Vec::new(), refused: false, lingering: None }
    }
}

/// The status of an answer that the library made by itself: all of ours carry a request's id.
fn bare_status(answer: &[u8]) -> Option<StatusCode> {
    let rest = answer.strip_prefix(b"HTTP/1.")?.get(1..)?.strip_prefix(b" 4")?;
    let digits = [b'4', *rest.first()?, *rest.get(1)?];
    let has = |what: &[u8]| answer.windows(what.len()).any(|part| part.eq_ignore_ascii_case(what));
    let bare = answer.len() <= BARE_BYTES_MAX
        && answer.ends_with(b"\r\n\r\n")
        && has(b"\r\ncontent-length: 0\r\n")
        && !has(b"\r\nrequest-id:");
    bare.then(|| StatusCode::from_bytes(&digits).ok())?
}

/// The same answer as a problem.
fn problem(status: StatusCode) -> Vec<u8> {
    let (code, detail) = match status.as_u16() {
        408 => (Code::RequestTimeout, "the headers did not arrive in time"),
        414 => (Code::UriTooLong, "the address is longer than any that is taken"),
        431 => (Code::HeadersTooLarge, "the request has more headers, or larger ones, than are taken"),
        _ => (Code::MalformedRequest, "the request cannot be read as HTTP"),
    };
    let id = crate::finish::new_request_id();
    let body = Failure::new(code, detail).body(id.to_str().unwrap_or_default());
    let status = code.status();
    let mut answer = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: application/problem+json\r\nCache-Control: no-store\r\n\
         Connection: close\r\nRequest-Id: {}\r\nContent-Length: {}\r\n\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        id.to_str().unwrap_or_default(),
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(&body);
    answer
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while !self.instead.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.instead))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.instead.drain(..written);
        }
        Poll::Ready(Ok(()))
    }

    /// Whether these bytes were a bare answer; another takes its place.
    fn replaced(&mut self, bytes: &[u8]) -> bool {
        let Some(status) = bare_status(bytes) else { return false };
        self.instead = problem(status);
        self.refused = true;
        true
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.framing.lock().feed(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        ready!(self.poll_instead(cx))?;
        if self.replaced(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        ready!(self.poll_instead(cx))?;
        if let [one] = parts
            && self.replaced(one)
        {
            return Poll::Ready(Ok(one.len()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            if !self.refused && !self.framing.lock().expects_more() {
                return Poll::Ready(Ok(()));
            }
        }
        let this = &mut *self;
        let lingering = this.lingering.get_or_insert_with(|| Box::pin(sleep(LINGERING_MAX)));
        let mut scratch = [0; 4096];
        while lingering.as_mut().poll(cx).is_pending() {
            let mut unwanted = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut unwanted));
            if read.is_err() || unwanted.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_without_an_id_and_a_body_are_bare() {
        let bare = |text: &str| bare_status(text.as_bytes()).map(|status| status.as_u16());
        assert_eq!(bare("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\ndate: x\r\n\r\n"), Some(400));
        assert_eq!(
            bare("HTTP/1.1 431 Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
            Some(431)
        );
        for not in [
            "HTTP/1.1 404 Not Found\r\nrequest-id: 1\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 503 x\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.",
            "",
        ] {
            assert_eq!(bare(not), None, "{not}");
        }
    }

    #[test]
    fn the_problem_has_the_status_and_the_code() {
        for (status, code) in [(400, "malformed_request"), (414, "uri_too_long"), (431, "headers_too_large")]
        {
            let answer = String::from_utf8(problem(StatusCode::from_u16(status).unwrap())).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["code"], code);
            assert!(head.contains(body["instance"].as_str().unwrap()));
        }
    }
}
