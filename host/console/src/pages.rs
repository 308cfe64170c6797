//! The pages: one that is put together from blocks, and those that stand alone.

use askama::Template;

use crate::assets;
use crate::blocks::{Block, Link, Notice, Section, Tab, Tone};
use crate::form::Form;
use crate::frame::Frame;

/// A page that is put together from sections.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "page.html")]
pub struct Page {
    pub frame: Frame,
    /// Stands below the title.
    pub intro: String,
    pub tabs: Vec<Tab>,
    /// What can be done here first.
    pub actions: Vec<Link>,
    pub sections: Vec<Section>,
}

/// A page for somebody who is not signed in.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "bare.html")]
pub struct Bare {
    pub title: String,
    pub intro: String,
    pub notices: Vec<Notice>,
    pub form: Option<Form>,
    pub after: Vec<Block>,
}

impl Bare {
    #[must_use]
    pub fn style(&self) -> String {
        assets::style()
    }

    #[must_use]
    pub fn script(&self) -> String {
        assets::script()
    }

    #[must_use]
    pub fn icon(&self) -> String {
        assets::icon()
    }
}

/// Writes a page.
///
/// # Errors
/// Never for the templates of this crate, which write into memory.
pub fn write(page: &impl Template) -> Result<String, askama::Error> {
    page.render()
}
