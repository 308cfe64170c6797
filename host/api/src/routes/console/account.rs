//! One's own account: the name, the role, and another password.

use axum::extract::State;
use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Fact, Section, Width};
use cdp_console::form::{Field, Form as View, Kind};
use cdp_console::pages::Page;
use cdp_domain::problem::{Code as Wrong, Problem};
use http::header;

use super::desk::Desk;
use super::form::Form;
use super::{gate, password, show};
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::params::Params;

fn view(desk: &Desk) -> Page {
    let mut page = desk.page("Your account");
    let user = &desk.user;
    let facts = vec![
        Fact::new("Name", Cell::text(user.name.as_str())),
        Fact::new("Role", show::badge(user.role.as_str())),
        Fact::new("Since", desk.at(user.created_at)),
        Fact::new("Password set", desk.maybe_at(user.password_set_at)),
        Fact::new("Organisation", Cell::text(&desk.tenant.info().name)),
        Fact::new("Times are shown in", Cell::text(&desk.tenant.info().time_zone)),
    ];
    page.sections.push(Section::new("you", "", vec![Block::Facts(facts)]).width(Width::Half));
    let mut fields = Vec::new();
    if user.password_set_at.is_some() {
        let mut now = Field::new("current", "Present password", Kind::Password).required();
        now.autocomplete = "current-password";
        fields.push(now);
    }
    let mut word = Field::new("password", "New password", Kind::Password).required();
    word.autocomplete = "new-password";
    fields.push(word.hint(format!("at least {} characters", password::PASSWORD_CHARS_MIN)));
    let form = View::new("/console/account/password", "Change password", fields);
    let section = Section::new("password", "Password", vec![Block::Form(form)]);
    page.sections.push(section.note("Every other session of yours ends.").width(Width::Half));
    page
}

/// The page.
pub(super) async fn page(desk: Desk, params: Params) -> Answer<Response> {
    let mut page = view(&desk);
    desk.done(&params, &mut page.frame);
    show::page(&page)
}

/// Changes the password; the browser goes on in a session of its own.
pub(super) async fn password(State(app): State<App>, desk: Desk, form: Form) -> Answer<Response> {
    let changed = async {
        let slug = desk.tenant.info().slug.clone();
        let known = app.engine().find_user(Some(&slug), &desk.user.name);
        // Whoever came in by a link has none yet.
        if let Some((_, _, hash)) = known
            && !password::verify(&app, form.get("current"), Some(hash)).await?
        {
            let problem = Problem::new("/current", Wrong::Invalid, "the present password is another one");
            return Err(Failure::invalid(vec![problem]));
        }
        let hash = password::hash(&app, form.get("password")).await?;
        app.engine().set_password(&desk.tenant, desk.user.id, hash).await?;
        Ok(app.engine().open_session(desk.tenant.no(), desk.user.id).await?)
    };
    match changed.await {
        Ok(token) => {
            let mut response = show::done("/console/account", "password")?;
            response.headers_mut().insert(header::SET_COOKIE, gate::cookie(Some(&token))?);
            Ok(response)
        }
        Err(failure) => {
            let mut page = view(&desk);
            page.frame.notices.push(show::notice_of(&show::told(failure)?, &desk.request_id));
            show::wrong(&page)
        }
    }
}
