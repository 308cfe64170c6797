//! A lean HTTP/1.1 connection: writes prepared bytes, reads a status, a content length and a body.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::demo::client::Fallible;

/// One keep-alive connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What was answered; the body is [`Connection::body`] until the next call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Status {
    pub(crate) code: u16,
    pub(crate) retry_after_seconds: Option<u64>,
}

impl Connection {
    pub(crate) async fn open(address: &str) -> Fallible<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends one request and reads its whole answer.
    pub(crate) async fn call(&mut self, request: &[u8]) -> Fallible<(Status, &[u8])> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            self.read().await?;
        };
        let (status, length) = parse_head(&self.buffer[..head])?;
        while self.buffer.len() < head + length {
            self.read().await?;
        }
        Ok((status, &self.buffer[head..head + length]))
    }

    async fn read(&mut self) -> Fallible<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err("the server closed a connection".into());
        }
        Ok(())
    }
}

fn parse_head(head: &[u8]) -> Fallible<(Status, usize)> {
    let head = std::str::from_utf8(head)?;
    let mut lines = head.split("\r\n");
    let code =
        lines.next().and_then(|line| line.split(' ').nth(1)).ok_or("an answer has no status")?.parse()?;
    let mut status = Status { code, retry_after_seconds: None };
    let mut length = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse()?);
        } else if name.eq_ignore_ascii_case("retry-after") {
            status.retry_after_seconds = value.trim().parse().ok();
        }
    }
    Ok((status, length.ok_or("an answer has no content length")?))
}

/// Where `needle` begins in `hay`.
pub(crate) fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|window| window == needle)
}

/// The number or string behind `"name":` in a flat JSON text; enough for our own answers.
pub(crate) fn field<'a>(body: &'a [u8], name: &str) -> Option<&'a str> {
    let at = find(body, format!("\"{name}\":").as_bytes())? + name.len() + 3;
    let rest = std::str::from_utf8(&body[at..]).ok()?.trim_start();
    match rest.strip_prefix('"') {
        Some(text) => text.split('"').next(),
        None => rest.split([',', '}', ']']).next().map(str::trim),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_as_numbers_and_as_texts() {
        let body = br#"{"accepted":100,"rejected":0,"position":"0000a1","results":[]}"#;
        assert_eq!(field(body, "accepted"), Some("100"));
        assert_eq!(field(body, "position"), Some("0000a1"));
        assert_eq!(field(body, "absent"), None);
    }

    #[test]
    fn heads_give_status_length_and_patience() {
        let (status, length) =
            parse_head(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 12\r\nRetry-After: 1\r\n\r\n")
                .unwrap();
        assert_eq!((status.code, status.retry_after_seconds, length), (503, Some(1), 12));
    }
}
