//! `GET /v1/accounting`: where every accepted event is.

use axum::Json;
use axum::extract::State;
use cdp_domain::ids::Position;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Member;
use crate::error::Answer;
use crate::params::Params;
use crate::{plain, work};

/// Where every accepted event is: `accepted` is the sum of the six below it, at any time.
#[derive(Serialize, ToSchema)]
pub struct Accounting {
    /// Accepted since the tenant was made; durable.
    accepted: u64,
    /// In state.
    applied: u64,
    /// Failed, and kept for a replay.
    dead_letters: u64,
    /// Dropped by a transformer on purpose.
    dropped: u64,
    /// Their person was erased before they were applied.
    suppressed: u64,
    /// Gone by their age.
    expired: u64,
    /// Not processed yet.
    pending: u64,
    /// What does not add up, counted independently: 0. Null while so much is pending that it is not counted.
    difference: Option<i64>,
    /// The last record that was processed.
    #[serde(serialize_with = "plain::printed")]
    #[schema(value_type = String)]
    position: Position,
    /// What was refused and is therefore in none of the numbers above.
    not_accepted: NotAccepted,
}

/// Counted since this process started.
#[derive(Serialize, ToSchema)]
pub struct NotAccepted {
    /// Repeats of events that were there.
    duplicates: u64,
    /// Other events under an id that was there.
    conflicts: u64,
    /// Events that are not acceptable.
    invalid: u64,
}

/// Where every accepted event is
///
/// accepted = applied + dead_letters + dropped + suppressed + expired + pending. The two sides are counted apart: the left in the
/// index of event identities, the right where events are applied and in the journal.
#[utoipa::path(get, path = "/v1/accounting", tag = "events",
    params(("min_position" = Option<String>, Query, description = "Wait until this is applied")),
    responses((status = 200, body = Accounting)))]
pub(crate) async fn get_accounting(
    State(_): State<App>,
    member: Member,
    params: Params,
) -> Answer<Json<Accounting>> {
    params.wait(&member.tenant).await?;
    let tenant = member.tenant.clone();
    let counted = work(true, move || tenant.accounting()).await??;
    let stats = member.tenant.stats();
    Ok(Json(Accounting {
        accepted: counted.accepted,
        applied: counted.applied,
        dead_letters: counted.dead_letters,
        dropped: counted.dropped,
        suppressed: counted.suppressed,
        expired: counted.expired,
        pending: counted.pending,
        difference: counted.difference,
        position: counted.position,
        not_accepted: NotAccepted {
            duplicates: stats.duplicates,
            conflicts: stats.conflicts,
            invalid: stats.rejected.saturating_sub(stats.conflicts),
        },
    }))
}
