//! The form in which a rule is edited: a tree of conditions, each with its fields, its count, and what is wrong with it.
//!
//! Every field's name begins with the place of its condition (`r`, `r.0`, `r.0.2`), so that the server makes the tree
//! again from what is sent, whatever was added or removed.

use askama::Template;

use crate::blocks::{Block, Link, Tone, Words};
use crate::form::Choice;
use crate::frame::Frame;

/// A condition, or a group of them.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "node.html")]
pub struct Node {
    /// The place of it.
    pub at: String,
    pub depth: usize,
    pub shape: Shape,
    /// Whether it is turned round.
    pub not: bool,
    /// For how many it holds; empty while that is not known.
    pub count: String,
    /// For how many there is no value.
    pub missing: String,
    /// Of all profiles, in percent.
    pub share: f64,
    pub problems: Vec<String>,
    pub can_move_up: bool,
    pub can_move_down: bool,
}

/// What a condition is.
#[derive(Debug, Clone)]
pub enum Shape {
    /// All of, or any of.
    Group { any: bool, inner: Vec<Node>, root: bool },
    /// A fact of a person compares so.
    Fact {
        /// `attribute`, `trait` or `identifier`.
        of: &'static str,
        name: String,
        names: Vec<String>,
        ops: Vec<Choice>,
        value: String,
        /// The value as JSON, as it was before anybody typed.
        raw: String,
        /// The operator takes none.
        no_value: bool,
        hint: String,
        values: Vec<String>,
    },
    /// They may be reached.
    Reachable { channel: String, channels: Vec<String>, purpose: Vec<Choice> },
    /// They are in a segment.
    Segment { names: Vec<Choice> },
    /// They did something.
    Did {
        event: String,
        events: Vec<String>,
        ops: Vec<Choice>,
        times: String,
        spans: Vec<Choice>,
        /// Which of the fields of time are asked for: `last`, `between` or none.
        span: &'static str,
        number: String,
        unit: Vec<Choice>,
        from: String,
        to: String,
        wheres: Vec<Where>,
    },
    /// One that has no fields: as JSON.
    Raw { json: String },
}

impl Default for Shape {
    fn default() -> Self {
        Self::Group { any: false, inner: Vec::new(), root: false }
    }
}

/// A condition on a property of the event.
#[derive(Debug, Clone, Default)]
pub struct Where {
    pub n: usize,
    pub property: String,
    pub properties: Vec<String>,
    pub ops: Vec<Choice>,
    pub value: String,
    pub no_value: bool,
}

/// The page on which a segment is made or changed.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "builder.html")]
pub struct Builder {
    pub frame: Frame,
    /// The segment's name where it exists already.
    pub editing: String,
    pub name: String,
    pub title: String,
    pub root: Node,
    /// How many satisfy the rule; empty while it has none that can be tried.
    pub total: String,
    pub share: String,
    pub estimate: bool,
    /// How many enter and leave by this edit.
    pub enters: String,
    pub leaves: String,
    pub words: Option<Words>,
    /// Some who satisfy it.
    pub sample: Vec<Link>,
    pub json: String,
    pub beside: Vec<Block>,
    pub announce: bool,
    pub hold: bool,
}
