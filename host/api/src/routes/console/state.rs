//! What the console keeps in memory: who guessed, what was counted, and how events came in. All of it is bounded, and
//! none of it is needed after a restart.

use std::time::Duration;

use cdp_domain::ids::TenantNo;
use cdp_engine::segments::Size;
use tokio::sync::Semaphore;

use super::attributes::Seen;
use super::backoff::Backoff;
use super::history::Histories;
use super::overview::Moves;
use super::reach::Reached;
use super::shelf::Shelf;
use crate::app::App;

/// How often it is noted how many events came.
const NOTED_EVERY: Duration = Duration::from_secs(5);
/// Passwords that are worked on at a time: each takes 19 MiB and some 30 ms of a core.
const PASSWORDS_AT_A_TIME: usize = 2;

/// A definition: whose, its name, its version, and how that stands.
pub(super) type Version = (TenantNo, String, u32, &'static str);

/// What the console keeps in memory.
pub(crate) struct Console {
    pub(super) backoff: Backoff,
    pub(super) passwords: Semaphore,
    pub(super) histories: Histories,
    /// Who may be reached, by tenant, channel and purpose.
    pub(super) reached: Shelf<(TenantNo, String, String), Reached>,
    /// Segments that moved, by tenant.
    pub(super) moves: Shelf<TenantNo, Moves>,
    /// Sizes over time, or why they cannot be told.
    pub(super) sizes: Shelf<Version, Result<Vec<Size>, String>>,
    /// Who has a value of an attribute.
    pub(super) seen: Shelf<Version, Seen>,
}

impl Default for Console {
    fn default() -> Self {
        Self {
            backoff: Backoff::default(),
            passwords: Semaphore::new(PASSWORDS_AT_A_TIME),
            histories: Histories::default(),
            reached: Shelf::default(),
            moves: Shelf::default(),
            sizes: Shelf::default(),
            seen: Shelf::default(),
        }
    }
}

impl Console {
    /// Notes how many events come, as long as there is a server. Does nothing where there is no runtime.
    pub(crate) fn keep(server: impl Fn() -> Option<App> + Send + 'static) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let mut beat = tokio::time::interval(NOTED_EVERY);
            loop {
                beat.tick().await;
                let Some(app) = server() else { return };
                let now = app.engine().clock().now();
                for tenant in app.engine().open_tenants() {
                    let histories = &app.console().histories;
                    histories.note(tenant.no(), &tenant.stats(), now);
                    if let Ok((_, end)) = tenant.taken_since(None, 0) {
                        histories.mark(tenant.no(), end);
                    }
                }
            }
        });
    }
}
