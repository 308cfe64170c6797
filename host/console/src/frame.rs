//! What surrounds every page: who works here, where one can go, and what came of the last form.

use crate::assets;
use crate::blocks::{Link, Notice, When};

/// What surrounds a page.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    pub title: String,
    /// The tenant's name.
    pub tenant: String,
    pub user: String,
    pub role: String,
    pub nav: Vec<Group>,
    /// The way here.
    pub crumbs: Vec<Link>,
    pub notices: Vec<Notice>,
    /// As of when the numbers of the page are.
    pub as_of: Option<When>,
    /// How far what is shown lies behind what was taken in.
    pub lag: String,
}

/// Places that belong together.
#[derive(Debug, Clone)]
pub struct Group {
    pub title: &'static str,
    pub items: Vec<Item>,
}

/// A place.
#[derive(Debug, Clone)]
pub struct Item {
    pub href: &'static str,
    pub text: &'static str,
    /// The path of its icon in a box of 24 × 24.
    pub icon: &'static str,
    /// It is where one is.
    pub here: bool,
    /// The key that leads here after `g`.
    pub key: &'static str,
}

impl Frame {
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
