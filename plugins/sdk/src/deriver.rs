//! Derivers: plugins that derive attributes by folding events.

use crate::bindings_deriver::exports::cdp::plugin::derivation::{self, FoldShape, Readings};
use crate::config::Problem;
use crate::patch::Patch;
use crate::{Descriptor, Kind, Row};

/// Derives attributes by folding events, one at a time, into a state that the host keeps.
///
/// The host keeps a state for each set of identifiers, joins them when people are joined, and reads them when somebody
/// asks. A plugin remembers nothing by itself.
pub trait Deriver {
    /// The configuration, read once for each call.
    type Config;
    /// What is known of some events. [`Default`] is the state of none.
    type State: State;

    /// What the plugin is and needs. The positions of `reads` are how rows name fields; `writes` stays empty.
    const DESCRIPTOR: Descriptor;
    /// What it derives and what it promises. The positions of `outputs` are how readings name them.
    const SHAPE: Shape;

    /// Reads the tenant's configuration text, which is empty when there is none.
    ///
    /// # Errors
    /// Every problem. The host shows them before it activates the plugin.
    fn configure(text: &str) -> Result<Self::Config, Vec<Problem>>;

    /// Takes one event into the state. Events of one person come in canonical order where the order matters, that is
    /// where [`Laws::commutative`] is not promised.
    ///
    /// # Errors
    /// Why this event can never be folded; the host leaves it out and says so.
    fn fold(row: Row<'_>, config: &Self::Config, state: &mut Self::State) -> Result<(), String>;

    /// Takes the state of other events into this one; no event is in both. Called only where [`Laws::mergeable`] is
    /// promised and was found true.
    fn combine(into: &mut Self::State, other: &Self::State, config: &Self::Config);

    /// Gives the values of a state at an instant, in milliseconds since 1970. What is not set has no value.
    fn read(state: &Self::State, as_of: i64, config: &Self::Config, reading: &mut Reading<'_>);
}

/// A [`Deriver`] that can take events out again. Optional: without it the host folds anew what is left.
pub trait Retracting: Deriver {
    /// Takes one event that was folded out of the state.
    ///
    /// # Errors
    /// Why it cannot; the host then folds anew what is left.
    fn retract(row: Row<'_>, config: &Self::Config, state: &mut Self::State) -> Result<(), String>;
}

/// A [`Deriver`] that understands states of its older versions. Optional: without it the host folds anew.
pub trait Migrating: Deriver {
    /// Brings a state of an older [`Shape::state_version`] to the current one; None when it cannot.
    fn migrate(old_version: u32, bytes: &[u8], config: &Self::Config) -> Option<Self::State>;
}

/// A state as bytes.
pub trait State: Default {
    /// Reads what [`Self::encode`] wrote, which is never empty here; None when it is no such thing.
    fn decode(bytes: &[u8]) -> Option<Self>;

    /// Writes the state. Equal states must give equal bytes, and a state that is not the default at least one.
    fn encode(&self, out: &mut Vec<u8>);
}

/// What a deriver gives, and what it promises.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Raise it when the meaning of state bytes changes.
    pub state_version: u32,
    /// Promises, each of which the host tests before it relies on it.
    pub laws: Laws,
    /// Values it gives.
    pub outputs: &'static [Output],
    /// Bytes of one state, at most.
    pub max_state_bytes: u32,
    /// Events older than this many days cannot matter any more; None means all matter.
    pub lookback_days: Option<u32>,
}

/// Promises about `fold` and `combine`. What is not promised costs the host a replay of a person's events where the
/// promise would have spared it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Laws {
    /// The order of events changes nothing.
    pub commutative: bool,
    /// Combining the states of two disjoint histories gives the same as folding both.
    pub mergeable: bool,
    /// Folding an event twice gives the same as once.
    pub idempotent: bool,
}

/// A value that a deriver gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// 1 to 64 of `a-z`, `0-9`, `_` and `-`.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
}

/// An output.
#[must_use]
pub const fn output(name: &'static str, kind: Kind) -> Output {
    Output { name, kind }
}

/// Takes the values of one state; outputs are named by their position in [`Shape::outputs`].
///
/// # Panics
/// The setters panic when a position is beyond the outputs or the setter does not fit the declared kind: a mistake in the
/// plugin, which its first test shows.
pub struct Reading<'a> {
    pub(crate) patch: Patch<'a>,
    pub(crate) valid_until: &'a mut Option<i64>,
}

impl Reading<'_> {
    /// Sets an output of kind `text`.
    pub fn set_text(&mut self, output: usize, text: &str) {
        self.patch.set_text(output, text);
    }

    /// Sets an output of kind `decimal`: plain notation without an exponent, such as `64.2`.
    pub fn set_decimal(&mut self, output: usize, digits: &str) {
        self.patch.set_decimal(output, digits);
    }

    /// Sets an output of kind `json`, given as JSON text.
    pub fn set_json(&mut self, output: usize, json: &str) {
        self.patch.set_json(output, json);
    }

    /// Sets an output of kind `integer`.
    pub fn set_integer(&mut self, output: usize, integer: i64) {
        self.patch.set_integer(output, integer);
    }

    /// Sets an output of kind `number`, which must be finite.
    pub fn set_number(&mut self, output: usize, number: f64) {
        self.patch.set_number(output, number);
    }

    /// Sets an output of kind `boolean`.
    pub fn set_boolean(&mut self, output: usize, boolean: bool) {
        self.patch.set_boolean(output, boolean);
    }

    /// Says that the values may change at this instant without a new event, in milliseconds since 1970 and after the
    /// instant of the reading; of several the earliest counts. The host reads again then.
    pub fn changes_at(&mut self, at: i64) {
        *self.valid_until = Some(self.valid_until.map_or(at, |known| known.min(at)));
    }
}

impl From<Shape> for FoldShape {
    fn from(shape: Shape) -> Self {
        let law =
            |promised: bool, law: derivation::Laws| if promised { law } else { derivation::Laws::empty() };
        let laws = law(shape.laws.commutative, derivation::Laws::COMMUTATIVE)
            | law(shape.laws.mergeable, derivation::Laws::MERGEABLE)
            | law(shape.laws.idempotent, derivation::Laws::IDEMPOTENT);
        let output = |output: &Output| derivation::Output { name: output.name.to_owned(), kind: output.kind };
        Self {
            state_version: shape.state_version,
            laws,
            outputs: shape.outputs.iter().map(output).collect(),
            max_state_bytes: shape.max_state_bytes,
            lookback_days: shape.lookback_days,
        }
    }
}

/// Makes a [`Deriver`] the component's exports; `| retraction` and `| migration` export [`Retracting`] and [`Migrating`]
/// too. Once in a crate; does nothing on targets other than WebAssembly.
///
/// ```ignore
/// export_deriver!(Spend);
/// export_deriver!(Spend | retraction);
/// export_deriver!(Spend | retraction | migration);
/// ```
#[macro_export]
macro_rules! export_deriver {
    ($plugin:ty $(| $extra:ident)*) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type CdpExports = $crate::DeriverAdapter<$plugin>;
            $crate::bindings::export!(CdpExports with_types_in $crate::bindings);
            $crate::bindings_deriver::export!(CdpExports with_types_in $crate::bindings_deriver);
            $($crate::export_deriver!(@ $extra CdpExports);)*
        };
    };
    (@ retraction $plugin:ident) => {
        $crate::bindings_retraction::export!($plugin with_types_in $crate::bindings_retraction);
    };
    (@ migration $plugin:ident) => {
        $crate::bindings_migration::export!($plugin with_types_in $crate::bindings_migration);
    };
}

pub(crate) type States = Result<derivation::BytesList, derivation::Failure>;
pub(crate) type ReadingsOr = Result<Readings, derivation::Failure>;
