//! Formulas of attributes: values computed from other attributes and traits at the moment of reading.
//!
//! Numbers are exact decimals of 28 digits. Missing stays missing: what is computed from a missing value, a value of
//! another type, a division by zero or a number that is too large is missing; `coalesce` and `if` are the ways out.
//!
//! | form | gives |
//! | --- | --- |
//! | `64.2`, `"GB"`, `true` | itself |
//! | `{"attribute": "x"}`, `{"trait": "y"}` | its value |
//! | `{"identifier": "user_id"}` | the first value of an identifier's type, by bytes |
//! | `{"add": […]}`, `{"sub": [a, b]}`, `{"mul": […]}`, `{"div": [a, b]}` | arithmetic |
//! | `{"min": […]}`, `{"max": […]}` | the smallest, the greatest |
//! | `{"floor": a}`, `{"round": [a, places]}` | whole, or rounded half to even |
//! | `{"coalesce": […]}` | the first that is not missing |
//! | `{"exists": a}` | whether it is not missing |
//! | `{"eq": [a, b]}` and `ne gt gte lt lte` | true or false |
//! | `{"and": […]}`, `{"or": […]}`, `{"not": a}` | truth; missing unless the others decide |
//! | `{"if": [a, b, c]}` | b where a is true, else c (missing when it is left out) |
//! | `{"rank": {"of": a, "buckets": n}}` | 1 to n by size within the tenant, see [`Expr::Rank`] |
//! | `{"percentile_rank": a}` | 0 to 99: percent of profiles that are smaller |

use std::cmp::Ordering;

use compact_str::CompactString;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

use crate::condition::{compare, earlier, equal, object, unknown};
use crate::event::check_name;
use crate::fold::{At, Read, Reading, State, order};
use crate::limits::{EXPRESSION_DEPTH_MAX, EXPRESSION_PARTS_MAX};
use crate::problem::{Code, Problem};
use crate::value::{Number, Value};

/// Buckets that a rank may have.
pub const RANK_BUCKETS_MAX: u32 = 1000;

/// A formula.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expr {
    /// Itself.
    Literal(Value),
    /// A trait's value.
    Trait(CompactString),
    /// The first identifier of a type.
    Identifier(CompactString),
    /// An attribute's value. Only as it was written: compiling puts what it stands for in its place.
    Attribute(CompactString),
    /// What is read of a fold. Only in compiled ones.
    Read(u32, Read),
    /// An output of what plugins derive under this number. Only in compiled ones.
    Derived(u32, CompactString),
    /// The bucket of a value among those of all profiles that have one: 1 + ⌊buckets · strictly smaller / all⌋.
    /// `no` names the ranking; 0 until it is compiled. The table it reads is measured from time to time.
    Rank {
        /// The ranking.
        no: u32,
        /// What is ranked.
        of: Box<Expr>,
        /// How many.
        buckets: u32,
        /// Counted from 0, as percent.
        percent: bool,
    },
    /// A function of others.
    Apply(Function, Vec<Expr>),
}

/// What is done with values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the table in the module's head says it")]
pub enum Function {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
    Floor,
    Round,
    Coalesce,
    Exists,
    Eq,
    Ne,
    Gt,
    Gte,
    Lt,
    Lte,
    And,
    Or,
    Not,
    If,
}

/// Name, function, and how many values it takes.
const FUNCTIONS: [(&str, Function, usize, usize); 20] = [
    ("add", Function::Add, 1, 32),
    ("sub", Function::Sub, 2, 2),
    ("mul", Function::Mul, 1, 32),
    ("div", Function::Div, 2, 2),
    ("min", Function::Min, 1, 32),
    ("max", Function::Max, 1, 32),
    ("floor", Function::Floor, 1, 1),
    ("round", Function::Round, 2, 2),
    ("coalesce", Function::Coalesce, 1, 32),
    ("exists", Function::Exists, 1, 1),
    ("eq", Function::Eq, 2, 2),
    ("ne", Function::Ne, 2, 2),
    ("gt", Function::Gt, 2, 2),
    ("gte", Function::Gte, 2, 2),
    ("lt", Function::Lt, 2, 2),
    ("lte", Function::Lte, 2, 2),
    ("and", Function::And, 1, 32),
    ("or", Function::Or, 1, 32),
    ("not", Function::Not, 1, 1),
    ("if", Function::If, 2, 3),
];

/// What a value is, as far as its definition says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// Whatever the events carry.
    Any,
    /// A number, or a string that spells one.
    Number,
    /// An RFC 3339 string.
    Time,
    /// True or false.
    Boolean,
    /// An array.
    List,
    /// An amount per currency.
    Amounts,
}

/// From which value on which bucket, ascending.
pub type Cutoffs = Vec<(Value, u32)>;

/// What an expression may ask of a profile.
pub trait Source {
    /// The trait's value.
    fn trait_value(&self, name: &str) -> Option<Value>;
    /// The values of the identifiers of a type, sorted by bytes.
    fn identifiers(&self, kind: &str) -> Vec<Value>;
    /// Calls `read` with the fold's state of the whole profile.
    fn with_state(&self, fold: u32, read: &mut dyn FnMut(&State));
    /// The value that a plugin derived, as it was read last.
    fn derived(&self, derivation: u32, output: &str) -> Option<Value> {
        let _ = (derivation, output);
        None
    }
    /// The table of a ranking, once it was measured.
    fn cutoffs(&self, ranking: u32) -> Option<&Cutoffs>;
}

impl Expr {
    /// The value at an instant.
    #[must_use]
    pub fn read(&self, source: &dyn Source, at: At<'_>) -> Reading {
        match self {
            Self::Literal(value) => Reading { value: Some(value.clone()), valid_until: None },
            Self::Trait(name) => {
                let value = source.trait_value(name).filter(|value| *value != Value::Null);
                Reading { value, valid_until: None }
            }
            Self::Identifier(kind) => {
                Reading { value: source.identifiers(kind).into_iter().next(), valid_until: None }
            }
            Self::Attribute(_) => Reading::default(),
            // Read again when its time has come, and then what depends on it is evaluated: nothing to wait for here.
            Self::Derived(no, output) => Reading { value: source.derived(*no, output), valid_until: None },
            Self::Read(fold, read) => {
                let mut reading = Reading::default();
                source.with_state(*fold, &mut |state| reading = read.read(state, at));
                reading
            }
            Self::Rank { no, of, percent, .. } => {
                let of = of.read(source, at);
                let bucket = of.value.as_ref().and_then(|value| bucket(source.cutoffs(*no)?, value));
                let value = bucket.map(|bucket| Value::from(i64::from(bucket) - i64::from(*percent)));
                Reading { value, valid_until: of.valid_until }
            }
            Self::Apply(function, arguments) => {
                let mut valid_until = None;
                let values: Vec<_> = arguments
                    .iter()
                    .map(|argument| {
                        let reading = argument.read(source, at);
                        valid_until = earlier(valid_until, reading.valid_until);
                        reading.value
                    })
                    .collect();
                Reading { value: function.apply(&values), valid_until }
            }
        }
    }

    /// Calls `visit` with every part, outermost first.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        visit(self);
        match self {
            Self::Rank { of, .. } => of.walk(visit),
            Self::Apply(_, arguments) => arguments.iter().for_each(|argument| argument.walk(visit)),
            _ => {}
        }
    }

    /// What its value is, where `of` says what an attribute's is.
    #[must_use]
    pub fn kind(&self, of: &dyn Fn(&str) -> Type) -> Type {
        match self {
            Self::Literal(Value::Bool(_)) => Type::Boolean,
            Self::Literal(value) if value.as_decimal().is_some() => Type::Number,
            Self::Literal(_) | Self::Trait(_) | Self::Identifier(_) | Self::Read(..) | Self::Derived(..) => {
                Type::Any
            }
            Self::Attribute(name) => of(name),
            Self::Rank { .. } => Type::Number,
            Self::Apply(function, arguments) => match function {
                Function::Add
                | Function::Sub
                | Function::Mul
                | Function::Div
                | Function::Floor
                | Function::Round => Type::Number,
                Function::Min | Function::Max | Function::Coalesce => same(arguments.iter(), of),
                Function::If => same(arguments[1..].iter(), of),
                _ => Type::Boolean,
            },
        }
    }

    /// Reads a formula as clients write it.
    pub(crate) fn parse(value: &Value, place: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        let mut parser = Parser { problems, parts: 0 };
        parser.expr(value, place, 1)
    }

    /// Writes the formula as clients do. Compiled parts have no written form and become null.
    #[must_use]
    pub fn write(&self) -> Value {
        match self {
            Self::Literal(value) => value.clone(),
            Self::Trait(name) => object(vec![("trait", Value::Text(name.clone()))]),
            Self::Identifier(kind) => object(vec![("identifier", Value::Text(kind.clone()))]),
            Self::Attribute(name) => object(vec![("attribute", Value::Text(name.clone()))]),
            Self::Read(..) | Self::Derived(..) => Value::Null,
            Self::Rank { of, percent: true, .. } => object(vec![("percentile_rank", of.write())]),
            Self::Rank { of, buckets, .. } => {
                let inner = object(vec![("of", of.write()), ("buckets", Value::from(i64::from(*buckets)))]);
                object(vec![("rank", inner)])
            }
            Self::Apply(function, arguments) => {
                let (name, _, _, most) = FUNCTIONS
                    .iter()
                    .find(|known| known.1 == *function)
                    .expect("every function is in the table");
                let inner = match &arguments[..] {
                    [only] if *most == 1 => only.write(),
                    all => Value::List(all.iter().map(Self::write).collect()),
                };
                object(vec![(name, inner)])
            }
        }
    }
}

fn same<'a>(mut arguments: impl Iterator<Item = &'a Expr>, of: &dyn Fn(&str) -> Type) -> Type {
    let first = arguments.next().map_or(Type::Any, |first| first.kind(of));
    if arguments.all(|argument| argument.kind(of) == first) { first } else { Type::Any }
}

/// A value as rankings compare it: what spells a number is one.
fn comparable(value: &Value) -> Value {
    value.as_decimal().map_or_else(|| value.clone(), |number| Value::Number(Number::from(number)))
}

fn bucket(cutoffs: &Cutoffs, value: &Value) -> Option<u32> {
    let value = comparable(value);
    let above = cutoffs.partition_point(|(from, _)| order(from, &value).is_le());
    // Smaller than everything that was measured: it is among the smallest.
    Some(above.checked_sub(1).map_or(1, |at| cutoffs[at].1)).filter(|_| !cutoffs.is_empty())
}

/// Measures a ranking: from which value on which bucket. `values` are those of all profiles that have one.
#[must_use]
pub fn cutoffs(values: Vec<Value>, buckets: u32) -> Cutoffs {
    let mut values: Vec<Value> = values.iter().map(comparable).collect();
    values.sort_by(order);
    let all = values.len() as u128;
    let mut out = Cutoffs::new();
    let mut smaller = 0;
    for (n, value) in values.iter().enumerate() {
        if n > 0 && order(&values[n - 1], value).is_lt() {
            smaller = n;
        }
        let bucket = 1 + (u128::from(buckets) * smaller as u128 / all) as u32;
        if out.last().is_none_or(|(_, last)| *last < bucket) {
            out.push((value.clone(), bucket));
        }
    }
    out
}

impl Function {
    fn apply(self, values: &[Option<Value>]) -> Option<Value> {
        match self {
            Self::Coalesce => values.iter().flatten().next().cloned(),
            Self::Exists => Some(Value::Bool(values[0].is_some())),
            Self::If => {
                let truth = matches!(values[0], Some(Value::Bool(true)));
                if truth { values[1].clone() } else { values.get(2).cloned().flatten() }
            }
            Self::And | Self::Or => {
                let decisive = self == Self::Or;
                let truths = || values.iter().map(|value| truth(value.as_ref()));
                if truths().any(|truth| truth == Some(decisive)) {
                    return Some(Value::Bool(decisive));
                }
                truths().all(|truth| truth.is_some()).then_some(Value::Bool(!decisive))
            }
            Self::Not => truth(values[0].as_ref()).map(|truth| Value::Bool(!truth)),
            Self::Eq | Self::Ne => {
                let same = equal(values[0].as_ref()?, values[1].as_ref()?)?;
                Some(Value::Bool(same == (self == Self::Eq)))
            }
            Self::Gt | Self::Gte | Self::Lt | Self::Lte => {
                let order = compare(values[0].as_ref()?, values[1].as_ref()?)?;
                Some(Value::Bool(match self {
                    Self::Gt => order.is_gt(),
                    Self::Gte => order.is_ge(),
                    Self::Lt => order.is_lt(),
                    _ => order.is_le(),
                }))
            }
            Self::Min | Self::Max => {
                let wanted = if self == Self::Min { Ordering::Less } else { Ordering::Greater };
                let mut best = values[0].clone()?;
                for value in &values[1..] {
                    let value = value.clone()?;
                    if compare(&value, &best)? == wanted {
                        best = value;
                    }
                }
                Some(best)
            }
            _ => self.compute(values),
        }
    }

    fn compute(self, values: &[Option<Value>]) -> Option<Value> {
        let mut numbers = values.iter().map(|value| value.as_ref()?.as_decimal());
        let first = numbers.next()??;
        let result = match self {
            Self::Add => numbers.try_fold(first, |sum, next| sum.checked_add(next?))?,
            Self::Mul => numbers.try_fold(first, |product, next| product.checked_mul(next?))?,
            Self::Sub => first.checked_sub(numbers.next()??)?,
            Self::Div => first.checked_div(numbers.next()??)?,
            Self::Floor => first.floor(),
            Self::Round => {
                let places = u32::try_from(numbers.next()??).ok().filter(|places| *places <= 28)?;
                first.round_dp_with_strategy(places, RoundingStrategy::MidpointNearestEven)
            }
            _ => return None,
        };
        Some(Value::Text(Number::from(result).plain()))
    }
}

fn truth(value: Option<&Value>) -> Option<bool> {
    if let Some(Value::Bool(truth)) = value { Some(*truth) } else { None }
}

struct Parser<'a> {
    problems: &'a mut Vec<Problem>,
    parts: usize,
}

impl Parser<'_> {
    fn add(&mut self, place: impl Into<String>, code: Code, detail: impl Into<String>) -> Option<Expr> {
        self.problems.push(Problem::new(place, code, detail));
        None
    }

    fn expr(&mut self, value: &Value, place: &str, depth: usize) -> Option<Expr> {
        self.parts += 1;
        if depth > EXPRESSION_DEPTH_MAX {
            return self.add(place, Code::TooLong, format!("is nested deeper than {EXPRESSION_DEPTH_MAX}"));
        }
        if self.parts > EXPRESSION_PARTS_MAX {
            if self.parts == EXPRESSION_PARTS_MAX + 1 {
                self.add(place, Code::TooLong, format!("has more than {EXPRESSION_PARTS_MAX} parts"));
            }
            return None;
        }
        let object = match value {
            Value::Object(object) => object,
            Value::Bool(_) | Value::Number(_) | Value::Text(_) => return Some(Expr::Literal(value.clone())),
            other => {
                let detail =
                    format!("must be a number, a string, a boolean or an object, not {}", other.type_name());
                return self.add(place, Code::WrongType, detail);
            }
        };
        let mut members = object.iter();
        let (Some((name, inner)), None) = (members.next(), members.next()) else {
            return self.add(place, Code::Invalid, "must have exactly one member: the function's name");
        };
        let inside = format!("{place}/{name}");
        match name.as_str() {
            "trait" | "attribute" | "identifier" => {
                match inner.as_text().filter(|text| check_name(text).is_ok()) {
                    Some(text) if name == "trait" => Some(Expr::Trait(text.into())),
                    Some(text) if name == "identifier" => Some(Expr::Identifier(text.into())),
                    Some(text) => Some(Expr::Attribute(text.into())),
                    None => self.add(inside, Code::WrongType, format!("must be the name of the {name}")),
                }
            }
            "percentile_rank" => {
                let of = Box::new(self.expr(inner, &inside, depth + 1)?);
                Some(Expr::Rank { no: 0, of, buckets: 100, percent: true })
            }
            "rank" => self.rank(inner, &inside, depth),
            _ => self.function(name, inner, place, depth),
        }
    }

    fn rank(&mut self, inner: &Value, place: &str, depth: usize) -> Option<Expr> {
        let Some(object) = inner.as_object() else {
            return self.add(place, Code::WrongType, "must be {\"of\", \"buckets\"}");
        };
        unknown(object, &["of", "buckets"], place, self.problems);
        let buckets = match object.get("buckets") {
            Some(Value::Number(Number::Int(n))) if (2..=i64::from(RANK_BUCKETS_MAX)).contains(n) => {
                Some(*n as u32)
            }
            _ => {
                let detail = format!("must be a whole number from 2 to {RANK_BUCKETS_MAX}");
                self.add(format!("{place}/buckets"), Code::Invalid, detail);
                None
            }
        };
        let Some(of) = object.get("of") else {
            return self.add(format!("{place}/of"), Code::Required, "is required");
        };
        let of = self.expr(of, &format!("{place}/of"), depth + 1)?;
        Some(Expr::Rank { no: 0, of: Box::new(of), buckets: buckets?, percent: false })
    }

    fn function(&mut self, name: &str, inner: &Value, place: &str, depth: usize) -> Option<Expr> {
        let Some((_, function, least, most)) = FUNCTIONS.into_iter().find(|known| known.0 == name) else {
            let known: Vec<_> = FUNCTIONS.iter().map(|known| known.0).collect();
            let detail = format!(
                "is not a function; there are attribute, trait, identifier, rank, percentile_rank, {}",
                known.join(", ")
            );
            return self.add(format!("{place}{}", crate::problem::step(name)), Code::Unknown, detail);
        };
        let inside = format!("{place}/{name}");
        let arguments = match inner {
            Value::List(items) => items
                .iter()
                .enumerate()
                .map(|(n, item)| self.expr(item, &format!("{inside}/{n}"), depth + 1))
                .collect::<Vec<_>>()
                .into_iter()
                .collect::<Option<Vec<_>>>()?,
            one => vec![self.expr(one, &inside, depth + 1)?],
        };
        if !(least..=most).contains(&arguments.len()) {
            let detail = if least == most {
                format!("takes {least} values")
            } else {
                format!("takes {least} to {most} values")
            };
            return self.add(inside, Code::Invalid, detail);
        }
        Some(Expr::Apply(function, arguments))
    }
}

/// Whole units of a decimal that come at or above it, for turns in time.
pub(crate) fn ceil_units(number: Decimal) -> Option<i64> {
    i64::try_from(number.ceil()).ok()
}
