//! What pages are put together from. Each is a template of its own, and the only thing that is ever marked as safe.

use askama::Template;
use askama::filters::HtmlSafe;

use crate::chart::{Bars, Graph, Line, Stack};
use crate::form::Form;

/// How something is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    #[default]
    Plain,
    Good,
    Warn,
    Bad,
    Accent,
}

impl Tone {
    /// The class of this tone.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Accent => "accent",
        }
    }
}

/// An instant: as the tenant's clocks show it, and in UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "when.html")]
pub struct When {
    pub local: String,
    pub utc: String,
}

/// A way to another page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    pub href: String,
    pub text: String,
}

impl Link {
    pub fn new(href: impl Into<String>, text: impl Into<String>) -> Self {
        Self { href: href.into(), text: text.into() }
    }
}

/// A button that sends something.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "action.html")]
pub struct Action {
    /// Where it is sent.
    pub to: String,
    pub label: String,
    /// Sent with it.
    pub fields: Vec<(&'static str, String)>,
    pub tone: Tone,
    /// What is asked before; empty means nothing is.
    pub ask: String,
}

/// What stands in a cell of a table.
#[derive(Debug, Clone, Template)]
#[template(path = "cell.html")]
pub enum Cell {
    None,
    Text(String),
    Number(String),
    Code(String),
    Go(Link),
    At(When),
    Badge(Tone, String),
    /// A share in percent, and what it is.
    Share(f64, String),
    Many(Vec<Cell>),
    Do(Action),
    /// A number that grew or shrank, in words.
    Delta(Tone, String),
    /// A small line over time.
    Spark(String),
}

impl Cell {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub fn code(text: impl Into<String>) -> Self {
        Self::Code(text.into())
    }

    pub fn number(text: impl Into<String>) -> Self {
        Self::Number(text.into())
    }

    pub fn go(href: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Go(Link::new(href, text))
    }

    pub fn badge(tone: Tone, text: impl Into<String>) -> Self {
        Self::Badge(tone, text.into())
    }

    #[must_use]
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Number(_) | Self::Delta(..))
    }
}

/// A table.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "table.html")]
pub struct Table {
    /// For those who do not see it.
    pub caption: String,
    /// Titles; one that begins with `#` is of a column of numbers.
    pub head: Vec<&'static str>,
    pub rows: Vec<Vec<Cell>>,
    /// Where there is more.
    pub more: Option<Link>,
}

/// A number that matters.
#[derive(Debug, Clone, Default)]
pub struct Figure {
    pub label: String,
    pub value: String,
    pub note: String,
    pub href: String,
    pub tone: Tone,
}

/// Names and values.
#[derive(Debug, Clone, Default)]
pub struct Fact {
    pub name: String,
    pub value: Option<Cell>,
    pub note: String,
}

impl Fact {
    pub fn new(name: impl Into<String>, value: Cell) -> Self {
        Self { name: name.into(), value: Some(value), note: String::new() }
    }
}

/// What to say where there is nothing.
#[derive(Debug, Clone, Default)]
pub struct Empty {
    /// What belongs here.
    pub what: String,
    /// The one next step.
    pub next: Option<Link>,
    /// The same as a command.
    pub command: String,
}

/// What came of something.
#[derive(Debug, Clone, Default)]
pub struct Notice {
    pub tone: Tone,
    pub title: String,
    pub detail: String,
    /// The code of a failure.
    pub code: String,
    pub request_id: String,
    /// What to try.
    pub help: String,
    /// Places and what is wrong there.
    pub problems: Vec<(String, String)>,
    /// Shown once, to be copied.
    pub secret: String,
    pub link: Option<Link>,
}

/// Work that goes on.
#[derive(Debug, Clone, Default)]
pub struct Job {
    pub id: String,
    pub kind: String,
    pub status: String,
    pub tone: Tone,
    /// From 0 to 100; None while it is not known.
    pub percent: Option<u8>,
    pub counted: String,
    pub rate: String,
    pub left: String,
    pub error: String,
}

/// One step of something that went in steps.
#[derive(Debug, Clone, Default)]
pub struct Step {
    pub title: String,
    pub tone: Tone,
    pub at: Option<When>,
    pub facts: Vec<Fact>,
}

/// A rule in words.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "words.html")]
pub struct Words {
    pub text: String,
    /// Beside it: a count, or what came of it.
    pub note: String,
    pub tone: Tone,
    pub inner: Vec<Words>,
}

/// One of several views of the same thing.
#[derive(Debug, Clone, Default)]
pub struct Tab {
    pub href: String,
    pub text: String,
    pub here: bool,
}

/// Something on a page.
#[derive(Debug, Clone, Template)]
#[template(path = "block.html")]
pub enum Block {
    Text(String),
    Figures(Vec<Figure>),
    Facts(Vec<Fact>),
    Table(Table),
    Line(Line),
    Bars(Bars),
    Stack(Stack),
    Graph(Graph),
    Form(Form),
    Forms(Vec<Action>),
    Empty(Empty),
    Notice(Notice),
    Jobs(Vec<Job>),
    Steps(Vec<Step>),
    Words(Words),
    /// A title, and text that is shown as it is.
    Code(String, String),
    /// The same, folded away.
    Folded(String, Vec<Block>),
}

/// How wide a section is where there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Width {
    #[default]
    Full,
    TwoThirds,
    Half,
    Third,
}

impl Width {
    /// The class of this width.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::TwoThirds => "twothirds",
            Self::Half => "half",
            Self::Third => "third",
        }
    }
}

/// A part of a page with a title.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "section.html")]
pub struct Section {
    /// Unique on the page.
    pub id: &'static str,
    pub title: String,
    pub note: String,
    pub width: Width,
    /// Milliseconds after which it is shown anew; 0 is never.
    pub refresh_ms: u32,
    pub links: Vec<Link>,
    pub blocks: Vec<Block>,
    /// Without a box around it.
    pub bare: bool,
}

impl Section {
    /// A section of the whole width.
    pub fn new(id: &'static str, title: impl Into<String>, blocks: Vec<Block>) -> Self {
        Self { id, title: title.into(), blocks, ..Self::default() }
    }

    #[must_use]
    pub fn width(mut self, width: Width) -> Self {
        self.width = width;
        self
    }

    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    #[must_use]
    pub fn link(mut self, href: impl Into<String>, text: impl Into<String>) -> Self {
        self.links.push(Link::new(href, text));
        self
    }

    #[must_use]
    pub fn refresh(mut self, ms: u32) -> Self {
        self.refresh_ms = ms;
        self
    }

    #[must_use]
    pub fn bare(mut self) -> Self {
        self.bare = true;
        self
    }
}

impl HtmlSafe for When {}
impl HtmlSafe for Action {}
impl HtmlSafe for Cell {}
impl HtmlSafe for Table {}
impl HtmlSafe for Words {}
impl HtmlSafe for Block {}
impl HtmlSafe for Section {}
impl HtmlSafe for Form {}
impl HtmlSafe for Line {}
impl HtmlSafe for Bars {}
impl HtmlSafe for Stack {}
impl HtmlSafe for Graph {}
impl HtmlSafe for crate::builder::Node {}
