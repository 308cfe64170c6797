//! What people read: the landing page and the documentation, as HTML or as the Markdown that it is made of.

use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use cdp_console::docs::{CONTENT_SECURITY_POLICY, STYLE};
use http::{HeaderMap, StatusCode, Uri, header};

use crate::app::App;
use crate::error::{Answer, Failure};
use crate::finish::Shown;
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

/// What is no route at all: below `/docs` a page for whoever reads in a browser.
pub(crate) async fn nowhere(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Answer {
    let path = uri.path();
    match path.strip_prefix("/docs/") {
        Some(page) if wants_html(&headers) => Ok(missing(&app, page)),
        _ => Ok(StatusCode::NOT_FOUND.into_response()),
    }
}

/// The page of an address at which there is none.
fn missing(app: &App, page: &str) -> Response {
    let headers = [(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY), (header::VARY, "accept")];
    let html = Html(app.library().missing(page));
    let mut response = (StatusCode::NOT_FOUND, headers, html).into_response();
    response.extensions_mut().insert(Shown);
    response
}

/// A page in the form that was asked for.
fn show(app: &App, headers: &HeaderMap, path: &str) -> Answer {
    let asked = path.strip_suffix(".md");
    let path = asked.unwrap_or(path);
    let path = if path == "README" { "" } else { path };
    let none = || Failure::not_found("page of the documentation");
    if asked.is_some() || wants_markdown(headers) {
        let text = app.library().markdown(path).ok_or_else(none)?.to_owned();
        return Ok(([(header::CONTENT_TYPE, MARKDOWN), (header::VARY, "accept")], text).into_response());
    }
    let html = match app.library().html(path) {
        Some(html) => html,
        None if wants_html(headers) => return Ok(missing(app, path)),
        None => return Err(none()),
    };
    let headers = [(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY), (header::VARY, "accept")];
    Ok((headers, Html(html)).into_response())
}

/// The types of content that are asked for by name.
fn accepted(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|value| value.split(';').next().unwrap_or_default().trim())
}

/// Whether HTML is asked for by name, as browsers do.
fn wants_html(headers: &HeaderMap) -> bool {
    accepted(headers).any(|kind| kind == "text/html")
}

/// Whether Markdown is asked for, and HTML is not: browsers take everything.
fn wants_markdown(headers: &HeaderMap) -> bool {
    accepted(headers).any(|kind| kind == "text/markdown") && !wants_html(headers)
}
