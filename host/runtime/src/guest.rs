//! A component of some world, and single calls of it: everything bounded, everything measured.
//!
//! **Fresh or kept.** A call gets a fresh instance, so that nothing of an earlier one can be seen. Where starting one is
//! dear (JavaScript and Python bring an interpreter that has to wake up) and the caller says what may share an instance,
//! instances are kept between calls. Then three rules hold, so that the answer is still that of a fresh one:
//!
//! - Only a fresh instance convicts: whatever goes wrong in a kept one drops it, and the call is made again in a fresh one.
//! - The first calls in kept instances, every 16th of the next thousand, and every 64th after them, are made in a fresh one
//!   too. Should the answers differ, the fresh one's counts, and this guest never gets a kept instance again: it has hidden
//!   state.
//! - An instance serves 64 to 127 calls, an unforeseeable number of them, and is given up when nobody calls for a while.
//!
//! **Loaded on demand.** A guest that was prepared from a file gives its machine code up when it is not called for a
//! while, and comes back from the cache of compiled components with the next call.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, Instance, Lift, Lower};

use crate::call::{Cost, call, store};
use crate::code::{Code, Shared};
use crate::engine::CacheUse;
use crate::error::Fault;
use crate::exports::Export;
use crate::grants::Grants;
use crate::inspect::Inspection;
use crate::likely::Likely;
use crate::limits::Limits;
use crate::places::{Attained, locked};
use crate::state::{Setting, State};

/// What may share a kept instance: a digest over the tenant's configuration and grants.
pub(crate) type KeepKey = [u8; 32];

/// Only calls of one tenant, configuration and grant share an instance; a guest is one tenant's.
pub(crate) fn keep_key(config: &str, grants: &Grants) -> KeepKey {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(config.len() as u64).to_le_bytes()).update(config.as_bytes());
    grants.digest_into(&mut hasher);
    *hasher.finalize().as_bytes()
}

/// Calls in kept instances that are all compared with a fresh one, before a guest is trusted that far.
const SAMPLE_FIRST: u64 = 8;
/// Of later ones every so many is compared, until there were [`SAMPLE_OFTEN`].
const SAMPLE_EVERY: u64 = 16;
const SAMPLE_OFTEN: u64 = 1024;
/// Of all after them: a guest that answered alike for so long has earned that its calls cost a few per cent less.
const SAMPLE_LATER: u64 = 64;

/// Whether the call of this number is compared.
fn is_sampled(turn: u64) -> bool {
    let every = if turn < SAMPLE_OFTEN { SAMPLE_EVERY } else { SAMPLE_LATER };
    turn < SAMPLE_FIRST || turn.is_multiple_of(every)
}
/// Calls that an instance serves, at least; up to as many again are added.
const USES_MIN: u32 = 64;
/// Instances that all guests keep together.
pub(crate) const KEPT_MAX: usize = 16;

/// A component that was linked and can be called.
pub(crate) struct Guest {
    pub(crate) inspection: Inspection,
    pub(crate) cache_use: CacheUse,
    shared: Arc<Shared>,
    /// Where the component can be read again; without it the code stays loaded.
    source: Option<PathBuf>,
    code: Mutex<Option<Arc<Code>>>,
    kept: Mutex<Vec<Kept>>,
    last_used: Mutex<Instant>,
    attained: Attained,
    /// Rows of a run that are likely to stay within its bounds.
    pub(crate) likely: Likely,
    /// Whether instances are worth keeping.
    dear: bool,
    hidden_state: AtomicBool,
    turns: AtomicU64,
}

/// An instance that waits for its next call.
struct Kept {
    key: KeepKey,
    store: Store<State>,
    instance: Instance,
    code: Arc<Code>,
    uses_left: u32,
}

impl Guest {
    /// Takes on code that told what it is.
    pub(crate) fn new(
        shared: Arc<Shared>,
        source: Option<PathBuf>,
        (code, cache_use): (Arc<Code>, CacheUse),
        dear: bool,
    ) -> Arc<Self> {
        let guest = Arc::new(Self {
            inspection: code.inspection.clone(),
            cache_use,
            source,
            code: Mutex::new(Some(code)),
            kept: Mutex::default(),
            last_used: Mutex::new(Instant::now()),
            attained: Attained::new(),
            likely: Likely::default(),
            dear,
            hidden_state: AtomicBool::new(false),
            turns: AtomicU64::new(0),
            shared,
        });
        guest.shared.know(&guest);
        guest
    }

    /// What a call without tables is given.
    pub(crate) fn setting(&self, limits: Limits) -> Setting {
        Setting::new(limits, self.inspection.digest.0, None)
    }

    /// Whether instances are kept between calls: starting one is dear, and no hidden state was seen.
    pub(crate) fn keeps(&self) -> bool {
        self.dear && !self.hidden_state.load(Ordering::Relaxed)
    }

    /// Whether a kept instance once answered otherwise than a fresh one.
    pub(crate) fn has_hidden_state(&self) -> bool {
        self.hidden_state.load(Ordering::Relaxed)
    }

    /// Calls an export. With a key, in an instance that earlier calls of the same key may have used.
    pub(crate) fn run<P, R>(
        &self,
        export: Export,
        params: P,
        setting: &Setting,
        keep: Option<&KeepKey>,
    ) -> (Result<R, Fault>, Cost)
    where
        P: ComponentNamedList + Lower + Clone + Send + Sync,
        R: PartialEq + Send + Sync + 'static,
        (R,): ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let code = match self.code() {
            Ok(code) => code,
            Err(fault) => return (Err(fault), Cost::default()),
        };
        let _place = self.shared.places.take(self.attained.add(0));
        let (result, cost) = match keep.filter(|_| self.keeps()) {
            Some(key) => self.run_kept(&code, export, params, setting, key),
            None => self.run_fresh(&code, export, params, setting, None),
        };
        self.attained.add(cost.fuel);
        (result, cost)
    }

    fn run_kept<P, R>(
        &self,
        code: &Arc<Code>,
        export: Export,
        params: P,
        setting: &Setting,
        key: &KeepKey,
    ) -> (Result<R, Fault>, Cost)
    where
        P: ComponentNamedList + Lower + Clone + Send + Sync,
        R: PartialEq + Send + Sync + 'static,
        (R,): ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let found = {
            let mut kept = locked(&self.kept);
            let at = kept.iter().position(|kept| kept.key == *key && Arc::ptr_eq(&kept.code, code));
            at.map(|at| kept.swap_remove(at))
        };
        let Some(mut found) = found else {
            return self.run_fresh(code, export, params, setting, Some(key));
        };
        self.shared.kept.fetch_sub(1, Ordering::Relaxed);
        found.store.data_mut().begin(setting);
        let instance = found.instance;
        let (result, cost) = call(&mut found.store, setting, export, code, params.clone(), |_| Ok(instance));
        let sampled = is_sampled(self.turns.fetch_add(1, Ordering::Relaxed));
        match result {
            Ok(answer) if !sampled => {
                found.uses_left -= 1;
                if found.uses_left > 0 {
                    self.keep(found);
                }
                (Ok(answer), cost)
            }
            Ok(answer) => {
                let (fresh, more) = self.run_fresh(code, export, params, setting, Some(key));
                if fresh.as_ref() != Ok(&answer) {
                    self.hidden_state.store(true, Ordering::Relaxed);
                    self.shed();
                }
                (fresh, more.and(&cost))
            }
            Err(_) => {
                let (fresh, more) = self.run_fresh(code, export, params, setting, Some(key));
                (fresh, more.and(&cost))
            }
        }
    }

    /// Calls an export in a fresh instance, which is kept under `key` when all goes well.
    fn run_fresh<P, R>(
        &self,
        code: &Arc<Code>,
        export: Export,
        params: P,
        setting: &Setting,
        key: Option<&KeepKey>,
    ) -> (Result<R, Fault>, Cost)
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: Send + Sync + 'static,
        (R,): ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let mut store = match store(code, setting) {
            Ok(store) => store,
            Err(error) => return (Err(Fault::Host(format!("{error:#}"))), Cost::default()),
        };
        let mut started = None;
        let (result, cost) = call(&mut store, setting, export, code, params, |store| {
            let instance = code.pre.instantiate(store)?;
            started = Some(instance);
            Ok(instance)
        });
        if let (Ok(_), Some(key), Some(instance)) = (&result, key, started) {
            let uses_left = USES_MIN + jitter(&store, key) % USES_MIN;
            self.keep(Kept { key: *key, store, instance, code: Arc::clone(code), uses_left });
        }
        (result, cost)
    }

    fn keep(&self, kept: Kept) {
        let room = |held: usize| (held < KEPT_MAX).then_some(held + 1);
        if self.keeps() && self.shared.kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok() {
            locked(&self.kept).push(kept);
        }
    }

    /// Gives kept instances up.
    fn shed(&self) {
        let kept = std::mem::take(&mut *locked(&self.kept));
        self.shared.kept.fetch_sub(kept.len(), Ordering::Relaxed);
    }

    /// The code, loaded if need be.
    fn code(&self) -> Result<Arc<Code>, Fault> {
        *locked(&self.last_used) = Instant::now();
        let mut code = locked(&self.code);
        if let Some(code) = &*code {
            return Ok(Arc::clone(code));
        }
        let again = self.source.as_ref().map(|path| self.shared.load_again(path, &self.inspection));
        match again.expect("code is given up only where it can be loaded again") {
            Ok(loaded) => Ok(Arc::clone(code.insert(loaded))),
            Err(error) => Err(Fault::Host(format!("the plugin could not be loaded: {error}"))),
        }
    }

    /// Gives up what a guest that nobody called for `idle` holds; whether that was something.
    pub(crate) fn rest(&self, idle: Duration) -> bool {
        if locked(&self.last_used).elapsed() < idle {
            return false;
        }
        self.shed();
        self.source.is_some() && locked(&self.code).take().is_some()
    }

    /// Whether machine code is in memory.
    pub(crate) fn is_loaded(&self) -> bool {
        locked(&self.code).is_some()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.shed();
    }
}

/// Something a guest cannot foresee, to decide how long an instance lives.
fn jitter(store: &Store<State>, key: &KeepKey) -> u32 {
    let at = std::ptr::from_ref(store).addr() as u64 ^ u64::from(key[0]);
    let mixed = at.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    u32::try_from(mixed & 0xffff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_compared_often_at_first_and_never_no_more() {
        let compared = |turns: std::ops::Range<u64>| turns.filter(|&turn| is_sampled(turn)).count();
        assert_eq!(compared(0..8), 8);
        assert_eq!(compared(8..1024), 63);
        assert_eq!(compared(1024..2048), 16);
        assert_eq!(compared(1 << 40..(1 << 40) + 64), 1);
    }
}
