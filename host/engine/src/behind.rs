//! Work of guests that no event waits for: taking uploads in, testing laws, judging configurations, trials.
//!
//! It runs on threads of its own that stand as far behind those that answer clients as writers do, so that who brings
//! plugins, however bad, takes no time from who sends events. A priority is a thread's and cannot be taken back, hence
//! threads of their own rather than those that everybody shares. They stay for a while when there is nothing to do:
//! beginning and ending one takes the system longer than many a check.

use std::sync::LazyLock;
use std::time::Duration;

use cdp_threads::stand_back;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

use crate::error::{Refused, Result};

/// Plugins that are taken in, tested or tried at once, over all tenants; further ones wait for their turn.
pub(crate) const PLUGIN_CHECKS_AT_ONCE: usize = 8;

/// How long a thread waits for the next of them.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

static PLACES: Semaphore = Semaphore::const_new(PLUGIN_CHECKS_AT_ONCE);

/// Of this runtime only the threads for work that blocks are used.
static THREADS: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_current_thread()
        .thread_name("plugin-check")
        .max_blocking_threads(PLUGIN_CHECKS_AT_ONCE)
        .thread_keep_alive(KEEP_ALIVE)
        .on_thread_start(stand_back)
        .build()
});

/// Does something that may take long, behind everybody else. When the caller stops waiting it is done all the same.
///
/// # Errors
/// The work's own; [`Refused::Internal`] when no thread can be had, or the work panicked.
pub(crate) async fn behind<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let place = PLACES.acquire().await.map_err(Refused::internal)?;
    let threads = THREADS.as_ref().map_err(Refused::internal)?;
    let working = threads.spawn_blocking(move || {
        let done = work();
        drop(place);
        done
    });
    working.await.map_err(Refused::internal)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn so_many_run_at_once_and_the_next_waits_for_its_turn() {
        let (begun, begins) = mpsc::channel();
        let (go_on, waits) = mpsc::channel::<()>();
        let waits = Arc::new(parking_lot::Mutex::new(waits));
        let one = |n: usize| {
            let (begun, waits) = (begun.clone(), waits.clone());
            behind(move || {
                begun.send(n).map_err(Refused::internal)?;
                waits.lock().recv().map_err(Refused::internal)?;
                Ok(n)
            })
        };
        let all: Vec<_> = (0..=PLUGIN_CHECKS_AT_ONCE).map(|n| tokio::spawn(one(n))).collect();
        let mut running: Vec<usize> = (0..PLUGIN_CHECKS_AT_ONCE).map(|_| begins.recv().unwrap()).collect();
        assert!(begins.try_recv().is_err(), "one too many");
        go_on.send(()).unwrap();
        running.push(begins.recv().unwrap());
        running.sort_unstable();
        assert_eq!(running, (0..=PLUGIN_CHECKS_AT_ONCE).collect::<Vec<_>>());
        (0..PLUGIN_CHECKS_AT_ONCE).for_each(|_| go_on.send(()).unwrap());
        for (n, one) in all.into_iter().enumerate() {
            assert_eq!(one.await.unwrap().unwrap(), n);
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_frees_the_place() {
        for _ in 0..=PLUGIN_CHECKS_AT_ONCE {
            let failed = behind(|| -> Result<()> { panic!("on purpose") }).await;
            assert!(matches!(failed, Err(Refused::Internal(_))), "{failed:?}");
        }
    }
}
