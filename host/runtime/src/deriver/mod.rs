//! Derivers: plugins that derive attributes by folding events, and how their calls are made and judged.
//!
//! A [`Deriver`] is a prepared component; [`Deriver::bind`] joins it with a configuration and asks once for its shape.
//! What comes of that, a [`Derivation`], is what the engine works with: [`Derivation::fold`] takes events into many
//! states in one run, [`Derivation::combine`] joins states, [`Derivation::read`] gives values at an instant.
//!
//! What holds whatever the guest does, beside what the crate promises:
//!
//! - An answer never depends on the company: a run has the bounds of a single row however many rows it carries, and is
//!   cut until what is at fault stands alone. So a row passes exactly if it passes alone; [`Limits`] says why.
//! - A row that cannot be folded is left out and named; the rows before and after it count.
//! - A state never has more bytes than the shape says, and the shape never says more than the limits allow.
//! - A value is of its output's kind and at most [`VALUE_BYTES_MAX`] bytes, and its end is after the instant of reading.

mod derivation;
mod fold;
mod laws;
mod read;
mod search;
mod shape;

use std::fmt;
use std::sync::Arc;

pub use derivation::{Answers, BindError, Derivation, Failed};
pub use fold::{Folded, Group, Skipped};
pub use laws::{Law, Tested};
pub use read::{Reading, VALUE_BYTES_MAX};
pub use shape::{Laws, Output, Shape};

use crate::bindings::{self, Batch, BytesList, FoldShape, Readings};
use crate::columns::Plan;
use crate::descriptor::{Descriptor, Request};
use crate::digest::Digest;
use crate::engine::CacheUse;
use crate::error::{Error, Fault};
use crate::exports::Export;
use crate::grants::Grants;
use crate::guest::Guest;
use crate::inspect::{CONTRACT, Inspection};
use crate::limits::Limits;
use crate::told::Probe;

/// A deriver that is ready to be bound to configurations; shared by all threads of a tenant.
pub struct Deriver {
    guest: Arc<Guest>,
    limits: Limits,
    descriptor: Descriptor,
    plan: Plan,
}

/// What a call that gives states answers.
type States = Result<BytesList, bindings::Failure>;
/// Parameters of a call that takes events: configuration, states, ends of the groups, events.
type WithEvents<'a> = (&'a str, &'a BytesList, &'a [u32], &'a Batch);

/// What the world's functions take and give.
pub(crate) fn check_types(probe: &mut Probe<'_>) -> Result<(), Error> {
    probe.check::<(&str,), FoldShape>(Export::Shape)?;
    probe.check::<WithEvents<'_>, States>(Export::Fold)?;
    probe.check::<(&str, &BytesList, &BytesList), States>(Export::Combine)?;
    probe.check::<(&str, i64, &BytesList), Result<Readings, bindings::Failure>>(Export::Read)?;
    probe.check::<WithEvents<'_>, States>(Export::Retract)?;
    probe.check::<(&str, u32, &BytesList), States>(Export::Migrate)
}

impl Deriver {
    pub(crate) fn new(guest: Arc<Guest>, descriptor: Descriptor, limits: Limits) -> Self {
        let plan = Plan::new(&descriptor);
        Self { guest, limits, descriptor, plan }
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
        self.guest.cache_use
    }

    /// Whether it folds events of this type.
    #[must_use]
    pub fn wants(&self, event_type: &str) -> bool {
        self.plan.wants(event_type)
    }

    /// Whether it can take events out again.
    #[must_use]
    pub fn retracts(&self) -> bool {
        self.exports("retraction")
    }

    /// Whether it can bring old states to its current state version.
    #[must_use]
    pub fn migrates(&self) -> bool {
        self.exports("migration")
    }

    fn exports(&self, interface: &str) -> bool {
        let name = format!("cdp:plugin/{interface}@{CONTRACT}");
        self.guest.inspection.exports.contains(&name)
    }

    /// Whether a kept instance once answered otherwise than a fresh one; see
    /// [`Transformer::has_hidden_state`](crate::Transformer::has_hidden_state).
    #[must_use]
    pub fn has_hidden_state(&self) -> bool {
        self.guest.has_hidden_state()
    }

    /// Lets the plugin judge a configuration; the inner result is its answer, each string one problem.
    ///
    /// # Errors
    /// The fault, when there is no answer.
    pub fn check_config(&self, config: &str) -> Result<Result<(), Vec<String>>, Fault> {
        let setting = self.guest.setting(self.limits);
        self.guest.run(Export::CheckConfig, (config,), &setting, None).0
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
            let setting = self.guest.setting(limits);
            let (raw, _) = self.guest.run::<_, FoldShape>(Export::Shape, (config,), &setting, None);
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
