//! What stands before every page: who is signed in, what they may do, whether it was they who sent the form, and whether
//! their tenant may be changed once more in this second.

use axum::body::Body;
use axum::extract::{MatchedPath, Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use cdp_console::pages::Bare;
use cdp_engine::acts::Act;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::json;

use super::desk::Desk;
use super::{May, ROUTES, show};
use crate::app::App;
use crate::body;
use crate::error::{Answer, Code, Failure};
use crate::finish::{RequestId, Shown};
use crate::work;

/// The cookie that carries a session. The prefix makes browsers keep it to this host, to `/`, and to safe connections.
const COOKIE: &str = "__Host-cdp_session";

/// A request that only brings a part of a page up to date: it does not count as using the session.
const REFRESH: HeaderName = HeaderName::from_static("console-refresh");

/// Pages that tell about people, and are written into the audit log when they are read.
const READS: [&str; 14] = [
    "/console/profiles",
    "/console/profiles/{id}",
    "/console/profiles/{id}/privacy",
    "/console/identity",
    "/console/privacy/erasures/+preview",
    "/console/privacy/access/{id}/document",
    "/console/segments/{name}",
    "/console/segments/{name}/members/{profile}",
    "/console/segments/+build",
    "/console/exports/{id}/file",
    "/console/channels/lookup",
    "/console/events",
    "/console/events/at/{position}",
    "/console/search",
];

/// Forms that change nothing.
const ASKS: [&str; 8] = [
    "/console/profiles",
    "/console/privacy/erasures/+preview",
    "/console/privacy/retention/+preview",
    "/console/segments/+build",
    "/console/channels/lookup",
    "/console/search",
    "/console/events/find",
    "/console/plugins/{name}/try",
];

/// Does what this module promises.
pub(super) async fn gate(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let path =
        request.extensions().get::<MatchedPath>().map_or(String::new(), |path| path.as_str().to_owned());
    let (method, address) = (request.method().clone(), request.uri().path().to_owned());
    let id = request.extensions().get::<RequestId>().cloned();
    let id = id.as_ref().map_or("", |id| id.0.to_str().unwrap_or_default()).to_owned();
    let used = !request.headers().contains_key(REFRESH);
    let session = token(request.headers()).and_then(|token| app.engine().session(&token, used));
    let desk = session.map(|session| Desk::new(session, &path, &id));
    let admitted = admit(&method, &path, request.headers(), desk.as_ref()).and_then(|()| match &desk {
        Some(desk) if changes(&method, &path) => app.limiter().take_change(desk.tenant.no()),
        _ => Ok(()),
    });
    let mut response = match admitted {
        Err(failure) => {
            let (parts, body) = request.into_parts();
            body::discard(&parts.headers, body).await;
            if failure.code == Code::SignedOut && method == Method::GET {
                to_sign_in(&address)
            } else {
                failure.into_response()
            }
        }
        Ok(()) => {
            if let Some(desk) = &desk {
                request.extensions_mut().insert(desk.clone());
            }
            next.run(request).await
        }
    };
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        if let Some(chain) = failure.chain() {
            tracing::error!(request_id = id, route = path, error = chain, "a page failed");
        }
        response = refusal(&failure, desk.as_ref(), &id);
    } else if response.status().as_u16() >= 400 && response.extensions().get::<Shown>().is_none() {
        // The router said no: no such method, or a part of the address that cannot be read.
        let code = Code::of_status(response.status());
        response = refusal(&Failure::new(code, code.title()), desk.as_ref(), &id);
    } else if let Some(desk) = &desk {
        record(desk, &method, &path, &address, response.status()).await;
    }
    dress(&mut response, path == "/console/assets/{name}");
    response
}

/// Whether a form changes something.
fn changes(method: &Method, path: &str) -> bool {
    *method == Method::POST && !ASKS.contains(&path)
}

/// Whether a request may go on.
fn admit(method: &Method, path: &str, headers: &HeaderMap, desk: Option<&Desk>) -> Answer<()> {
    let wanted = if *method == Method::HEAD { "get".to_owned() } else { method.as_str().to_lowercase() };
    // A method that the path does not take is answered by the router.
    let Some((_, _, may)) = ROUTES.iter().find(|row| row.0 == wanted && row.1 == path) else { return Ok(()) };
    if wanted != "get" {
        same_site(headers)?;
    }
    match desk {
        _ if *may == May::Anybody => Ok(()),
        None => Err(Failure::new(Code::SignedOut, "nobody is signed in, or the session ended")),
        Some(desk) if may.allows(desk.user.role) => Ok(()),
        Some(desk) => {
            let detail = format!("the role {} does not include this", desk.user.role.as_str());
            Err(Failure::new(Code::MissingRole, detail))
        }
    }
}

/// Refuses what a page of another site sends: by what the browser says of the request (Fetch metadata), or where it says
/// nothing, by the origin.
fn same_site(headers: &HeaderMap) -> Answer<()> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let own = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = text("host").unwrap_or_default();
            origin.split_once("://").is_some_and(|(_, from)| !host.is_empty() && from == host)
        }
        (None, None) => false,
    };
    if own {
        Ok(())
    } else {
        Err(Failure::new(Code::CrossSite, "a form of the console is sent by its own pages"))
    }
}

/// The session's token, where there is one.
pub(super) fn token(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned())
}

/// The header that gives a browser its session, or takes it.
pub(super) fn cookie(token: Option<&str>) -> Answer<HeaderValue> {
    let (value, seconds) = match token {
        Some(token) => (token, cdp_engine::users::SESSION_MS_MAX / 1000),
        None => ("", 0),
    };
    let text = format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax");
    HeaderValue::from_str(&text).map_err(Failure::internal)
}

fn to_sign_in(address: &str) -> Response {
    let to = if address == "/console" || address.len() > 512 {
        "/console/sign-in".to_owned()
    } else {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("next", address);
        format!("/console/sign-in?{}", query.finish())
    };
    show::see(&to)
}

/// A refusal as a page.
fn refusal(failure: &Failure, desk: Option<&Desk>, id: &str) -> Response {
    let notice = show::notice_of(failure, id);
    let page = match desk {
        Some(desk) => {
            let mut page = desk.page(failure.code.title());
            page.frame.notices.push(notice);
            cdp_console::pages::write(&page)
        }
        None => cdp_console::pages::write(&Bare {
            title: failure.code.title().to_owned(),
            notices: vec![notice],
            after: vec![show::way("/console", "To the console")],
            ..Bare::default()
        }),
    };
    let mut response = Response::new(Body::from(page.unwrap_or_else(|_| failure.code.title().to_owned())));
    *response.status_mut() = failure.code.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Some(seconds) = failure.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response.extensions_mut().insert(Shown);
    response
}

/// Headers that every answer has.
fn dress(response: &mut Response, asset: bool) {
    let headers = response.headers_mut();
    let mut put =
        |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    put(header::CONTENT_SECURITY_POLICY, cdp_console::CONSOLE_SECURITY_POLICY);
    put(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    put(header::REFERRER_POLICY, "no-referrer");
    put(header::X_FRAME_OPTIONS, "DENY");
    put(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    put(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if !asset {
        put(header::CACHE_CONTROL, "no-store");
    }
}

/// Writes down what was done, and who read what is held about people.
async fn record(desk: &Desk, method: &Method, path: &str, address: &str, status: StatusCode) {
    let well = status.is_success() || status.is_redirection();
    let changed = changes(method, path);
    let told = READS.contains(&path) && matches!(*method, Method::GET | Method::POST);
    if !well || !(changed || told) {
        return;
    }
    let act = Act {
        by: desk.user.id.to_string(),
        what: format!("{method} {path}"),
        about: json!({ "path": address, "status": status.as_u16() }),
        changed,
    };
    let tenant = desk.tenant.clone();
    let written = work(changed, move || tenant.record_act(&act)).await;
    if let Err(failure) = written.and_then(|written| Ok(written?)) {
        tracing::error!(code = failure.code.as_str(), "an act could not be written into the audit log");
    }
}

/// A file that pages load.
pub(super) async fn asset(Path(name): Path<String>) -> Answer<Response> {
    let asset = cdp_console::assets::find(&name).ok_or_else(|| Failure::not_found("file"))?;
    let headers = [
        (header::CONTENT_TYPE, asset.media_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Ok((StatusCode::OK, headers, asset.bytes).into_response())
}

/// An address that leads nowhere.
pub(super) async fn nowhere() -> Failure {
    Failure::not_found("page")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&str, &str)]) -> HeaderMap {
        let pair =
            |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        all.iter().map(pair).collect()
    }

    #[test]
    fn a_form_comes_from_the_console_itself() {
        for (sent, own) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", "http://a:1"), ("host", "a:1")], false),
            (&[("origin", "http://a:1"), ("host", "a:1")], true),
            (&[("origin", "http://b:1"), ("host", "a:1")], false),
            (&[("origin", "null"), ("host", "a:1")], false),
            (&[("host", "a:1")], false),
            (&[], false),
        ] {
            assert_eq!(same_site(&headers(sent)).is_ok(), own, "{sent:?}");
        }
    }

    #[test]
    fn a_session_is_found_among_cookies() {
        assert_eq!(
            token(&headers(&[("cookie", "a=b; __Host-cdp_session=xyz; c=d")])).as_deref(),
            Some("xyz")
        );
        assert_eq!(token(&headers(&[("cookie", "cdp_session=xyz")])), None);
        let cookie = cookie(Some("xyz")).unwrap();
        let cookie = cookie.to_str().unwrap();
        for part in ["__Host-cdp_session=xyz;", "Path=/;", "Secure;", "HttpOnly;", "SameSite=Lax"] {
            assert!(cookie.contains(part), "{part}");
        }
    }
}
