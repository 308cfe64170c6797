//! What came of a request's events, as clients are told: only of the not accepted ones, unless all are asked for.

use cdp_domain::problem::Problem;
use cdp_engine::accept::{Accepted, Verdict};
use compact_str::CompactString;
use serde::Serialize;
use utoipa::ToSchema;

use super::intake::Refused;
use crate::error::{Code, Failure};

/// What came of one event.
#[derive(Debug, Serialize, ToSchema)]
pub struct ItemResult {
    /// Its place in the request, from 0.
    pub index: usize,
    /// Its id, where it has one.
    #[schema(value_type = Option<String>)]
    pub id: Option<CompactString>,
    /// `accepted`, `duplicate`, `conflict`, `invalid`, `suppressed`, `over_limit`, or `not_attempted` in a strict request.
    pub status: &'static str,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<ItemProblem>,
}

/// What is wrong with one event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ItemProblem)]
pub struct ItemProblem {
    /// Stable word, as in errors of whole requests.
    pub code: &'static str,
    /// One sentence.
    pub detail: String,
    /// Every field at fault; pointers are relative to the event.
    #[schema(value_type = Vec<Object>)]
    pub errors: Vec<Problem>,
}

/// The parts of an answer to a request with events.
#[derive(Debug)]
pub struct Report {
    /// Taken in.
    pub accepted: u32,
    /// There already.
    pub duplicates: u32,
    /// Refused.
    pub rejected: u32,
    /// The last record that they are in.
    pub position: cdp_domain::ids::Position,
    /// What is told of single events.
    pub results: Vec<ItemResult>,
}

impl Report {
    /// Puts together what the engine and the reader said.
    #[must_use]
    pub fn new(accepted: Accepted, refused: Vec<Refused>, all: bool) -> Self {
        let rejected = accepted.rejected + refused.len() as u32;
        let mut results = Vec::new();
        if all || rejected > 0 || accepted.duplicates > 0 {
            let mut refused = refused.into_iter().peekable();
            let mut outcomes = accepted.items.into_iter();
            for index in 0.. {
                if let Some(one) = refused.next_if(|one| one.index == index) {
                    results.push(ItemResult {
                        index,
                        id: one.id,
                        status: "invalid",
                        problem: Some(invalid(one.problems)),
                    });
                    continue;
                }
                let Some(outcome) = outcomes.next() else { break };
                let (status, problem) = told(outcome.verdict);
                if all || status != "accepted" {
                    results.push(ItemResult { index, id: outcome.id, status, problem });
                }
            }
        }
        let (accepted, duplicates, position) = (accepted.accepted, accepted.duplicates, accepted.position);
        Self { accepted, duplicates, rejected, position, results }
    }

    /// The plain refusal of a request of one event that was not accepted, and is no duplicate.
    #[must_use]
    pub fn lone_failure(&mut self) -> Option<Failure> {
        if self.rejected == 0 {
            return None;
        }
        let problem = self.results.pop()?.problem?;
        let code = Code::find(problem.code).unwrap_or(Code::Invalid);
        Some(Failure { errors: problem.errors, ..Failure::new(code, problem.detail) })
    }
}

fn told(verdict: Verdict) -> (&'static str, Option<ItemProblem>) {
    match verdict {
        Verdict::Accepted => ("accepted", None),
        Verdict::Duplicate => ("duplicate", None),
        Verdict::NotAttempted => ("not_attempted", None),
        Verdict::Invalid(problems) => ("invalid", Some(invalid(problems))),
        Verdict::Suppressed => {
            let detail = "names somebody who was erased; nothing about them is taken in".to_owned();
            ("suppressed", Some(ItemProblem { code: Code::Suppressed.as_str(), detail, errors: Vec::new() }))
        }
        Verdict::Conflict => {
            let detail = "another event of this source has this id; the first one stays".to_owned();
            ("conflict", Some(ItemProblem { code: Code::EventConflict.as_str(), detail, errors: Vec::new() }))
        }
        Verdict::OverLimit(problem) => {
            let detail = format!("the event {}", problem.detail);
            (
                "over_limit",
                Some(ItemProblem { code: Code::EventTooLarge.as_str(), detail, errors: vec![problem] }),
            )
        }
    }
}

fn invalid(problems: Vec<Problem>) -> ItemProblem {
    let detail = Failure::invalid(problems.clone()).detail;
    ItemProblem { code: Code::Invalid.as_str(), detail, errors: problems }
}
