//! Who may call what: one table. A route that does not stand here is answered with an error, never served.

use std::collections::HashMap;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use cdp_engine::registry::Scope;
use http::{HeaderValue, Method, StatusCode, header};

use crate::app::App;
use crate::auth;
use crate::body;
use crate::error::{Answer, Failure};

/// What a route asks of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Public,
    /// A tenant's key with this scope.
    Tenant(Scope),
    /// Any key of a tenant.
    AnyKey,
    /// A key of a tenant that may do more than send: those that only send stand in web pages.
    NotOnlyIngest,
    /// A tenant's key with the scope `ingest`, in the headers or, as analytics SDKs send it, in the body.
    Message,
    /// The operator's key.
    Operator,
}

const INGEST: Access = Access::Tenant(Scope::Ingest);
const READ: Access = Access::Tenant(Scope::Read);
const EXPORT: Access = Access::Tenant(Scope::Export);
const ADMIN: Access = Access::Tenant(Scope::Admin);
const MESSAGE: Access = Access::Message;

/// Every route. `GET` includes `HEAD`.
pub const TABLE: &[(&str, &str, Access)] = &[
    ("GET", "/", Access::Public),
    ("GET", "/docs", Access::Public),
    ("GET", "/docs/search", Access::Public),
    ("GET", "/docs/style.css", Access::Public),
    ("GET", "/docs/{page}", Access::Public),
    ("GET", "/docs/{folder}/{page}", Access::Public),
    ("GET", "/docs/{folder}/{group}/{page}", Access::Public),
    ("GET", "/healthz", Access::Public),
    ("GET", "/llms.txt", Access::Public),
    ("GET", "/metrics", Access::Public),
    ("GET", "/openapi.json", Access::Public),
    ("GET", "/readyz", Access::Public),
    ("GET", "/v1/limits", Access::Public),
    ("GET", "/v1/projects/{key}/settings", Access::Public),
    ("GET", "/v1/tenants", Access::Operator),
    ("POST", "/v1/tenants", Access::Operator),
    ("GET", "/v1/jobs", Access::AnyKey),
    ("GET", "/v1/jobs/{id}", Access::AnyKey),
    ("POST", "/v1/jobs/{id}/cancel", ADMIN),
    ("GET", "/v1/keys", ADMIN),
    ("POST", "/v1/keys", ADMIN),
    ("DELETE", "/v1/keys/{id}", ADMIN),
    ("GET", "/v1/users", ADMIN),
    ("POST", "/v1/users", ADMIN),
    ("DELETE", "/v1/users/{id}", ADMIN),
    ("POST", "/v1/users/{id}/link", ADMIN),
    ("POST", "/v1/events", INGEST),
    ("GET", "/v1/events", READ),
    ("GET", "/v1/events/{id}", READ),
    ("POST", "/v1/dead-letters/replay", ADMIN),
    ("GET", "/v1/accounting", READ),
    ("GET", "/v1/catalogue", READ),
    ("GET", "/v1/catalogue/types", Access::NotOnlyIngest),
    ("GET", "/v1/catalogue/types/{type}", Access::NotOnlyIngest),
    ("GET", "/v1/catalogue/types/{type}/schema", Access::NotOnlyIngest),
    ("PUT", "/v1/catalogue/types/{type}/schema", ADMIN),
    ("DELETE", "/v1/catalogue/types/{type}/schema", ADMIN),
    ("POST", "/v1/consents", INGEST),
    ("GET", "/v1/consents/coverage", READ),
    ("GET", "/v1/consents/signals", READ),
    ("PUT", "/v1/consents/signals", ADMIN),
    ("POST", "/v1/consents/receipts", READ),
    ("POST", "/v1/channels/lookup", READ),
    ("POST", "/v1/identify", MESSAGE),
    ("POST", "/v1/track", MESSAGE),
    ("POST", "/v1/page", MESSAGE),
    ("POST", "/v1/screen", MESSAGE),
    ("POST", "/v1/group", MESSAGE),
    ("POST", "/v1/alias", MESSAGE),
    ("POST", "/v1/batch", MESSAGE),
    ("POST", "/v1/import", MESSAGE),
    ("POST", "/v1/i", MESSAGE),
    ("POST", "/v1/t", MESSAGE),
    ("POST", "/v1/p", MESSAGE),
    ("POST", "/v1/s", MESSAGE),
    ("POST", "/v1/g", MESSAGE),
    ("POST", "/v1/a", MESSAGE),
    ("POST", "/v1/b", MESSAGE),
    ("POST", "/v1/profiles/lookup", READ),
    ("GET", "/v1/profiles/{id}", READ),
    ("GET", "/v1/profiles/{id}/events", READ),
    ("GET", "/v1/profiles/{id}/identity", READ),
    ("GET", "/v1/profiles/{id}/disclosures", EXPORT),
    ("GET", "/v1/journal/events", READ),
    ("GET", "/v1/identity/rules", READ),
    ("PUT", "/v1/identity/rules", ADMIN),
    ("GET", "/v1/identity/constraints", READ),
    ("POST", "/v1/identity/constraints", ADMIN),
    ("DELETE", "/v1/identity/constraints/{id}", ADMIN),
    ("POST", "/v1/identity/explain", READ),
    ("GET", "/v1/identity/log", READ),
    ("GET", "/v1/identity/alerts", READ),
    ("GET", "/v1/attributes", READ),
    ("GET", "/v1/attributes/{name}", READ),
    ("PUT", "/v1/attributes/{name}", ADMIN),
    ("DELETE", "/v1/attributes/{name}", ADMIN),
    ("POST", "/v1/attributes/rankings", ADMIN),
    ("GET", "/v1/segments", READ),
    ("POST", "/v1/segments/preview", READ),
    ("POST", "/v1/segments/{name}/publish", ADMIN),
    ("GET", "/v1/segments/{name}/members/{profile}", READ),
    ("GET", "/v1/segments/{name}/history", READ),
    ("GET", "/v1/segments/{name}/overlap", READ),
    ("GET", "/v1/segments/{name}", READ),
    ("PUT", "/v1/segments/{name}", ADMIN),
    ("DELETE", "/v1/segments/{name}", ADMIN),
    ("GET", "/v1/segments/{name}/members", READ),
    ("GET", "/v1/segments/{name}/changes", READ),
    ("GET", "/v1/purposes", READ),
    ("PUT", "/v1/purposes/{name}", ADMIN),
    ("GET", "/v1/tables", ADMIN),
    ("PUT", "/v1/tables/{name}", ADMIN),
    ("GET", "/v1/tables/{name}", ADMIN),
    ("DELETE", "/v1/tables/{name}", ADMIN),
    ("GET", "/v1/audit", ADMIN),
    ("GET", "/v1/erasures", ADMIN),
    ("POST", "/v1/erasures", ADMIN),
    ("GET", "/v1/erasures/{id}", ADMIN),
    ("GET", "/v1/suppressions", ADMIN),
    ("DELETE", "/v1/suppressions/{id}", ADMIN),
    ("GET", "/v1/restrictions", ADMIN),
    ("POST", "/v1/restrictions", ADMIN),
    ("GET", "/v1/restrictions/{id}", ADMIN),
    ("GET", "/v1/retention", READ),
    ("PUT", "/v1/retention", ADMIN),
    ("DELETE", "/v1/restrictions/{id}", ADMIN),
    ("GET", "/v1/opendsr/discovery", Access::AnyKey),
    ("GET", "/v1/opendsr/settings", ADMIN),
    ("PUT", "/v1/opendsr/settings", ADMIN),
    ("POST", "/v1/opendsr/requests", ADMIN),
    ("GET", "/v1/opendsr/requests/{id}", ADMIN),
    ("DELETE", "/v1/opendsr/requests/{id}", ADMIN),
    ("POST", "/v1/access-requests", ADMIN),
    ("GET", "/v1/access-requests/{id}", ADMIN),
    ("GET", "/v1/access-requests/{id}/document", ADMIN),
    ("GET", "/v1/plugins", ADMIN),
    ("GET", "/v1/plugins/{name}", ADMIN),
    ("GET", "/v1/plugin-trust", ADMIN),
    ("PUT", "/v1/plugin-trust", ADMIN),
    ("GET", "/v1/plugin-order", ADMIN),
    ("PUT", "/v1/plugin-order", ADMIN),
    ("POST", "/v1/plugins/{name}/versions", ADMIN),
    ("POST", "/v1/plugins/{name}/versions/{version}/activate", ADMIN),
    ("POST", "/v1/plugins/{name}/versions/{version}/replay", ADMIN),
    ("POST", "/v1/plugins/{name}/versions/{version}/test", ADMIN),
    ("GET", "/v1/plugins/{name}/logs", ADMIN),
    ("POST", "/v1/plugins/{name}/rollback", ADMIN),
    ("POST", "/v1/plugins/{name}/suspend", ADMIN),
    ("POST", "/v1/plugins/{name}/resume", ADMIN),
    ("GET", "/v1/exports", EXPORT),
    ("POST", "/v1/exports", EXPORT),
    ("GET", "/v1/exports/{id}", EXPORT),
    ("GET", "/v1/exports/{id}/file", EXPORT),
    ("GET", "/v1/exports/{id}/manifest", EXPORT),
    ("GET", "/v1/exports/{id}/withheld", EXPORT),
    ("GET", "/v1/exports/{id}/proof", EXPORT),
    ("POST", "/v1/exports/preview", EXPORT),
    ("POST", "/v1/exports/{id}/cancel", EXPORT),
    ("POST", "/v1/exports/{id}/pause", EXPORT),
    ("POST", "/v1/exports/{id}/resume", EXPORT),
    ("GET", "/v1/destinations", EXPORT),
    ("PUT", "/v1/destinations/{name}", EXPORT),
    ("GET", "/v1/destinations/{name}", EXPORT),
    ("DELETE", "/v1/destinations/{name}", EXPORT),
    ("POST", "/v1/destinations/{name}/test", EXPORT),
    ("POST", "/v1/destinations/{name}/pause", EXPORT),
    ("POST", "/v1/destinations/{name}/resume", EXPORT),
    ("GET", "/v1/destinations/{name}/dead-letters", EXPORT),
    ("POST", "/v1/destinations/{name}/replay", EXPORT),
    ("GET", "/v1/schedules", EXPORT),
    ("PUT", "/v1/schedules/{name}", EXPORT),
    ("GET", "/v1/schedules/{name}", EXPORT),
    ("DELETE", "/v1/schedules/{name}", EXPORT),
];

/// The table, ready to be asked.
pub struct Table(HashMap<&'static str, Vec<(Method, Access)>>);

impl Table {
    pub(crate) fn new() -> Self {
        let mut paths: HashMap<_, Vec<_>> = HashMap::new();
        for (method, path, access) in TABLE {
            let method = Method::from_bytes(method.as_bytes()).expect("the table holds methods");
            paths.entry(*path).or_default().push((method, *access));
        }
        Self(paths)
    }

    /// What a route asks for; None for a method that the path does not take.
    pub(crate) fn of(&self, method: &Method, path: &str) -> Answer<Option<Access>> {
        let unlisted =
            || Failure::internal(format!("the route {path} does not stand in the table of access"));
        let methods = self.0.get(path).ok_or_else(unlisted)?;
        let wanted = if method == Method::HEAD { &Method::GET } else { method };
        Ok(methods.iter().find(|(method, _)| method == wanted).map(|(_, access)| *access))
    }

    /// What a path takes, as the answer to `OPTIONS`.
    fn options(&self, path: &str) -> Response {
        let mut allow = String::from("OPTIONS");
        for (method, _) in self.0.get(path).into_iter().flatten() {
            allow.push_str(if *method == Method::GET { ", GET, HEAD" } else { ", " });
            if *method != Method::GET {
                allow.push_str(method.as_str());
            }
        }
        let allow = HeaderValue::from_str(&allow).expect("methods are words");
        (StatusCode::NO_CONTENT, [(header::ALLOW, allow)]).into_response()
    }
}

/// The layer that asks the table before a handler or a body is touched.
pub(crate) async fn guard(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Result<Response, Failure> {
    // Without a matched path, or with a method the path does not take, nothing is served: the router answers.
    let Some(path) = request.extensions().get::<MatchedPath>() else { return Ok(next.run(request).await) };
    if request.method() == Method::OPTIONS {
        return Ok(app.access().options(path.as_str()));
    }
    let admitted = match app.access().of(request.method(), path.as_str())? {
        Some(access) => auth::admit(&app, request.headers(), access),
        None => Ok(None),
    };
    let admitted = admitted.and_then(|member| {
        member.as_ref().map_or(Ok(()), |member| auth::charge(&app, member, request.headers()))?;
        Ok(member)
    });
    match admitted {
        Ok(member) => {
            if let Some(member) = member {
                request.extensions_mut().insert(member);
            }
            Ok(next.run(request).await)
        }
        Err(failure) => {
            let (parts, body) = request.into_parts();
            body::discard(&parts.headers, body).await;
            Err(failure)
        }
    }
}
