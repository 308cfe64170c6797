//! Contact points: what holds for one, and how many may be reached.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use cdp_domain::ids::Position;
use cdp_domain::time::Timestamp;
use cdp_engine::consent::{self, ContactView};
use cdp_engine::exports::Consent;
use compact_str::CompactString;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::body::Document;
use crate::error::Answer;
use crate::fields::Fields;
use crate::params::{Params, refuse};
use crate::{plain, work};

/// Which contact point.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the request")]
pub struct ChannelLookup {
    /// Such as `email`.
    channel: String,
    /// In any spelling.
    address: String,
}

/// What is known of a contact point.
#[derive(Serialize, ToSchema)]
pub struct ContactPoint {
    #[schema(value_type = String)]
    channel: CompactString,
    /// In comparable form.
    #[schema(value_type = String)]
    address: CompactString,
    /// Whether it was verified; null when nobody said.
    verified: Option<bool>,
    /// Whether several profiles use it: they share what was decided about it.
    shared: bool,
    /// By purpose: what holds now.
    #[schema(value_type = BTreeMap<String, HeldConsent>)]
    consents: BTreeMap<CompactString, HeldConsent>,
    /// Every decision as it was reported, newest receipt first, at most `consent_history_max`.
    #[schema(value_type = Vec<Object>)]
    history: Vec<serde_json::Value>,
    /// The profiles that use it.
    profiles: Vec<String>,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    position: Position,
}

/// What holds for one purpose.
#[derive(Serialize, ToSchema)]
struct HeldConsent {
    /// `granted`, `denied`, `withdrawn` or `expired`.
    status: &'static str,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    #[serde(serialize_with = "plain::maybe")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

impl From<ContactView> for ContactPoint {
    fn from(view: ContactView) -> Self {
        let consents = view.consents.into_iter().map(|one: consent::Holding| {
            (one.purpose, HeldConsent { status: one.status, time: one.at, expires_at: one.expires_at })
        });
        Self {
            channel: view.point.channel,
            address: view.point.address,
            verified: view.verified,
            shared: view.profiles.len() > 1,
            consents: consents.collect(),
            history: view.history,
            profiles: view.profiles.iter().map(ToString::to_string).collect(),
            position: view.position,
        }
    }
}

/// Look a contact point up
///
/// What holds for each purpose, every decision with its evidence, and the profiles that use it. A POST, so that addresses
/// stay out of addresses.
#[utoipa::path(post, path = "/v1/channels/lookup", tag = "consent", request_body = ChannelLookup,
    params(("min_position" = Option<String>, Query, description = "Wait until this is applied")),
    responses((status = 200, body = ContactPoint)))]
pub(crate) async fn lookup_channel(
    State(_): State<App>,
    member: Member,
    params: Params,
    Document(body): Document,
) -> Answer<Json<ContactPoint>> {
    let mut fields = Fields::of(body);
    let (channel, address) = (fields.text("channel"), fields.text("address"));
    fields.finish()?;
    params.wait(&member.tenant).await?;
    let view = work(true, move || member.tenant.contact_point(&channel, &address)).await??;
    Ok(Json(view.into()))
}

/// For which decision.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the request")]
pub struct ReceiptRequest {
    /// Such as `email`.
    channel: String,
    /// In any spelling.
    address: String,
    /// The purpose that was decided about.
    purpose: String,
}

/// Get a receipt of a decision
///
/// What the person was asked and said, with the fields of the Kantara Initiative's consent receipt, signed (Ed25519).
/// `cdp audit receipt` checks it offline.
#[utoipa::path(post, path = "/v1/consents/receipts", tag = "consent", request_body = ReceiptRequest,
    responses((status = 200, body = Object)))]
pub(crate) async fn get_receipt(
    State(_): State<App>,
    member: Member,
    Document(body): Document,
) -> Answer<Json<serde_json::Value>> {
    let mut fields = Fields::of(body);
    let (channel, address, purpose) =
        (fields.text("channel"), fields.text("address"), fields.text("purpose"));
    fields.finish()?;
    let receipt = work(true, move || member.tenant.consent_receipt(&channel, &address, &purpose)).await??;
    Ok(Json(receipt))
}

/// How many may be reached.
#[derive(Serialize, ToSchema)]
pub struct CoverageReport {
    channel: String,
    purpose: String,
    /// Profiles in all.
    profiles: u64,
    /// Profiles that may be reached.
    reachable: u64,
    /// The others, by reason; together with `reachable` they are `profiles`.
    withheld: BTreeMap<&'static str, u64>,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    position: Position,
}

/// Count who may be reached
#[utoipa::path(get, path = "/v1/consents/coverage", tag = "consent",
    params(
        ("channel" = String, Query, description = "Such as `email`"),
        ("purpose" = String, Query, description = "A registered purpose"),
    ),
    responses((status = 200, body = CoverageReport)))]
pub(crate) async fn get_coverage(
    State(_): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<CoverageReport>> {
    let word = |name: &str| {
        let text = params.get(name).filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or_else(|| refuse(name, "is required"))
    };
    let (channel, purpose) = (word("channel")?, word("purpose")?);
    let asked = Consent { channel: channel.as_str().into(), purpose: purpose.as_str().into() };
    let coverage = work(true, move || member.tenant.coverage(&asked)).await??;
    let consent::Coverage { profiles, reachable, withheld, as_of, position } = coverage;
    Ok(Json(CoverageReport { channel, purpose, profiles, reachable, withheld, as_of, position }))
}
