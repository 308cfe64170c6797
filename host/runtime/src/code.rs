//! Machine code: made in a child or taken from the cache, shared by all guests of one component, and given up when idle.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use wasmtime::Engine;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};

use crate::cache::{self, Cache};
use crate::compiler::Compiler;
use crate::digest::Digest;
use crate::engine::{CacheUse, Work};
use crate::error::Error;
use crate::exports::Export;
use crate::guest::Guest;
use crate::imports;
use crate::inert;
use crate::inspect::{CONTRACT, Inspection};
use crate::limits::Limits;
use crate::places::{Places, locked};
use crate::state::State;
use crate::told::Told;

/// A component that is ready to be instantiated for pure work.
pub(crate) struct Code {
    pub(crate) inspection: Inspection,
    pub(crate) pre: InstancePre<State>,
    exports: Vec<(Export, ComponentExportIndex)>,
    told: OnceLock<Told>,
}

impl Code {
    /// Links a component that inspection accepted.
    fn link(component: &Component, inspection: &Inspection) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(component.engine());
        imports::link(&mut linker)?;
        inert::link(&mut linker, component, &inspection.imports)?;
        let exports = exports(component, inspection)?;
        let told = OnceLock::new();
        Ok(Self { exports, told, pre: linker.instantiate_pre(component)?, inspection: inspection.clone() })
    }

    pub(crate) fn export(&self, export: Export) -> Option<&ComponentExportIndex> {
        self.exports.iter().find(|(known, _)| *known == export).map(|(_, at)| at)
    }
}

/// Where the functions of the component's world are.
pub(crate) fn exports(
    component: &Component,
    inspection: &Inspection,
) -> wasmtime::Result<Vec<(Export, ComponentExportIndex)>> {
    let find = |export: Export| {
        let (interface, name) = export.path();
        let at = component.get_export_index(None, format!("cdp:plugin/{interface}@{CONTRACT}"))?;
        component.get_export_index(Some(&at), name).map(|at| (export, at))
    };
    let mut all = Vec::new();
    for &export in Export::required(inspection.world) {
        let (interface, name) = export.path();
        all.push(
            find(export)
                .ok_or_else(|| wasmtime::format_err!("the component does not export {interface}.{name}"))?,
        );
    }
    all.extend(Export::optional(inspection.world).iter().filter_map(|&export| find(export)));
    Ok(all)
}

/// What all guests of a runtime share.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    pub(crate) places: Places,
    /// Instances kept by all guests together.
    pub(crate) kept: AtomicUsize,
    pub(crate) compiler: Option<Compiler>,
    pub(crate) cache: Option<Cache>,
    loaded: Mutex<HashMap<Digest, Weak<Code>>>,
    guests: Mutex<Vec<Weak<Guest>>>,
}

impl Shared {
    pub(crate) fn new(
        engine: Engine,
        limits: Limits,
        places: usize,
        compiler: Option<Compiler>,
        cache: Option<Cache>,
    ) -> Self {
        Self {
            engine,
            limits,
            places: Places::new(places),
            kept: AtomicUsize::new(0),
            compiler,
            cache,
            loaded: Mutex::default(),
            guests: Mutex::default(),
        }
    }

    /// The code of a component that is loaded already or in the cache; None where it has to be compiled. What is in the cache
    /// passed inspection before it came there.
    ///
    /// # Errors
    /// [`Error::Link`].
    pub(crate) fn find(&self, digest: Digest) -> Result<Option<(Arc<Code>, CacheUse)>, Error> {
        if let Some(code) = locked(&self.loaded).get(&digest).and_then(Weak::upgrade) {
            return Ok(Some((code, CacheUse::Shared)));
        }
        let found = self.cache.as_ref().and_then(|cache| cache.load(&self.engine, digest));
        let Some((compiled, inspection)) = found else { return Ok(None) };
        Ok(Some((self.link(&compiled, &inspection)?, CacheUse::Loaded)))
    }

    /// The code of a component that inspection accepted: found, else compiled.
    ///
    /// # Errors
    /// [`Error::Compile`], [`Error::Compiler`] and [`Error::Link`].
    pub(crate) fn load(
        &self,
        component: &[u8],
        inspection: &Inspection,
    ) -> Result<(Arc<Code>, CacheUse), Error> {
        if let Some(found) = self.find(inspection.digest)? {
            return Ok(found);
        }
        let (compiled, cache_use) = compile(
            (&self.engine, Work::Pure),
            self.compiler.as_ref(),
            self.cache.as_ref(),
            component,
            inspection,
        )?;
        Ok((self.link(&compiled, inspection)?, cache_use))
    }

    fn link(&self, compiled: &Component, inspection: &Inspection) -> Result<Arc<Code>, Error> {
        let code = Arc::new(Code::link(compiled, inspection).map_err(|error| Error::Link(error.into()))?);
        let mut loaded = locked(&self.loaded);
        loaded.retain(|_, code| code.strong_count() > 0);
        loaded.insert(inspection.digest, Arc::downgrade(&code));
        Ok(code)
    }

    /// What a component says of itself: known, else asked.
    ///
    /// # Errors
    /// Those of [`Told::ask`].
    pub(crate) fn told(&self, code: &Code) -> Result<Told, Error> {
        if let Some(told) = code.told.get() {
            return Ok(told.clone());
        }
        let told = Told::kept_or(self.cache.as_ref(), &code.inspection, || Told::ask(code, self))?;
        Ok(code.told.get_or_init(|| told).clone())
    }

    /// Loads the code of a component that was prepared before and lies in a file.
    ///
    /// # Errors
    /// As [`Self::load`]; [`Error::Source`] when the file cannot be read or is another component.
    pub(crate) fn load_again(&self, path: &Path, inspection: &Inspection) -> Result<Arc<Code>, Error> {
        // The component itself is needed only where the cache has nothing.
        if let Some((code, _)) = self.find(inspection.digest)? {
            return Ok(code);
        }
        let component = read(path, inspection.digest)?;
        self.load(&component, inspection).map(|(code, _)| code)
    }

    /// Takes a guest among those that are asked to rest.
    pub(crate) fn know(&self, guest: &Arc<Guest>) {
        let mut guests = locked(&self.guests);
        guests.retain(|guest| guest.strong_count() > 0);
        guests.push(Arc::downgrade(guest));
    }

    /// Has guests that nobody called for `idle` give up what they hold; how many gave up machine code.
    pub(crate) fn rest(&self, idle: Duration) -> usize {
        let guests: Vec<_> = locked(&self.guests).iter().filter_map(Weak::upgrade).collect();
        guests.iter().filter(|guest| guest.rest(idle)).count()
    }

    /// Guests whose machine code is in memory.
    pub(crate) fn loaded(&self) -> usize {
        let guests: Vec<_> = locked(&self.guests).iter().filter_map(Weak::upgrade).collect();
        guests.iter().filter(|guest| guest.is_loaded()).count()
    }
}

/// Reads a component that must be the one named.
pub(crate) fn read(path: &Path, digest: Digest) -> Result<Vec<u8>, Error> {
    let component = std::fs::read(path).map_err(Error::Source)?;
    if Digest::of(&component) != digest {
        return Err(Error::Source(std::io::Error::other("a stored component is not what was uploaded")));
    }
    Ok(component)
}

/// Compiles a component and keeps the result for the next start.
pub(crate) fn compile(
    (engine, work): (&Engine, Work),
    compiler: Option<&Compiler>,
    cache: Option<&Cache>,
    component: &[u8],
    inspection: &Inspection,
) -> Result<(Component, CacheUse), Error> {
    let code = match compiler {
        Some(compiler) => compiler.compile(work, component)?,
        None => engine.precompile_component(component).map_err(|error| Error::Compile(error.into()))?,
    };
    // Not loaded is what starts larger than any instance may get.
    let compiled = cache::deserialize(engine, &code).map_err(|error| Error::Compile(error.into()))?;
    // A cache that cannot be written costs time at the next start and nothing else.
    let stored = cache.is_some_and(|cache| cache.store(inspection, &code).is_ok());
    Ok((compiled, if stored { CacheUse::Stored } else { CacheUse::Compiled }))
}
