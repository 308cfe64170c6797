//! The addresses: one operation for each, all of them the same collection.

use axum::Json;
use axum::extract::{Request, State};

use super::collect::{Collected, collect};
use super::message::Kind;
use crate::app::App;
use crate::error::Answer;

macro_rules! calls {
    ($($name:ident, $path:tt, $kind:expr, $doc:tt;)*) => {
        $(
            #[doc = $doc]
            #[utoipa::path(post, path = $path, tag = "segment", request_body = Object, responses((status = 200, body = Collected)))]
            pub(crate) async fn $name(State(app): State<App>, request: Request) -> Answer<Json<Collected>> {
                collect(app, request, $kind).await
            }
        )*
    };
}

calls! {
    identify, "/v1/identify", Some(Kind::Identify), "Who somebody is, with traits";
    track, "/v1/track", Some(Kind::Track), "What somebody did";
    page, "/v1/page", Some(Kind::Page), "A page that somebody saw";
    screen, "/v1/screen", Some(Kind::Screen), "A screen that somebody saw";
    group, "/v1/group", Some(Kind::Group), "Which group somebody belongs to";
    alias, "/v1/alias", Some(Kind::Alias), "That two ids are one person";
    batch, "/v1/batch", None, "Several messages";
    import, "/v1/import", None, "Several messages, of the past";
    i, "/v1/i", Some(Kind::Identify), "Short for /v1/identify";
    t, "/v1/t", Some(Kind::Track), "Short for /v1/track";
    p, "/v1/p", Some(Kind::Page), "Short for /v1/page";
    s, "/v1/s", Some(Kind::Screen), "Short for /v1/screen";
    g, "/v1/g", Some(Kind::Group), "Short for /v1/group";
    a, "/v1/a", Some(Kind::Alias), "Short for /v1/alias";
    b, "/v1/b", None, "Short for /v1/batch";
}
