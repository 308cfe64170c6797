//! Who is one person: the rules, what operators say, questions about it, and what happened.

pub mod constraints;
pub mod explain;
pub mod log;
pub mod rules;
pub mod shapes;
