//! What people read: the landing page and the documentation, as HTML or as the Markdown that it is made of.

use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse};
use cdp_console::docs::{CONTENT_SECURITY_POLICY, STYLE};
use http::{HeaderMap, header};

use crate::app::App;
use crate::error::{Answer, Failure};
use crate::params::Params;

const MARKDOWN: &str = "text/markdown; charset=utf-8";

type Page = ([(header::HeaderName, &'static str); 1], Html<String>);

/// Landing page
#[utoipa::path(get, path = "/", tag = "documentation", responses((status = 200, body = String, content_type = "text/html")))]
pub(crate) async fn landing() -> Page {
    (
        [(header::CONTENT_SECURITY_POLICY, cdp_console::CONTENT_SECURITY_POLICY)],
        Html(cdp_console::landing().to_owned()),
    )
}

/// Documentation
///
/// The table of contents. Every page is HTML, or Markdown with `Accept: text/markdown` or `.md` behind its address.
#[utoipa::path(get, path = "/docs", tag = "documentation",
    responses((status = 200, content((String = "text/html"), (String = "text/markdown")))))]
pub(crate) async fn index(State(app): State<App>, headers: HeaderMap) -> Answer {
    show(&app, &headers, "")
}

/// One page of documentation
///
/// Also the table of errors at `/docs/errors`.
#[utoipa::path(get, path = "/docs/{page}", tag = "documentation", params(("page" = String, Path, description = "Its name")),
    responses((status = 200, content((String = "text/html"), (String = "text/markdown")))))]
pub(crate) async fn page(State(app): State<App>, Path(page): Path<String>, headers: HeaderMap) -> Answer {
    show(&app, &headers, &page)
}

/// One page of a folder
///
/// Also the page of an error at `/docs/errors/{code}`.
#[utoipa::path(get, path = "/docs/{folder}/{page}", tag = "documentation",
    params(("folder" = String, Path, description = "The folder"), ("page" = String, Path, description = "Its name")),
    responses((status = 200, content((String = "text/html"), (String = "text/markdown")))))]
pub(crate) async fn page_in_folder(
    State(app): State<App>,
    Path((folder, page)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    show(&app, &headers, &format!("{folder}/{page}"))
}

/// One page of a group in a folder
#[utoipa::path(get, path = "/docs/{folder}/{group}/{page}", tag = "documentation",
    params(("folder" = String, Path, description = "The folder"), ("group" = String, Path, description = "The group"),
        ("page" = String, Path, description = "Its name")),
    responses((status = 200, content((String = "text/html"), (String = "text/markdown")))))]
pub(crate) async fn page_in_group(
    State(app): State<App>,
    Path((folder, group, page)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Answer {
    show(&app, &headers, &format!("{folder}/{group}/{page}"))
}

/// Search the documentation
///
/// Finds pages and sections that have all of the words, those with them in titles first.
#[utoipa::path(get, path = "/docs/search", tag = "documentation",
    params(("q" = Option<String>, Query, description = "The words")),
    responses((status = 200, body = String, content_type = "text/html")))]
pub(crate) async fn search(State(app): State<App>, params: Params) -> Page {
    let found = app.library().search(params.get("q").unwrap_or_default());
    ([(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY)], Html(found))
}

/// The stylesheet of the documentation
#[utoipa::path(get, path = "/docs/style.css", tag = "documentation", responses((status = 200, body = String, content_type = "text/css")))]
pub(crate) async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "max-age=300")], STYLE)
}

/// The list of pages for programs that read
#[utoipa::path(get, path = "/llms.txt", tag = "documentation", responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn llms(State(app): State<App>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], app.library().llms_txt())
}

/// A page in the form that was asked for.
fn show(app: &App, headers: &HeaderMap, path: &str) -> Answer {
    let asked = path.strip_suffix(".md");
    let path = asked.unwrap_or(path);
    let path = if path == "README" { "" } else { path };
    let missing = || Failure::not_found("page of the documentation");
    if asked.is_some() || wants_markdown(headers) {
        let text = app.library().markdown(path).ok_or_else(missing)?.to_owned();
        return Ok(([(header::CONTENT_TYPE, MARKDOWN), (header::VARY, "accept")], text).into_response());
    }
    let html = app.library().html(path).ok_or_else(missing)?;
    let headers = [(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY), (header::VARY, "accept")];
    Ok((headers, Html(html)).into_response())
}

/// Whether Markdown is asked for, and HTML is not: browsers take everything.
fn wants_markdown(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let accepted: Vec<&str> = accepted.flat_map(|value| value.split(',')).map(str::trim).collect();
    let takes = |kind: &str| accepted.iter().any(|value| value.split(';').next() == Some(kind));
    takes("text/markdown") && !takes("text/html")
}
