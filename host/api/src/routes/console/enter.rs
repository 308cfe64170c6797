//! One-time links: the first admin, everybody who is invited, and whoever is let in at once.

use axum::extract::{Path, State};
use axum::response::Response;
use cdp_console::form::{Field, Form as View, Kind};
use cdp_console::pages::Bare;
use cdp_engine::users::{Door, Entering, LinkKind};
use http::{HeaderMap, Method, header};

use super::form::Form;
use super::{gate, password, show};
use crate::app::App;
use crate::error::{Answer, Code, Failure};

fn nowhere() -> Failure {
    Failure::new(
        Code::NotFound,
        "this link leads nowhere any more: it was used, a newer one was made, or its 24 hours are over",
    )
}

fn view(door: &Door, token: &str, name: &str) -> Bare {
    let mut fields = Vec::new();
    let (title, intro) = match door {
        Door::First(tenant) => {
            let mut field = Field::text("name", "Your name").value(name).required();
            field.autocomplete = "username";
            fields.push(field.hint("by which you sign in, such as your e-mail address"));
            ("Welcome".to_owned(), format!("You become the first admin of {}.", tenant.name))
        }
        Door::Of(tenant, user, _) => (
            format!("Welcome, {}", user.name),
            format!("Set a password to work in the console of {}.", tenant.name),
        ),
    };
    let mut word = Field::new("password", "Password", Kind::Password).required();
    word.autocomplete = "new-password";
    let least = password::PASSWORD_CHARS_MIN;
    fields.push(word.hint(format!("at least {least} characters; a sentence is easy to remember")));
    let form = View::new(format!("/console/enter/{token}"), "Set password and come in", fields);
    Bare { title, intro, form: Some(form), ..Bare::default() }
}

/// What a link leads to. One that lets in at once does so here, and only for a page that somebody opens.
pub(super) async fn page(
    State(app): State<App>,
    Path(token): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Answer<Response> {
    let door = app.engine().door(&token).ok_or_else(nowhere)?;
    if !matches!(door, Door::Of(_, _, LinkKind::SignIn)) {
        return show::page(&view(&door, &token, ""));
    }
    let ahead = headers.get("sec-purpose").or_else(|| headers.get("purpose")).is_some();
    if method != Method::GET || ahead {
        return show::page(&Bare { title: "Sign in".to_owned(), ..Bare::default() });
    }
    let (_, session) = app.engine().enter(&token, Entering::default()).await.map_err(|_| nowhere())?;
    let mut response = show::see("/console");
    response.headers_mut().insert(header::SET_COOKIE, gate::cookie(Some(&session))?);
    Ok(response)
}

/// Sets the password and comes in.
pub(super) async fn enter(State(app): State<App>, Path(token): Path<String>, form: Form) -> Answer<Response> {
    let door = app.engine().door(&token).ok_or_else(nowhere)?;
    let entered = async {
        let password = Some(password::hash(&app, form.get("password")).await?);
        let name = Some(form.trimmed("name").to_owned());
        Ok::<_, Failure>(app.engine().enter(&token, Entering { name, password }).await?)
    };
    match entered.await {
        Ok((_, session)) => {
            let mut response = show::see("/console");
            response.headers_mut().insert(header::SET_COOKIE, gate::cookie(Some(&session))?);
            Ok(response)
        }
        Err(failure) => {
            let failure = show::told(failure)?;
            let mut view = view(&door, &token, form.trimmed("name"));
            view.notices.push(show::notice_of(&failure, ""));
            show::wrong(&view)
        }
    }
}
