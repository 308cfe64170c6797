//! A linked component, and one run of it: fresh store, one call, everything measured.

use std::time::{Duration, Instant};

use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Linker, Lower,
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
        Ok(Self {
            describe: export(component, "metadata", "describe")?,
            check_config: export(component, "metadata", "check-config")?,
            pre: linker.instantiate_pre(component)?,
            inspection,
        })
    }

    /// An export of the contract, by its interface and name.
    ///
    /// # Errors
    /// When the component does not have it.
    pub(crate) fn export(&self, interface: &str, name: &str) -> wasmtime::Result<ComponentExportIndex> {
        export(self.pre.component(), interface, name)
    }

    /// Checks that the exports have the types of the contract: those of every world here, those of one by `of_world`.
    ///
    /// # Errors
    /// Names the first export that has not. A component that cannot even be instantiated passes: the next run of it
    /// says why.
    pub(crate) fn check_types(
        &self,
        limits: &Limits,
        state: State,
        of_world: impl FnOnce(&mut Exports) -> wasmtime::Result<()>,
    ) -> wasmtime::Result<()> {
        let mut store = Store::new(self.pre.engine(), state);
        store.limiter(|state| &mut state.meter);
        store.set_fuel(limits.fuel(0))?;
        let Ok(instance) = self.pre.instantiate(&mut store) else { return Ok(()) };
        let mut exports = Exports { store, instance };
        exports.check::<(), bindings::Descriptor>(&self.describe, "metadata.describe")?;
        exports.check::<(&str,), Result<(), Vec<String>>>(&self.check_config, "metadata.check-config")?;
        of_world(&mut exports)
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

fn export(component: &Component, interface: &str, name: &str) -> wasmtime::Result<ComponentExportIndex> {
    let at = component.get_export_index(None, format!("cdp:plugin/{interface}@1.0.0"));
    at.and_then(|at| component.get_export_index(Some(&at), name))
        .ok_or_else(|| wasmtime::format_err!("the component does not export {interface}.{name}"))
}

/// The exports of an instance whose types are to be checked.
pub(crate) struct Exports {
    store: Store<State>,
    instance: Instance,
}

impl Exports {
    /// Checks that an export takes `P` and gives `R`.
    ///
    /// # Errors
    /// Names it, when it does not.
    pub(crate) fn check<P, R>(&mut self, export: &ComponentExportIndex, name: &str) -> wasmtime::Result<()>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: Send + Sync + 'static,
        (R,): ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let typed = self.instance.get_typed_func::<P, (R,)>(&mut self.store, export);
        typed
            .map(|_| ())
            .map_err(|error| error.context(format!("{name} has another type than the contract gives it")))
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
