//! One call of an export in one instance: everything bounded, everything measured.

use std::time::{Duration, Instant};

use wasmtime::component::{ComponentNamedList, Instance, Lift, Lower};
use wasmtime::{Store, Trap};

use crate::code::Code;
use crate::error::Fault;
use crate::exports::Export;
use crate::logs::Log;
use crate::state::{Setting, State};

/// What a call used, whether it succeeded or not.
#[derive(Debug, Default)]
pub(crate) struct Cost {
    pub(crate) fuel: u64,
    pub(crate) memory_bytes: usize,
    pub(crate) elapsed: Duration,
    /// Instances it ran in.
    pub(crate) runs: u32,
    /// Of the instance whose answer counts.
    pub(crate) log: Log,
}

impl Cost {
    /// The sum of both, with the log of this one.
    pub(crate) fn and(self, earlier: &Self) -> Self {
        Self {
            fuel: self.fuel.saturating_add(earlier.fuel),
            memory_bytes: self.memory_bytes.max(earlier.memory_bytes),
            elapsed: self.elapsed + earlier.elapsed,
            runs: self.runs + earlier.runs,
            log: self.log,
        }
    }
}

/// A store with its bounds.
pub(crate) fn store(code: &Code, setting: &Setting) -> wasmtime::Result<Store<State>> {
    let mut store = Store::new(code.pre.engine(), State::new(setting));
    store.limiter(|state| &mut state.meter);
    store.set_hostcall_fuel(setting.limits.output_bytes);
    store.set_max_component_handles(setting.limits.handles);
    store.set_fuel(setting.limits.fuel)?;
    Ok(store)
}

/// Calls an export in an instance that `instance` gives, with the fuel of a whole run.
pub(crate) fn call<P, R>(
    store: &mut Store<State>,
    setting: &Setting,
    export: Export,
    code: &Code,
    params: P,
    instance: impl FnOnce(&mut Store<State>) -> wasmtime::Result<Instance>,
) -> (Result<R, Fault>, Cost)
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: Send + Sync + 'static,
    (R,): ComponentNamedList + Lift + Send + Sync + 'static,
{
    let started = Instant::now();
    let fuel = setting.limits.fuel;
    let result = store.set_fuel(fuel).and_then(|()| {
        let instance = instance(&mut *store)?;
        let at = code.export(export).ok_or_else(|| {
            let (interface, name) = export.path();
            wasmtime::format_err!("the component does not export {interface}.{name}")
        })?;
        let function = instance.get_typed_func::<P, (R,)>(&mut *store, at)?;
        Ok(function.call(&mut *store, params)?.0)
    });
    let left = store.get_fuel().unwrap_or(0);
    let state = store.data_mut();
    let result = result.map_err(|error| fault(&error, state.meter.refused));
    let cost = Cost {
        fuel: fuel.saturating_sub(left),
        memory_bytes: state.meter.peak,
        elapsed: started.elapsed(),
        runs: 1,
        log: std::mem::take(&mut state.log),
    };
    (result, cost)
}

/// What an engine's error means to us.
pub(crate) fn fault(error: &wasmtime::Error, refused: bool) -> Fault {
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return Fault::Host("all places for instances are taken".to_owned());
    }
    let cause = error.root_cause().to_string();
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Fault::Fuel,
        Some(Trap::Interrupt) => Fault::Deadline,
        _ if refused => Fault::Memory,
        Some(trap) => {
            let text = trap.to_string();
            Fault::Trapped(text.strip_prefix("wasm trap: ").unwrap_or(&text).to_owned())
        }
        // The engine's types for these are private; tests of ours fail should the words change.
        None if cause.starts_with("too much data is being copied") => Fault::Output,
        None if cause.starts_with("cannot allocate another handle") => {
            Fault::Trapped("holds more handles than it may".to_owned())
        }
        None if cause.starts_with("unknown import") || cause.starts_with("the guest ") => {
            Fault::Trapped(cause)
        }
        None => Fault::Contract(cause),
    }
}
