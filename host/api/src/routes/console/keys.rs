//! API keys: making one (it is shown this once) and revoking.

use axum::extract::{Path, State};
use axum::response::Response;
use cdp_console::blocks::{Action, Block, Cell, Notice, Section, Table, Tone, Width};
use cdp_console::form::{Choice, Field, Form as View, Kind};
use cdp_console::pages::Page;
use cdp_domain::ids::KeyId;
use cdp_domain::problem::{Code as Wrong, Problem};
use cdp_engine::registry::{KeyInfo, NewKey, Scope, Scopes};

use super::desk::Desk;
use super::form::Form;
use super::{May, show};
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::params::Params;

/// Days after which a key ends by itself, as choices.
const ENDS: [(&str, &str); 4] =
    [("", "never"), ("30", "in 30 days"), ("90", "in 90 days"), ("365", "in a year")];

/// Scopes that this role may hand out: whoever cannot administer hands out no key that can.
fn scopes(desk: &Desk) -> Vec<(&'static str, Scope)> {
    let may = |scope: &Scope| match scope {
        Scope::Ingest | Scope::Read => true,
        Scope::Export => desk.may(May::Export),
        _ => desk.may(May::Administer),
    };
    Scopes::OF_TENANTS.into_iter().filter(|(_, scope)| may(scope)).collect()
}

fn view(app: &App, desk: &Desk, form: &Form) -> Page {
    let mut page = desk.page("API keys");
    page.intro = "Programs come with a key. It is shown once, when it is made, and kept nowhere; give each program its own, with the least that it needs.".to_owned();
    let now = desk.tenant.now();
    let state = |info: &KeyInfo| match (info.revoked_at, info.expires_at) {
        (Some(_), _) => "revoked",
        (_, Some(end)) if end <= now => "expired",
        _ => "active",
    };
    let mut all = app.engine().keys(&desk.tenant);
    all.sort_by_key(|info| (state(info) != "active", std::cmp::Reverse(info.created_at)));
    let row = |info: &KeyInfo| {
        let scopes = info.scopes.names().into_iter().map(|name| Cell::badge(Tone::Plain, name));
        let own = scopes_of(desk, info);
        vec![
            Cell::text(info.name.as_str()),
            Cell::Many(scopes.chain(info.public.then(|| Cell::badge(Tone::Warn, "public"))).collect()),
            Cell::code(show::short(&info.id.to_string(), 16)),
            desk.at(info.created_at),
            desk.maybe_at(info.expires_at),
            show::badge(state(info)),
            if state(info) == "active" && own {
                Cell::Do(Action {
                    to: format!("/console/keys/{}/revoke", info.id),
                    label: "Revoke".to_owned(),
                    tone: Tone::Bad,
                    ask: "Whoever uses it is locked out at once.".to_owned(),
                    ..Action::default()
                })
            } else {
                Cell::None
            },
        ]
    };
    let table = Table {
        caption: "API keys".to_owned(),
        head: vec!["Name", "May", "Id", "Made", "Ends by itself", "Status", ""],
        rows: all.iter().take(2 * show::ROWS_MAX).map(row).collect(),
        more: None,
    };
    let ticked: Vec<&str> = form.all("scope").collect();
    let choices = scopes(desk).into_iter().map(|(name, _)| Choice {
        value: name.to_owned(),
        text: match name {
            "ingest" => "ingest: send events",
            "read" => "read: profiles, segments, attributes",
            "export" => "export: audiences",
            _ => "admin: everything",
        }
        .to_owned(),
        chosen: if form.names().next().is_none() { name == "ingest" } else { ticked.contains(&name) },
    });
    let public = Choice {
        value: "1".to_owned(),
        text: "anybody can read it, as in a web page".to_owned(),
        chosen: form.ticked("public"),
    };
    let fields = vec![
        Field::text("name", "Name")
            .value(form.get("name"))
            .required()
            .hint("for people, and the source of events that name none"),
        Field::new("scope", "What it may do", Kind::Checks(choices.collect())),
        Field::new("public", "Public", Kind::Checks(vec![public]))
            .hint("only with ingest; what it says joins nobody who is known already"),
        Field::new("ends", "It ends", Kind::Select(Choice::named(&ENDS, form.get("ends")))),
    ];
    let form = View::new("/console/keys", "Make a key", fields);
    page.sections.push(Section::new("keys", "", vec![Block::Table(table)]));
    page.sections.push(Section::new("make", "Make a key", vec![Block::Form(form)]).width(Width::Half));
    page
}

/// Whether this role may hand out, and so revoke, such a key.
fn scopes_of(desk: &Desk, info: &KeyInfo) -> bool {
    let own = scopes(desk);
    info.scopes.names().iter().all(|name| own.iter().any(|(known, _)| known == name))
}

/// The page.
pub(super) async fn page(State(app): State<App>, desk: Desk, params: Params) -> Answer<Response> {
    let mut page = view(&app, &desk, &Form::default());
    desk.done(&params, &mut page.frame);
    show::page(&page)
}

/// Makes a key and shows it this once.
pub(super) async fn create(State(app): State<App>, desk: Desk, form: Form) -> Answer<Response> {
    let own = scopes(&desk);
    let wanted =
        form.all("scope").map(|word| own.iter().find(|(name, _)| *name == word).map(|(_, scope)| *scope));
    let made = async {
        let wanted: Option<Vec<Scope>> = wanted.collect();
        let refused = || {
            Failure::invalid(vec![Problem::new(
                "/scopes",
                Wrong::Invalid,
                "holds one that your role does not hand out",
            )])
        };
        let days: Option<i64> = form.get("ends").parse().ok();
        let expires_at =
            days.map(|days| cdp_domain::time::Timestamp(desk.tenant.now().0 + days * 86_400_000));
        let new = NewKey {
            name: form.trimmed("name").to_owned(),
            scopes: wanted.ok_or_else(refused)?,
            public: form.ticked("public"),
            expires_at,
        };
        Ok::<_, Failure>(app.engine().create_key(&desk.tenant, new).await?)
    };
    match made.await {
        Ok((info, key)) => {
            let mut page = view(&app, &desk, &Form::default());
            page.frame.notices.push(Notice {
                tone: Tone::Good,
                title: format!("The key {} is made. Copy it now: it is shown this once.", info.name),
                secret: key,
                ..Notice::default()
            });
            show::page(&page)
        }
        Err(failure) => {
            let mut page = view(&app, &desk, &form);
            page.frame.notices.push(show::notice_of(&show::told(failure)?, &desk.request_id));
            show::wrong(&page)
        }
    }
}

/// Revokes a key.
pub(super) async fn revoke(State(app): State<App>, desk: Desk, Path(id): Path<String>) -> Answer<Response> {
    let id: KeyId = id.parse().map_err(|_| Failure::not_found("key"))?;
    let info = app.engine().keys(&desk.tenant).into_iter().find(|info| info.id == id);
    if !info.as_ref().is_some_and(|info| scopes_of(&desk, info)) {
        return Err(Failure::not_found("key that your role hands out"));
    }
    app.engine().revoke_key(&desk.tenant, id).await?;
    show::done("/console/keys", "revoked")
}
