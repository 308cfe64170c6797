//! A client that tells what went wrong when an answer is not what a test expects.

use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;

/// Speaks as one key.
#[derive(Clone)]
pub(crate) struct Client {
    agent: Agent,
    url: String,
    pub(crate) key: String,
}

/// Whatever was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: Vec<u8>,
    asked: String,
}

impl Answer {
    /// The body as JSON; null when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body, when the status is this one.
    pub(crate) fn expect_status(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text());
        self.json()
    }

    /// The body of any success.
    pub(crate) fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {} {}", self.asked, self.status, self.text());
        self.json()
    }

    /// A problem document with this status and code-bearing fields; gives it.
    pub(crate) fn expect_problem(self, status: u16) -> Value {
        let kind = self.headers.get("content-type").map(|value| value.to_str().unwrap().to_owned());
        assert!(self.headers.contains_key("request-id"), "{} has no Request-Id", self.asked);
        let asked = self.asked.clone();
        let problem = self.expect_status(status);
        assert!(kind.is_some_and(|kind| kind.starts_with("application/problem+json")), "{asked}: {problem}");
        for field in ["type", "title", "detail", "instance", "code", "message"] {
            assert!(problem[field].is_string(), "{asked}: no {field} in {problem}");
        }
        assert_eq!(problem["status"], status, "{asked}");
        assert_eq!(problem["message"], problem["detail"], "{asked}");
        problem
    }
}

impl Client {
    pub(crate) fn new(url: &str, key: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build();
        Self { agent: config.into(), url: url.to_owned(), key: key.to_owned() }
    }

    /// The same key at another address: a server that was started again.
    pub(crate) fn at(&self, url: &str) -> Self {
        Self::new(url, &self.key)
    }

    /// The same with connections of its own.
    pub(crate) fn at_same(&self) -> Self {
        Self::new(&self.url, &self.key)
    }

    /// Where the server is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The key that it speaks with.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Another key of the same server.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self::new(&self.url, key)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.try_call("GET", path, "", None).unwrap()
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.try_call("DELETE", path, "", None).unwrap()
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        self.try_call("PUT", path, "application/json", Some(body.to_string().as_bytes())).unwrap()
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_bytes(path, "application/json", body.to_string().as_bytes())
    }

    /// `?wait=applied` gives up after some seconds and says so; a busy machine may need longer.
    fn wait_on(&self, path: &str, answer: &Answer) {
        let told = answer.json();
        let (true, Some(position)) = (path.contains("wait=applied"), told["position"].as_str()) else {
            return;
        };
        if told["applied"] == true {
            return;
        }
        let read = format!("/v1/segments?limit=1&min_position={position}");
        let applied =
            super::until(Duration::from_secs(120), || (self.get(&read).status == 200).then_some(()));
        assert!(applied.is_some(), "{path}: position {position} was not applied in time");
    }

    pub(crate) fn post_bytes(&self, path: &str, kind: &str, body: &[u8]) -> Answer {
        let answer = self.try_call("POST", path, kind, Some(body)).unwrap();
        self.wait_on(path, &answer);
        answer
    }

    /// Posts again while the server asks for patience, for a minute at most.
    pub(crate) fn post_patiently(&self, path: &str, body: &Value) -> Answer {
        let mut last = None;
        super::until(Duration::from_secs(60), || {
            let answer = self.post(path, body);
            let patience = matches!(answer.status, 429 | 503);
            last = Some(answer);
            (!patience).then_some(())
        });
        last.unwrap()
    }

    /// Fails only when there is no answer: the server is gone.
    pub(crate) fn try_call(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: Option<&[u8]>,
    ) -> Result<Answer, String> {
        let kind = [("content-type", kind)];
        self.send(method, path, kind.iter().filter(|(_, kind)| !kind.is_empty()), body)
    }

    fn send<'a>(
        &self,
        method: &str,
        path: &str,
        headers: impl Iterator<Item = &'a (&'a str, &'a str)>,
        body: Option<&[u8]>,
    ) -> Result<Answer, String> {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        if !self.key.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.key));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = match body {
            Some(body) => self.agent.run(request.body(body).unwrap()),
            None => self.agent.run(request.body(()).unwrap()),
        };
        let mut answer = answer.map_err(|error| error.to_string())?;
        let body = answer
            .body_mut()
            .with_config()
            .limit(256 << 20)
            .read_to_vec()
            .map_err(|error| error.to_string())?;
        Ok(Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            body,
            asked: format!("{method} {path}"),
        })
    }

    /// Gets with headers of its own.
    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers.iter(), None).unwrap()
    }

    /// Calls with headers of its own.
    pub(crate) fn call_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        self.try_call_with(method, path, headers, body).unwrap()
    }

    /// The same; fails only when there is no answer.
    pub(crate) fn try_call_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<Answer, String> {
        let kind = [("content-type", "application/json")];
        self.send(method, path, kind.iter().chain(headers), Some(body.to_string().as_bytes()))
    }

    /// Whether the server is ready.
    pub(crate) fn anonymous_ready(&self) -> bool {
        self.get("/readyz").status == 200
    }

    /// Puts a definition and waits for its backfill.
    pub(crate) fn define(&self, path: &str, body: &Value) -> Value {
        let answer = self.put(path, body).ok();
        self.finish_job(&answer);
        answer
    }

    /// Waits for the job that an answer names, if it names one; gives the job.
    pub(crate) fn finish_job(&self, answer: &Value) -> Option<Value> {
        let id = answer["job"].as_str().or_else(|| answer["backfill_job"].as_str())?;
        let job = super::until(Duration::from_secs(120), || {
            let job = self.get(&format!("/v1/jobs/{id}")).expect_status(200);
            matches!(job["status"].as_str(), Some("done" | "failed" | "cancelled")).then_some(job)
        });
        let job = job.unwrap_or_else(|| panic!("job {id} did not end"));
        assert_eq!(job["status"], "done", "{job}");
        Some(job)
    }

    /// The profile with an identifier.
    pub(crate) fn profile(&self, kind: &str, value: &str) -> Value {
        self.post("/v1/profiles/lookup", &json!({"identifier": {"type": kind, "value": value}}))
            .expect_status(200)
    }

    /// The size of a segment.
    pub(crate) fn segment_size(&self, name: &str) -> u64 {
        self.get(&format!("/v1/segments/{name}")).expect_status(200)["size"].as_u64().unwrap()
    }

    /// Runs an export to its end; gives its description and its file.
    pub(crate) fn export(&self, wanted: &Value) -> (Value, String) {
        let started = self.post("/v1/exports", wanted).expect_status(202);
        self.finish_job(&started);
        let id = started["id"].as_str().unwrap();
        let done = self.get(&format!("/v1/exports/{id}")).expect_status(200);
        assert_eq!(done["status"], "done", "{done}");
        let file = self.get(&format!("/v1/exports/{id}/file"));
        assert_eq!(file.status, 200, "{}", file.text());
        let disposition =
            file.headers.get("content-disposition").map(|value| value.to_str().unwrap().to_owned());
        assert!(disposition.is_some_and(|value| value.starts_with("attachment")));
        assert_eq!(file.headers.get("x-content-type-options").unwrap(), "nosniff");
        (done, file.text())
    }
}

/// An attribute's value as a test compares it: text without needless zeros, empty when missing.
pub(crate) fn attribute(profile: &Value, name: &str) -> String {
    match &profile["attributes"][name]["value"] {
        Value::Null => String::new(),
        Value::String(text) => plain(text),
        other => plain(&other.to_string()),
    }
}

/// Numbers and times without zeros that say nothing.
pub(crate) fn plain(text: &str) -> String {
    if let Some(time) = text.strip_suffix('Z').filter(|time| time.contains('T')) {
        let time = if time.contains('.') { time.trim_end_matches('0').trim_end_matches('.') } else { time };
        return format!("{time}Z");
    }
    match text.parse::<rust_decimal::Decimal>() {
        Ok(number) => number.normalize().to_string(),
        Err(_) => text.to_owned(),
    }
}
