//! What a store carries: the meter of its memory, its log, and the inert world around it.

use std::sync::Arc;

use wasmtime::{ResourceLimiter, StoreContextMut, Trap, bail};

use crate::connector::Lent;
use crate::grants::Tables;
use crate::limits::Limits;
use crate::logs::Log;

/// The data of one store.
pub(crate) struct State {
    pub(crate) meter: Meter,
    pub(crate) log: Log,
    pub(crate) inert: Inert,
    /// The tables of the grant, when the guest may look something up.
    pub(crate) tables: Option<Arc<dyn Tables>>,
    /// What the host lends to a connector that sends by itself. Its engine knows no fuel.
    pub(crate) lent: Option<Lent>,
    /// Whether calls to the host cost fuel.
    pub(crate) metered: bool,
}

/// What one run is given, beside what it is asked.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) limits: Limits,
    pub(crate) inert: Inert,
    pub(crate) tables: Option<Arc<dyn Tables>>,
}

impl Setting {
    /// Bounds, a world that knows nothing but the component's digest, and perhaps tables.
    pub(crate) fn new(limits: Limits, seed: [u8; 32], tables: Option<Arc<dyn Tables>>) -> Self {
        Self { limits, inert: Inert { seed, ..Inert::default() }, tables }
    }
}

/// What stands in for clocks and randomness. The wall clock stands still at the beginning of 1970: any other instant
/// would have to come from the batch, and then answers would depend on how rows are cut.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Inert {
    /// What the monotonic clock says, in nanoseconds; each look adds a microsecond, each sleep its length.
    pub(crate) monotonic_ns: u64,
    /// Seed of the random bytes.
    pub(crate) seed: [u8; 32],
    /// How many random bytes were given out.
    pub(crate) drawn: u64,
}

impl State {
    pub(crate) fn new(setting: &Setting) -> Self {
        Self {
            meter: Meter::new(&setting.limits),
            log: Log::new(&setting.limits),
            inert: setting.inert,
            tables: setting.tables.clone(),
            lent: None,
            metered: true,
        }
    }

    /// Makes ready for the next run in an instance that is kept: what it holds stays counted, all else begins anew.
    pub(crate) fn begin(&mut self, setting: &Setting) {
        self.meter.begin(&setting.limits);
        self.log = Log::new(&setting.limits);
        self.inert = setting.inert;
        self.tables.clone_from(&setting.tables);
    }
}

/// Fuel that a call to the host costs; what it carries comes on top, a unit a byte.
const HOST_CALL_FUEL: u64 = 1_000;

/// Takes the price of a host call that carries so many bytes.
///
/// # Errors
/// [`Trap::OutOfFuel`] when the guest cannot pay.
pub(crate) fn charge(store: &mut StoreContextMut<'_, State>, bytes: usize) -> wasmtime::Result<()> {
    if !store.data().metered {
        return Ok(());
    }
    let price = HOST_CALL_FUEL.saturating_add(bytes as u64);
    let left = store.get_fuel()?;
    store.set_fuel(left.saturating_sub(price))?;
    if left < price { Err(Trap::OutOfFuel.into()) } else { Ok(()) }
}

/// Counts memory and table space over all memories and tables of a store.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    memory_bytes: usize,
    memory_bytes_max: usize,
    elements: usize,
    elements_max: usize,
    /// The most that was held at once.
    pub(crate) peak: usize,
    /// Whether something was refused; a trap after that is put down to it.
    pub(crate) refused: bool,
}

impl Meter {
    fn new(limits: &Limits) -> Self {
        Self { memory_bytes_max: limits.memory_bytes, elements_max: limits.table_elements, ..Self::default() }
    }
}

impl Meter {
    fn begin(&mut self, limits: &Limits) {
        self.memory_bytes_max = limits.memory_bytes;
        self.elements_max = limits.table_elements;
        self.peak = self.memory_bytes;
        self.refused = false;
    }

    fn refuse(&mut self) -> wasmtime::Result<bool> {
        self.refused = true;
        bail!("the guest asked for more memory than it may have")
    }
}

/// A refusal is a trap: a guest that saw it could answer otherwise, and then answers would depend on its company.
impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        own_max: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if total > self.memory_bytes_max {
            return self.refuse();
        }
        // The guest's own bound is a part of the guest: it fails the same way wherever it runs.
        if own_max.is_some_and(|max| desired > max) {
            return Ok(false);
        }
        self.memory_bytes = total;
        self.peak = self.peak.max(total);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.refuse().map(|_| ())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        own_max: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.elements.saturating_add(desired.saturating_sub(current));
        if total > self.elements_max {
            return self.refuse();
        }
        // The guest's own bound is a part of the guest: it fails the same way wherever it runs.
        if own_max.is_some_and(|max| desired > max) {
            return Ok(false);
        }
        self.elements = total;
        Ok(true)
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.refuse().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_counted_together() {
        let mut meter = Meter::new(&Limits { memory_bytes: 100, ..Limits::default() });
        assert!(meter.memory_growing(0, 60, None).unwrap());
        meter.memory_growing(0, 60, None).unwrap_err();
        assert!(meter.memory_growing(0, 40, None).unwrap());
        meter.memory_growing(60, 61, None).unwrap_err();
        assert!(meter.refused);
        assert_eq!(meter.peak, 100);
    }
}
