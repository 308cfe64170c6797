//! Running the server: whether it lives and can take writes, its numbers, its bounds, its description.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{Code, Failure, ProblemBody};
use crate::{limits, metrics};

/// The process answers.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    status: &'static str,
}

/// Alive
///
/// Answers as long as the process does.
#[utoipa::path(get, path = "/healthz", tag = "operation", responses((status = 200, body = Health)))]
pub(crate) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether writes can be taken.
#[derive(Serialize, ToSchema)]
pub struct Ready {
    /// Whether they can.
    ready: bool,
    /// Why not.
    reasons: Vec<String>,
}

/// Able to accept writes
///
/// 503 when the disk or a sync fails, or while state is being rebuilt; the body says which.
#[utoipa::path(get, path = "/readyz", tag = "operation",
    responses((status = 200, body = Ready), (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "Not now; `reasons` says why")))]
pub(crate) async fn readyz(State(app): State<App>) -> Response {
    let readiness = app.engine().readiness();
    if readiness.ready {
        return Json(Ready { ready: true, reasons: readiness.reasons }).into_response();
    }
    let failure = Failure::new(Code::Unavailable, readiness.reasons.join("; "));
    failure.with("ready", false).with("reasons", readiness.reasons).into_response()
}

/// Numbers for Prometheus
///
/// Text of the Prometheus exposition format. Labels are route templates and tenant numbers.
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(app): State<App>) -> impl IntoResponse {
    metrics::refresh(app.engine());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics().render())
}

/// Every limit of this server
///
/// Sizes in bytes, times in milliseconds, the rest in pieces.
#[utoipa::path(get, path = "/v1/limits", tag = "operation", responses((status = 200, body = Object)))]
pub(crate) async fn limits(State(app): State<App>) -> Json<serde_json::Map<String, serde_json::Value>> {
    Json(limits::all(app.http()))
}

/// This description
#[utoipa::path(get, path = "/openapi.json", tag = "operation", responses((status = 200, body = Object)))]
pub(crate) async fn openapi(State(app): State<App>) -> impl IntoResponse {
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], app.openapi())
}
