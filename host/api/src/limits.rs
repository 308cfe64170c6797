//! Every bound of this server by name, as `/v1/limits` serves it.

use cdp_domain::identifier::email;
use cdp_domain::limits as domain;
use cdp_domain::value::EXPONENT_DIGITS_MAX;
use cdp_engine::{answers, catalogue, dead_letters};
use serde_json::{Map, Value, json};

use crate::serve::HttpOptions;
use crate::{body, idempotency, params, routes};

/// All limits: sizes in bytes, times in milliseconds, the rest in pieces. A rate of 0 is no limit.
#[must_use]
pub fn all(http: &HttpOptions) -> Map<String, Value> {
    let mut all = Map::new();
    let mut put = |name: &str, value: u64| all.insert(name.to_owned(), json!(value));
    put("event_bytes_max", domain::EVENT_BYTES_MAX as u64);
    put("event_depth_max", u64::from(domain::EVENT_DEPTH_MAX));
    put("event_id_bytes_max", domain::EVENT_ID_BYTES_MAX as u64);
    put("event_type_bytes_max", domain::EVENT_TYPE_BYTES_MAX as u64);
    put("source_bytes_max", domain::SOURCE_BYTES_MAX as u64);
    put("identifiers_max", domain::IDENTIFIERS_MAX as u64);
    put("identifier_type_bytes_max", domain::IDENTIFIER_TYPE_BYTES_MAX as u64);
    put("identifier_bytes_max", domain::IDENTIFIER_BYTES_MAX as u64);
    put("email_local_part_bytes_max", email::LOCAL_BYTES_MAX as u64);
    put("email_bytes_max", email::ADDRESS_BYTES_MAX as u64);
    put("traits_max", domain::TRAITS_MAX as u64);
    put("name_bytes_max", domain::NAME_BYTES_MAX as u64);
    put("channels_max", domain::CHANNELS_MAX as u64);
    put("consents_max", domain::CONSENTS_MAX as u64);
    put("trait_list_max", domain::TRAIT_LIST_MAX as u64);
    put("trait_writes_max", domain::TRAIT_WRITES_MAX as u64);
    put("rule_conditions_max", domain::RULE_CONDITIONS_MAX as u64);
    put("rule_depth_max", domain::RULE_DEPTH_MAX as u64);
    put("ruled_types_max", domain::RULED_TYPES_MAX as u64);
    put("type_priority_max", u64::from(domain::TYPE_PRIORITY_MAX));
    put("type_limit_max", u64::from(domain::TYPE_LIMIT_MAX));
    put("blocked_per_type_max", domain::BLOCKED_PER_TYPE_MAX as u64);
    put("shared_after_max", u64::from(domain::SHARED_AFTER_MAX));
    put("linked_fragments_max", domain::LINKED_FRAGMENTS_MAX as u64);
    put("constraints_max", domain::CONSTRAINTS_MAX as u64);
    put("constraint_reason_bytes_max", cdp_engine::identity::constraints::REASON_BYTES_MAX as u64);
    put("normaliser_changes_max", cdp_engine::config::NORMALISER_CHANGES_MAX as u64);
    put("body_bytes_max", body::BODY_BYTES_MAX as u64);
    put("body_depth_max", u64::from(body::BODY_DEPTH_MAX));
    put("upload_bytes_max", body::UPLOAD_BYTES_MAX as u64);
    put("events_per_request_max", routes::events::EVENTS_MAX as u64);
    put("plugin_faults_in_a_row_max", u64::from(cdp_engine::FAULTS_IN_A_ROW_MAX));
    put("state_reopen_free_bytes_min", cdp_engine::REOPEN_FREE_BYTES_MIN);
    put("catalogue_types_max", catalogue::CATALOGUE_TYPES_MAX as u64);
    put("catalogue_properties_max", catalogue::CATALOGUE_PROPERTIES_MAX as u64);
    put("schemas_max", catalogue::SCHEMAS_MAX as u64);
    put("schema_bytes_max", catalogue::SCHEMA_BYTES_MAX as u64);
    put("schema_nodes_max", catalogue::SCHEMA_NODES_MAX as u64);
    put("schema_pattern_bytes_max", catalogue::SCHEMA_PATTERN_BYTES_MAX as u64);
    put("idempotency_key_bytes_max", idempotency::KEY_BYTES_MAX as u64);
    put("idempotency_kept_ms", answers::ANSWERS_KEPT_MS.unsigned_abs());
    put("idempotency_answers_max", answers::ANSWERS_MAX as u64);
    put("idempotency_answers_bytes_max", answers::ANSWERS_BYTES_MAX as u64);
    put("idempotency_answer_bytes_max", answers::ANSWER_BYTES_MAX as u64);
    put("dead_letters_scanned_max", dead_letters::SCANNED_MAX as u64);
    put("replays_max", dead_letters::REPLAYS_MAX as u64);
    put("replay_attempts_kept", dead_letters::ATTEMPTS_KEPT as u64);
    put("page_items_default", params::PAGE_ITEMS_DEFAULT as u64);
    put("page_items_max", params::PAGE_ITEMS_MAX as u64);
    put("min_position_wait_ms_max", params::MIN_POSITION_WAIT_MAX.as_millis() as u64);
    put("wait_applied_ms_max", routes::events::WAIT_APPLIED_MAX.as_millis() as u64);
    put("body_width_max", body::BODY_WIDTH_MAX as u64);
    put("number_exponent_digits_max", EXPONENT_DIGITS_MAX as u64);
    put("clock_skew_ignored_ms", routes::segment::message::CLOCK_SKEW_IGNORED_MS.unsigned_abs());
    put("requests_per_second_max", http.rates.requests_per_second);
    put("events_per_second_max", http.rates.events_per_second);
    put("bytes_per_second_max", http.rates.bytes_per_second);
    put("burst_seconds", http.rates.burst_seconds);
    put("ingest_bytes_in_flight_max", http.ingest_bytes_in_flight_max as u64);
    put("ingest_turns", http.ingest_turns as u64);
    put("ingest_waiting_max", http.ingest_waiting_max as u64);
    put("connections_max", http.connections_max as u64);
    put("header_bytes_max", http.header_bytes_max as u64);
    put("headers_max", http.headers_max as u64);
    put("uri_bytes_max", http.uri_bytes_max as u64);
    put("header_read_ms_max", http.header_read_timeout.as_millis() as u64);
    put("body_idle_ms_max", http.body_idle_timeout.as_millis() as u64);
    put("body_read_ms_max", http.body_read_timeout.as_millis() as u64);
    put("upload_read_ms_max", http.upload_read_timeout.as_millis() as u64);
    put("connection_idle_ms_max", http.idle_timeout.as_millis() as u64);
    put("connection_idle_crowded_ms_max", http.idle_timeout_crowded.as_millis() as u64);
    put("http2_streams_max", u64::from(http.h2_streams_max));
    put("http2_resets_max", http.h2_resets_max as u64);
    put("http2_error_resets_max", http.h2_error_resets_max as u64);
    put("drain_ms_max", http.drain_timeout.as_millis() as u64);
    all
}
