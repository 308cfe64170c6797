//! Bodies: read within bounds of size and time, inflated within the same bound, and parsed strictly.
//!
//! Bytes → gzip → JSON, for every call that takes a body. A body beyond its bound costs no more than the bound:
//! inflating stops at the limit, whatever a bomb promises.

use std::io::Read as _;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use cdp_domain::json;
use cdp_domain::value::Value;
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;

use crate::app::App;
use crate::error::{Answer, Code, Failure};

/// Bytes of a JSON body, as sent and after decompression.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Bytes of a plugin's component.
pub const UPLOAD_BYTES_MAX: usize = 32 << 20;
/// Nesting of a JSON body; events have a narrower bound of their own.
pub const BODY_DEPTH_MAX: u32 = 64;
/// Items of one array and members of one object in a JSON body.
pub const BODY_WIDTH_MAX: usize = 10_000;
/// Bytes of a body that nobody wants which are still read, so that the client gets to read the answer.
const DISCARDED_BYTES_MAX: usize = 4 << 20;
/// Bytes that are read in one go; some 20 µs of a core.
const PACE_BYTES: usize = 64 << 10;
/// How long such a body is read.
const DISCARDING_MAX: Duration = Duration::from_secs(1);

/// How large and how slow a body may be.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes, as sent and after decompression.
    pub bytes_max: usize,
    /// Time until it is there.
    pub within: Duration,
    /// Time in which nothing comes.
    pub silence_max: Duration,
}

impl Bounds {
    /// For JSON.
    #[must_use]
    pub fn json(app: &App) -> Self {
        let http = app.http();
        Self {
            bytes_max: BODY_BYTES_MAX,
            within: http.body_read_timeout,
            silence_max: http.body_idle_timeout,
        }
    }

    /// For a plugin's component.
    #[must_use]
    pub fn upload(app: &App) -> Self {
        let http = app.http();
        Self {
            bytes_max: UPLOAD_BYTES_MAX,
            within: http.upload_read_timeout,
            silence_max: http.body_idle_timeout,
        }
    }
}

/// Reads a body's bytes as they were sent.
///
/// # Errors
/// 413 beyond the bound, 408 when it comes too slowly, 400 when the connection gives no more.
pub async fn read(headers: &HeaderMap, mut body: Body, bounds: Bounds) -> Answer<Bytes> {
    let announced = announced(headers);
    if announced.is_some_and(|bytes| bytes > bounds.bytes_max as u64) {
        discard(headers, body).await;
        return Err(too_large(bounds.bytes_max));
    }
    let reading = async {
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        let mut size = 0;
        let mut pace = Pace::default();
        loop {
            let slow = || Failure::new(Code::RequestTimeout, "the body stopped arriving");
            let frame = tokio::time::timeout(bounds.silence_max, body.frame()).await.map_err(|_| slow())?;
            let Some(frame) = frame else { break };
            let broken = |_| Failure::new(Code::MalformedBody, "the body ended before it was complete");
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            size += data.len();
            pace.took(data.len()).await;
            if size > bounds.bytes_max {
                discard(headers, body).await;
                return Err(too_large(bounds.bytes_max));
            }
            // Most bodies come in one piece and are not copied.
            if first.is_empty() && all.is_empty() {
                first = data;
                continue;
            }
            if all.is_empty() {
                all.reserve(announced.map_or(data.len() * 4, |bytes| bytes as usize));
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
        Ok(if all.is_empty() { first } else { all.freeze() })
    };
    let slow = |_| Failure::new(Code::RequestTimeout, "the body took too long to arrive");
    tokio::time::timeout(bounds.within, reading).await.map_err(slow)?
}

/// The bytes that the headers announce.
#[must_use]
pub fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
}

/// Memory to set aside for a JSON body before it is read: what is announced, or what it may have at most.
#[must_use]
pub fn room_for(headers: &HeaderMap) -> usize {
    let announced = announced(headers).and_then(|bytes| usize::try_from(bytes).ok());
    announced.unwrap_or(BODY_BYTES_MAX).min(BODY_BYTES_MAX)
}

/// How JSON bodies are read.
#[must_use]
pub fn json_options() -> json::Options {
    json::Options { depth_max: BODY_DEPTH_MAX, width_max: BODY_WIDTH_MAX, nan_as_null: false }
}

/// Reads on for a moment without keeping anything, so that a client that is still sending gets to read the answer. A
/// client that waits to be told to go on (`Expect: 100-continue`) sends nothing, and is not told to.
pub async fn discard(headers: &HeaderMap, mut body: Body) {
    if headers.contains_key(header::EXPECT) {
        return;
    }
    let discarding = async {
        let mut left = DISCARDED_BYTES_MAX;
        let mut pace = Pace::default();
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            left = left.saturating_sub(bytes);
            if left == 0 {
                break;
            }
            pace.took(bytes).await;
        }
    };
    let _ = tokio::time::timeout(DISCARDING_MAX, discarding).await;
}

/// Lets other requests of the same thread go on in between: who sends fast enough would have it read for milliseconds.
#[derive(Debug, Default)]
struct Pace(usize);

impl Pace {
    async fn took(&mut self, bytes: usize) {
        self.0 += bytes;
        if self.0 >= PACE_BYTES {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}

fn too_large(bytes_max: usize) -> Failure {
    Failure::new(Code::BodyTooLarge, format!("the body is larger than {bytes_max} bytes"))
}

/// Whether the headers announce gzip.
///
/// # Errors
/// 415 for any other encoding.
pub fn is_gzip(headers: &HeaderMap) -> Answer<bool> {
    let Some(encoding) = headers.get(header::CONTENT_ENCODING) else { return Ok(false) };
    match encoding.to_str().unwrap_or("?").trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(false),
        "gzip" | "x-gzip" => Ok(true),
        _ => Err(Failure::new(Code::UnsupportedMediaType, "the Content-Encoding can only be gzip")),
    }
}

/// Inflates gzip, up to a bound. Blocking; about 3 ms a MiB.
///
/// # Errors
/// 413 beyond the bound, 400 when it is no gzip.
pub fn inflate(bytes: &[u8], bytes_max: usize) -> Answer<Vec<u8>> {
    let mut out = Vec::with_capacity((bytes.len() * 4).min(bytes_max + 1));
    let read = flate2::read::MultiGzDecoder::new(bytes).take(bytes_max as u64 + 1).read_to_end(&mut out);
    if out.len() > bytes_max {
        return Err(Failure::new(
            Code::BodyTooLarge,
            format!("the body inflates to more than {bytes_max} bytes"),
        ));
    }
    read.map_err(|_| {
        Failure::new(Code::MalformedBody, "the body is not the gzip that its header announces")
    })?;
    Ok(out)
}

/// A refusal of the JSON reader, with its place.
#[must_use]
pub fn malformed(error: &json::Error) -> Failure {
    Failure::new(Code::MalformedJson, format!("the body is not valid JSON: {error}"))
}

/// The media type of a body, in lower case and without parameters; empty when the client does not say.
#[must_use]
pub fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or("?"));
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// A JSON body of at most [`BODY_BYTES_MAX`] bytes: what every call but ingest and upload takes.
#[derive(Debug)]
pub struct Document(pub Value);

impl FromRequest<App> for Document {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Answer<Self> {
        let (parts, body) = request.into_parts();
        let media = media_type(&parts.headers);
        if !(media.is_empty() || media == "application/json" || media.ends_with("+json")) {
            discard(&parts.headers, body).await;
            return Err(Failure::new(
                Code::UnsupportedMediaType,
                "the Content-Type of this call is application/json",
            ));
        }
        let gzip = is_gzip(&parts.headers)?;
        let bytes = read(&parts.headers, body, Bounds::json(app)).await?;
        let heavy = gzip || bytes.len() > crate::INLINE_BYTES_MAX;
        let parse = move || -> Answer<Value> {
            let inflated = if gzip { Some(inflate(&bytes, BODY_BYTES_MAX)?) } else { None };
            json::parse(inflated.as_deref().unwrap_or(&bytes), json_options())
                .map_err(|error| malformed(&error))
        };
        crate::work(heavy, parse).await?.map(Self)
    }
}

/// Whether a request says `Sec-GPC: 1`: any of several such headers that is exactly this.
#[must_use]
pub fn says_gpc(headers: &http::HeaderMap) -> bool {
    headers.get_all("sec-gpc").iter().any(|value| value.as_bytes() == b"1")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn bounds(bytes_max: usize) -> Bounds {
        Bounds { bytes_max, within: Duration::from_secs(5), silence_max: Duration::from_secs(5) }
    }

    #[tokio::test]
    async fn a_body_is_read_at_n_bytes_and_refused_at_n_plus_1() {
        let none = HeaderMap::new();
        assert_eq!(read(&none, Body::from("1234"), bounds(4)).await.unwrap(), "1234");
        assert_eq!(read(&none, Body::from("12345"), bounds(4)).await.unwrap_err().code, Code::BodyTooLarge);
        let announced = HeaderMap::from_iter([(header::CONTENT_LENGTH, http::HeaderValue::from_static("5"))]);
        assert_eq!(read(&announced, Body::empty(), bounds(4)).await.unwrap_err().code, Code::BodyTooLarge);
    }

    #[test]
    fn gzip_is_inflated_up_to_the_bound_and_a_bomb_stops_there() {
        assert_eq!(inflate(&gzip(&[7; 1000]), 1000).unwrap(), [7; 1000]);
        assert_eq!(inflate(&gzip(&[7; 1001]), 1000).unwrap_err().code, Code::BodyTooLarge);
        assert_eq!(inflate(&gzip(&vec![0; 64 << 20]), 1000).unwrap_err().code, Code::BodyTooLarge);
        assert_eq!(inflate(b"no gzip", 1000).unwrap_err().code, Code::MalformedBody);
        assert_eq!(inflate(&gzip(&[7; 1000])[..20], 1000).unwrap_err().code, Code::MalformedBody);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_arriving_is_given_up() {
        let never = Body::new(Never);
        assert_eq!(read(&HeaderMap::new(), never, bounds(4)).await.unwrap_err().code, Code::RequestTimeout);
    }

    #[tokio::test]
    async fn others_have_a_turn_at_each_piece_of_a_body_that_is_there() {
        const PIECES: usize = 8;
        let turns = std::rc::Rc::new(std::cell::Cell::new(0));
        let other = turns.clone();
        let others = async move {
            loop {
                other.set(other.get() + 1);
                tokio::task::yield_now().await;
            }
        };
        let local = tokio::task::LocalSet::new();
        local.spawn_local(others);
        let reading = async {
            let body = Body::new(Ready(PIECES));
            read(&HeaderMap::new(), body, bounds(PIECES * PACE_BYTES)).await.unwrap().len()
        };
        assert_eq!(local.run_until(reading).await, PIECES * PACE_BYTES);
        assert!(turns.get() >= PIECES, "{} turns", turns.get());
    }

    /// So many pieces, all there.
    struct Ready(usize);

    impl http_body::Body for Ready {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
            let more = self.0.checked_sub(1);
            self.0 = more.unwrap_or_default();
            std::task::Poll::Ready(more.map(|_| Ok(http_body::Frame::data(vec![0; PACE_BYTES].into()))))
        }
    }

    /// A body that never sends anything.
    struct Never;

    impl http_body::Body for Never {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
            std::task::Poll::Pending
        }
    }
}
