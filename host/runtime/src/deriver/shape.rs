//! What a deriver says about its states and outputs, checked before anybody relies on it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::bindings::{self, FoldShape};
use crate::descriptor::{Kind, quoted};
use crate::limits::Limits;

/// Outputs of one derivation, at most.
const OUTPUTS_MAX: usize = 32;
/// Bytes of an output's name, at most.
const OUTPUT_NAME_BYTES_MAX: usize = 64;
/// The longest look-back: a hundred years of days.
const LOOKBACK_DAYS_MAX: u32 = 36_525;

/// How a derivation folds, for one configuration; everything in it obeys the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Raised by the author when the meaning of state bytes changes.
    pub state_version: u32,
    /// What it promises about `fold` and `combine`; to be tested before it is relied on.
    pub laws: Laws,
    /// What it derives, 1 to 32, each name once.
    pub outputs: Vec<Output>,
    /// Bytes of one state, at most.
    pub max_state_bytes: usize,
    /// Events older than this many days do not matter any more; None means all matter.
    pub lookback_days: Option<u32>,
}

/// Promises about `fold` and `combine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Laws {
    /// The order of events does not change what `read` returns.
    pub commutative: bool,
    /// Joining the states of two disjoint histories reads the same as folding both.
    pub mergeable: bool,
    /// Folding an event twice reads the same as once.
    pub idempotent: bool,
}

/// One value that a derivation gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// 1 to 64 of `a-z`, `0-9`, `_` and `-`.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

impl Shape {
    /// Takes a guest's answer, if it obeys the contract.
    pub(super) fn of(raw: FoldShape, limits: &Limits) -> Result<Self, Vec<String>> {
        let laws = |flag| raw.laws.contains(flag);
        let shape = Self {
            state_version: raw.state_version,
            laws: Laws {
                commutative: laws(bindings::Laws::COMMUTATIVE),
                mergeable: laws(bindings::Laws::MERGEABLE),
                idempotent: laws(bindings::Laws::IDEMPOTENT),
            },
            outputs: raw
                .outputs
                .into_iter()
                .map(|output| Output { name: output.name, kind: output.kind.into() })
                .collect(),
            max_state_bytes: raw.max_state_bytes as usize,
            lookback_days: raw.lookback_days,
        };
        let problems = shape.problems(limits);
        if problems.is_empty() { Ok(shape) } else { Err(problems) }
    }

    fn problems(&self, limits: &Limits) -> Vec<String> {
        let mut out = Vec::new();
        if !(1..=OUTPUTS_MAX).contains(&self.outputs.len()) {
            out.push(format!("outputs has {} items, 1 to {OUTPUTS_MAX} are allowed", self.outputs.len()));
        }
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let mut seen = BTreeSet::new();
        for Output { name, .. } in &self.outputs {
            if !(1..=OUTPUT_NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(letter) {
                let max = OUTPUT_NAME_BYTES_MAX;
                out.push(format!("outputs: {} is no name: 1 to {max} of a-z, 0-9, _ and -", quoted(name)));
            }
            if !seen.insert(name) {
                out.push(format!("outputs: {} stands twice", quoted(name)));
            }
        }
        if !(1..=limits.state_bytes).contains(&self.max_state_bytes) {
            out.push(format!(
                "max-state-bytes is {}, 1 to {} are allowed",
                self.max_state_bytes, limits.state_bytes
            ));
        }
        if self.lookback_days.is_some_and(|days| !(1..=LOOKBACK_DAYS_MAX).contains(&days)) {
            out.push(format!("lookback-days is none or 1 to {LOOKBACK_DAYS_MAX}"));
        }
        out
    }

    /// Where an output stands among the outputs.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<usize> {
        self.outputs.iter().position(|output| output.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        Shape {
            state_version: 1,
            laws: Laws::default(),
            outputs: vec![Output { name: "total_spend".into(), kind: Kind::Decimal }],
            max_state_bytes: 16 << 10,
            lookback_days: None,
        }
    }

    #[test]
    fn a_good_shape_has_no_problems() {
        assert_eq!(shape().problems(&Limits::default()), Vec::<String>::new());
        assert_eq!(shape().output("total_spend"), Some(0));
        assert_eq!(shape().output("other"), None);
    }

    #[test]
    fn every_problem_of_a_shape_is_named_at_once() {
        let mut bad = shape();
        bad.outputs[0].name = "Total".into();
        bad.outputs.push(bad.outputs[0].clone());
        bad.max_state_bytes += 1;
        bad.lookback_days = Some(0);
        let problems = bad.problems(&Limits::default());
        assert_eq!(problems.len(), 5, "{problems:#?}");
        bad.outputs.clear();
        assert!(bad.problems(&Limits::default())[0].starts_with("outputs has 0 items"));
        bad.outputs = (0..33).map(|at| Output { name: format!("o{at}"), kind: Kind::Text }).collect();
        assert!(bad.problems(&Limits::default())[0].starts_with("outputs has 33 items"));
    }
}
