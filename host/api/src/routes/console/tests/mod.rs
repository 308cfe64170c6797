//! The console as a browser meets it: every route with every role, forms of other sites, and texts that would be scripts.

mod journey;
mod keeping;
mod rights;
mod roles;
mod texts;

use axum::body::Body;
use axum::extract::Request;
use cdp_engine::users::{Entering, LinkKind, Role};
use http::{Method, header};
use serde_json::{Value, json};

use crate::routes::tests::{Answered, World};

/// Somebody's browser.
pub(super) struct Browser<'a> {
    pub(super) world: &'a World,
    pub(super) cookie: String,
}

impl<'a> Browser<'a> {
    /// Somebody of this role, signed in.
    pub(super) async fn of(world: &'a World, role: Role) -> Self {
        Self::at(world, &world.engine.open_tenants().remove(0), role).await
    }

    /// The same of a tenant.
    pub(super) async fn at(world: &'a World, tenant: &cdp_engine::Tenant, role: Role) -> Self {
        let name = format!("{}-{}", role.as_str(), world.engine.users(tenant).len());
        let (_, link) = world.engine.invite_user(tenant, &name, role, LinkKind::SignIn).await.unwrap();
        let (_, token) = world.engine.enter(&link, Entering::default()).await.unwrap();
        Self { world, cookie: format!("__Host-cdp_session={token}") }
    }

    /// Nobody.
    pub(super) fn nobody(world: &'a World) -> Self {
        Self { world, cookie: String::new() }
    }

    pub(super) async fn get(&self, path: &str) -> Answered {
        let request = Request::get(path).header(header::COOKIE, &self.cookie);
        self.world.request(request.body(Body::empty()).unwrap()).await
    }

    /// A form of the console's own pages.
    pub(super) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answered {
        self.post_from("same-origin", path, fields).await
    }

    /// A form that a page of a site sends which stands so to the console.
    pub(super) async fn post_from(&self, site: &str, path: &str, fields: &[(&str, &str)]) -> Answered {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(fields);
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::COOKIE, &self.cookie)
            .header("sec-fetch-site", site)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.world.request(request.body(Body::from(body.finish())).unwrap()).await
    }
}

/// Where an answer sends the browser.
pub(super) fn location(answered: &Answered) -> &str {
    assert_eq!(answered.status, 303, "{}", answered.text);
    answered.headers[header::LOCATION].to_str().unwrap()
}

/// A small shop: two people, a purpose with consents, an attribute and a segment that are built.
pub(super) async fn shop() -> World {
    let world = World::new().await;
    world
        .put(
            "/v1/purposes/marketing",
            &json!({"title": "News", "legal_basis": "consent", "channels": ["email"]}),
        )
        .await
        .expect(201);
    for (n, total) in [("1", "700.00"), ("2", "20.00")] {
        let address = format!("ann{n}@example.com");
        let event = json!({
            "id": format!("order-{n}"), "source": "pos", "type": "Order", "time": "2026-01-01T10:00:00Z",
            "identifiers": [{"type": "customer_id", "value": n}, {"type": "email", "value": address}],
            "traits": {"name": format!("Ann {n}"), "city": "Riga"},
            "properties": {"revenue": total},
            "channels": [{"channel": "email", "address": address}],
            "consents": [{"channel": "email", "address": address, "purpose": "marketing", "status": if n == "1" { "granted" } else { "denied" }}],
        });
        world.post("/v1/events?wait=applied", &event).await.expect(202);
    }
    let spend = json!({"kind": "sum", "event": "Order", "property": "/revenue"});
    done(&world, &world.put("/v1/attributes/spend", &spend).await.expect(201)["backfill_job"]).await;
    let rule =
        json!({"title": "Everybody who ordered", "rule": {"attribute": "spend", "op": "gt", "value": 0}});
    done(&world, &world.put("/v1/segments/ordered", &rule).await.expect(201)["backfill_job"]).await;
    world
}

/// Waits until a job has ended.
pub(super) async fn done(world: &World, job: &Value) -> Value {
    let Some(id) = job.as_str() else { return Value::Null };
    loop {
        let job = world.get(&format!("/v1/jobs/{id}")).await.expect(200);
        if !matches!(job["status"].as_str(), Some("queued" | "running")) {
            return job;
        }
        tokio::task::yield_now().await;
    }
}
