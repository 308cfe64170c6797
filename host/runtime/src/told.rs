//! What a component says of itself. It depends on nothing but the component, so it is asked once, kept with the code and
//! beside it on disk under the same key, and a plugin that is loaded again is not started only to be asked again.

use serde::{Deserialize, Serialize};
use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, Instance, Lift, Lower};

use crate::bindings;
use crate::cache::Cache;
use crate::call::{call, store};
use crate::code::{Code, Shared};
use crate::connector;
use crate::deriver;
use crate::descriptor::Descriptor;
use crate::error::{Cause, Error};
use crate::exports::Export;
use crate::inspect::{Inspection, World};
use crate::state::{Setting, State};
use crate::transformer;

/// Starting and describing burns at least this much fuel in a guest whose instances are worth keeping: those of QuickJS, CPython and
/// Go burn more, those of Rust and C less. Fuel and not time, so that it is the same on every machine, however busy that is.
const DEAR: u64 = 50_000;

/// The answer of a component whose exports have the types of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) descriptor: Descriptor,
    /// Whether instances are worth keeping.
    pub(crate) dear: bool,
}

impl Told {
    /// What was kept beside the code; else the component is asked, and the answer kept. What another release kept is held
    /// against the rules for descriptors like an answer.
    ///
    /// # Errors
    /// Those of `ask`.
    pub(crate) fn kept_or(
        cache: Option<&Cache>,
        inspection: &Inspection,
        ask: impl FnOnce() -> Result<Self, Error>,
    ) -> Result<Self, Error> {
        let kept = cache.and_then(|cache| cache.told(inspection.digest));
        if let Some(kept) = kept.filter(|kept| kept.descriptor.problems(inspection.world).is_empty()) {
            return Ok(kept);
        }
        let told = ask()?;
        // As with the code: what cannot be kept costs time at the next start and nothing else.
        _ = cache.map(|cache| cache.keep(inspection.digest, &told));
        Ok(told)
    }

    /// Checks the types of what a component exports, has it describe itself, and sees what starting it costs.
    ///
    /// # Errors
    /// [`Error::Link`] when an export has another type; [`Error::Describe`] when there is no answer;
    /// [`Error::Descriptor`] when the answer breaks the contract.
    pub(crate) fn ask(code: &Code, shared: &Shared) -> Result<Self, Error> {
        let world = code.inspection.world;
        let setting = Setting::new(shared.limits, code.inspection.digest.0, None);
        let _place = shared.places.take(0);
        if let Some(mut probe) = Probe::start(code, &setting)? {
            probe.check::<(), bindings::Descriptor>(Export::Describe)?;
            probe.check::<(&str,), Result<(), Vec<String>>>(Export::CheckConfig)?;
            match world {
                World::Transformer | World::ConnectorIo => transformer::check_types(&mut probe),
                World::Deriver => deriver::check_types(&mut probe),
                World::ConnectorPlan => connector::check_planner_types(&mut probe),
            }?;
        }
        let mut store = store(code, &setting).map_err(|error| Error::Link(error.into()))?;
        let instance = |store: &mut Store<State>| code.pre.instantiate(store);
        let (answer, cost) =
            call::<(), bindings::Descriptor>(&mut store, &setting, Export::Describe, code, (), instance);
        let descriptor =
            Descriptor::of(world, answer.map_err(Error::Describe)?).map_err(Error::Descriptor)?;
        Ok(Self { descriptor, dear: cost.fuel >= DEAR })
    }
}

/// An instance that says which types its exports have, and is not called.
pub(crate) struct Probe<'a> {
    code: &'a Code,
    store: Store<State>,
    instance: Instance,
}

impl<'a> Probe<'a> {
    /// None where a component cannot even be instantiated: the next call says why.
    fn start(code: &'a Code, setting: &Setting) -> Result<Option<Self>, Error> {
        let mut store = store(code, setting).map_err(|error| Error::Link(error.into()))?;
        let instance = code.pre.instantiate(&mut store);
        Ok(instance.ok().map(|instance| Self { code, store, instance }))
    }

    /// Checks that an export, if there is one, has the type of the contract.
    ///
    /// # Errors
    /// [`Error::Link`] naming the export.
    pub(crate) fn check<P, R>(&mut self, export: Export) -> Result<(), Error>
    where
        P: ComponentNamedList + Lower,
        (R,): ComponentNamedList + Lift,
    {
        let Some(at) = self.code.export(export) else { return Ok(()) };
        let found = self.instance.get_typed_func::<P, (R,)>(&mut self.store, at);
        found.map(drop).map_err(|error| {
            let (interface, name) = export.path();
            let sentence = format!("{interface}.{name} has another type than the contract gives it");
            Error::Link(Cause::from(error.context(sentence)))
        })
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::Engine;

    use super::*;
    use crate::digest::Digest;
    use crate::error::Fault;

    fn told(version: &str) -> Told {
        let descriptor = Descriptor {
            name: "hygiene".into(),
            version: version.into(),
            summary: String::new(),
            event_types: Vec::new(),
            reads: Vec::new(),
            writes: Vec::new(),
            config_schema: String::new(),
            secrets: Vec::new(),
            hosts: Vec::new(),
            tables: Vec::new(),
        };
        Told { descriptor, dear: true }
    }

    #[test]
    fn what_was_kept_counts_as_long_as_the_rules_accept_it() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path(), [1; 32], &Engine::default()).unwrap();
        let inspection = Inspection {
            digest: Digest([7; 32]),
            world: World::Transformer,
            bytes: 0,
            imports: Vec::new(),
            exports: Vec::new(),
            functions: 0,
            modules: 0,
            memories: 0,
            types: 0,
        };
        let known = |answer: Option<Told>| {
            Told::kept_or(Some(&cache), &inspection, || answer.ok_or(Error::Describe(Fault::Fuel)))
        };
        assert!(known(None).is_err(), "nothing is kept, so it is asked");
        assert_eq!(known(Some(told("1.0.0"))).unwrap(), told("1.0.0"));
        assert_eq!(known(None).unwrap(), told("1.0.0"), "kept, so nobody asks");
        cache.keep(inspection.digest, &told("one")).unwrap();
        assert!(known(None).is_err(), "kept by a release that took any word for a version");
        assert_eq!(known(Some(told("1.0.1"))).unwrap(), told("1.0.1"));
        assert_eq!(known(None).unwrap(), told("1.0.1"), "the new answer is kept");
    }
}
