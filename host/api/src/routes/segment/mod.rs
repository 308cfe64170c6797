//! Calls that Segment's SDKs make: they work by changing host and write key.
//!
//! Answers are 200 with a body, always: SDKs lose or resend data on 202, 204, an empty body or a redirect. One bad
//! message never sinks its batch. The content type is not trusted, and the key may stand in the body.

pub mod call;
pub mod collect;
pub mod message;
pub mod places;
pub mod settings;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

/// Registers the calls and their short names.
pub(crate) fn all(router: OpenApiRouter<App>) -> OpenApiRouter<App> {
    router
        .routes(routes!(call::identify))
        .routes(routes!(call::track))
        .routes(routes!(call::page))
        .routes(routes!(call::screen))
        .routes(routes!(call::group))
        .routes(routes!(call::alias))
        .routes(routes!(call::batch))
        .routes(routes!(call::import))
        .routes(routes!(call::i))
        .routes(routes!(call::t))
        .routes(routes!(call::p))
        .routes(routes!(call::s))
        .routes(routes!(call::g))
        .routes(routes!(call::a))
        .routes(routes!(call::b))
        .routes(routes!(settings::project_settings))
}
