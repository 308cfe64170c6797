//! Numbers for Prometheus. Labels are routes as templates, methods, statuses and tenant numbers: never names or values.

use std::sync::OnceLock;
use std::time::Duration;

use cdp_engine::Engine;
use http::{Method, StatusCode};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

const REQUESTS: &str = "cdp_http_requests_total";
const SECONDS: &str = "cdp_http_request_seconds";
const BUCKETS: &[f64] =
    &[0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The process's recorder, installed at the first call.
pub(crate) fn recorder() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(install).clone()
}

fn install() -> PrometheusHandle {
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Full(SECONDS.to_owned()), BUCKETS);
    let recorder = builder.unwrap_or_else(|_| PrometheusBuilder::new()).build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("another recorder of metrics is installed: /metrics stays empty");
    }
    metrics::describe_counter!(REQUESTS, "Requests answered, by route, method and class of status");
    metrics::describe_histogram!(SECONDS, "Seconds from the head of a request to the head of its answer");
    metrics::describe_counter!("cdp_events_accepted_total", "Events taken in since the start");
    metrics::describe_counter!("cdp_events_duplicate_total", "Repeats recognised since the start");
    metrics::describe_counter!("cdp_events_rejected_total", "Events refused since the start");
    metrics::describe_counter!(
        "cdp_events_conflict_total",
        "Events refused because another one has their id, since the start; part of the rejected ones"
    );
    metrics::describe_gauge!(
        "cdp_events_accepted",
        "Events taken in, ever: the sum of applied, dead letters, dropped, suppressed and pending"
    );
    metrics::describe_gauge!("cdp_events_pending", "Events taken in and not processed yet");
    metrics::describe_gauge!(
        "cdp_events_suppressed",
        "Events whose person was erased before they were applied"
    );
    metrics::describe_gauge!("cdp_events_applied", "Events in state");
    metrics::describe_gauge!(
        "cdp_events_dead_letters",
        "Events that a plugin or their content kept out of state"
    );
    metrics::describe_gauge!("cdp_events_dropped", "Events that a transformer dropped on purpose");
    metrics::describe_gauge!(
        "cdp_journal_lag_bytes",
        "Bytes of journal that are durable and not applied yet"
    );
    metrics::describe_counter!(
        "cdp_privacy_signals_malformed_total",
        "GPC, TCF, GPP and category signals that could not be read; they changed nothing"
    );
    metrics::describe_counter!(
        "cdp_values_guarded_total",
        "Values taken out of events because a purpose's consent was missing"
    );
    metrics::describe_counter!(
        "cdp_events_suppressed_total",
        "Events not taken in because they name somebody who was erased"
    );
    metrics::describe_gauge!("cdp_profiles", "Profiles there are");
    metrics::describe_gauge!("cdp_fragments", "Fragments there are");
    metrics::describe_gauge!(
        "cdp_identity_alerts",
        "Identifiers and crowds of fragments that stopped linking people"
    );
    metrics::describe_counter!(
        "cdp_state_rows_read_total",
        "Rows of state asked for since the start, wherever they were found"
    );
    metrics::describe_counter!(
        "cdp_state_store_reads_total",
        "Questions to the state store since the start, because no memory had the answer"
    );
    metrics::describe_gauge!("cdp_ready", "1 when writes can be accepted");
    metrics::describe_gauge!("process_resident_memory_bytes", "Memory of this process");
    metrics::describe_gauge!("cdp_http_connections", "Open connections");
    handle
}

/// Counts a request.
pub(crate) fn request(route: &str, method: &Method, status: StatusCode, took: Duration) {
    let class = match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    };
    let method = match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    };
    metrics::counter!(REQUESTS, "route" => route.to_owned(), "method" => method, "status" => class)
        .increment(1);
    metrics::histogram!(SECONDS, "route" => route.to_owned()).record(took.as_secs_f64());
}

/// Counts open connections.
pub(crate) fn connections(open: usize) {
    #[expect(clippy::cast_precision_loss, reason = "few enough")]
    metrics::gauge!("cdp_http_connections").set(open as f64);
}

/// Brings the numbers up to date that are read when they are asked for.
pub(crate) fn refresh(engine: &Engine) {
    for tenant in engine.open_tenants() {
        let (stats, no) = (tenant.stats(), tenant.no().0.to_string());
        let counter =
            |name: &'static str, value: u64| metrics::counter!(name, "tenant" => no.clone()).absolute(value);
        counter("cdp_events_accepted_total", stats.accepted);
        counter("cdp_events_duplicate_total", stats.duplicates);
        counter("cdp_events_rejected_total", stats.rejected);
        counter("cdp_events_conflict_total", stats.conflicts);
        counter("cdp_state_rows_read_total", stats.rows_read);
        counter("cdp_state_store_reads_total", stats.store_reads);
        counter("cdp_privacy_signals_malformed_total", stats.signals_malformed);
        counter("cdp_values_guarded_total", stats.guarded);
        counter("cdp_events_suppressed_total", stats.suppressed_attempts);
        #[expect(clippy::cast_precision_loss, reason = "a double is what Prometheus holds")]
        let gauge =
            |name: &'static str, value: u64| metrics::gauge!(name, "tenant" => no.clone()).set(value as f64);
        gauge("cdp_events_accepted", stats.accepted_ever);
        gauge("cdp_events_pending", stats.pending);
        gauge("cdp_events_suppressed", stats.suppressed);
        gauge("cdp_events_applied", stats.applied);
        gauge("cdp_events_dead_letters", stats.dead_letters);
        gauge("cdp_events_dropped", stats.dropped);
        gauge("cdp_journal_lag_bytes", stats.lag_bytes);
        gauge("cdp_profiles", stats.profiles);
        gauge("cdp_fragments", stats.fragments);
        gauge("cdp_identity_alerts", stats.identity_alerts);
    }
    metrics::gauge!("cdp_ready").set(if engine.readiness().ready { 1.0 } else { 0.0 });
    if let Some(bytes) = resident_bytes() {
        #[expect(clippy::cast_precision_loss, reason = "a double is what Prometheus holds")]
        metrics::gauge!("process_resident_memory_bytes").set(bytes as f64);
    }
}

/// What the operating system says this process holds; None where it does not say.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
