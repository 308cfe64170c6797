//! `/v1/opendsr`: requests of people as other systems pass them on, in the form of OpenDSR 2.0.
//!
//! Names of properties and headers are the specification's. What is asked for is done as `/v1/access-requests` and
//! `/v1/erasures` do it. A request is not kept or logged, and neither are the identities in it.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cdp_domain::json;
use cdp_domain::problem::{Code as Wrong, Problem, step};
use cdp_domain::time::Timestamp;
use cdp_domain::value::{Object, Value};
use cdp_engine::privacy::{
    IDENTITY_TYPES, OPENDSR_API_VERSION, OPENDSR_CALLBACK_BYTES_MAX, OPENDSR_CALLBACKS_MAX,
    OPENDSR_DOMAIN_HEADER, OPENDSR_IDENTITIES_MAX, OPENDSR_SIGNATURE_HEADER, OpenDsr, SubjectAsked,
    SubjectRequestKind, parse_subject_request_id,
};
use cdp_engine::{Refused, Tenant};
use compact_str::CompactString;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::body::{self, Bounds, Document, media_type};
use crate::error::{Answer, Code, Failure};
use crate::fields::Fields;
use crate::work;

/// Bytes of a name or an address in the settings.
const SETTING_BYTES_MAX: usize = 1024;

/// How requests in OpenDSR form are answered.
#[derive(Serialize, ToSchema)]
pub struct OpenDsrSettings {
    /// What the tenant is called in answers; its slug when nothing is said.
    controller_id: Option<String>,
    /// The domain in `X-OpenDSR-Processor-Domain`; that of the request when nothing is said.
    domain: Option<String>,
    /// The address of a certificate, for `processor_certificate`.
    processor_certificate: Option<String>,
    /// By identity type of the specification: the type of identifier here. Those that are not named mean their own name.
    #[schema(value_type = Object)]
    identities: serde_json::Value,
}

impl From<OpenDsr> for OpenDsrSettings {
    fn from(settings: OpenDsr) -> Self {
        let identities = serde_json::to_value(&settings.identities).unwrap_or_default();
        let OpenDsr { controller_id, domain, processor_certificate, .. } = settings;
        Self { controller_id, domain, processor_certificate, identities }
    }
}

/// What this server can do
#[utoipa::path(get, path = "/v1/opendsr/discovery", tag = "privacy", responses((status = 200, body = Object)))]
pub(crate) async fn discover(State(_): State<App>, member: Member) -> Json<serde_json::Value> {
    let settings = member.tenant.opendsr();
    let identities = IDENTITY_TYPES.map(|kind| json!({ "identity_type": kind, "identity_format": "raw" }));
    let key = cdp_domain::hex::encode(&member.tenant.signing_key());
    Json(json!({
        "api_version": OPENDSR_API_VERSION,
        "supported_identities": identities,
        "supported_subject_request_types": SubjectRequestKind::ALL.map(SubjectRequestKind::as_str),
        "processor_certificate": settings.processor_certificate,
        "processor_key": { "alg": "Ed25519", "key": key },
        "status_callbacks": true,
    }))
}

/// How requests in OpenDSR form are answered
#[utoipa::path(get, path = "/v1/opendsr/settings", tag = "privacy", responses((status = 200, body = OpenDsrSettings)))]
pub(crate) async fn get_settings(State(_): State<App>, member: Member) -> Json<OpenDsrSettings> {
    Json(member.tenant.opendsr().into())
}

/// Change how requests in OpenDSR form are answered
#[utoipa::path(put, path = "/v1/opendsr/settings", tag = "privacy", request_body = OpenDsrSettings,
    responses((status = 200, body = OpenDsrSettings)))]
pub(crate) async fn put_settings(
    State(_): State<App>,
    member: Member,
    Document(body): Document,
) -> Answer<Json<OpenDsrSettings>> {
    let mut fields = Fields::of(body);
    let mut settings = OpenDsr {
        controller_id: short_text(&mut fields, "controller_id"),
        domain: short_text(&mut fields, "domain"),
        processor_certificate: short_text(&mut fields, "processor_certificate"),
        ..OpenDsr::default()
    };
    match fields.take("identities") {
        None => {}
        Some(Value::Object(identities)) => {
            for (name, kind) in identities.iter() {
                let known = IDENTITY_TYPES.contains(&name.as_str());
                match kind.as_text().filter(|kind| cdp_domain::identifier::check_kind(kind).is_ok()) {
                    Some(kind) if known => {
                        settings.identities.insert(name.clone(), kind.into());
                    }
                    _ => {
                        let detail =
                            "must lead from an identity type of the specification to a type of identifier";
                        let place = format!("/identities{}", step(name));
                        fields.extend([Problem::new(place, Wrong::Invalid, detail)]);
                    }
                }
            }
        }
        Some(_) => fields.add("identities", Wrong::WrongType, "must be an object"),
    }
    fields.finish()?;
    member.tenant.put_opendsr(settings.clone()).await?;
    Ok(Json(settings.into()))
}

fn short_text(fields: &mut Fields, name: &str) -> Option<String> {
    let text = fields.optional_text(name)?;
    if text.is_empty() || text.len() > SETTING_BYTES_MAX || HeaderValue::from_str(&text).is_err() {
        let detail = format!("must be 1 to {SETTING_BYTES_MAX} bytes that can stand in a header");
        fields.add(name, Wrong::Invalid, &detail);
        return None;
    }
    Some(text)
}

/// Pass a person's request on
///
/// `regulation`, `subject_request_id`, `subject_request_type`, `subject_identities`, `submitted_time` and `extensions` as
/// OpenDSR 2.0 says. An erasure is in force when it is answered. `status_callback_urls` are told of each status that it
/// comes to.
#[utoipa::path(post, path = "/v1/opendsr/requests", tag = "privacy", request_body = Object,
    responses((status = 201, body = Object)))]
pub(crate) async fn create_request(
    State(app): State<App>,
    member: Member,
    request: Request,
) -> Answer<Response> {
    let (parts, body) = request.into_parts();
    let media = media_type(&parts.headers);
    if !(media.is_empty() || media == "application/json" || media.ends_with("+json")) {
        body::discard(&parts.headers, body).await;
        let detail = "the Content-Type of this call is application/json";
        return Err(Failure::new(Code::UnsupportedMediaType, detail));
    }
    let gzip = body::is_gzip(&parts.headers)?;
    let bytes = body::read(&parts.headers, body, Bounds::json(&app)).await?;
    let bytes = if gzip { body::inflate(&bytes, body::BODY_BYTES_MAX)? } else { bytes.to_vec() };
    let answering = Answering::of(&member.tenant, &parts.headers);
    let value = json::parse(&bytes, body::json_options()).map_err(|error| body::malformed(&error))?;
    let by = member.key.to_string();
    let encoded = STANDARD.encode(&bytes);
    let check = |url: &str| app.exports().check_callback(url);
    let asked = read(value, bytes, by, (&answering, &check)).map_err(refuse)?;
    let request = member.tenant.request_subject(asked).await.map_err(|refused| match refused {
        Refused::Invalid(problems) => refuse(problems),
        other => other.into(),
    })?;
    let mut answer = member.tenant.subject_answer(&request, None, &answering.domain);
    answer["received_time"] = request.received_at.to_string().into();
    answer["encoded_request"] = encoded.into();
    Ok(answering.end(&member.tenant, StatusCode::CREATED, &answer))
}

/// How far a person's request is
///
/// `request_status` is `pending`, `in_progress`, `completed` or `cancelled`. Of access and portability `results_url` leads
/// to the document when it is there.
#[utoipa::path(get, path = "/v1/opendsr/requests/{id}", tag = "privacy",
    params(("id" = String, Path, description = "Its `subject_request_id`")), responses((status = 200, body = Object)))]
pub(crate) async fn get_status(
    State(_): State<App>,
    member: Member,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Answer<Response> {
    let id = parse_subject_request_id(&id).ok_or_else(|| Failure::not_found("request"))?;
    let tenant = member.tenant.clone();
    let (request, status) = work(true, move || -> cdp_engine::Result<_> {
        let request = tenant.subject_request(id)?;
        let status = tenant.subject_status(&request)?;
        Ok((request, status))
    })
    .await??;
    let answering = Answering::of(&member.tenant, &headers);
    let mut answer = member.tenant.subject_answer(&request, Some(status), &answering.domain);
    answer["jobs"] = request.jobs.iter().map(ToString::to_string).collect();
    Ok(answering.end(&member.tenant, StatusCode::OK, &answer))
}

/// Cancel a person's request
///
/// While it is pending; an erasure is in force at once and cannot be cancelled.
#[utoipa::path(delete, path = "/v1/opendsr/requests/{id}", tag = "privacy",
    params(("id" = String, Path, description = "Its `subject_request_id`")), responses((status = 202, body = Object)))]
pub(crate) async fn cancel_request(
    State(_): State<App>,
    member: Member,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Answer<Response> {
    let id = parse_subject_request_id(&id).ok_or_else(|| Failure::not_found("request"))?;
    let request = member.tenant.cancel_subject(id).await?;
    let answering = Answering::of(&member.tenant, &headers);
    let mut answer = member.tenant.subject_answer(&request, None, &answering.domain);
    answer["received_time"] = request.cancelled_at.unwrap_or(request.received_at).to_string().into();
    Ok(answering.end(&member.tenant, StatusCode::ACCEPTED, &answer))
}

/// For which domain, and by which settings, it is answered.
struct Answering {
    settings: OpenDsr,
    domain: String,
}

impl Answering {
    fn of(tenant: &Tenant, headers: &HeaderMap) -> Self {
        let settings = tenant.opendsr();
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
        Self { domain: settings.domain.clone().unwrap_or_else(|| host.to_owned()), settings }
    }

    /// Signs an answer.
    fn end(&self, tenant: &Tenant, status: StatusCode, answer: &serde_json::Value) -> Response {
        let body = answer.to_string();
        let signature = tenant.sign_subject_answer(body.as_bytes());
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body)
                .into_response();
        for (name, value) in [(OPENDSR_DOMAIN_HEADER, &self.domain), (OPENDSR_SIGNATURE_HEADER, &signature)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// Whether an address may be called; a sentence where not.
type Check<'a> = dyn Fn(&str) -> Result<(), String> + 'a;

/// A request that is not in the form, as the specification wants it said, in ours.
fn refuse(problems: Vec<Problem>) -> Failure {
    let failure = Failure::invalid(problems);
    let errors: Vec<_> = failure
        .errors
        .iter()
        .map(|one| json!({ "domain": "Validation", "reason": one.code, "message": one.to_string() }))
        .collect();
    let error = json!({ "code": 400, "message": failure.detail, "errors": errors });
    Failure { errors: failure.errors, ..Failure::new(Code::InvalidSubjectRequest, failure.detail) }
        .with("error", error)
}

/// Reads a request; every problem at once.
fn read(
    value: Value,
    body: Vec<u8>,
    by: String,
    (answering, check): (&Answering, &Check<'_>),
) -> Result<SubjectAsked, Vec<Problem>> {
    let Value::Object(object) = value else {
        return Err(vec![Problem::new("", Wrong::WrongType, "a request is a JSON object")]);
    };
    let mut problems = Vec::new();
    let text = |name: &str| object.get(name).and_then(Value::as_text);
    let mut add = |name: &str, code, detail: &str| problems.push(Problem::new(step(name), code, detail));
    if !matches!(text("regulation"), None | Some("gdpr" | "ccpa"))
        || object.get("regulation").is_some_and(|value| value.as_text().is_none())
    {
        add("regulation", Wrong::Invalid, "must be gdpr or ccpa");
    }
    let id = text("subject_request_id").and_then(parse_subject_request_id);
    if id.is_none() {
        add("subject_request_id", Wrong::Required, "must be a UUID of version 4 in lower case");
    }
    let kind = text("subject_request_type");
    let kind = SubjectRequestKind::ALL.into_iter().find(|known| Some(known.as_str()) == kind);
    if kind.is_none() {
        add("subject_request_type", Wrong::Required, "must be access, portability or erasure");
    }
    if text("submitted_time").is_none_or(|text| Timestamp::parse(text).is_err()) {
        add("submitted_time", Wrong::Required, "must be a time as RFC 3339 writes it");
    }
    if object.get("api_version").is_some()
        && text("api_version").is_none_or(|version| version.split('.').next() != Some("2"))
    {
        add("api_version", Wrong::Invalid, "must be a version 2");
    }
    let mut identifiers = identities(&object, &answering.settings, &mut problems);
    extension(&object, &answering.domain, &mut identifiers, &mut problems);
    if identifiers.is_empty() && problems.is_empty() {
        let detail = "must name at least one identity, unless an extension does";
        problems.push(Problem::new("/subject_identities", Wrong::Required, detail));
    }
    if identifiers.len() > OPENDSR_IDENTITIES_MAX {
        let detail = format!("there are more than {OPENDSR_IDENTITIES_MAX} identities");
        problems.push(Problem::new("/subject_identities", Wrong::TooLong, detail));
    }
    let callbacks = callbacks(&object, check, &mut problems);
    let domain = answering.domain.clone();
    match (id, kind) {
        (Some(id), Some(kind)) if problems.is_empty() => {
            Ok(SubjectAsked { id, kind, identifiers, body, by, callbacks, domain })
        }
        _ => Err(problems),
    }
}

/// Reads `status_callback_urls`, each of which may be called by what the installation allows.
fn callbacks(object: &Object, check: &Check<'_>, problems: &mut Vec<Problem>) -> Vec<String> {
    let at = "/status_callback_urls";
    let items = match object.get("status_callback_urls") {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::List(items)) if items.len() <= OPENDSR_CALLBACKS_MAX => items,
        Some(Value::List(_)) => {
            let detail = format!("at most {OPENDSR_CALLBACKS_MAX} addresses are told");
            problems.push(Problem::new(at, Wrong::TooLong, detail));
            return Vec::new();
        }
        Some(_) => {
            problems.push(Problem::new(at, Wrong::WrongType, "must be an array"));
            return Vec::new();
        }
    };
    let mut urls = Vec::new();
    for (n, item) in items.iter().enumerate() {
        let mut add = |code, detail: String| problems.push(Problem::new(format!("{at}/{n}"), code, detail));
        match item.as_text() {
            Some(url) if url.len() > OPENDSR_CALLBACK_BYTES_MAX => {
                add(Wrong::TooLong, format!("must have at most {OPENDSR_CALLBACK_BYTES_MAX} bytes"));
            }
            Some(url) => match check(url) {
                Ok(()) => urls.push(url.to_owned()),
                Err(sentence) => add(Wrong::Invalid, sentence),
            },
            None => add(Wrong::WrongType, "must be a string".to_owned()),
        }
    }
    urls
}

/// Reads `subject_identities`.
fn identities(
    object: &Object,
    settings: &OpenDsr,
    problems: &mut Vec<Problem>,
) -> Vec<(CompactString, String)> {
    let items = match object.get("subject_identities") {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::List(items)) => items.as_slice(),
        Some(_) => {
            problems.push(Problem::new("/subject_identities", Wrong::WrongType, "must be an array"));
            return Vec::new();
        }
    };
    let mut identifiers = Vec::new();
    for (n, item) in items.iter().enumerate() {
        let at = format!("/subject_identities/{n}");
        let text = |name: &str| item.as_object().and_then(|item| item.get(name)).and_then(Value::as_text);
        let kind = text("identity_type").and_then(|name| settings.identifier_type(name));
        if kind.is_none() {
            let detail = format!("must be one of {}", IDENTITY_TYPES.join(", "));
            problems.push(Problem::new(format!("{at}/identity_type"), Wrong::Invalid, detail));
        }
        if text("identity_format") != Some("raw") {
            let detail = "must be raw: a digest does not tell whose it is";
            problems.push(Problem::new(format!("{at}/identity_format"), Wrong::Invalid, detail));
        }
        match (kind, text("identity_value").filter(|value| !value.is_empty())) {
            (Some(kind), Some(value)) => identifiers.push((kind, value.to_owned())),
            (_, None) => {
                problems.push(Problem::new(format!("{at}/identity_value"), Wrong::Required, "is required"));
            }
            (None, Some(_)) => {}
        }
    }
    identifiers
}

/// Reads our part of `extensions`: identifiers of any type, as the rest of this interface names them.
fn extension(
    object: &Object,
    domain: &str,
    identifiers: &mut Vec<(CompactString, String)>,
    problems: &mut Vec<Problem>,
) {
    let ours = object.get("extensions").and_then(Value::as_object).and_then(|all| all.get(domain));
    let Some(ours) = ours else { return };
    let at = format!("/extensions{}/identifiers", step(domain));
    let Some(Value::List(items)) = ours.as_object().and_then(|ours| ours.get("identifiers")) else { return };
    for (n, item) in items.iter().enumerate() {
        let text = |name: &str| item.as_object().and_then(|item| item.get(name)).and_then(Value::as_text);
        match (text("type"), text("value")) {
            (Some(kind), Some(value)) if cdp_domain::identifier::check_kind(kind).is_ok() => {
                identifiers.push((kind.into(), value.to_owned()));
            }
            _ => problems.push(Problem::new(
                format!("{at}/{n}"),
                Wrong::Invalid,
                "must be an identifier {type, value}",
            )),
        }
    }
}
