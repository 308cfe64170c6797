//! A small blocking client of our own API, for what needs no speed.

use std::error::Error;
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;

/// At the edge errors are only printed.
pub(crate) type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The longest answer we read: an exported file of the demo.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// Speaks as one key.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: Agent,
    /// Such as `http://127.0.0.1:8080`.
    pub(crate) url: String,
    authorization: String,
}

/// Whatever the server said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON, whatever the status.
    pub(crate) fn json(&self) -> Fallible<Value> {
        Ok(serde_json::from_slice(&self.body)?)
    }

    /// The body of a success; the server's own sentence otherwise.
    pub(crate) fn expect(self, what: &str) -> Fallible<Value> {
        if (200..300).contains(&self.status) {
            return self.json();
        }
        let problem = self.json().unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or("no reason was given");
        let errors = &problem["errors"];
        let more = if errors.as_array().is_some_and(|all| !all.is_empty()) {
            format!(" {errors}")
        } else {
            String::new()
        };
        Err(format!("{what}: {} {detail}{more}", self.status).into())
    }
}

impl Client {
    pub(crate) fn new(url: &str, key: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(120)))
            .build();
        Self { agent: config.into(), url: url.to_owned(), authorization: format!("Bearer {key}") }
    }

    pub(crate) fn get(&self, path: &str) -> Fallible<Answer> {
        let request =
            self.agent.get(format!("{}{path}", self.url)).header("authorization", &self.authorization);
        read(request.call()?)
    }

    /// Streams an answer into a file, however long it is.
    pub(crate) fn download(&self, path: &str, into: &mut std::fs::File) -> Fallible<u64> {
        let request =
            self.agent.get(format!("{}{path}", self.url)).header("authorization", &self.authorization);
        let mut response = request.config().timeout_global(None).build().call()?;
        if response.status().as_u16() != 200 {
            read(response)?.expect("fetching the file")?;
            return Err("the server gave no file".into());
        }
        Ok(std::io::copy(&mut response.body_mut().as_reader(), into)?)
    }

    pub(crate) fn post(&self, path: &str, kind: &str, body: &[u8]) -> Fallible<Answer> {
        let request =
            self.agent.post(format!("{}{path}", self.url)).header("authorization", &self.authorization);
        read(request.header("content-type", kind).send(body)?)
    }

    /// Posts with headers of one's own.
    pub(crate) fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Fallible<Answer> {
        let mut request =
            self.agent.post(format!("{}{path}", self.url)).header("authorization", &self.authorization);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.send(body)?)
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Fallible<Answer> {
        let request =
            self.agent.put(format!("{}{path}", self.url)).header("authorization", &self.authorization);
        read(request.header("content-type", "application/json").send(body.to_string().as_bytes())?)
    }

    pub(crate) fn delete(&self, path: &str) -> Fallible<Answer> {
        let request =
            self.agent.delete(format!("{}{path}", self.url)).header("authorization", &self.authorization);
        read(request.call()?)
    }

    pub(crate) fn post_json(&self, path: &str, body: &Value) -> Fallible<Answer> {
        self.post(path, "application/json", body.to_string().as_bytes())
    }

    /// Posts again while the server asks for patience.
    pub(crate) fn post_patiently(&self, path: &str, kind: &str, body: &[u8]) -> Fallible<Answer> {
        patiently(|| self.post(path, kind, body))
    }

    /// Gets again while the server asks for patience, as with `min_position`.
    pub(crate) fn get_patiently(&self, path: &str) -> Fallible<Answer> {
        patiently(|| self.get(path))
    }

    /// Waits until the job named by `job` or `backfill_job` of an answer is done; gives its result.
    pub(crate) fn finish_job(&self, answer: &Value) -> Fallible<Value> {
        let id = answer["job"].as_str().or_else(|| answer["backfill_job"].as_str());
        let Some(id) = id else { return Ok(Value::Null) };
        let deadline = Instant::now() + Duration::from_secs(600);
        let mut pause = Duration::from_millis(2);
        while Instant::now() < deadline {
            let job = self.get_patiently(&format!("/v1/jobs/{id}"))?.expect("reading a job")?;
            match job["status"].as_str() {
                Some("done") => return Ok(job["result"].clone()),
                Some("failed" | "cancelled") => {
                    return Err(format!("job {id} failed: {}", job["error"]).into());
                }
                _ => std::thread::sleep(pause),
            }
            pause = (pause * 2).min(Duration::from_millis(200));
        }
        Err(format!("job {id} did not end in time").into())
    }
}

fn patiently(call: impl Fn() -> Fallible<Answer>) -> Fallible<Answer> {
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        let answer = call()?;
        if !matches!(answer.status, 429 | 503) || Instant::now() > deadline {
            return Ok(answer);
        }
        std::thread::sleep(
            answer.retry_after.unwrap_or(Duration::from_millis(100)).min(Duration::from_secs(5)),
        );
    }
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> Fallible<Answer> {
    let seconds = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let retry_after = seconds.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(BODY_BYTES_MAX).read_to_vec()?;
    Ok(Answer { status, retry_after, body })
}
