//! The only crate that holds HTML, CSS and JavaScript.
//!
//! Plain values go in, pages come out: a handler fills the structs of this crate with strings and numbers, and the
//! templates in `templates/` write them. Every value is escaped where it is written, by askama; what is marked as safe
//! are templates of this crate and nothing else, in one place ([`blocks`]). Nothing here knows the engine or HTTP.
//!
//! | module | holds |
//! | --- | --- |
//! | [`assets`] | the stylesheet and the script, under names that change with their content |
//! | [`frame`] | what surrounds every page |
//! | [`blocks`] | what pages are put together from: tables, figures, forms, notices, steps |
//! | [`chart`] | drawings, as SVG without style or script |
//! | [`builder`] | the form in which a rule is edited |
//! | [`pages`] | the pages |
//!
//! To add a page: a handler in the front door that puts blocks together. To add a kind of block: a struct here, its
//! template, a variant of [`blocks::Block`].
#![expect(missing_docs, reason = "fields of views say by their names what stands on the page")]

pub mod assets;
pub mod blocks;
pub mod builder;
pub mod chart;
pub mod docs;
pub mod form;
pub mod frame;
pub mod pages;
#[cfg(test)]
mod tests;

pub use askama::Template;

/// The landing page, served for `/`.
#[must_use]
pub fn landing() -> &'static str {
    include_str!("landing.html")
}

/// What browsers may do with the pages of the documentation: nothing but show them.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What browsers may do with the pages of the console: load the two assets, send forms back, and nothing else.
pub const CONSOLE_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
