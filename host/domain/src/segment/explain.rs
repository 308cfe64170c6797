//! Why somebody belongs to a segment or not, condition by condition.

use super::answer::View;
use super::formula::Formula;
use crate::expr::Expr;
use crate::fold::At;
use crate::time::Timestamp;
use crate::value::Value;

/// What a condition answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It does not, because there is no value to compare.
    Missing,
}

impl Truth {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::False => "false",
            Self::Missing => "missing",
        }
    }
}

/// A condition's answer.
#[derive(Debug, Clone)]
pub struct Explained<'a> {
    /// JSON pointer into the rule; what stands behind `/segment` is inside that segment's rule.
    pub place: String,
    /// The condition.
    pub formula: &'a Formula,
    /// What it answers.
    pub truth: Truth,
    /// The value that it compares, where it does.
    pub value: Option<Value>,
    /// The first later instant at which it may turn by itself.
    pub valid_until: Option<Timestamp>,
}

impl Formula {
    /// The answer of every condition that has no parts, in the order of the rule.
    #[must_use]
    pub fn explain<'a>(&'a self, view: &dyn View, at: At<'_>) -> Vec<Explained<'a>> {
        let mut out = Vec::new();
        self.leaves(String::new(), &mut |place, formula| {
            let answer = formula.leaf(view, at);
            let (value, missing) = match formula {
                Self::Compare(expr, _) => {
                    let value = expr.read(view, at).value;
                    let missing = value.is_none();
                    (value, missing)
                }
                Self::Identifier(kind, _) => {
                    let values = view.identifiers(kind);
                    let missing = values.is_empty();
                    (Some(Value::List(values)).filter(|_| !missing), missing)
                }
                _ => (None, false),
            };
            let truth = match answer.holds {
                true => Truth::True,
                false if missing => Truth::Missing,
                false => Truth::False,
            };
            out.push(Explained { place, formula, truth, value, valid_until: answer.valid_until });
        });
        out
    }

    /// Calls `visit` with every condition that has no parts, and its place in the rule.
    pub fn leaves<'a>(&'a self, place: String, visit: &mut dyn FnMut(String, &'a Formula)) {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                let name = if matches!(self, Self::All(_)) { "all" } else { "any" };
                for (n, part) in parts.iter().enumerate() {
                    part.leaves(format!("{place}/{name}/{n}"), visit);
                }
            }
            Self::Not(part) => part.leaves(format!("{place}/not"), visit),
            Self::Segment(_, part) => part.leaves(format!("{place}/segment"), visit),
            _ => visit(place, self),
        }
    }

    /// The fold whose events a condition without parts is about.
    #[must_use]
    pub fn folds(&self) -> Vec<u32> {
        match self {
            Self::Compare(expr, _) => {
                let mut folds = Vec::new();
                expr.walk(&mut |part| {
                    if let Expr::Read(fold, _) = part {
                        folds.push(*fold);
                    }
                });
                folds
            }
            Self::Pattern(fold, _, _) => vec![*fold],
            _ => Vec::new(),
        }
    }
}
