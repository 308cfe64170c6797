//! People with a name, an address, consent and an order each: whom audiences and pages are measured with.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::demo::client::{Client, Fallible};

/// Events of one request.
const BATCH: u64 = 500;
/// One in so many has not agreed.
const REFUSES: u64 = 10;
/// A server that takes longer than this to catch up is stuck.
const APPLY_MAX: Duration = Duration::from_secs(3600);

/// Who sends them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Members {
    /// How many there are.
    pub(super) count: u64,
    pub(super) connections: u64,
    /// A segment of theirs, by which it is waited until all is applied.
    pub(super) wait_for: &'static str,
}

impl Members {
    /// Sends an event of every `every`-th member and returns when all are applied.
    pub(super) fn send(self, client: &Client, round: u64, every: u64) -> Fallible<()> {
        let next = AtomicU64::new(0);
        let failed = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..self.connections {
                scope.spawn(|| {
                    loop {
                        let from = next.fetch_add(BATCH, Ordering::Relaxed);
                        if from * every >= self.count || failed.lock().is_ok_and(|failed| failed.is_some()) {
                            return;
                        }
                        let upto = (from + BATCH).min(self.count.div_ceil(every));
                        // Not only those who have not agreed.
                        let body = events(round, (from..upto).map(|n| n * every + u64::from(every > 1)));
                        let sent = client.post_patiently("/v1/events", "application/json", body.as_bytes());
                        if let Err(error) = sent.and_then(|answer| answer.expect("sending events"))
                            && let Ok(mut failed) = failed.lock()
                        {
                            *failed = Some(error.to_string());
                        }
                    }
                });
            }
        });
        if let Ok(Some(error)) = failed.into_inner() {
            return Err(error.into());
        }
        let end = json!([{"id": format!("end-{round}"), "type": "end",
            "identifiers": [{"type": "customer", "value": "nobody"}]}]);
        let last = client.post_patiently("/v1/events", "application/json", end.to_string().as_bytes())?;
        let position = last.expect("sending the last event")?["position"].as_str().unwrap_or("0").to_owned();
        wait_applied(client, self.wait_for, &position)
    }
}

/// Returns when everything up to `position` is applied, as long as that goes on.
fn wait_applied(client: &Client, segment: &str, position: &str) -> Fallible<()> {
    let path = format!("/v1/segments/{segment}?min_position={position}");
    let deadline = Instant::now() + APPLY_MAX;
    loop {
        let answer = client.get(&path)?;
        if answer.status != 503 || Instant::now() > deadline {
            return answer.expect("waiting until all is applied").map(drop);
        }
    }
}

/// What there is to say of a member.
pub(super) struct Member {
    pub(super) email: String,
    pub(super) name: String,
    pub(super) city: String,
    pub(super) total: String,
    pub(super) status: &'static str,
}

/// The `n`th.
pub(super) fn member(n: u64) -> Member {
    let cents = n * 7919 % 100_000;
    Member {
        email: format!("member{n}@example.com"),
        name: format!("Member {n}"),
        city: format!("City {}", n % 1000),
        total: format!("{}.{:02}", cents / 100, cents % 100),
        status: if n.is_multiple_of(REFUSES) { "denied" } else { "granted" },
    }
}

fn events(round: u64, members: impl Iterator<Item = u64>) -> String {
    let mut text = String::from("{\"events\":[");
    for (n, member) in members.enumerate() {
        if n > 0 {
            text.push(',');
        }
        let Member { email, name, city, total, status } = self::member(member);
        let _ = write!(
            text,
            "{{\"id\":\"{round}-{member}\",\"type\":\"purchase\",\"time\":\"2026-03-0{}T00:00:00Z\",\
             \"identifiers\":[{{\"type\":\"email\",\"value\":\"{email}\"}}],\
             \"properties\":{{\"total\":\"{total}\"}},\"traits\":{{\"city\":\"{city}\",\"name\":\"{name}\"}},\
             \"channels\":[{{\"channel\":\"email\",\"address\":\"{email}\"}}],\
             \"consents\":[{{\"channel\":\"email\",\"address\":\"{email}\",\"purpose\":\"marketing\",\
             \"status\":\"{status}\",\"method\":\"form\",\"policy_version\":\"1\",\"expires_at\":null}}]}}",
            round + 1,
        );
    }
    text.push_str("]}");
    text
}
