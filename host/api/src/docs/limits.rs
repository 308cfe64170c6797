//! The page of limits: what `/v1/limits` serves, with what each bounds.
//!
//! Names and values come from [`crate::limits`]; what stands here is the sentence behind a name, in groups. A test holds
//! that every limit has one.

use std::fmt::Write as _;

use serde_json::Value;

use crate::limits;
use crate::serve::HttpOptions;

/// A group of limits: what they are about, and each with its sentence.
type Group = (&'static str, &'static [(&'static str, &'static str)]);

const GROUPS: &[Group] = &[
    (
        "Events",
        &[
            ("event_bytes_max", "Bytes of one event as sent."),
            (
                "event_depth_max",
                "Nesting of arrays and objects inside an event; the event itself is level 1.",
            ),
            ("event_id_bytes_max", "Bytes of an event's `id`."),
            ("event_type_bytes_max", "Bytes of an event's `type`."),
            ("source_bytes_max", "Bytes of an event's `source`."),
            ("identifiers_max", "Identifiers of one event."),
            ("traits_max", "Traits written by one event."),
            ("channels_max", "Contact points named by one event."),
            ("consents_max", "Consent decisions carried by one event."),
            (
                "name_bytes_max",
                "Bytes of the name of a trait, attribute, segment, purpose, channel or plugin.",
            ),
            ("number_exponent_digits_max", "Digits of a number's exponent, without leading zeros."),
            ("trait_list_max", "Values kept by a trait that is written with `$append`: the newest stay."),
            (
                "trait_writes_max",
                "Writes of one trait that are kept apart (`$add`, `$set_once`); older `$add`s are summed up.",
            ),
            (
                "clock_skew_ignored_ms",
                "Milliseconds between sending and receiving that are taken for the way, not for a clock that is wrong.",
            ),
        ],
    ),
    (
        "Requests",
        &[
            ("body_bytes_max", "Bytes of a request's body, as sent and after decompression."),
            ("body_depth_max", "Nesting of a JSON body."),
            ("body_width_max", "Items of one array and members of one object in a JSON body."),
            ("events_per_request_max", "Events of one request."),
            ("upload_bytes_max", "Bytes of an uploaded component."),
            ("uri_bytes_max", "Bytes of an address: path and query."),
            ("headers_max", "Headers of a request."),
            (
                "header_bytes_max",
                "Bytes of a request's headers, four for each header's punctuation included.",
            ),
            ("page_items_default", "Items of a page where the request does not say."),
            ("page_items_max", "Items of a page."),
            ("min_position_wait_ms_max", "Longest wait of `?min_position=`."),
            ("wait_applied_ms_max", "Longest wait of `?wait=applied`."),
            ("idempotency_key_bytes_max", "Bytes of an `Idempotency-Key`; at least one."),
            ("idempotency_kept_ms", "How long an answer is remembered, from when its request came."),
            ("idempotency_answers_max", "Requests of one tenant that are remembered at a time."),
            (
                "idempotency_answers_bytes_max",
                "Bytes of answers of one tenant that are remembered at a time.",
            ),
            (
                "idempotency_answer_bytes_max",
                "Bytes of one answer that is remembered; of a larger one only that it was given.",
            ),
        ],
    ),
    (
        "Rates and shares",
        &[
            ("requests_per_second_max", "Requests of one key a second; 0 is no limit."),
            ("events_per_second_max", "Events of one key a second, whatever comes of them; 0 is no limit."),
            (
                "bytes_per_second_max",
                "Bytes of bodies of one key a second, after decompression; 0 is no limit.",
            ),
            (
                "changes_per_second_max",
                "Calls of one tenant a second that change something and need the scope `admin` or `export`, with forms of the console that do; 0 is no limit.",
            ),
            ("burst_seconds", "Seconds of its rates that a key, or a tenant, may use at once."),
            (
                "ingest_bytes_in_flight_max",
                "Bytes of ingest bodies in memory at the same time, of which one tenant alone gets half.",
            ),
            (
                "ingest_turns",
                "Requests of ingest that are worked on at the same time, not counting the wait for the disk.",
            ),
            ("ingest_waiting_max", "Requests of one tenant that wait for their turn."),
        ],
    ),
    (
        "Connections",
        &[
            ("connections_max", "Connections at the same time; one more is answered 503 and closed."),
            (
                "header_read_ms_max",
                "From the first byte of a request, or from connecting, until its headers are complete.",
            ),
            ("body_idle_ms_max", "Silence within a body."),
            ("body_read_ms_max", "From the headers to the end of a body."),
            ("upload_read_ms_max", "The same for an uploaded component."),
            ("connection_idle_ms_max", "A connection on which nothing moves is closed after this long."),
            ("connection_idle_crowded_ms_max", "The same while there are as many connections as may be."),
            ("http2_streams_max", "HTTP/2 requests at the same time on one connection."),
            (
                "http2_resets_max",
                "HTTP/2 requests that a client may have reset before they were begun; then the connection is closed.",
            ),
            (
                "http2_error_resets_max",
                "HTTP/2 resets for errors of the client; then the connection is closed.",
            ),
            ("drain_ms_max", "How long running requests may take when the server ends."),
        ],
    ),
    (
        "Identity",
        &[
            ("identifier_type_bytes_max", "Bytes of an identifier's type."),
            ("identifier_bytes_max", "Bytes of an identifier's value, and of a contact point's address."),
            ("email_bytes_max", "Bytes of an e-mail address in its normal form."),
            ("email_local_part_bytes_max", "Bytes before its @."),
            ("linked_fragments_max", "Fragments that may hang together, directly or through others."),
            ("ruled_types_max", "Identifier types that one set of rules speaks of."),
            ("type_priority_max", "The lowest priority that a rule may give; 1 is the highest."),
            ("type_limit_max", "The greatest `limit` on values of one type in one profile."),
            ("blocked_per_type_max", "Blocked values and patterns of one type."),
            ("shared_after_max", "The greatest `shared_after`."),
            ("normaliser_changes_max", "How often a tenant may change a normaliser."),
            ("constraints_max", "Constraints of one tenant."),
            ("constraint_reason_bytes_max", "Bytes of the reason for a constraint."),
        ],
    ),
    (
        "Attributes",
        &[
            ("attributes_max", "Attributes of one tenant."),
            ("event_types_per_source_max", "Event types that one attribute or condition may name."),
            ("where_conditions_max", "Conditions in one `where`."),
            ("window_days_max", "Days that a window may span."),
            (
                "window_exact_events_max",
                "Entries of a window that are kept to the millisecond, per fragment.",
            ),
            ("window_buckets", "Buckets that older entries of a window are counted in."),
            ("window_values_max", "Events whose values are kept per window and fragment."),
            ("distinct_exact_max", "Different values up to which `distinct_count` is exact, per profile."),
            ("distinct_error_percent", "Standard error beyond, in per cent, rounded up."),
            ("most_frequent_values_max", "Different values that `most_frequent` keeps per fragment."),
            ("unique_list_max", "Values that `unique_list` keeps."),
            ("fold_value_bytes_max", "Bytes of a value that is kept."),
            ("currencies_max", "Currencies that one attribute keeps apart."),
            ("expression_parts_max", "Parts of one attribute's formula."),
            ("expression_depth_max", "Nesting of one attribute's formula, attributes it refers to included."),
            ("rank_buckets_max", "Buckets that a rank may have."),
            ("ranking_every_ms", "How often rankings are measured anew."),
        ],
    ),
    (
        "Segments",
        &[
            ("segments_max", "Segments of one tenant."),
            ("segment_title_bytes_max", "Bytes of a segment's title."),
            ("rule_conditions_max", "Conditions in one rule."),
            ("rule_depth_max", "Nesting of `all`, `any` and `not` in one rule."),
            ("rule_nesting_max", "How deep segments may refer to segments, and attributes to attributes."),
            ("pattern_bytes_max", "Bytes of a pattern of `matches`."),
            ("pattern_compiled_bytes_max", "Bytes that a compiled pattern of `matches` may take."),
            ("sequence_steps_max", "Steps of one sequence."),
            (
                "sequence_events_max",
                "Events that are kept per sequence and fragment: the newest that are a step.",
            ),
            ("regularly_periods_max", "Periods that `regularly` may look at."),
            (
                "preview_profiles_max",
                "Profiles that a preview looks at; with more it looks at an even sample of so many, unless it is to be exact.",
            ),
            ("preview_estimate_ms_max", "How long a preview looks at a sample."),
            ("preview_sample_max", "Profiles that a preview shows."),
            (
                "preview_scan_bytes_max",
                "Bytes of journal that a preview reads for conditions nothing was folded for yet; with more it is a job.",
            ),
            ("preview_history_days", "Days that the size over time of a preview goes back."),
            ("evidence_max", "Events named per condition of an explanation."),
            ("evidence_scan_max", "Events of a profile that are looked through for them: the newest."),
            ("history_days_max", "Days that the size of a segment is told for."),
            ("history_changes_max", "Changes that are counted for it."),
            (
                "replay_fragments_max",
                "Fragments that a tenant may have for a question about the past (`?as_of=`).",
            ),
        ],
    ),
    (
        "Consent and privacy",
        &[
            ("purposes_max", "Purposes of one tenant."),
            ("policy_url_bytes_max", "Bytes of the address of a purpose's text."),
            ("guards_per_purpose_max", "Guards of one purpose."),
            ("guard_pointer_bytes_max", "Bytes of the pointer of a guard."),
            (
                "guard_wait_ms_max",
                "How long an event with guarded values waits until what was accepted before it is applied.",
            ),
            ("consent_evidence_bytes_max", "Bytes of what a decision names as its evidence."),
            ("consent_history_max", "Decisions of a history that are shown: the newest."),
            (
                "coverage_profiles_max",
                "Profiles that one question about coverage may look at; a tenant with more is refused.",
            ),
            ("signals_max", "Entries of one list or map of what privacy signals mean."),
            ("tcf_bytes_max", "Bytes of a TC string that is read."),
            ("gpp_bytes_max", "Bytes of a GPP string that is read."),
            ("erased_parts_max", "Fragments, identifiers and contact points of one erasure together."),
            ("erasures_pending_max", "Erasures of one tenant under way."),
            (
                "erasure_reason_bytes_max",
                "Bytes of the reason for an erasure, a suppression that is lifted or a restriction.",
            ),
            ("restrictions_max", "Restrictions in force of one tenant."),
            ("retention_rules_max", "Rules on how long events are kept, of one tenant."),
            ("retention_days_max", "The longest that such a rule keeps events, in days."),
            ("retention_every_ms", "How often events are looked for whose days are over."),
            (
                "opendsr_requests_max",
                "Requests in OpenDSR form that are kept; with one more the oldest is forgotten.",
            ),
            ("opendsr_identities_max", "Identities of one such request."),
            ("opendsr_callbacks_max", "Addresses of one such request that are told of its status."),
            ("opendsr_callback_bytes_max", "Bytes of such an address."),
            ("opendsr_told_ms_max", "For how long after such a request came its addresses are tried."),
            ("opendsr_expected_ms", "When such a request is said to be fulfilled at the latest."),
            ("access_events_max", "Events that one document of an access request holds: the newest."),
            (
                "acts_waiting_max",
                "Reads that may wait to be written to the audit log; beyond, a read waits for it.",
            ),
        ],
    ),
    (
        "Catalogue, receipts and dead letters",
        &[
            ("catalogue_types_max", "Event types of one tenant that are listed: those that came first."),
            ("catalogue_properties_max", "Properties of one type that are listed, and traits."),
            ("schemas_max", "Types of one tenant that may have a schema."),
            ("schema_bytes_max", "Bytes of one definition, as compact JSON."),
            ("schema_nodes_max", "Values of a schema, references counted as often as they are followed."),
            ("schema_pattern_bytes_max", "Bytes of one pattern in a schema."),
            (
                "dead_letters_scanned_max",
                "Letters looked at for one page of the list; the search goes on with the cursor.",
            ),
            ("recent_scan_bytes_max", "Bytes of journal that one question for newly taken events reads."),
            ("replays_max", "Replays of one tenant under way."),
            ("replay_attempts_kept", "Attempts of one event that are kept: the newest."),
        ],
    ),
    (
        "Exports",
        &[
            ("export_fields_max", "Fields of one audience."),
            ("export_scale_max", "Decimals of a field of the type `decimal`."),
            ("export_batch_rows_max", "Rows that one delivery to a webhook or a table may carry."),
            ("export_preview_rows_max", "Rows that a preview shows."),
            ("export_row_group_rows", "Rows of one row group of a Parquet file."),
            ("export_row_group_bytes", "Bytes of values after which a row group ends, too."),
            ("export_sort_records", "Records that are sorted in memory at a time."),
            ("export_letters_max", "Refused rows that a run names; all are counted."),
            ("destinations_max", "Destinations of one tenant."),
            ("destination_url_bytes_max", "Bytes of a destination's address."),
            ("destination_secrets_max", "Secrets of a webhook that are live at the same time."),
            (
                "destination_disabled_after_ms",
                "A destination that failed for so long without a success is disabled.",
            ),
            ("schedules_max", "Schedules of one tenant."),
            ("cron_bytes_max", "Bytes of a schedule's pattern."),
            ("export_files_kept_ms", "How long a file to download is held after its export ended."),
            (
                "export_follow_ms_max",
                "How long one run follows a segment as it happens; a schedule begins the next.",
            ),
            ("export_follow_changes_max", "Changed rows after which a run that follows ends, too."),
            ("destination_plugin_secrets_max", "Secrets of a destination that a plugin serves."),
            ("destination_plugin_secret_bytes_max", "Bytes of one of them; at least one."),
            (
                "deliveries_running_max",
                "Steps of runs at the same time that wait for somebody else's server.",
            ),
            ("plugin_delivery_ms_max", "How long one delivery by a plugin may take."),
            (
                "plugin_deliveries_running_max",
                "Deliveries by plugins that send by themselves, at the same time in an installation.",
            ),
            ("plugin_delivery_rows_max", "Rows of one delivery by a plugin."),
            ("plugin_delivery_requests_max", "Requests of one delivery by a plugin."),
            ("plugin_kept_keys_max", "Keys that a plugin keeps between deliveries, for one destination."),
            ("plugin_kept_key_bytes_max", "Bytes of such a key."),
            ("plugin_kept_value_bytes_max", "Bytes of the value under it."),
            ("plugin_kept_bytes_max", "Bytes of all of them together."),
        ],
    ),
    (
        "Deliveries",
        &[
            ("egress_per_destination_max", "Requests under way to one destination."),
            ("egress_per_host_max", "Requests under way to one host."),
            ("egress_in_all_max", "Requests under way in all."),
            ("egress_place_wait_ms_max", "How long a request waits for a place."),
            ("egress_resolve_ms_max", "How long resolving a name may take."),
            ("egress_connect_ms_max", "How long until a connection stands."),
            ("egress_addresses_tried_max", "Addresses of a name that are tried."),
            ("egress_answer_head_ms_max", "How long until the head of an answer."),
            ("egress_answer_between_ms_max", "Silence between two parts of an answer's body."),
            ("egress_answer_ms_max", "How long the whole may take."),
            ("egress_answer_body_bytes_max", "Bytes of an answer's body that are read."),
            ("egress_answer_head_bytes_max", "Bytes of an answer's head."),
            ("egress_answer_headers_max", "Headers of an answer."),
            ("egress_allowed_max", "Entries of `CDP_EGRESS_ALLOW`."),
            ("egress_retry_after_ms_max", "The longest `Retry-After` that is obeyed."),
            ("webhook_body_bytes_max", "Bytes of one message to a webhook."),
            ("object_store_part_bytes", "Bytes of a part of a large object; up to so many it goes in one."),
            ("object_store_file_bytes_max", "Bytes of one object."),
            ("object_store_key_bytes_max", "Bytes of an object's key."),
            ("postgres_rows_max", "Rows of one call to a database."),
            ("postgres_columns_max", "Columns of a row in a database."),
            ("postgres_name_bytes_max", "Bytes of the name of a table, schema or column."),
            ("postgres_statement_ms_max", "How long one statement may take."),
            ("postgres_call_ms_max", "How long one call may take."),
            ("postgres_answer_bytes_max", "Bytes that a database may answer in one call."),
            (
                "postgres_rejected_max",
                "Rows that a database may reject one by one in a call; with more the call is rejected.",
            ),
        ],
    ),
    (
        "Console",
        &[
            ("users_max", "Console users of one tenant."),
            ("user_name_bytes_max", "Bytes of a console user's name."),
            ("sessions_per_user_max", "Sessions of one user; with one more the oldest ends."),
            ("session_ms_max", "How long a session lasts after it began."),
            ("session_idle_ms_max", "How long a session lasts without use."),
            ("console_link_ms_max", "How long a link that leads into the console works."),
            ("password_chars_min", "Characters that a password has at least."),
            ("password_bytes_max", "Bytes of a password."),
            ("sign_in_tries_free", "Wrong passwords for one name before whoever tries next waits."),
            ("sign_in_tries_free_per_address", "The same from one address."),
            ("sign_in_wait_ms_max", "The longest wait then."),
            ("console_fields_max", "Fields of one form."),
            ("console_rows_max", "Rows of a table on a page."),
            (
                "console_counted_anew_ms",
                "How old counts over everybody are on a page before they are made anew; ten times as long as they took to make, where that is longer.",
            ),
        ],
    ),
    (
        "Plugins",
        &[
            ("plugins_max", "Plugins of one tenant."),
            ("plugin_versions_max", "Versions of one plugin."),
            ("plugin_trusted_keys_max", "Keys whose signatures a tenant trusts."),
            (
                "plugin_faults_in_a_row_max",
                "Events in a row on which a transformer may fail before it gives way.",
            ),
            ("plugin_run_fuel_max", "Fuel of one run: WebAssembly instructions, roughly."),
            ("plugin_run_rows_max", "Rows of one run; more rows are another run."),
            ("plugin_run_input_bytes_max", "Bytes of the fields of one run; more are another run."),
            ("plugin_run_memory_bytes_max", "Bytes of all memories of a run together."),
            ("plugin_run_table_elements_max", "Elements of all WebAssembly tables of a run together."),
            ("plugin_run_handles_max", "Handles to resources of a run."),
            ("plugin_run_output_bytes_max", "Bytes of an answer, or of one thing handed to the host."),
            ("plugin_children_per_row_max", "New events that one transformer may make of one event."),
            ("new_events_max", "New events that all transformers may make of one accepted event."),
            (
                "new_events_bytes_max",
                "Bytes of the documents of all those; each has at most `event_bytes_max`.",
            ),
            ("plugin_log_lines_max", "Lines that one run may log; more are counted and left out."),
            ("plugin_log_bytes_max", "Bytes that one run may log."),
            ("plugin_log_lines_kept", "Lines kept of one version: the newest."),
            ("plugin_derivations_max", "Configurations under which a tenant's plugins derive."),
            ("plugin_derive_every_ms", "What plugins derive is brought forward at multiples of this."),
            ("plugin_read_again_ms_min", "The soonest that a value which ends by itself is read again."),
            ("plugin_trial_events_max", "Events that a version can be tried on at once."),
            ("plugin_shadow_events_max", "Events that a version is run over beside the active one."),
            (
                "state_reopen_free_bytes_min",
                "Free bytes without which the state store is not opened again after a full disk.",
            ),
        ],
    ),
    (
        "Components",
        &[
            ("plugin_component_bytes_max", "Bytes of a component."),
            ("plugin_functions_max", "Functions of a component."),
            ("plugin_function_bytes_max", "Bytes of one function."),
            ("plugin_blocks_deep_max", "Blocks inside each other in one function."),
            ("plugin_modules_max", "Core modules of a component."),
            ("plugin_components_max", "Components inside a component."),
            ("plugin_nesting_max", "Components and modules inside each other, the outermost included."),
            ("plugin_memories_max", "Memories of a component."),
            ("plugin_tables_max", "WebAssembly tables of a component."),
            ("plugin_core_instances_max", "Core instances of a component."),
            ("plugin_types_max", "Types of a component."),
            ("plugin_globals_max", "Globals of a component."),
            ("plugin_imports_max", "Imports of a component."),
            ("plugin_exports_max", "Exports of a component."),
            ("plugin_segments_max", "Segments of data and elements of a component."),
            ("plugin_custom_sections_max", "Custom sections of a component."),
            (
                "plugin_checks_at_once_max",
                "Plugins that are taken in, tested or tried at once, over all tenants; further ones wait.",
            ),
            ("plugin_compile_cpu_ms_max", "Processor time to compile a component."),
            ("plugin_compile_ms_max", "Time on the clock to compile a component."),
            ("plugin_compile_memory_bytes_max", "Memory to compile a component."),
        ],
    ),
    (
        "Lookup tables",
        &[
            ("tables_max", "Lookup tables of one tenant."),
            ("table_rows_max", "Rows of one version of a table."),
            ("table_bytes_max", "Bytes of the keys and values of one version together."),
            ("table_key_bytes_max", "Bytes of a key; at least one."),
            ("table_value_bytes_max", "Bytes of a value."),
        ],
    ),
];

/// What a limit bounds, in a sentence.
#[must_use]
pub fn sentence(name: &str) -> Option<&'static str> {
    let mut all = GROUPS.iter().flat_map(|(_, limits)| *limits);
    all.find(|(limit, _)| *limit == name).map(|(_, sentence)| *sentence)
}

/// Every limit of a server with these bounds, in tables.
pub(super) fn tables(http: &HttpOptions) -> String {
    let values = limits::all(http);
    let mut text = String::new();
    for (title, limits) in GROUPS {
        let _ = write!(
            text,
            "## {title}\n\n| limit | value | in words | bounds |\n| --- | ---: | ---: | --- |\n"
        );
        for (name, sentence) in *limits {
            let Some(value) = values.get(*name) else { continue };
            row(&mut text, name, value, sentence);
        }
        text.push('\n');
    }
    text
}

fn row(text: &mut String, name: &str, value: &Value, sentence: &str) {
    let _ = writeln!(
        text,
        "| `{name}` | {value} | {} | {sentence} |",
        in_words(name, value.as_u64().unwrap_or_default())
    );
}

/// A value with its unit, where that says more than the digits.
fn in_words(name: &str, value: u64) -> String {
    let of = |units: &[(u64, &str)]| {
        let unit = units.iter().find(|(size, _)| value >= *size && value.is_multiple_of(*size));
        unit.map_or_else(String::new, |(size, unit)| format!("{} {unit}", value / size))
    };
    if name.contains("bytes") {
        of(&[(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "bytes")])
    } else if name.contains("_ms") {
        of(&[(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s"), (1, "ms")])
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_limit_has_a_sentence_and_every_sentence_a_limit() {
        let all = limits::all(&HttpOptions::default());
        let served: BTreeSet<&str> = all.keys().map(String::as_str).collect();
        let said: Vec<&str> =
            GROUPS.iter().flat_map(|(_, limits)| limits.iter().map(|(name, _)| *name)).collect();
        assert_eq!(said.len(), said.iter().collect::<BTreeSet<_>>().len(), "each stands once");
        let said: BTreeSet<&str> = said.into_iter().collect();
        let (missing, gone): (Vec<_>, Vec<_>) =
            (served.difference(&said).collect(), said.difference(&served).collect());
        assert!(missing.is_empty() && gone.is_empty(), "say what they bound: {missing:?}; remove: {gone:?}");
    }

    #[test]
    fn the_tables_hold_what_the_server_has() {
        let http = HttpOptions { uri_bytes_max: 4321, ..HttpOptions::default() };
        let tables = tables(&http);
        for (name, value) in limits::all(&http) {
            assert!(tables.contains(&format!("| `{name}` | {value} |")), "{name}");
        }
        assert!(tables.contains("| `uri_bytes_max` | 4321 | 4321 bytes |"), "{tables}");
        assert!(tables.contains("| `event_bytes_max` | 32768 | 32 KiB |"), "{tables}");
    }
}
