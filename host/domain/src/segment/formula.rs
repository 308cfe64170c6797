//! What rules compile to.
//!
//! Attributes become what is read of their folds, behaviour becomes hidden folds, nested segments become their rules.
//! So a formula needs no names to be looked up, its dependents cannot be out of step with it, and conditions of the same
//! structure share one fold, whoever wrote them.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::behaviour::{Did, Shape};
use super::rule::Rule;
use crate::condition::Test;
use crate::expr::{self, Expr};
use crate::fold::{Pattern, Spec};

/// A compiled rule. Its parts stand where the rule's do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in the rule")]
pub enum Formula {
    All(Vec<Formula>),
    Any(Vec<Formula>),
    Not(Box<Formula>),
    /// A trait, an attribute or a count compares so.
    Compare(Expr, Test),
    Identifier(CompactString, Test),
    Reachable {
        channel: CompactString,
        purpose: CompactString,
    },
    /// The fold has this shape; its horizon stands beside.
    Pattern(u32, i64, Pattern),
    /// The rule of another segment, as it was when this one was compiled.
    Segment(CompactString, Box<Formula>),
}

/// Where names and structures get what they stand for.
pub trait Catalogue {
    /// An attribute, compiled.
    fn attribute(&self, name: &str) -> Option<Expr>;
    /// A segment, compiled.
    fn segment(&self, name: &str) -> Option<Formula>;
    /// The number and horizon of a fold that covers this one; made when there is none.
    fn fold(&mut self, spec: Spec) -> (u32, i64);
    /// The number of a ranking of this value; made when there is none.
    fn ranking(&mut self, of: &Expr, buckets: u32) -> u32;
}

/// Compiles a rule. None when it refers to something that is not there.
pub fn compile(rule: &Rule, catalogue: &mut dyn Catalogue) -> Option<Formula> {
    let all = |rules: &[Rule], catalogue: &mut dyn Catalogue| {
        rules.iter().map(|rule| compile(rule, catalogue)).collect::<Option<Vec<_>>>()
    };
    Some(match rule {
        Rule::All(rules) => Formula::All(all(rules, catalogue)?),
        Rule::Any(rules) => Formula::Any(all(rules, catalogue)?),
        Rule::Not(rule) => Formula::Not(Box::new(compile(rule, catalogue)?)),
        Rule::Trait(name, test) => Formula::Compare(Expr::Trait(name.clone()), test.clone()),
        Rule::Attribute(name, test) => Formula::Compare(catalogue.attribute(name)?, test.clone()),
        Rule::Identifier(kind, test) => Formula::Identifier(kind.clone(), test.clone()),
        Rule::Reachable { channel, purpose } => {
            Formula::Reachable { channel: channel.clone(), purpose: purpose.clone() }
        }
        Rule::Did(did) => {
            let (fold, horizon_ms) = catalogue.fold(did.spec());
            match &did.shape {
                Shape::Count(window, test) => {
                    Formula::Compare(Expr::Read(fold, Did::count(*window, horizon_ms)), test.clone())
                }
                Shape::Pattern(pattern) => Formula::Pattern(fold, horizon_ms, pattern.clone()),
            }
        }
        Rule::Sequence(sequence) => {
            let (fold, horizon_ms) = catalogue.fold(sequence.spec());
            Formula::Pattern(fold, horizon_ms, sequence.pattern())
        }
        Rule::Segment(name) => Formula::Segment(name.clone(), Box::new(catalogue.segment(name)?)),
    })
}

/// Compiles an attribute's formula. None when it refers to something that is not there.
pub fn compile_expr(expr: &Expr, catalogue: &mut dyn Catalogue) -> Option<Expr> {
    Some(match expr {
        Expr::Attribute(name) => catalogue.attribute(name)?,
        Expr::Rank { of, buckets, percent, .. } => {
            let of = compile_expr(of, catalogue)?;
            let no = catalogue.ranking(&of, *buckets);
            Expr::Rank { no, of: Box::new(of), buckets: *buckets, percent: *percent }
        }
        Expr::Apply(function, arguments) => {
            let arguments = arguments.iter().map(|argument| compile_expr(argument, catalogue));
            Expr::Apply(*function, arguments.collect::<Option<Vec<_>>>()?)
        }
        other => other.clone(),
    })
}

/// What a formula or an expression depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// Folds, sorted.
    pub folds: Vec<u32>,
    /// What plugins derive, sorted.
    pub derivations: Vec<u32>,
    /// Traits, sorted.
    pub traits: Vec<CompactString>,
    /// Rankings, sorted.
    pub rankings: Vec<u32>,
    /// Whether identifiers are looked at.
    pub identifiers: bool,
    /// Whether contact points and consent are.
    pub contacts: bool,
    /// Whether it may turn by itself.
    pub timed: bool,
}

impl Needs {
    /// Adds what an expression needs.
    pub fn expr(&mut self, expr: &Expr) {
        expr.walk(&mut |part| match part {
            Expr::Trait(name) => self.traits.push(name.clone()),
            Expr::Identifier(_) => self.identifiers = true,
            Expr::Read(fold, read) => {
                self.folds.push(*fold);
                let elapsed =
                    matches!(read.how, crate::fold::How::SinceFirst(_) | crate::fold::How::SinceLast(_));
                self.timed |= elapsed || read.window.is_some();
            }
            Expr::Rank { no, .. } => self.rankings.push(*no),
            Expr::Derived(no, _) => self.derivations.push(*no),
            Expr::Literal(_) | Expr::Attribute(_) | Expr::Apply(..) => {}
        });
    }

    fn formula(&mut self, formula: &Formula) {
        use crate::condition::Op;
        match formula {
            Formula::All(parts) | Formula::Any(parts) => parts.iter().for_each(|part| self.formula(part)),
            Formula::Not(part) | Formula::Segment(_, part) => self.formula(part),
            Formula::Compare(expr, test) => {
                self.expr(expr);
                self.timed |= matches!(test.op, Op::WithinLast | Op::WithinNext);
            }
            Formula::Identifier(..) => self.identifiers = true,
            Formula::Reachable { .. } => {
                self.contacts = true;
                self.timed = true;
            }
            Formula::Pattern(fold, _, _) => {
                self.folds.push(*fold);
                self.timed = true;
            }
        }
    }

    fn sort(&mut self) {
        self.folds.sort_unstable();
        self.folds.dedup();
        self.derivations.sort_unstable();
        self.derivations.dedup();
        self.traits.sort_unstable();
        self.traits.dedup();
        self.rankings.sort_unstable();
        self.rankings.dedup();
    }

    /// What an expression needs.
    #[must_use]
    pub fn of_expr(expr: &expr::Expr) -> Self {
        let mut needs = Self::default();
        needs.expr(expr);
        needs.sort();
        needs
    }
}

impl Formula {
    /// What it depends on.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        needs.formula(self);
        needs.sort();
        needs
    }
}
