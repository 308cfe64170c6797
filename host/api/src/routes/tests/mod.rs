//! The front door as clients meet it: the whole router over a real engine in memory.

mod coverage;
mod events;
mod exports;
mod idempotency;
mod people;
mod refusals;
mod segment;
mod shapes;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use cdp_engine::{Engine, Options, Storage};
use cdp_store::seal::MasterKey;
use http::{HeaderMap, Method, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub(in crate::routes) const OPERATOR: &str = "operator-key-of-the-tests";

/// An engine of its own with one tenant, behind the router.
pub(in crate::routes) struct World {
    pub(in crate::routes) router: Router,
    pub(in crate::routes) engine: Engine,
    exports: cdp_export::Exports,
    pub(in crate::routes) admin: String,
    _dir: tempfile::TempDir,
}

/// What was answered.
pub(in crate::routes) struct Answered {
    pub(in crate::routes) status: u16,
    pub(in crate::routes) headers: HeaderMap,
    pub(in crate::routes) body: Value,
    pub(in crate::routes) text: String,
}

impl World {
    pub(in crate::routes) async fn new() -> Self {
        // What is tested makes more changes a second than people do.
        let rates = crate::Rates { changes_per_second: 1_000_000, ..crate::Rates::default() };
        Self::with(crate::HttpOptions { rates, ..crate::HttpOptions::default() }).await
    }

    /// With other bounds than the usual.
    pub(in crate::routes) async fn with(http: crate::HttpOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new(dir.path().join("data"), MasterKey::from_bytes([7; 32]));
        options.storage = Storage::Memory;
        let engine = Engine::open(options).unwrap();
        let api =
            crate::Options { operator_key: Some(OPERATOR.to_owned()), http, ..crate::Options::default() };
        let exports = cdp_export::Exports::open(engine.clone(), "").unwrap();
        let router = crate::router(exports.clone(), api);
        let mut world = Self { router, engine, exports, admin: String::new(), _dir: dir };
        let body = json!({"slug": "shop", "name": "Shop"});
        let made = world.send(Method::POST, "/v1/tenants", OPERATOR, &body).await.expect(201);
        world.admin = made["admin_key"].as_str().unwrap().to_owned();
        world
    }

    /// A key of the tenant with these scopes.
    pub(in crate::routes) async fn key(&self, scopes: &[&str]) -> String {
        let body = json!({"name": scopes.join("-"), "scopes": scopes});
        let made = self.send(Method::POST, "/v1/keys", &self.admin, &body).await.expect(201);
        made["key"].as_str().unwrap().to_owned()
    }

    pub(in crate::routes) async fn request(&self, request: Request) -> Answered {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answered { status: parts.status.as_u16(), headers: parts.headers, body, text }
    }

    pub(in crate::routes) async fn raw(&self, path: &str, kind: &str, body: impl Into<Body>) -> Answered {
        let request = Request::post(path).header(header::AUTHORIZATION, format!("Bearer {}", self.admin));
        self.request(request.header(header::CONTENT_TYPE, kind).body(body.into()).unwrap()).await
    }

    pub(in crate::routes) async fn send(
        &self,
        method: Method,
        path: &str,
        key: &str,
        body: &Value,
    ) -> Answered {
        let mut request = Request::builder().method(method).uri(path);
        if !key.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        let request = request.header(header::CONTENT_TYPE, "application/json");
        self.request(request.body(Body::from(body.to_string())).unwrap()).await
    }

    pub(in crate::routes) async fn post(&self, path: &str, body: &Value) -> Answered {
        self.send(Method::POST, path, &self.admin, body).await
    }

    pub(in crate::routes) async fn put(&self, path: &str, body: &Value) -> Answered {
        self.send(Method::PUT, path, &self.admin, body).await
    }

    pub(in crate::routes) async fn get(&self, path: &str) -> Answered {
        self.send(Method::GET, path, &self.admin, &Value::Null).await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.exports.close();
        self.engine.close();
    }
}

impl Answered {
    /// The body of an answer with this status.
    #[track_caller]
    pub(in crate::routes) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert!(self.headers.contains_key("request-id"));
        self.body
    }

    /// The body of an error with this status and code, which must be a problem.
    #[track_caller]
    pub(in crate::routes) fn problem(self, status: u16, code: &str) -> Value {
        assert_eq!(
            self.headers.get(header::CONTENT_TYPE).unwrap(),
            "application/problem+json",
            "{}",
            self.text
        );
        assert_eq!(self.body["instance"].as_str().unwrap(), self.headers["request-id"].to_str().unwrap());
        let body = self.expect(status);
        assert_eq!(
            (body["code"].as_str(), body["status"].as_u64()),
            (Some(code), Some(u64::from(status))),
            "{body}"
        );
        assert_eq!(body["detail"], body["message"]);
        assert!(body["errors"].is_array() && body["retryable"].is_boolean() && body["title"].is_string());
        body
    }
}

/// A small event.
pub(in crate::routes) fn event(id: &str) -> Value {
    json!({"id": id, "type": "purchase", "identifiers": [{"type": "customer_id", "value": "ann"}]})
}

/// The pointers that a problem names.
pub(in crate::routes) fn pointers(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect()
}
