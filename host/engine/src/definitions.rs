//! How definitions become folds: what attributes and rules are read of, shared by structure.
//!
//! Pure, like everything of [`Config`]: the same changes give the same numbers, in a rebuild too.

use std::collections::BTreeSet;

use cdp_domain::attribute::{Definition, Derived};
use cdp_domain::expr::{Expr, Type};
use cdp_domain::fold::Spec;
use cdp_domain::ids::Position;
use cdp_domain::segment::{Catalogue, Formula, Names, Needs, Rule, compile, compile_expr};

use crate::config::{Attribute, Config, FoldVersion, Ranking, Slot};

/// How deep attributes may refer to attributes, and segments to segments.
pub const NESTING_MAX: usize = 8;

impl Names for Config {
    fn attribute(&self, name: &str) -> Option<Type> {
        let newest = newest(self.attributes.get(name)?)?;
        Some(value_type(self, &newest.definition, NESTING_MAX))
    }

    fn has_segment(&self, name: &str) -> bool {
        self.segments.contains_key(name)
    }
}

/// What is defined last, whether it serves already or not.
fn newest(attribute: &Attribute) -> Option<&crate::config::AttributeVersion> {
    attribute.building.as_ref().or(attribute.active.as_ref())
}

fn value_type(config: &Config, definition: &Definition, depth: usize) -> Type {
    match definition {
        Definition::Fold(aggregate) => aggregate.value_type(),
        Definition::Plugin(_) => Type::Any,
        Definition::Formula(_) if depth == 0 => Type::Any,
        Definition::Formula(expr) => expr.kind(&|name| {
            let newest = config.attributes.get(name).and_then(newest);
            newest.map_or(Type::Any, |newest| value_type(config, &newest.definition, depth - 1))
        }),
    }
}

/// A configuration to which folds are added where they are missing.
struct Compiler<'a> {
    config: &'a mut Config,
    at: Position,
}

impl Catalogue for Compiler<'_> {
    fn attribute(&self, name: &str) -> Option<Expr> {
        let attribute = self.config.attributes.get(name)?;
        // What serves, as long as something does: its successor takes its dependents along when it is published.
        let version = attribute.active.as_ref().or(attribute.building.as_ref())?;
        Some(version.expr.clone())
    }

    fn segment(&self, name: &str) -> Option<Formula> {
        let segment = self.config.segments.get(name)?;
        let version = segment.active.as_ref().or(segment.building.as_ref())?;
        Some(version.formula.clone())
    }

    fn fold(&mut self, spec: Spec) -> (u32, i64) {
        let covering = self.config.folds.iter().find(|(_, fold)| fold.spec.covers(&spec));
        if let Some((no, fold)) = covering {
            return (*no, fold.spec.horizon_ms());
        }
        let no = self.config.next_no;
        self.config.next_no += 1;
        let horizon_ms = spec.horizon_ms();
        self.config.folds.insert(no, FoldVersion { spec, at: self.at, built_to: Position(0) });
        (no, horizon_ms)
    }

    fn ranking(&mut self, of: &Expr, buckets: u32) -> u32 {
        let known =
            self.config.rankings.iter().find(|(_, known)| known.of == *of && known.buckets == buckets);
        if let Some((no, _)) = known {
            return *no;
        }
        let no = self.config.next_no;
        self.config.next_no += 1;
        let ranking = Ranking { of: of.clone(), buckets, cutoffs: None, measured_at: None };
        self.config.rankings.insert(no, ranking);
        no
    }
}

impl Config {
    /// What an attribute is read of. None when it refers to something that is not there.
    pub(crate) fn compile_attribute(&mut self, definition: &Definition, at: Position) -> Option<Expr> {
        let mut compiler = Compiler { config: self, at };
        match definition {
            Definition::Fold(aggregate) => {
                let (fold, horizon_ms) = compiler.fold(aggregate.spec());
                Some(Expr::Read(fold, aggregate.read(horizon_ms)))
            }
            Definition::Formula(expr) => compile_expr(expr, &mut compiler),
            Definition::Plugin(derived) => {
                Some(Expr::Derived(self.slot_of(derived)?, derived.output.clone()))
            }
        }
    }

    /// The slot that a derived attribute reads, if there is one.
    #[must_use]
    pub(crate) fn slot_of(&self, derived: &Derived) -> Option<u32> {
        let is = |slot: &Slot| {
            slot.plugin == derived.plugin && slot.config == derived.config && slot.events == derived.events
        };
        self.slots.iter().find(|(_, slot)| is(slot)).map(|(no, _)| *no)
    }

    /// What a rule compiles to. None when it refers to something that is not there.
    pub(crate) fn compile_rule(&mut self, rule: &Rule, at: Position) -> Option<Formula> {
        compile(rule, &mut Compiler { config: self, at })
    }

    /// Drops folds and rankings that nothing is read of any more.
    pub(crate) fn forget_unneeded(&mut self) {
        let mut folds = BTreeSet::new();
        let mut rankings = BTreeSet::new();
        let mut slots = BTreeSet::new();
        let mut note = |needs: Needs| {
            slots.extend(needs.derivations);
            folds.extend(needs.folds);
            rankings.extend(needs.rankings);
        };
        for (_, version) in self.attribute_versions() {
            note(Needs::of_expr(&version.expr));
        }
        for (_, _, version) in self.segment_versions() {
            note(version.formula.needs());
        }
        self.folds.retain(|no, _| folds.contains(no));
        self.rankings.retain(|no, _| rankings.contains(no));
        self.forget_slots(&slots);
    }

    /// The attributes whose newest formula refers to this one.
    pub(crate) fn attributes_upon<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = &'a compact_str::CompactString> {
        self.attributes
            .iter()
            .filter(move |(_, attribute)| {
                newest(attribute).is_some_and(|newest| refers_to_attribute(&newest.definition, name))
            })
            .map(|(name, _)| name)
    }

    /// The segments whose newest rule refers to what `refers` recognises.
    pub(crate) fn segments_upon<'a>(
        &'a self,
        refers: &'a dyn Fn(&Rule) -> bool,
    ) -> impl Iterator<Item = &'a compact_str::CompactString> {
        self.segments
            .iter()
            .filter(move |(_, segment)| {
                let newest = segment.building.as_ref().or(segment.active.as_ref());
                newest.is_some_and(|newest| rule_refers(&newest.rule, refers))
            })
            .map(|(name, _)| name)
    }

    /// Whether an attribute's definition comes back to `target`, and how deep its references go.
    pub(crate) fn attribute_reaches(&self, definition: &Definition, target: &str, depth: usize) -> Reach {
        let mut reach = Reach::Ends;
        if let Definition::Formula(expr) = definition {
            expr.walk(&mut |part| {
                let Expr::Attribute(name) = part else { return };
                let next = if name == target {
                    Reach::Returns
                } else if depth == 0 {
                    Reach::TooDeep
                } else {
                    self.attributes.get(name).and_then(newest).map_or(Reach::Ends, |newest| {
                        self.attribute_reaches(&newest.definition, target, depth - 1)
                    })
                };
                reach = reach.max(next);
            });
        }
        reach
    }

    /// Whether a segment's rule comes back to `target`.
    pub(crate) fn segment_reaches(&self, name: &str, target: &str, depth: usize) -> Reach {
        if name == target {
            return Reach::Returns;
        }
        if depth == 0 {
            return Reach::TooDeep;
        }
        let mut reach = Reach::Ends;
        if let Some(segment) = self.segments.get(name)
            && let Some(newest) = segment.building.as_ref().or(segment.active.as_ref())
        {
            newest.rule.walk(&mut |part| {
                if let Rule::Segment(name) = part {
                    reach = reach.max(self.segment_reaches(name, target, depth - 1));
                }
            });
        }
        reach
    }
}

/// Where references lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// To an end.
    Ends,
    /// Deeper than allowed.
    TooDeep,
    /// Back to where they began.
    Returns,
}

fn refers_to_attribute(definition: &Definition, name: &str) -> bool {
    let mut refers = false;
    if let Definition::Formula(expr) = definition {
        expr.walk(&mut |part| refers |= matches!(part, Expr::Attribute(other) if other == name));
    }
    refers
}

fn rule_refers(rule: &Rule, refers: &dyn Fn(&Rule) -> bool) -> bool {
    let mut found = false;
    rule.walk(&mut |part| found |= refers(part));
    found
}
