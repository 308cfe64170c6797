//! Somebody in the console: a cookie, and one connection that is kept.

use std::io::Read as _;
use std::time::Duration;

use flate2::read::MultiGzDecoder;

use super::pages::Page;
use crate::demo::client::Fallible;

/// The longest answer that is read.
const BODY_BYTES_MAX: u64 = 64 << 20;
/// No page takes longer.
const LONGEST: Duration = Duration::from_secs(120);
const PASSWORD: &str = "correct horse battery staple";

/// A browser that is signed in.
pub(super) struct Visitor {
    agent: ureq::Agent,
    url: String,
    cookie: String,
}

/// What was answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) location: String,
    /// Of the body, as sent.
    pub(super) sent_bytes: u64,
    body: Vec<u8>,
    is_gzip: bool,
}

impl Answer {
    /// The page.
    pub(super) fn text(&self) -> Fallible<String> {
        if !self.is_gzip {
            return Ok(String::from_utf8(self.body.clone())?);
        }
        let mut text = String::new();
        MultiGzDecoder::new(&self.body[..]).take(BODY_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    }
}

impl Visitor {
    /// Comes in by a link that works once.
    pub(super) fn enter(url: &str, link: &str) -> Fallible<Self> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(LONGEST))
            .build();
        let mut visitor = Self { agent: config.into(), url: url.to_owned(), cookie: String::new() };
        let entered = visitor.post(link, &[("password".to_owned(), PASSWORD.to_owned())])?;
        if visitor.cookie.is_empty() {
            return Err(format!("the link gave no session: {} {}", entered.status, entered.text()?).into());
        }
        Ok(visitor)
    }

    /// Opens a page, by its address or by its form.
    pub(super) fn open(&mut self, page: &Page) -> Fallible<Answer> {
        if page.fields.is_empty() { self.get(&page.path) } else { self.post(&page.path, &page.fields) }
    }

    pub(super) fn get(&mut self, path: &str) -> Fallible<Answer> {
        let request = self.agent.get(format!("{}{path}", self.url)).header("cookie", &self.cookie);
        let response = request.header("accept-encoding", "gzip, br").call()?;
        self.read(response)
    }

    pub(super) fn post(&mut self, path: &str, fields: &[(String, String)]) -> Fallible<Answer> {
        let request = self.agent.post(format!("{}{path}", self.url)).header("cookie", &self.cookie);
        let request = request.header("accept-encoding", "gzip, br").header("sec-fetch-site", "same-origin");
        let response =
            request.send_form(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
        self.read(response)
    }

    fn read(&mut self, response: ureq::http::Response<ureq::Body>) -> Fallible<Answer> {
        let (parts, mut body) = response.into_parts();
        let header = |name: &str| {
            parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let pair = header("set-cookie").split(';').next().unwrap_or_default().to_owned();
        if pair.starts_with("__Host-") {
            self.cookie = pair;
        }
        let body = body.with_config().limit(BODY_BYTES_MAX).read_to_vec()?;
        Ok(Answer {
            status: parts.status.as_u16(),
            location: header("location"),
            sent_bytes: body.len() as u64,
            is_gzip: header("content-encoding") == "gzip",
            body,
        })
    }
}
