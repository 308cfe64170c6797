//! Console users: inviting, roles, new links, removing.

use axum::extract::{Path, State};
use axum::response::Response;
use cdp_console::blocks::{Action, Block, Cell, Notice, Section, Table, Tone, Width};
use cdp_console::form::{Choice, Field, Form as View, Kind};
use cdp_console::pages::Page;
use cdp_domain::ids::UserId;
use cdp_engine::users::{LinkKind, Role, UserInfo};
use http::HeaderMap;

use super::desk::Desk;
use super::form::Form;
use super::{May, show};
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::params::Params;
use crate::routes::users as interface;

const ROLES: [(&str, &str); 3] = [
    ("marketer", "marketer: segments, attributes, exports"),
    ("developer", "developer: keys, plugins, schemas, replays"),
    ("admin", "admin: everything"),
];

fn row(desk: &Desk, user: &UserInfo) -> Vec<Cell> {
    let to = |act: &str| format!("/console/users/{}/{act}", user.id);
    let me = user.id == desk.user.id;
    let mut acts = vec![Cell::Do(Action {
        to: to("link"),
        label: "New link".to_owned(),
        ask: "The link sets a new password; the one before is void.".to_owned(),
        ..Action::default()
    })];
    for role in Role::ALL.into_iter().filter(|role| *role != user.role && !me) {
        acts.push(Cell::Do(Action {
            to: to(role.as_str()),
            label: format!("Make {}", role.as_str()),
            ..Action::default()
        }));
    }
    if !me {
        acts.push(Cell::Do(Action {
            to: to("remove"),
            label: "Remove".to_owned(),
            tone: Tone::Bad,
            ask: "Their sessions end at once.".to_owned(),
            ..Action::default()
        }));
    }
    vec![
        Cell::text(user.name.as_str()),
        Cell::badge(Tone::Plain, user.role.as_str()),
        desk.at(user.created_at),
        user.password_set_at.map_or(Cell::badge(Tone::Warn, "invited"), |at| desk.at(at)),
        Cell::Many(acts),
    ]
}

fn view(app: &App, desk: &Desk, form: &Form) -> Page {
    let mut page = desk.page("Users");
    page.intro = "Who works in this console. Whoever is invited comes in once by a link and sets a password."
        .to_owned();
    let all = app.engine().users(&desk.tenant);
    let table = Table {
        caption: "Console users".to_owned(),
        head: vec!["Name", "Role", "Since", "Password set", ""],
        rows: all.iter().map(|user| row(desk, user)).collect(),
        more: None,
    };
    page.sections.push(Section::new("users", "", vec![Block::Table(table)]));
    let fields = vec![
        Field::text("name", "Name")
            .value(form.get("name"))
            .required()
            .hint("by which they sign in, such as an e-mail address"),
        Field::new(
            "role",
            "Role",
            Kind::Radios(Choice::named(
                &ROLES,
                if form.get("role").is_empty() { "marketer" } else { form.get("role") },
            )),
        ),
    ];
    let invite = View::new("/console/users", "Invite", fields);
    page.sections
        .push(Section::new("invite", "Invite somebody", vec![Block::Form(invite)]).width(Width::Half));
    let may = |may: May| {
        Role::ALL.map(|role| if may.allows(role) { Cell::badge(Tone::Good, "yes") } else { Cell::None })
    };
    let rights = [
        ("Look at everything that stands on a page", May::Look),
        ("Define segments and attributes", May::Define),
        ("Export audiences, destinations, schedules", May::Export),
        ("Keys, plugins, schemas, replays", May::Extend),
        ("Users, purposes, the audit log", May::Administer),
    ];
    let rows = rights.iter().map(|(text, need)| {
        let mut row = vec![Cell::text(*text)];
        row.extend(may(*need));
        row
    });
    let table = Table {
        caption: "What roles may do".to_owned(),
        head: vec!["", "Marketer", "Developer", "Admin"],
        rows: rows.collect(),
        more: None,
    };
    page.sections
        .push(Section::new("roles", "What roles may do", vec![Block::Table(table)]).width(Width::Half));
    page
}

/// The address by which this server was reached, for links that are handed on.
fn host(headers: &HeaderMap) -> String {
    let host = headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let sane = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
    if sane { host.to_owned() } else { String::new() }
}

fn link_notice(headers: &HeaderMap, name: &str, token: &str) -> Notice {
    let host = host(headers);
    let local = host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]");
    let scheme = if local { "http" } else { "https" };
    let path = interface::path(token);
    Notice {
        tone: Tone::Good,
        title: format!("Give this link to {name}: it lets in once, within 24 hours, and is shown this once."),
        secret: if host.is_empty() { path } else { format!("{scheme}://{host}{path}") },
        ..Notice::default()
    }
}

/// The page.
pub(super) async fn page(State(app): State<App>, desk: Desk, params: Params) -> Answer<Response> {
    let mut page = view(&app, &desk, &Form::default());
    desk.done(&params, &mut page.frame);
    show::page(&page)
}

/// Invites somebody.
pub(super) async fn invite(
    State(app): State<App>,
    desk: Desk,
    headers: HeaderMap,
    form: Form,
) -> Answer<Response> {
    let role = Role::find(form.get("role")).unwrap_or(Role::Marketer);
    match app.engine().invite_user(&desk.tenant, form.get("name"), role, LinkKind::Invite).await {
        Ok((user, token)) => {
            let mut page = view(&app, &desk, &Form::default());
            page.frame.notices.push(link_notice(&headers, &user.name, &token));
            show::page(&page)
        }
        Err(refused) => {
            let mut page = view(&app, &desk, &form);
            page.frame.notices.push(show::notice_of(&show::told(Failure::from(refused))?, &desk.request_id));
            show::wrong(&page)
        }
    }
}

/// Makes a new link, gives another role, or removes.
pub(super) async fn act(
    State(app): State<App>,
    desk: Desk,
    Path((id, act)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer<Response> {
    let id: UserId = id.parse().map_err(|_| Failure::not_found("user"))?;
    let user = app.engine().user(&desk.tenant, id)?;
    if act == "link" {
        let token = app.engine().link_user(&desk.tenant, id, LinkKind::Invite).await?;
        let mut page = view(&app, &desk, &Form::default());
        page.frame.notices.push(link_notice(&headers, &user.name, &token));
        return show::page(&page);
    }
    if act == "remove" {
        app.engine().remove_user(&desk.tenant, id).await?;
        return show::done("/console/users", "removed");
    }
    let role = Role::find(&act).ok_or_else(|| Failure::not_found("page"))?;
    app.engine().set_role(&desk.tenant, id, role).await?;
    show::done("/console/users", "role")
}
