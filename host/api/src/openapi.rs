//! The description of the interface, from the same registration that serves it.

use axum::Router;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Response, ResponseBuilder,
};
use utoipa::{PartialSchema as _, ToSchema as _};
use utoipa_axum::router::OpenApiRouter;

use crate::access::{Access, TABLE};
use crate::app::App;
use crate::docs;
use crate::error::ProblemBody;
use crate::idempotency;
use crate::routes;

/// The description of every operation, as `/openapi.json` gives it.
#[must_use]
pub fn describe() -> OpenApi {
    routes_and_description().1
}

/// Printed for people and comparing.
pub(crate) fn to_json(description: &OpenApi) -> String {
    description.to_pretty_json().unwrap_or_default()
}

pub(crate) fn routes_and_description() -> (Router<App>, OpenApi) {
    let info = InfoBuilder::new().title("ResultFly CDP").version("1").description(Some(
        "Events in, profiles, segments and audiences out. Errors are `application/problem+json`.",
    ));
    let described = OpenApiRouter::with_openapi(OpenApiBuilder::new().info(info).build());
    let (router, mut description) = routes::all(described).split_for_parts();
    complete(&mut description);
    (router, description)
}

/// Adds what is the same everywhere: the answer of errors, and the key that the table of access asks for.
fn complete(description: &mut OpenApi) {
    let tags =
        docs::tags().map(|(name, about)| TagBuilder::new().name(name).description(Some(about)).build());
    description.tags = Some(tags.collect());
    let components = description.components.get_or_insert_with(Components::new);
    let mut schemas = Vec::new();
    ProblemBody::schemas(&mut schemas);
    components.schemas.extend(schemas);
    components.schemas.insert("Problem".to_owned(), ProblemBody::schema());
    let scheme = |scheme, text: &str| {
        SecurityScheme::Http(HttpBuilder::new().scheme(scheme).description(Some(text)).build())
    };
    let schemes = [
        ("key", scheme(HttpAuthScheme::Bearer, "An API key")),
        ("basic", scheme(HttpAuthScheme::Basic, "The API key as user name, any password")),
    ];
    for (name, scheme) in schemes {
        components.add_security_scheme(name, scheme);
    }
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let problem = ResponseBuilder::new()
        .description("Any error: a coded problem (RFC 9457)")
        .content("application/problem+json", problem)
        .build();
    for (path, item) in &mut description.paths.paths {
        for (method, operation) in operations(item) {
            if idempotency::concerns(method, path) {
                operation.parameters.get_or_insert_with(Vec::new).push(RefOr::T(idempotency::parameter()));
            }
            let access = TABLE.iter().find(|row| row.0 == method && row.1 == path).map(|row| row.2);
            complete_operation(operation, access, &problem);
        }
    }
}

fn complete_operation(operation: &mut Operation, access: Option<Access>, problem: &Response) {
    operation.responses.responses.insert("default".to_owned(), RefOr::T(problem.clone()));
    if access.is_some_and(|access| access != Access::Public) {
        let either = ["key", "basic"].map(|name| SecurityRequirement::new(name, Vec::<String>::new()));
        operation.security = Some(either.into());
    }
    let scope = match access {
        None | Some(Access::Public) => return,
        Some(Access::AnyKey) => "Any key of the tenant.".to_owned(),
        Some(Access::NotOnlyIngest) => "Scope `read` or `export`.".to_owned(),
        Some(Access::Operator) => "The operator's key.".to_owned(),
        Some(Access::Message) => "Scope `ingest`; the key may stand in the body as `writeKey`.".to_owned(),
        Some(Access::Tenant(scope)) => format!("Scope `{}`.", format!("{scope:?}").to_lowercase()),
    };
    let text = operation.description.take().unwrap_or_default();
    operation.description = Some(format!("{text}\n\n{scope}").trim().to_owned());
}

/// The operations of a path, by the name of their method.
pub(crate) fn operations(item: &mut PathItem) -> Vec<(&'static str, &mut Operation)> {
    let all = [
        ("GET", &mut item.get),
        ("PUT", &mut item.put),
        ("POST", &mut item.post),
        ("DELETE", &mut item.delete),
        ("PATCH", &mut item.patch),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?))).collect()
}
