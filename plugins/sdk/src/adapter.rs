//! Puts a plugin's rows behind the exports of the contract.

use std::marker::PhantomData;

use crate::bindings::cdp::plugin::types::{Batch, Failure};
use crate::bindings::exports::cdp::plugin::metadata;
use crate::bindings_transform::exports::cdp::plugin::transform::{self, Outcome};
use crate::config::Problem;
use crate::patch::Writer;
use crate::row::View;
use crate::{Decision, Patch, Row, Transformer};

/// The exports of a plugin.
pub struct Adapter<T>(PhantomData<T>);

impl<T: Transformer> metadata::Guest for Adapter<T> {
    fn describe() -> metadata::Descriptor {
        T::DESCRIPTOR.into()
    }

    fn check_config(config: String) -> Result<(), Vec<String>> {
        T::configure(&config)
            .map(|_| ())
            .map_err(|problems| problems.iter().map(Problem::to_string).collect())
    }
}

impl<T: Transformer> transform::Guest for Adapter<T> {
    fn apply(config: String, events: Batch) -> Outcome {
        apply::<T>(&config, &events)
    }
}

/// Asks a plugin about each row of a batch.
pub(crate) fn apply<T: Transformer>(config: &str, events: &Batch) -> Outcome {
    let mut out = Outcome {
        decisions: Vec::new(),
        reasons: Vec::new(),
        failures: Vec::new(),
        assignments: Vec::new(),
        new_events: Vec::new(),
    };
    let config = match T::configure(config) {
        Ok(config) => config,
        Err(problems) => {
            let sentence = problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ");
            let wrong = |row| (row, Failure::Misconfigured(sentence.clone()));
            out.decisions = vec![transform::Decision::Fail; events.rows as usize];
            out.failures = (0..events.rows).map(wrong).collect();
            return out;
        }
    };
    let descriptor = T::DESCRIPTOR;
    let view = View::new(events, descriptor.event_types);
    let mut writers: Vec<Writer> =
        descriptor.writes.iter().map(|&field| Writer::new(field, events.rows as usize)).collect();
    for row in 0..events.rows {
        let mut patch = Patch { row, writers: &mut writers, children: &mut out.new_events };
        let decision = T::apply(Row { view: &view, at: row as usize }, &config, &mut patch);
        note(row, decision, events.rows, &mut out);
    }
    out.assignments = writers.into_iter().filter_map(Writer::finish).collect();
    out
}

fn note(row: u32, decision: Decision, rows: u32, out: &mut Outcome) {
    let (decision, failure) = match decision {
        Decision::Keep => {
            if !out.decisions.is_empty() {
                out.decisions.push(transform::Decision::Keep);
            }
            return;
        }
        Decision::Drop(reason) => {
            if !reason.is_empty() {
                out.reasons.push((row, reason));
            }
            (transform::Decision::Drop, None)
        }
        Decision::Reject(why) => (transform::Decision::Fail, Some(Failure::Rejected(why))),
        Decision::Retry(ms) => (transform::Decision::Fail, Some(Failure::Transient(ms))),
        Decision::Misconfigured(why) => (transform::Decision::Fail, Some(Failure::Misconfigured(why))),
    };
    if out.decisions.is_empty() {
        // All were kept so far.
        out.decisions.reserve(rows as usize);
        out.decisions.resize(row as usize, transform::Decision::Keep);
    }
    out.decisions.push(decision);
    if let Some(failure) = failure {
        out.failures.push((row, failure));
    }
}
