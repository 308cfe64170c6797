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

/// A figure: its name, what kind it is, its labels, and what it counts.
pub(crate) type Figure = (&'static str, Kind, &'static str, &'static str);

/// How a figure behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows, from 0 at the start.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It has buckets, a sum and a count.
    Histogram,
}

/// Every figure of `/metrics`.
pub(crate) const ALL: &[Figure] = &[
    (
        REQUESTS,
        Kind::Counter,
        "route, method, status",
        "Requests answered, by route, method and class of status",
    ),
    (SECONDS, Kind::Histogram, "route", "Seconds from the head of a request to the head of its answer"),
    ("cdp_events_accepted_total", Kind::Counter, "tenant", "Events taken in since the start"),
    ("cdp_events_duplicate_total", Kind::Counter, "tenant", "Repeats recognised since the start"),
    ("cdp_events_rejected_total", Kind::Counter, "tenant", "Events refused since the start"),
    (
        "cdp_events_conflict_total",
        Kind::Counter,
        "tenant",
        "Events refused because another one has their id, since the start; part of the rejected ones",
    ),
    (
        "cdp_events_accepted",
        Kind::Gauge,
        "tenant",
        "Events taken in, ever: the sum of applied, dead letters, dropped, suppressed, expired and pending",
    ),
    ("cdp_events_pending", Kind::Gauge, "tenant", "Events taken in and not processed yet"),
    (
        "cdp_events_suppressed",
        Kind::Gauge,
        "tenant",
        "Events whose person was erased before they were applied",
    ),
    ("cdp_events_expired", Kind::Gauge, "tenant", "Events that are gone by their age"),
    ("cdp_events_applied", Kind::Gauge, "tenant", "Events in state"),
    (
        "cdp_events_dead_letters",
        Kind::Gauge,
        "tenant",
        "Events that a plugin or their content kept out of state",
    ),
    ("cdp_events_dropped", Kind::Gauge, "tenant", "Events that a transformer dropped on purpose"),
    ("cdp_journal_lag_bytes", Kind::Gauge, "tenant", "Bytes of journal that are durable and not applied yet"),
    (
        "cdp_privacy_signals_malformed_total",
        Kind::Counter,
        "tenant",
        "GPC, TCF, GPP and category signals that could not be read; they changed nothing",
    ),
    (
        "cdp_values_guarded_total",
        Kind::Counter,
        "tenant",
        "Values taken out of events because a purpose's consent was missing",
    ),
    (
        "cdp_events_suppressed_total",
        Kind::Counter,
        "tenant",
        "Events not taken in because they name somebody who was erased",
    ),
    ("cdp_profiles", Kind::Gauge, "tenant", "Profiles there are"),
    ("cdp_fragments", Kind::Gauge, "tenant", "Fragments there are"),
    (
        "cdp_identity_alerts",
        Kind::Gauge,
        "tenant",
        "Identifiers and crowds of fragments that stopped linking people",
    ),
    (
        "cdp_state_rows_read_total",
        Kind::Counter,
        "tenant",
        "Rows of state asked for since the start, wherever they were found",
    ),
    (
        "cdp_state_store_reads_total",
        Kind::Counter,
        "tenant",
        "Questions to the state store since the start, because no memory had the answer",
    ),
    ("cdp_ready", Kind::Gauge, "", "1 when writes can be accepted"),
    ("process_resident_memory_bytes", Kind::Gauge, "", "Memory of this process"),
    ("cdp_http_connections", Kind::Gauge, "", "Open connections"),
];

/// Every figure in a table, for the documentation.
pub(crate) fn table() -> String {
    let mut text = String::from("| figure | kind | labels | counts |\n| --- | --- | --- | --- |\n");
    for (name, kind, labels, said) in ALL {
        let kind = format!("{kind:?}").to_lowercase();
        text.push_str(&format!("| `{name}` | {kind} | {labels} | {said} |\n"));
    }
    text
}

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
    for (name, kind, _, said) in ALL {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *said),
            Kind::Gauge => metrics::describe_gauge!(*name, *said),
            Kind::Histogram => metrics::describe_histogram!(*name, *said),
        }
    }
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
        gauge("cdp_events_expired", stats.expired);
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
