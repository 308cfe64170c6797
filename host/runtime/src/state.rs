//! What a store carries: the meter of its memory, its log, and the inert world around it.

use std::sync::Arc;

use wasmtime::{ResourceLimiter, StoreContextMut, Trap};

use crate::grants::Tables;
use crate::limits::Limits;
use crate::logs::Log;

/// The data of one store, and so of one run.
pub(crate) struct State {
    pub(crate) meter: Meter,
    pub(crate) log: Log,
    pub(crate) inert: Inert,
    /// The tables of the grant, when the guest may look something up.
    pub(crate) tables: Option<Arc<dyn Tables>>,
}

/// What stands in for clocks and randomness.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Inert {
    /// What the wall clock says, in milliseconds since 1970; nothing before that.
    pub(crate) wall_ms: u64,
    /// What the monotonic clock says, in nanoseconds; each look adds a microsecond, each sleep its length.
    pub(crate) monotonic_ns: u64,
    /// Seed of the random bytes.
    pub(crate) seed: [u8; 32],
    /// How many random bytes were given out.
    pub(crate) drawn: u64,
}

impl State {
    pub(crate) fn new(limits: &Limits, inert: Inert, tables: Option<Arc<dyn Tables>>) -> Self {
        Self { meter: Meter::new(limits), log: Log::new(limits), inert, tables }
    }
}

/// Fuel that a call to the host costs; what it carries comes on top, a unit a byte.
const HOST_CALL_FUEL: u64 = 1_000;

/// Takes the price of a host call that carries so many bytes.
///
/// # Errors
/// [`Trap::OutOfFuel`] when the guest cannot pay.
pub(crate) fn charge(store: &mut StoreContextMut<'_, State>, bytes: usize) -> wasmtime::Result<()> {
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
    last: (usize, usize),
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

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if total > self.memory_bytes_max {
            self.refused = true;
            return Ok(false);
        }
        self.last = (self.memory_bytes, self.elements);
        self.memory_bytes = total;
        self.peak = self.peak.max(total);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.refused = true;
        (self.memory_bytes, self.elements) = self.last;
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.elements.saturating_add(desired.saturating_sub(current));
        if total > self.elements_max {
            self.refused = true;
            return Ok(false);
        }
        self.last = (self.memory_bytes, self.elements);
        self.elements = total;
        Ok(true)
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.refused = true;
        (self.memory_bytes, self.elements) = self.last;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_counted_together() {
        let mut meter = Meter::new(&Limits { memory_bytes: 100, ..Limits::default() });
        assert!(meter.memory_growing(0, 60, None).unwrap());
        assert!(!meter.memory_growing(0, 60, None).unwrap());
        assert!(meter.memory_growing(0, 40, None).unwrap());
        assert!(!meter.memory_growing(60, 61, None).unwrap());
        assert!(meter.refused);
        assert_eq!(meter.peak, 100);
    }
}
