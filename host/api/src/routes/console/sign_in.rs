//! Signing in and out.

use std::time::Instant;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use cdp_console::blocks::{Notice, Tone};
use cdp_console::form::{Field, Form as View, Kind};
use cdp_console::pages::Bare;
use http::{HeaderMap, header};

use super::backoff::Who;
use super::form::Form;
use super::{gate, password, show};
use crate::app::App;
use crate::error::{Answer, Code, Failure};
use crate::params::Params;
use crate::serve::Peer;

/// Where somebody goes who signed in: a page of the console, and nothing else.
fn next(text: &str) -> &str {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b'"');
    let inside = text == "/console" || text.starts_with("/console/") && !text.starts_with("/console/sign");
    if plain && inside && text.len() <= 512 { text } else { "/console" }
}

fn view(app: &App, slug: &str, name: &str, to: &str) -> Bare {
    let several = app.engine().tenants().len() != 1;
    let mut fields = Vec::new();
    if several {
        let tenant = Field::text("tenant", "Organisation").value(slug).required();
        fields.push(tenant.hint("its short name, such as acme-retail"));
    }
    let mut user = Field::text("name", "Name").value(name).required();
    user.autocomplete = "username";
    let mut word = Field::new("password", "Password", Kind::Password).required();
    word.autocomplete = "current-password";
    fields.extend([user, word, Field::hidden("next", next(to))]);
    Bare {
        title: "Sign in".to_owned(),
        form: Some(View::new("/console/sign-in", "Sign in", fields)),
        after: vec![show::nothing(
            "The first admin comes in by the one-time link that the server printed when it started. Everybody else is invited by an admin.",
            None,
            "",
        )],
        ..Bare::default()
    }
}

/// The form.
pub(super) async fn page(State(app): State<App>, headers: HeaderMap, params: Params) -> Answer<Response> {
    let to = params.get("next").unwrap_or_default();
    if gate::token(&headers).is_some_and(|token| app.engine().session(&token, true).is_some()) {
        return Ok(show::see(next(to)));
    }
    show::page(&view(&app, params.get("tenant").unwrap_or_default(), "", to))
}

/// What it sends.
pub(super) async fn sign_in(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    form: Form,
) -> Answer<Response> {
    let (slug, name) = (form.trimmed("tenant"), form.trimmed("name"));
    let mut who = vec![Who::name(slug, name)];
    who.extend(peer.map(|Extension(peer)| Who::address(peer.0)));
    let backoff = &app.console().backoff;
    if let Some(seconds) = backoff.wait(&who, Instant::now()) {
        let detail = "too many wrong passwords; wait a moment before the next try";
        return Err(Failure { retry_after: Some(seconds), ..Failure::new(Code::RateLimited, detail) });
    }
    let found = app.engine().find_user(Some(slug).filter(|slug| !slug.is_empty()), name);
    let hash = found.as_ref().map(|(_, _, hash)| hash.clone());
    let right = password::verify(&app, form.get("password"), hash).await?;
    let Some((tenant, user, _)) = found.filter(|_| right) else {
        backoff.failed(&who, Instant::now());
        let mut view = view(&app, slug, name, form.get("next"));
        view.notices.push(Notice {
            tone: Tone::Bad,
            title: "The name or the password is not right.".to_owned(),
            detail: "Whoever forgot theirs asks an admin for a new link.".to_owned(),
            ..Notice::default()
        });
        return show::wrong(&view);
    };
    backoff.succeeded(&who[0]);
    let token = app.engine().open_session(tenant.no, user.id).await?;
    let mut response = show::see(next(form.get("next")));
    response.headers_mut().insert(header::SET_COOKIE, gate::cookie(Some(&token))?);
    Ok(response)
}

/// Ends the session.
pub(super) async fn sign_out(State(app): State<App>, headers: HeaderMap) -> Answer<Response> {
    if let Some(token) = gate::token(&headers) {
        app.engine().end_session(&token).await?;
    }
    let mut response = show::see("/console/sign-in");
    response.headers_mut().insert(header::SET_COOKIE, gate::cookie(None)?);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for inside in ["/console", "/console/segments/vip", "/console/profiles/prf_0"] {
            assert_eq!(next(inside), inside);
        }
        for elsewhere in [
            "",
            "//evil",
            "https://evil",
            "/v1/keys",
            "/consolex",
            "/console/sign-out",
            "/console/\\evil",
            "/console/a b",
        ] {
            assert_eq!(next(elsewhere), "/console", "{elsewhere}");
        }
    }
}
