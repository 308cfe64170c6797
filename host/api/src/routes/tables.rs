//! Lookup tables: small reference data that a tenant's plugins may look into.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use cdp_domain::time::Timestamp;
use cdp_engine::tables::{TableFormat, TableVersion};
use compact_str::CompactString;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::page::{self, Page};
use crate::app::App;
use crate::auth::Member;
use crate::body::{self, Bounds, UPLOAD_BYTES_MAX, media_type};
use crate::error::{Answer, Code, Failure};
use crate::params::Params;
use crate::plain;
use crate::share::Class;

/// A lookup table and the version of it that is read.
#[derive(Serialize, ToSchema)]
pub struct Table {
    #[schema(value_type = String)]
    name: CompactString,
    /// 1, 2, …: one more with every upload of other rows.
    version: u32,
    /// BLAKE3 of the rows, in hex.
    digest: String,
    rows: u64,
    /// Bytes of the keys and values together.
    bytes: u64,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String, format = DateTime)]
    uploaded_at: Timestamp,
}

impl Table {
    fn of(name: CompactString, table: TableVersion) -> Self {
        let TableVersion { version, digest, rows, bytes, at } = table;
        Self { name, version, digest, rows, bytes, uploaded_at: at }
    }
}

/// Upload a lookup table
///
/// As `text/csv` (a line of names, one of them `key`) or as `application/x-ndjson` (`{"key": …, "value": …}` a line).
/// From the next event on, plugins that declared the table and were granted it read the new rows; the same rows again are
/// the same version. Every bad line is named, the first hundred.
#[utoipa::path(put, path = "/v1/tables/{name}", tag = "plugins", params(("name" = String, Path, description = "Its name")),
    request_body(content = String, content_type = "text/csv"),
    responses((status = 201, body = Table), (status = 200, body = Table)))]
pub(crate) async fn put_table(
    State(app): State<App>,
    member: Member,
    Path(name): Path<String>,
    request: Request,
) -> Answer<Response> {
    let (parts, body) = request.into_parts();
    let format = match media_type(&parts.headers).as_str() {
        "text/csv" => TableFormat::Csv,
        "application/x-ndjson" | "application/ndjson" => TableFormat::Ndjson,
        _ => {
            body::discard(&parts.headers, body).await;
            let detail = "a table is sent as text/csv or as application/x-ndjson";
            return Err(Failure::new(Code::UnsupportedMediaType, detail));
        }
    };
    let gzip = body::is_gzip(&parts.headers)?;
    let _held = app.shares().hold(Class::of(&member.tenant), UPLOAD_BYTES_MAX)?;
    let bytes = body::read(&parts.headers, body, Bounds::upload(&app)).await?;
    let rows = crate::work(true, move || match gzip {
        true => body::inflate(&bytes, UPLOAD_BYTES_MAX),
        false => Ok(bytes.to_vec()),
    });
    let put = member.tenant.put_table(&name, format, rows.await??).await?;
    let status = if put.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(Table::of(name.into(), put.table))).into_response())
}

/// List lookup tables
#[utoipa::path(get, path = "/v1/tables", tag = "plugins",
    params(
        ("limit" = Option<u16>, Query, description = "1 to 1000, 100 by default"),
        ("cursor" = Option<String>, Query, description = "Where the page begins"),
    ),
    responses((status = 200, body = Page<Table>)))]
pub(crate) async fn list_tables(
    State(_): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Page<Table>>> {
    let list = ("/v1/tables", Some(member.tenant.no()));
    let all = member.tenant.tables();
    let page = page::of_names(
        &params,
        list,
        all,
        |(name, _)| name.to_string(),
        |(name, table)| Table::of(name, table),
    )?;
    Ok(Json(page))
}

/// Read what a lookup table is
///
/// Its version, size and digest; its rows are for plugins.
#[utoipa::path(get, path = "/v1/tables/{name}", tag = "plugins", params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = Table)))]
pub(crate) async fn get_table(
    State(_): State<App>,
    member: Member,
    Path(name): Path<String>,
) -> Answer<Json<Table>> {
    let table = member.tenant.table(&name)?;
    Ok(Json(Table::of(name.into(), table)))
}

/// Remove a lookup table
///
/// From the next event on there is none of this name. Versions go on counting should it come again.
#[utoipa::path(delete, path = "/v1/tables/{name}", tag = "plugins", params(("name" = String, Path, description = "Its name")),
    responses((status = 204)))]
pub(crate) async fn delete_table(
    State(_): State<App>,
    member: Member,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    member.tenant.delete_table(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}
