//! `POST /v1/keys`: makes a key.

use axum::Json;
use axum::extract::State;
use cdp_domain::ids::KeyId;
use cdp_domain::problem::{Code as Wrong, Problem};
use cdp_domain::value::Value;
use cdp_engine::registry::{NewKey, Scope, Scopes};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::{Answer, Failure};
use crate::fields::Fields;
use crate::plain;

/// What is needed to make a key.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the request")]
pub struct KeyRequest {
    /// For people, and the source of events that name none.
    name: String,
    /// Some of `ingest`, `read`, `export`, `admin`.
    scopes: Vec<String>,
    /// Whether anybody can read it, as in a web page or an app. Such a key has the scope `ingest` alone, and what it
    /// says joins nobody who is known already. False when absent.
    public: Option<bool>,
    /// When it ends by itself.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// A key that was made.
#[derive(Serialize, ToSchema)]
pub struct KeyCreated {
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    id: KeyId,
    /// The key. It is shown this once.
    key: String,
}

/// Make a key
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = KeyRequest, responses((status = 201, body = KeyCreated)))]
pub(crate) async fn create_key(
    State(app): State<App>,
    member: Member,
    Document(body): Document,
) -> Answer<(StatusCode, Json<KeyCreated>)> {
    let mut fields = Fields::of(body);
    let (name, words) = (fields.text("name"), fields.texts("scopes"));
    let expires_at = fields.optional_time("expires_at");
    let public = match fields.take("public") {
        None => false,
        Some(Value::Bool(public)) => public,
        Some(_) => {
            fields.add("public", Wrong::WrongType, "must be true or false");
            false
        }
    };
    let scopes = scopes(&words, &mut fields);
    fields.finish()?;
    if expires_at.is_some_and(|at| at <= app.engine().clock().now()) {
        return Err(Failure::invalid(vec![Problem::new(
            "/expires_at",
            Wrong::Invalid,
            "must be in the future",
        )]));
    }
    let (info, key) =
        app.engine().create_key(&member.tenant, NewKey { name, scopes, public, expires_at }).await?;
    Ok((StatusCode::CREATED, Json(KeyCreated { id: info.id, key })))
}

fn scopes(words: &[String], fields: &mut Fields) -> Vec<Scope> {
    let find =
        |word: &String| Scopes::OF_TENANTS.iter().find(|(name, _)| name == word).map(|(_, scope)| *scope);
    let found: Vec<_> = words.iter().filter_map(find).collect();
    if found.len() < words.len() {
        fields.add(
            "scopes",
            Wrong::Invalid,
            "holds a scope that a tenant's key cannot have: there are ingest, read, export, admin",
        );
    }
    found
}
