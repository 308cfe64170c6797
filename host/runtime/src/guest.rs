//! A linked component, and one run of it: fresh store, one call, everything measured.

use std::time::{Duration, Instant};

use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Linker, Lower,
};
use wasmtime::{Store, Trap};

use crate::bindings;
use crate::error::Fault;
use crate::imports;
use crate::inert;
use crate::inspect::Inspection;
use crate::limits::Limits;
use crate::logs::Log;
use crate::state::State;

/// A component that is ready to be instantiated.
pub(crate) struct Guest {
    pub(crate) inspection: Inspection,
    pub(crate) describe: ComponentExportIndex,
    pub(crate) check_config: ComponentExportIndex,
    pub(crate) apply: ComponentExportIndex,
    pre: InstancePre<State>,
}

/// What one run used, whether it succeeded or not.
#[derive(Debug, Default)]
pub(crate) struct Cost {
    pub(crate) fuel: u64,
    pub(crate) memory_bytes: usize,
    pub(crate) elapsed: Duration,
    pub(crate) log: Log,
}

impl Guest {
    /// Links a component that inspection accepted.
    ///
    /// # Errors
    /// When an import or export has another type than the contract gives it.
    pub(crate) fn link(component: &Component, inspection: Inspection) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(component.engine());
        imports::link(&mut linker)?;
        inert::link(&mut linker, component, &inspection.imports)?;
        let export = |interface: &str, name: &str| {
            let at = component.get_export_index(None, format!("cdp:plugin/{interface}@1.0.0"));
            at.and_then(|at| component.get_export_index(Some(&at), name))
                .ok_or_else(|| wasmtime::format_err!("the component does not export {interface}.{name}"))
        };
        Ok(Self {
            describe: export("metadata", "describe")?,
            check_config: export("metadata", "check-config")?,
            apply: export("transform", "apply")?,
            pre: linker.instantiate_pre(component)?,
            inspection,
        })
    }

    /// Checks that the exports have the types of the contract, for a transformer.
    ///
    /// # Errors
    /// Names the first export that has not. A component that cannot even be instantiated passes: the next run of it
    /// says why.
    pub(crate) fn check_types(&self, limits: &Limits, state: State) -> wasmtime::Result<()> {
        let mut store = Store::new(self.pre.engine(), state);
        store.limiter(|state| &mut state.meter);
        store.set_fuel(limits.fuel(0))?;
        let Ok(instance) = self.pre.instantiate(&mut store) else { return Ok(()) };
        let store = &mut store;
        instance.get_typed_func::<(), (bindings::Descriptor,)>(&mut *store, &self.describe).map_err(
            |error| error.context("metadata.describe has another type than the contract gives it"),
        )?;
        instance
            .get_typed_func::<(&str,), (Result<(), Vec<String>>,)>(&mut *store, &self.check_config)
            .map_err(|error| {
                error.context("metadata.check-config has another type than the contract gives it")
            })?;
        instance
            .get_typed_func::<(&str, &bindings::Batch), (bindings::Outcome,)>(&mut *store, &self.apply)
            .map_err(|error| error.context("transform.apply has another type than the contract gives it"))?;
        Ok(())
    }

    /// Calls an export in a fresh instance. What the run cost comes back with either result.
    pub(crate) fn run<P, R>(
        &self,
        export: &ComponentExportIndex,
        params: P,
        fuel: u64,
        limits: &Limits,
        state: State,
    ) -> (Result<R, Fault>, Cost)
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: Send + Sync + 'static,
        (R,): ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let started = Instant::now();
        let mut store = Store::new(self.pre.engine(), state);
        store.limiter(|state| &mut state.meter);
        store.set_hostcall_fuel(limits.output_bytes);
        let result = store.set_fuel(fuel).and_then(|()| self.call::<P, R>(&mut store, export, params));
        let left = store.get_fuel().unwrap_or(0);
        let result = result.map_err(|error| fault(&error, store.data().meter.refused));
        let state = store.into_data();
        let cost = Cost {
            fuel: fuel.saturating_sub(left),
            memory_bytes: state.meter.peak,
            elapsed: started.elapsed(),
            log: state.log,
        };
        (result, cost)
    }

    fn call<P, R>(
        &self,
        store: &mut Store<State>,
        export: &ComponentExportIndex,
        params: P,
    ) -> wasmtime::Result<R>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: Send + Sync + 'static,
        (R,): ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let instance = self.pre.instantiate(&mut *store)?;
        let function = instance.get_typed_func::<P, (R,)>(&mut *store, export)?;
        Ok(function.call(store, params)?.0)
    }
}

/// What an engine's error means to us.
fn fault(error: &wasmtime::Error, refused: bool) -> Fault {
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return Fault::Host("all places for instances are taken".to_owned());
    }
    let cause = error.root_cause().to_string();
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Fault::Fuel,
        _ if refused => Fault::Memory,
        Some(trap) => {
            let text = trap.to_string();
            Fault::Trapped(text.strip_prefix("wasm trap: ").unwrap_or(&text).to_owned())
        }
        // The engine's type for this is private; a test of ours fails should the words change.
        None if cause.starts_with("too much data is being copied") => Fault::Output,
        None if cause.starts_with("unknown import") || cause.starts_with("the guest ") => {
            Fault::Trapped(cause)
        }
        None => Fault::Contract(cause),
    }
}
