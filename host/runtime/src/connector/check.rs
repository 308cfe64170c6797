//! What a request has to keep before anybody sends it.

use http::Uri;
use http::uri::Scheme;

use super::words::{HeaderValue, HttpRequest};
use crate::descriptor::quoted;
use crate::grants::Grants;

/// Bytes of a URL, at most.
pub const URL_BYTES_MAX: usize = 8 << 10;
/// Headers of a request, at most.
pub const HEADERS_MAX: usize = 64;
/// Bytes of a header's name and of its value, each at most.
pub const HEADER_BYTES_MAX: usize = 8 << 10;
/// Bytes of a request's body, at most.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// Milliseconds that a request may wait for its reply, at most.
pub const TIMEOUT_MS_MAX: u32 = 60_000;
/// Bytes of an idempotency key, at most.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// Methods that a connector may use.
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// Headers that decide about the connection, the body's length or whom it is for: the sender's alone.
const SENDERS_OWN: [&str; 14] = [
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "idempotency-key",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Why a request is not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// It breaks a rule of the contract.
    Malformed(String),
    /// It asks for what was not declared or not granted.
    Denied(String),
}

/// What a connector asked for when it described itself.
pub(super) struct Declared<'a> {
    pub(super) hosts: &'a [String],
    pub(super) secrets: &'a [String],
}

/// Checks a request against the bounds, the declaration and the grants.
pub(super) fn request(
    request: &HttpRequest,
    declared: &Declared<'_>,
    grants: &Grants,
) -> Result<(), Refused> {
    let malformed = |sentence: String| Err(Refused::Malformed(sentence));
    if !METHODS.contains(&request.method.as_str()) {
        return malformed(format!("method: {} is none of {}", quoted(&request.method), METHODS.join(", ")));
    }
    let origin = origin(&request.url).map_err(|why| Refused::Malformed(format!("url: {why}")))?;
    if !declared.hosts.contains(&origin) || !grants.reaches(&origin) {
        return Err(Refused::Denied(format!("{origin} was not declared and granted")));
    }
    if request.headers.len() > HEADERS_MAX {
        return malformed(format!("headers: {} items, {HEADERS_MAX} are allowed", request.headers.len()));
    }
    for (name, value) in &request.headers {
        header(name, value)?;
        if let HeaderValue::Secret(secret) = value
            && !(declared.secrets.contains(secret) && grants.names(secret))
        {
            return Err(Refused::Denied(format!(
                "the secret {} was not declared and granted",
                quoted(secret)
            )));
        }
    }
    if request.body.len() > BODY_BYTES_MAX {
        return malformed(format!("body: {} bytes, {BODY_BYTES_MAX} are allowed", request.body.len()));
    }
    if !(1..=TIMEOUT_MS_MAX).contains(&request.timeout_ms) {
        return malformed(format!("timeout-ms: {} is not within 1 and {TIMEOUT_MS_MAX}", request.timeout_ms));
    }
    match &request.idempotency_key {
        Some(key)
            if !(1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len())
                || !key.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            malformed(format!(
                "idempotency-key: has 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible characters of ASCII"
            ))
        }
        _ => Ok(()),
    }
}

fn header(name: &str, value: &HeaderValue) -> Result<(), Refused> {
    let malformed =
        |sentence: String| Err(Refused::Malformed(format!("header {}: {sentence}", quoted(name))));
    let token =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !(1..=HEADER_BYTES_MAX).contains(&name.len()) || !name.bytes().all(token) {
        return malformed("is no name of a header in lower case".to_owned());
    }
    if SENDERS_OWN.contains(&name) || name.starts_with("proxy-") || name.starts_with("x-forwarded-") {
        return malformed("is the sender's own".to_owned());
    }
    if let HeaderValue::Plain(text) = value {
        let fits = text.len() <= HEADER_BYTES_MAX;
        if !fits || !text.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) {
            return malformed(format!(
                "its value has at most {HEADER_BYTES_MAX} visible characters of ASCII"
            ));
        }
    }
    Ok(())
}

/// The `https://host[:port]` of a URL, in lower case and without the usual port.
///
/// # Errors
/// A sentence, when it is no plain URL: another scheme, a user, a fragment, characters that URLs do not have.
pub(crate) fn origin(url: &str) -> Result<String, String> {
    if url.len() > URL_BYTES_MAX {
        return Err(format!("{} bytes, {URL_BYTES_MAX} are allowed", url.len()));
    }
    if !url.bytes().all(|byte| byte.is_ascii_graphic())
        || url.contains(['\\', '#', '"', '<', '>', '^', '`', '{', '|', '}'])
    {
        return Err("it has characters that a URL does not have; encode them".to_owned());
    }
    let parsed: Uri = url.parse().map_err(|error| format!("{error}"))?;
    if parsed.scheme() != Some(&Scheme::HTTPS) {
        return Err("it does not begin with https://".to_owned());
    }
    let authority = parsed.authority().ok_or("it has no host")?;
    let host = authority.host().to_ascii_lowercase();
    if host.is_empty() || authority.as_str().contains('@') {
        return Err("it has no host, or a user before it".to_owned());
    }
    let port = &authority.as_str()[host.len()..];
    let host = host.strip_suffix('.').unwrap_or(&host);
    match port.strip_prefix(':').map(str::parse::<u16>) {
        None | Some(Ok(443)) => Ok(format!("https://{host}")),
        Some(Ok(port)) if port > 0 => Ok(format!("https://{host}:{port}")),
        Some(_) => Err("its port is none".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::Request;

    #[test]
    fn origins_are_read_strictly() {
        for (url, expected) in [
            ("https://api.example.com/v1?x=1", Some("https://api.example.com")),
            ("https://API.Example.com:443", Some("https://api.example.com")),
            ("https://api.example.com.:8443/", Some("https://api.example.com:8443")),
            ("https://[2001:db8::1]/", Some("https://[2001:db8::1]")),
            ("http://api.example.com/", None),
            ("https://user@api.example.com/", None),
            ("https://api.example.com@evil.example/", None),
            ("https://api.example.com\\@evil.example/", None),
            ("https://api.example.com/#fragment", None),
            ("https://api.example.com/a b", None),
            ("https://api.example.com:0/", None),
            ("https://api.example.com:99999/", None),
            ("https:///path", None),
            ("//api.example.com/", None),
            ("/v1", None),
            ("https://api.exämple.com/", None),
            ("https://api.example.com/\r\nhost: evil", None),
        ] {
            assert_eq!(origin(url).ok().as_deref(), expected, "{url}: {:?}", origin(url));
        }
    }

    fn good() -> HttpRequest {
        HttpRequest {
            method: "POST".into(),
            url: "https://api.example.com/v1".into(),
            headers: vec![
                ("content-type".into(), HeaderValue::Plain("application/json".into())),
                ("authorization".into(), HeaderValue::Secret("token".into())),
            ],
            body: b"{}".to_vec(),
            timeout_ms: 1000,
            idempotency_key: Some("abc-1".into()),
        }
    }

    fn judge(change: impl FnOnce(&mut HttpRequest), grants: &Grants) -> Result<(), Refused> {
        let mut asked = good();
        change(&mut asked);
        let hosts = ["https://api.example.com".to_owned(), "https://other.example.com".to_owned()];
        let secrets = ["token".to_owned(), "other".to_owned()];
        request(&asked, &Declared { hosts: &hosts, secrets: &secrets }, grants)
    }

    fn granted() -> Grants {
        Grants::of([
            Request::Host { url: "https://api.example.com".into() },
            Request::Secret { name: "token".into() },
        ])
    }

    #[test]
    fn only_what_is_declared_and_granted_is_reached_and_named() {
        let grants = granted();
        assert_eq!(judge(|_| {}, &grants), Ok(()));
        let denied =
            |change: fn(&mut HttpRequest)| assert!(matches!(judge(change, &grants), Err(Refused::Denied(_))));
        denied(|asked| asked.url = "https://other.example.com/".into());
        denied(|asked| asked.url = "https://evil.example/".into());
        denied(|asked| asked.url = "https://api.example.com:8443/".into());
        denied(|asked| asked.headers[1].1 = HeaderValue::Secret("other".into()));
        denied(|asked| asked.headers[1].1 = HeaderValue::Secret("unknown".into()));
        assert!(matches!(judge(|_| {}, &Grants::of([])), Err(Refused::Denied(_))));
        assert!(matches!(
            judge(|asked| asked.url = "https://evil.example/".into(), &Grants::all()),
            Err(Refused::Denied(_))
        ));
    }

    #[test]
    fn every_bound_holds_at_its_edge() {
        let grants = granted();
        let fine =
            |change: &dyn Fn(&mut HttpRequest)| assert_eq!(judge(|asked| change(asked), &grants), Ok(()));
        let bad = |change: &dyn Fn(&mut HttpRequest)| {
            let found = judge(|asked| change(asked), &grants);
            assert!(matches!(found, Err(Refused::Malformed(_))), "{found:?}");
        };
        let plain = |length: usize| HeaderValue::Plain("x".repeat(length));
        let url = |length: usize| {
            let start = "https://api.example.com/";
            format!("{start}{}", "x".repeat(length - start.len()))
        };
        fine(&|asked| asked.body = vec![0; BODY_BYTES_MAX]);
        bad(&|asked| asked.body = vec![0; BODY_BYTES_MAX + 1]);
        fine(&|asked| asked.url = url(URL_BYTES_MAX));
        bad(&|asked| asked.url = url(URL_BYTES_MAX + 1));
        fine(&|asked| asked.headers = vec![("x-a".into(), plain(HEADER_BYTES_MAX)); HEADERS_MAX]);
        bad(&|asked| asked.headers = vec![("x-a".into(), plain(1)); HEADERS_MAX + 1]);
        bad(&|asked| asked.headers[0].1 = plain(HEADER_BYTES_MAX + 1));
        fine(&|asked| asked.timeout_ms = TIMEOUT_MS_MAX);
        bad(&|asked| asked.timeout_ms = TIMEOUT_MS_MAX + 1);
        bad(&|asked| asked.timeout_ms = 0);
        fine(&|asked| asked.idempotency_key = Some("k".repeat(IDEMPOTENCY_KEY_BYTES_MAX)));
        bad(&|asked| asked.idempotency_key = Some("k".repeat(IDEMPOTENCY_KEY_BYTES_MAX + 1)));
        bad(&|asked| asked.idempotency_key = Some(String::new()));
        bad(&|asked| asked.method = "CONNECT".into());
        bad(&|asked| asked.method = "post".into());
        for name in
            ["Host", "host", "content-length", "transfer-encoding", "proxy-x", "a b", "", "x-forwarded-for"]
        {
            bad(&|asked| asked.headers[0].0 = name.into());
        }
        bad(&|asked| asked.headers[0].1 = HeaderValue::Plain("a\r\nb: c".into()));
    }
}
