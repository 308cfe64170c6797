//! `/v1/plugin-order`: in which order transformers take their turns.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::Answer;
use crate::fields::Fields;

/// Transformers in the order of their turns.
#[derive(Debug, Serialize, ToSchema)]
pub struct PluginOrder {
    /// Names of plugins.
    names: Vec<String>,
}

fn shape(member: &Member) -> Json<PluginOrder> {
    let names = member.tenant.transformer_order().iter().map(ToString::to_string).collect();
    Json(PluginOrder { names })
}

/// Read the order of transformers
///
/// Every transformer that was ever active, the first first; those that are suspended keep their places.
#[utoipa::path(get, path = "/v1/plugin-order", tag = "plugins", responses((status = 200, body = PluginOrder)))]
pub(crate) async fn get_plugin_order(State(_): State<App>, member: Member) -> Answer<Json<PluginOrder>> {
    Ok(shape(&member))
}

/// Order transformers
///
/// `{names}`: each of them once. The next event goes through them in this order; receipts and a rebuild keep to the order
/// that was in force.
#[utoipa::path(put, path = "/v1/plugin-order", tag = "plugins", request_body = Object,
    responses((status = 200, body = PluginOrder)))]
pub(crate) async fn put_plugin_order(
    State(_): State<App>,
    member: Member,
    Document(body): Document,
) -> Answer<Json<PluginOrder>> {
    let mut fields = Fields::of(body);
    let names = fields.texts("names");
    fields.finish()?;
    member.tenant.order_transformers(names.into_iter().map(Into::into).collect()).await?;
    Ok(shape(&member))
}
