//! Folds: how derived facts grow with events, and what they read at an instant.
//!
//! A state grows by [`Fold::step`], two disjoint histories join by [`Fold::combine`], in any order with the same
//! result; [`Read::read`] gives the value at an instant and until when it holds if nothing new happens.
//! Every state is a function of the **set** of events in it, so order, batching and merging people cannot matter, also
//! where a bound makes it keep less than everything: each bound says by itself what stays.
//!
//! | file | keeps |
//! | --- | --- |
//! | `spec` | what a fold is: which events, what of them, for how long |
//! | `amount` | exact sums, means and extremes of numbers and money |
//! | `series` | the times and amounts inside a window |
//! | `samples` | the values inside a window |
//! | `tally` | how often each value came, or its weight |
//! | `distinct` | how many different values: exact, then HyperLogLog |
//! | `recent` | the values seen last |
//! | `steps` | the steps of a sequence |
//! | `read` | the value and its next turn |
//! | `pattern` | yes or no over times: first time, stopped, restarted, regularly, in sequence |
//!
//! Taking an event back (a void) is not a step: the engine folds the fragment anew without it.
//!
//! To add a fold: a [`Keep`], its state with `add`, an arm in [`Spec::alone`] and in `combine`, a [`How`] that reads it,
//! and a row in the reference model of the tests, which knows nothing of any of this.

mod amount;
mod distinct;
mod entries;
mod order;
mod pattern;
mod read;
mod recent;
mod samples;
mod series;
mod spec;
mod state;
mod steps;
mod tally;

pub(crate) use amount::scaled as units;
pub use amount::{Amount, Money, SUM_SCALE, SUM_VALUE_MAX};
pub use distinct::{DISTINCT_ERROR_PERCENT, DISTINCT_EXACT_MAX};
pub use order::order;
pub use pattern::{PERIODS_MAX, Pattern};
pub use read::{At, How, Printed, Read, Reading, Unit};
pub use recent::RECENT_MAX;
pub use samples::SAMPLES_MAX;
pub use series::{SERIES_BUCKETS, SERIES_EXACT_MAX};
pub use spec::{Keep, Source, Spec};
pub use state::{CURRENCIES_MAX, State, VALUE_BYTES_MAX};
pub use steps::{STEPS_KEPT_MAX, STEPS_MAX};
pub use tally::TALLY_VALUES_MAX;

use crate::event::Event;

/// The algebra that traits, aggregates, behavioural conditions and plugin derivations share.
pub trait Fold {
    /// What is kept per fragment. `Default` is the state of no events.
    type State: Default;

    /// Takes one event in. Each event is given once; the order does not matter.
    fn step(&self, state: &mut Self::State, event: &Event);

    /// Joins two disjoint histories. Commutative and associative; the default state is neutral.
    fn combine(&self, left: Self::State, right: Self::State) -> Self::State;
}
