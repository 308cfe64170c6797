//! Sends numbered events and measures how soon they are acknowledged.
//!
//! Without a rate every connection sends again as soon as it was answered, and a latency counts from sending.
//! With a rate the load is open: request k is due at k / rate whatever the server does, and its latency counts from
//! when it was due, so that a stall is seen by every request it delays.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::body::{Mix, Request};
use super::wire::{Connection, field};
use crate::demo::client::Fallible;

/// What to send.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// host:port.
    pub(crate) address: String,
    pub(crate) key: String,
    /// Number of the first event, so that ids never meet.
    pub(crate) first: u64,
    pub(crate) events: u64,
    pub(crate) batch: usize,
    /// Events a second; none means as fast as it goes.
    pub(crate) rate: Option<f64>,
    pub(crate) connections: usize,
    pub(crate) customers: super::body::Customers,
    pub(crate) mix: Mix,
    /// Set when it shall end before its events do.
    pub(crate) stop: Option<Arc<AtomicBool>>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Events answered as accepted.
    pub(crate) accepted: u64,
    /// When the first request was sent, all connections being open.
    pub(crate) started: Option<Instant>,
    /// From then until the last acknowledgement.
    pub(crate) took: Duration,
    /// One for each request, sorted.
    pub(crate) latencies: Vec<Duration>,
    /// Answers that asked for patience; their requests were sent again.
    pub(crate) refusals: u64,
    /// The greatest position that was answered.
    pub(crate) position: u64,
}

impl Outcome {
    /// The latency that the share `q` (0 to 1) of the requests did not exceed.
    pub(crate) fn quantile(&self, q: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        let at = (last as f64 * q).round() as usize;
        self.latencies.get(at).copied().unwrap_or_default()
    }
}

struct Shared {
    plan: Plan,
    start: Instant,
    next: Cell<u64>,
    acknowledged: Cell<u64>,
    outcome: RefCell<Outcome>,
}

/// Sends the plan's events; `progress` hears how many were acknowledged.
pub(crate) fn run(plan: &Plan, progress: impl Fn(u64) + Clone + 'static) -> Fallible<Outcome> {
    // One thread: the generator must leave the other cores to the server.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let plan = plan.clone();
    local.block_on(&runtime, async move {
        let mut connections = Vec::new();
        for _ in 0..plan.connections {
            connections.push(Connection::open(&plan.address).await?);
        }
        let shared = Rc::new(Shared {
            plan,
            start: Instant::now(),
            next: Cell::new(0),
            acknowledged: Cell::new(0),
            outcome: RefCell::default(),
        });
        let tasks: Vec<_> = connections
            .into_iter()
            .map(|connection| tokio::task::spawn_local(one(Rc::clone(&shared), connection, progress.clone())))
            .collect();
        for task in tasks {
            task.await??;
        }
        let mut outcome = shared.outcome.take();
        outcome.started = Some(shared.start);
        outcome.took = shared.start.elapsed();
        outcome.accepted = shared.acknowledged.get();
        outcome.latencies.sort_unstable();
        Ok(outcome)
    })
}

/// Takes the next request until none is left.
async fn one(shared: Rc<Shared>, mut connection: Connection, progress: impl Fn(u64)) -> Fallible<()> {
    let plan = &shared.plan;
    let mut request = Request::new(&plan.address, &plan.key, plan.batch);
    let requests = plan.events.div_ceil(request.events());
    loop {
        let k = shared.next.get();
        let stopped = plan.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed));
        if k >= requests || stopped {
            break;
        }
        shared.next.set(k + 1);
        request.fill(plan.first + k * request.events(), plan.customers, plan.mix);
        let due = match plan.rate {
            None => Instant::now(),
            Some(rate) => {
                #[expect(clippy::cast_precision_loss, reason = "far below 2^53 requests")]
                let due = shared.start + Duration::from_secs_f64(k as f64 * request.events() as f64 / rate);
                tokio::time::sleep_until(due.into()).await;
                due
            }
        };
        let accepted = send(&shared, &mut connection, &request).await?;
        let mut outcome = shared.outcome.borrow_mut();
        outcome.latencies.push(due.elapsed());
        drop(outcome);
        shared.acknowledged.set(shared.acknowledged.get() + accepted);
        progress(shared.acknowledged.get());
    }
    Ok(())
}

/// Sends until it is acknowledged; gives how many events were accepted.
async fn send(shared: &Shared, connection: &mut Connection, request: &Request) -> Fallible<u64> {
    loop {
        let (status, body) = connection.call(request.bytes()).await?;
        match status.code {
            202 => {
                let accepted = field(body, "accepted").and_then(|n| n.parse().ok()).unwrap_or_default();
                let duplicates = field(body, "duplicates").and_then(|n| n.parse().ok()).unwrap_or(0_u64);
                if accepted + duplicates != request.events() {
                    return Err(format!("not all accepted: {}", String::from_utf8_lossy(body)).into());
                }
                let position = field(body, "position").and_then(|n| n.parse().ok()).unwrap_or_default();
                let mut outcome = shared.outcome.borrow_mut();
                outcome.position = outcome.position.max(position);
                return Ok(accepted);
            }
            429 | 503 => {
                shared.outcome.borrow_mut().refusals += 1;
                let pause = status.retry_after_seconds.map_or(100, |s| (s * 1000).clamp(10, 1000));
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            code => return Err(format!("answered {code}: {}", String::from_utf8_lossy(body)).into()),
        }
    }
}
