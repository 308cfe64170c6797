//! Derivers: plugins that derive attributes by folding events, and how their calls are made and judged.
//!
//! A [`Deriver`] is a prepared component; [`Deriver::bind`] joins it with a configuration and asks once for its shape.
//! What comes of that, a [`Derivation`], is what the engine works with: [`Derivation::fold`] takes events into many
//! states in one run, [`Derivation::combine`] joins states, [`Derivation::read`] gives values at an instant.
//!
//! What holds whatever the guest does, beside what the crate promises:
//!
//! - An answer never depends on the company: each run has the fuel of a single row however many rows it carries, and a
//!   run that fails is cut until what is at fault stands alone. So a row passes exactly if it passes alone.
//! - A row that cannot be folded is left out and named; the rows before and after it count.
//! - A state never has more bytes than the shape says, and the shape never says more than the limits allow.
//! - A value is of its output's kind and at most [`VALUE_BYTES_MAX`] bytes, and its end is after the instant of reading.

mod derivation;
mod fold;
mod read;
mod search;
mod shape;

use std::fmt;
use std::sync::Arc;

use wasmtime::component::ComponentExportIndex;

pub use derivation::{Answers, BindError, Derivation, Failed};
pub use fold::{Folded, Group, Skipped};
pub use read::{Reading, VALUE_BYTES_MAX};
pub use shape::{Laws, Output, Shape};

use crate::bindings::{self, Batch, BytesList, FoldShape, Readings};
use crate::columns::Plan;
use crate::descriptor::{Descriptor, Request};
use crate::digest::Digest;
use crate::engine::CacheUse;
use crate::error::{Error, Fault};
use crate::grants::Grants;
use crate::guest::{Exports, Guest};
use crate::inspect::Inspection;
use crate::limits::Limits;
use crate::state::State;
use crate::transformer::inert;

/// A deriver that is ready to be bound to configurations; shared by all tenants and threads that use it.
pub struct Deriver {
    guest: Guest,
    limits: Limits,
    cache_use: CacheUse,
    descriptor: Descriptor,
    plan: Plan,
    calls: Calls,
}

/// The exports of the world; the last two are optional.
struct Calls {
    shape: ComponentExportIndex,
    fold: ComponentExportIndex,
    combine: ComponentExportIndex,
    read: ComponentExportIndex,
    retract: Option<ComponentExportIndex>,
    migrate: Option<ComponentExportIndex>,
}

/// What a call that gives states answers.
type States = Result<BytesList, bindings::Failure>;
/// Parameters of a call that takes events: configuration, states, ends of the groups, events.
type WithEvents<'a> = (&'a str, &'a BytesList, &'a [u32], &'a Batch);

impl Calls {
    fn find(guest: &Guest) -> wasmtime::Result<Self> {
        let derivation = |name: &str| guest.export("derivation", name);
        let optional = |interface: &str, name: &str| {
            let exported = format!("cdp:plugin/{interface}@1.0.0");
            let there = guest.inspection.exports.contains(&exported);
            there.then(|| guest.export(interface, name)).transpose()
        };
        Ok(Self {
            shape: derivation("shape")?,
            fold: derivation("fold")?,
            combine: derivation("combine")?,
            read: derivation("read")?,
            retract: optional("retraction", "retract")?,
            migrate: optional("migration", "migrate")?,
        })
    }

    fn check(&self, exports: &mut Exports) -> wasmtime::Result<()> {
        exports.check::<(&str,), FoldShape>(&self.shape, "derivation.shape")?;
        exports.check::<WithEvents<'_>, States>(&self.fold, "derivation.fold")?;
        exports.check::<(&str, &BytesList, &BytesList), States>(&self.combine, "derivation.combine")?;
        exports.check::<(&str, i64, &BytesList), Result<Readings, bindings::Failure>>(
            &self.read,
            "derivation.read",
        )?;
        if let Some(retract) = &self.retract {
            exports.check::<WithEvents<'_>, States>(retract, "retraction.retract")?;
        }
        if let Some(migrate) = &self.migrate {
            exports.check::<(&str, u32, &BytesList), States>(migrate, "migration.migrate")?;
        }
        Ok(())
    }
}

impl Deriver {
    /// Asks a linked component what it is.
    pub(crate) fn new(guest: Guest, limits: Limits, cache_use: CacheUse) -> Result<Self, Error> {
        let state = || State::new(&limits, inert(guest.inspection.digest, None), None);
        let link = |error: wasmtime::Error| Error::Link(error.into());
        let calls = Calls::find(&guest).map_err(link)?;
        guest.check_types(&limits, state(), |exports| calls.check(exports)).map_err(link)?;
        let (raw, _) =
            guest.run::<(), bindings::Descriptor>(&guest.describe, (), limits.fuel(0), &limits, state());
        let descriptor = Descriptor::of(guest.inspection.world, raw.map_err(Error::Describe)?)
            .map_err(Error::Descriptor)?;
        let plan = Plan::new(&descriptor);
        Ok(Self { guest, limits, cache_use, descriptor, plan, calls })
    }

    /// Names the component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.guest.inspection.digest
    }

    /// What inspection found.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        &self.guest.inspection
    }

    /// What the plugin says it is and needs.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Everything it asks of a tenant, in a stable order.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.descriptor.requests()
    }

    /// Whether preparing it had to compile.
    #[must_use]
    pub fn cache_use(&self) -> CacheUse {
        self.cache_use
    }

    /// Whether it folds events of this type.
    #[must_use]
    pub fn wants(&self, event_type: &str) -> bool {
        self.plan.wants(event_type)
    }

    /// Whether it can take events out again.
    #[must_use]
    pub fn retracts(&self) -> bool {
        self.calls.retract.is_some()
    }

    /// Whether it can bring old states to its current state version.
    #[must_use]
    pub fn migrates(&self) -> bool {
        self.calls.migrate.is_some()
    }

    /// Lets the plugin judge a configuration; the inner result is its answer, each string one problem.
    ///
    /// # Errors
    /// The fault, when there is no answer.
    pub fn check_config(&self, config: &str) -> Result<Result<(), Vec<String>>, Fault> {
        let state = State::new(&self.limits, inert(self.digest(), None), None);
        let export = &self.guest.check_config;
        self.guest.run(export, (config,), self.limits.fuel(0), &self.limits, state).0
    }

    /// Joins the deriver with a configuration that it has accepted, with what a tenant granted and with limits, and asks
    /// for its shape: twice, because a shape that varies would make every state meaningless.
    ///
    /// # Errors
    /// [`BindError::Fault`] when there is no shape, [`BindError::Shape`] when it breaks the contract.
    pub fn bind(
        self: &Arc<Self>,
        config: &str,
        grants: Grants,
        limits: Limits,
    ) -> Result<Derivation, BindError> {
        let limits = self.limits.and(limits);
        let ask = || {
            let state = State::new(&limits, inert(self.digest(), None), None);
            let (raw, _) =
                self.guest.run::<_, FoldShape>(&self.calls.shape, (config,), limits.fuel(0), &limits, state);
            Shape::of(raw.map_err(BindError::Fault)?, &limits).map_err(BindError::Shape)
        };
        let shape = ask()?;
        if ask()? != shape {
            return Err(BindError::Shape(vec![
                "shape answers differently when it is asked again".to_owned(),
            ]));
        }
        Ok(Derivation::new(Arc::clone(self), config.to_owned(), grants, limits, shape))
    }
}

impl fmt::Debug for Deriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deriver")
            .field("digest", &self.digest())
            .field("descriptor", &self.descriptor)
            .finish_non_exhaustive()
    }
}
