//! What people read: the landing page, the documentation, and a page for every error.

use std::fmt::Write as _;

use axum::extract::Path;
use axum::response::{Html, IntoResponse};
use http::header;

use crate::error::{Answer, Code, Failure};

/// The pages of `host/docs`, by name, as Markdown.
const PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

type Page = ([(header::HeaderName, &'static str); 1], Html<String>);

fn html(title: &str, content: &str) -> Page {
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <style>:root{{color-scheme:light dark}}body{{font:1rem/1.6 system-ui,sans-serif;max-width:48rem;margin:3rem auto;\
         padding:0 1.5rem}}td,th{{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top}}</style></head>\
         <body><main><h1>{title}</h1>{content}</main></body></html>"
    );
    ([(header::CONTENT_SECURITY_POLICY, cdp_console::CONTENT_SECURITY_POLICY)], Html(page))
}

/// Landing page
#[utoipa::path(get, path = "/", tag = "documentation", responses((status = 200, body = String, content_type = "text/html")))]
pub(crate) async fn landing() -> Page {
    (
        [(header::CONTENT_SECURITY_POLICY, cdp_console::CONTENT_SECURITY_POLICY)],
        Html(cdp_console::landing().to_owned()),
    )
}

/// Documentation
#[utoipa::path(get, path = "/docs", tag = "documentation", responses((status = 200, body = String, content_type = "text/html")))]
pub(crate) async fn list() -> Page {
    let mut content = String::from("<ul>");
    for (name, text) in PAGES {
        let title = text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or(name);
        let _ = write!(content, "<li><a href=\"/docs/{name}\">{}</a></li>", escape(title));
    }
    content.push_str(
        "<li><a href=\"/docs/errors\">Errors</a></li><li><a href=\"/openapi.json\">OpenAPI description</a></li>\
         <li><a href=\"/v1/limits\">Limits</a></li></ul>",
    );
    html("Documentation", &content)
}

/// One page of documentation, as Markdown
#[utoipa::path(get, path = "/docs/{page}", tag = "documentation", params(("page" = String, Path, description = "Its name")),
    responses((status = 200, body = String, content_type = "text/markdown")))]
pub(crate) async fn page(Path(name): Path<String>) -> Answer<impl IntoResponse> {
    let wanted = name.strip_suffix(".md").unwrap_or(&name);
    let page = PAGES.iter().find(|page| page.0 == wanted).ok_or_else(|| Failure::not_found("page"))?;
    Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], page.1))
}

/// Every error code
#[utoipa::path(get, path = "/docs/errors", tag = "documentation", responses((status = 200, body = String, content_type = "text/html")))]
pub(crate) async fn errors() -> Page {
    let mut rows = String::from("<table><tr><th>code</th><th>status</th><th>meaning</th></tr>");
    for code in Code::ALL {
        let (word, status) = (code.as_str(), code.status().as_u16());
        let title = escape(code.title());
        let _ = write!(
            rows,
            "<tr><td><a href=\"/docs/errors/{word}\">{word}</a></td><td>{status}</td><td>{title}</td></tr>"
        );
    }
    rows.push_str("</table>");
    html("Errors", &rows)
}

/// What an error code means
#[utoipa::path(get, path = "/docs/errors/{code}", tag = "documentation", params(("code" = String, Path, description = "The code")),
    responses((status = 200, body = String, content_type = "text/html")))]
pub(crate) async fn error(Path(word): Path<String>) -> Answer<Page> {
    let code = Code::find(&word).ok_or_else(|| Failure::not_found("error code"))?;
    let retry = if code.retryable() {
        "The same request may succeed later."
    } else {
        "The same request fails again."
    };
    let content = format!(
        "<p><strong>{}</strong></p><p>{}</p><p>Status {}. {retry}</p><p><a href=\"/docs/errors\">All errors</a></p>",
        escape(code.title()),
        escape(code.help().trim()),
        code.status().as_u16(),
    );
    Ok(html(code.as_str(), &content))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
