//! The only crate that knows our HTTP and JSON.
//!
//! A request passes five layers and a handler: `finish` gives it an id and writes every failure as a problem, `squeeze`
//! compresses what people read, a net catches panics, [`access`] asks the table who may call, [`idempotency`] carries out only once what may be sent
//! twice; the handler extracts, makes one call to the engine, and shapes the answer.
//!
//! | module | holds |
//! | --- | --- |
//! | [`serve`] | the accept loop, with every bound on connections |
//! | [`access`], [`auth`] | which route asks for which scope; the key of a request |
//! | [`audit`] | writing down who did what |
//! | [`body`] | bytes, gzip and JSON within bounds |
//! | [`rate`], `share` | what a key may send a second; each tenant's share of memory and of turns at work |
//! | [`error`] | every error a client can see, in one table |
//! | [`cursor`], [`params`], [`fields`], [`plain`] | pages, parameters, request objects, exact values |
//! | [`limits`] | every bound by name |
//! | [`docs`] | the documentation, completed by what this server is |
//! | [`routes`] | one operation, one file |
//!
//! To add an operation: its file under `routes/`, a line in [`routes::all`], a line in [`access::TABLE`]. A test holds
//! that the three agree, and the description at `/openapi.json` follows from the registration.

pub mod access;
mod app;
pub mod audit;
pub mod auth;
pub mod body;
mod cors;
pub mod cursor;
pub mod docs;
pub mod error;
pub mod fields;
mod finish;
pub mod idempotency;
pub mod limits;
mod metrics;
mod openapi;
pub mod params;
pub mod plain;
pub mod rate;
pub mod routes;
pub mod serve;
mod share;
mod squeeze;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use bytes::Bytes;
use cdp_export::Exports;
use tower_http::catch_panic::CatchPanicLayer;

pub use app::{App, Options, Setting};
pub use openapi::describe;
pub use rate::Rates;
pub use serve::{HttpOptions, serve};

/// Bodies up to this size are worked on where they arrive; larger or compressed ones go to a thread of their own.
pub(crate) const INLINE_BYTES_MAX: usize = 16 * 1024;

/// Everything that the server answers, over one engine and its audiences.
pub fn router(exports: Exports, options: Options) -> Router {
    let (router, description) = openapi::routes_and_description();
    let http = options.http.clone();
    let probe = options.panic_probe;
    let app = App::new(exports, options, Bytes::from(openapi::to_json(&description)));
    let router = if probe { router.layer(from_fn(finish::panic_probe)) } else { router };
    let api = router
        .layer(from_fn_with_state(app.clone(), idempotency::remember))
        .layer(from_fn_with_state(app.clone(), audit::record))
        .layer(from_fn_with_state(app.clone(), access::guard));
    // The console's routes have a gate of their own; what is no route at all is answered as the interface does.
    routes::console::router(&app)
        .merge(api)
        .fallback(routes::docs::nowhere)
        .layer(CatchPanicLayer::custom(finish::panicked))
        .layer(squeeze::pages())
        .layer(from_fn_with_state(http, finish::finish))
        .with_state(app)
}

/// Does work that blocks: here when it is light, on a thread for such work when it is heavy.
///
/// # Errors
/// When the work panicked.
pub(crate) async fn work<T: Send + 'static>(
    heavy: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> error::Answer<T> {
    if !heavy {
        return Ok(work());
    }
    let behind = move || {
        cdp_threads::give_way();
        work()
    };
    tokio::task::spawn_blocking(behind).await.map_err(error::Failure::internal)
}
