//! The console: pages for people, over the same calls as the interface for programs.
//!
//! A handler here does what every handler does: it extracts, calls the engine, and shapes the answer; but the shape is a
//! page of [`cdp_console`]. [`gate`] stands before all of them: it knows who is signed in, asks the table below what
//! their role may do, refuses forms that another site sends, and shows every refusal as a page. What somebody does is
//! written into the audit log under their id, as what is done with a key is under the key's.
//!
//! Every action is a plain form that is answered with `303 See Other`; the script of the console only fetches the same
//! pages again and puts parts of them in place. Nothing of a customer stands in an address but ids that tell nothing.
//!
//! To add a page: its handler in a file, a line in the table. A test goes through the table with every role.

mod account;
mod attributes;
mod audit;
mod backoff;
mod catalogue;
mod channels;
mod desk;
mod enter;
mod events;
mod exports;
mod form;
mod gate;
mod history;
mod identity;
mod jobs;
mod keys;
mod overview;
mod password;
mod patience;
mod plugins;
mod privacy;
mod profiles;
mod reach;
mod roles;
mod search;
mod segments;
mod shelf;
mod show;
mod sign_in;
mod state;
mod system;
#[cfg(test)]
mod tests;
mod users;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use crate::finish;

pub(crate) use roles::May;
pub(crate) use state::Console;

/// The console's bounds, by the names that they have in `/v1/limits`.
pub(crate) fn bounds() -> [(&'static str, u64); 8] {
    [
        ("password_chars_min", password::PASSWORD_CHARS_MIN as u64),
        ("password_bytes_max", password::PASSWORD_BYTES_MAX as u64),
        ("sign_in_tries_free", u64::from(backoff::TRIES_FREE)),
        ("sign_in_tries_free_per_address", u64::from(backoff::ADDRESS_TRIES_FREE)),
        ("sign_in_wait_ms_max", backoff::WAIT_MAX.as_millis() as u64),
        ("console_fields_max", form::FIELDS_MAX as u64),
        ("console_rows_max", show::ROWS_MAX as u64),
        ("console_counted_anew_ms", shelf::FRESH.as_millis() as u64),
    ]
}

macro_rules! table {
    ($($method:ident $path:literal $may:ident $handler:path;)*) => {
        /// Every route of the console: method, path, and what a role must include to use it.
        pub(crate) const ROUTES: &[(&str, &str, May)] = &[$((stringify!($method), $path, May::$may)),*];

        fn handlers() -> Router<App> {
            Router::new()$(.route($path, $method($handler)))*
        }
    };
}

table! {
    get "/console/assets/{name}" Anybody gate::asset;
    get "/console/sign-in" Anybody sign_in::page;
    post "/console/sign-in" Anybody sign_in::sign_in;
    post "/console/sign-out" Anybody sign_in::sign_out;
    get "/console/enter/{token}" Anybody enter::page;
    post "/console/enter/{token}" Anybody enter::enter;
    get "/console" Look overview::page;
    post "/console/search" Look search::search;
    get "/console/account" Look account::page;
    post "/console/account/password" Look account::password;
    get "/console/segments" Look segments::list::page;
    get "/console/segments/+new" Define segments::edit::new;
    post "/console/segments/+build" Define segments::edit::build;
    get "/console/segments/{name}" Look segments::detail::page;
    get "/console/segments/{name}/edit" Define segments::edit::edit;
    get "/console/segments/{name}/members/{profile}" Look segments::explain::page;
    post "/console/segments/{name}/publish" Define segments::detail::publish;
    post "/console/segments/{name}/remove" Define segments::detail::remove;
    get "/console/profiles" Look profiles::find::page;
    post "/console/profiles" Look profiles::find::find;
    get "/console/profiles/{id}" Look profiles::detail::page;
    get "/console/profiles/{id}/privacy" Administer privacy::page::of_person;
    get "/console/identity" Look identity::page::page;
    post "/console/identity/rules" Administer identity::rules::rules;
    post "/console/identity/constraints" Administer identity::constraints::make;
    post "/console/identity/constraints/{id}/remove" Administer identity::constraints::remove;
    get "/console/privacy" Administer privacy::page::page;
    post "/console/privacy/erasures/+preview" Administer privacy::erasure::preview;
    post "/console/privacy/erasures" Administer privacy::erasure::erase;
    get "/console/privacy/erasures/{id}" Administer privacy::erasure::detail;
    get "/console/privacy/erasures/{id}/certificate" Administer privacy::erasure::certificate;
    post "/console/privacy/restrictions" Administer privacy::restriction::restrict;
    post "/console/privacy/restrictions/{id}/lift" Administer privacy::restriction::lift;
    get "/console/privacy/access" Administer privacy::access::page;
    post "/console/privacy/access" Administer privacy::access::ask;
    get "/console/privacy/access/{id}" Administer privacy::access::detail;
    get "/console/privacy/access/{id}/document" Administer privacy::access::file;
    get "/console/privacy/suppressions" Administer privacy::suppressions::page;
    get "/console/privacy/suppressions/{id}" Administer privacy::suppressions::detail;
    post "/console/privacy/suppressions/{id}/lift" Administer privacy::suppressions::lift;
    get "/console/privacy/retention" Look privacy::retention::page;
    post "/console/privacy/retention" Administer privacy::rules::set;
    post "/console/privacy/retention/+preview" Administer privacy::rules::preview;
    get "/console/privacy/retention/previews/{id}" Administer privacy::rules::counted;
    get "/console/exports" Look exports::list::page;
    get "/console/exports/new" Export exports::new::page;
    post "/console/exports/new" Export exports::new::step;
    get "/console/exports/destinations" Export exports::destinations::page;
    post "/console/exports/destinations" Export exports::destinations::put;
    post "/console/exports/destinations/{name}/{act}" Export exports::destinations::act;
    get "/console/exports/schedules" Export exports::schedules::page;
    post "/console/exports/schedules/{name}/remove" Export exports::schedules::remove;
    get "/console/exports/{id}" Look exports::run::page;
    get "/console/exports/{id}/file" Export exports::run::file;
    get "/console/exports/{id}/manifest" Export exports::run::manifest;
    post "/console/exports/{id}/{act}" Export exports::run::act;
    get "/console/channels" Look channels::page;
    post "/console/channels/lookup" Look channels::lookup;
    post "/console/purposes" Administer channels::purpose;
    get "/console/events" Look events::live::page;
    get "/console/events/rejected" Look events::rejected::page;
    post "/console/events/rejected/replay" Extend events::rejected::replay;
    get "/console/events/at/{position}" Look events::receipt::page;
    post "/console/events/find" Look events::receipt::find;
    get "/console/catalogue" Look catalogue::page;
    get "/console/catalogue/{type}" Look catalogue::detail;
    post "/console/catalogue/{type}/schema" Extend catalogue::schema;
    get "/console/attributes" Look attributes::page;
    post "/console/attributes" Define attributes::put;
    get "/console/attributes/{name}" Look attributes::detail;
    post "/console/attributes/{name}/remove" Define attributes::remove;
    get "/console/plugins" Look plugins::list::page;
    post "/console/plugins" Extend plugins::upload::upload;
    post "/console/plugins/+order" Extend plugins::order::order;
    post "/console/plugins/+trust" Administer plugins::trust::trust;
    get "/console/plugins/{name}" Look plugins::detail::page;
    get "/console/plugins/{name}/try" Extend plugins::trial::page;
    post "/console/plugins/{name}/try" Extend plugins::trial::run;
    post "/console/plugins/{name}/{act}" Extend plugins::detail::act;
    get "/console/keys" Extend keys::page;
    post "/console/keys" Extend keys::create;
    post "/console/keys/{id}/revoke" Extend keys::revoke;
    get "/console/users" Administer users::page;
    post "/console/users" Administer users::invite;
    post "/console/users/{id}/{act}" Administer users::act;
    get "/console/jobs" Look jobs::page;
    get "/console/jobs/{id}" Look jobs::detail;
    post "/console/jobs/{id}/cancel" Define jobs::cancel;
    get "/console/system" Look system::page;
    get "/console/audit" Administer audit::page;
    get "/console/{*rest}" Look gate::nowhere;
}

/// The routes with their gate.
pub(crate) fn router(app: &App) -> Router<App> {
    handlers()
        .layer(CatchPanicLayer::custom(finish::panicked))
        .layer(from_fn(patience::wait))
        .layer(from_fn_with_state(app.clone(), gate::gate))
}
