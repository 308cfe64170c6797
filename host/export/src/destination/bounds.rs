//! What the way out allows, by name: for `/v1/limits` and the papers.

use std::time::Duration;

use cdp_egress::{Caps, object_store, postgres, retry};

/// Every bound of what leaves the machine, by its name in `/v1/limits`.
#[must_use]
pub fn bounds() -> Vec<(&'static str, u64)> {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let caps = Caps::STANDARD;
    vec![
        ("egress_per_destination_max", cdp_egress::PER_DESTINATION_MAX as u64),
        ("egress_per_host_max", cdp_egress::PER_HOST_MAX as u64),
        ("egress_in_all_max", cdp_egress::IN_ALL_MAX as u64),
        ("egress_place_wait_ms_max", ms(cdp_egress::PLACE_WAIT_MAX)),
        ("egress_resolve_ms_max", ms(cdp_egress::RESOLVE_MAX)),
        ("egress_connect_ms_max", ms(cdp_egress::CONNECT_MAX)),
        ("egress_addresses_tried_max", cdp_egress::ADDRESSES_TRIED_MAX as u64),
        ("egress_answer_head_ms_max", ms(caps.head)),
        ("egress_answer_between_ms_max", ms(caps.between)),
        ("egress_answer_ms_max", ms(caps.whole)),
        ("egress_answer_body_bytes_max", caps.body_bytes as u64),
        ("egress_answer_head_bytes_max", cdp_egress::REPLY_HEAD_BYTES_MAX as u64),
        ("egress_answer_headers_max", cdp_egress::REPLY_HEADERS_MAX as u64),
        ("egress_allowed_max", cdp_egress::policy::ALLOWED_MAX as u64),
        ("egress_retry_after_ms_max", ms(retry::RETRY_AFTER_MAX)),
        ("deliveries_running_max", cdp_jobs::DELIVERING_MAX as u64),
        ("plugin_delivery_ms_max", ms(super::DELIVERY_MAX)),
        ("plugin_deliveries_running_max", cdp_runtime::connector::SESSIONS_MAX as u64),
        ("plugin_delivery_rows_max", cdp_runtime::connector::ITEMS_MAX as u64),
        ("plugin_delivery_requests_max", u64::from(cdp_runtime::connector::REQUESTS_MAX)),
        ("plugin_kept_keys_max", cdp_runtime::connector::KEYS_MAX as u64),
        ("plugin_kept_key_bytes_max", cdp_runtime::connector::KEY_BYTES_MAX as u64),
        ("plugin_kept_value_bytes_max", cdp_runtime::connector::VALUE_BYTES_MAX as u64),
        ("plugin_kept_bytes_max", cdp_runtime::connector::TOTAL_BYTES_MAX as u64),
        ("webhook_body_bytes_max", cdp_egress::BODY_BYTES_MAX as u64),
        ("object_store_part_bytes", object_store::PART_BYTES as u64),
        ("object_store_file_bytes_max", object_store::FILE_BYTES_MAX),
        ("object_store_key_bytes_max", object_store::KEY_BYTES_MAX as u64),
        ("postgres_rows_max", postgres::ROWS_MAX as u64),
        ("postgres_columns_max", postgres::COLUMNS_MAX as u64),
        ("postgres_name_bytes_max", postgres::NAME_BYTES_MAX as u64),
        ("postgres_statement_ms_max", ms(postgres::STATEMENT_MAX)),
        ("postgres_call_ms_max", ms(postgres::CALL_MAX)),
        ("postgres_answer_bytes_max", postgres::ANSWER_BYTES_MAX),
        ("postgres_rejected_max", postgres::REJECTED_MAX as u64),
    ]
}
