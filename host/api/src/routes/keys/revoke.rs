//! `DELETE /v1/keys/{id}`: revokes a key.

use axum::extract::{Path, State};
use cdp_domain::ids::KeyId;
use http::StatusCode;

use crate::app::App;
use crate::auth::Member;
use crate::error::{Answer, Failure};

/// Revoke a key
///
/// It opens nothing any more when this is answered. It stays in the list.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys", params(("id" = String, Path, description = "`key_…`")),
    responses((status = 204, description = "Revoked")))]
pub(crate) async fn revoke_key(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    let id: KeyId = id.parse().map_err(|_| Failure::not_found("key"))?;
    app.engine().revoke_key(&member.tenant, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
