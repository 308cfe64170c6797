//! The documentation that is served under `/docs`: the pages of `host/docs`, completed by what this server is.
//!
//! A line `<!-- generated: NAME -->` in a page gives way to a part that comes out of the code:
//!
//! | part | holds |
//! | --- | --- |
//! | `limits` | every limit with its value on this server |
//! | `errors` | every error code |
//! | `metrics` | every figure of `/metrics` |
//! | `measured` | what the README says was measured, with machine and day |
//! | `operations TAG` | the calls with a tag, from the description of the interface |
//! | `reference` | in the table of contents: the pages of tags that no page claims |
//! | any other | what the program hands in ([`crate::Options::docs`]), such as its settings and commands |
//!
//! Beside the pages in the table of contents there is one for each error code. How it is shown is the business of
//! [`cdp_console::docs`].

mod errors;
mod limits;
mod reference;

use std::fmt::Write as _;

use cdp_console::docs::Library;
use serde_json::Value;

use crate::metrics;
use crate::serve::HttpOptions;

pub use limits::sentence as limit;

/// The pages of `host/docs`, by address, as Markdown.
const PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// What the repository says first.
const FIRST_PAGE: &str = include_str!("../../../../README.md");

/// The page of `host/docs` that is the table of contents.
const INDEX: &str = "README";

const BEGIN: &str = "<!-- generated: ";
const END: &str = " -->";

/// A part of the documentation that the program hands in: its name in pages, and who makes what stands there instead.
pub type Part = (&'static str, fn() -> String);

/// All pages, completed.
pub(crate) fn library(http: &HttpOptions, openapi: &[u8], parts: &[Part]) -> Library {
    let description: Value = serde_json::from_slice(openapi).unwrap_or_default();
    let claimed: Vec<&str> = PAGES
        .iter()
        .flat_map(|(_, text)| text.lines().filter_map(directive))
        .filter_map(|name| name.strip_prefix("operations "))
        .collect();
    let unclaimed: Vec<_> = reference::TAGS.iter().filter(|tag| !claimed.contains(&tag.name)).collect();
    let part = |name: &str| match name.split_once(' ') {
        Some(("operations", tag)) => Some(reference::of_tag(&description, tag)),
        None if name == "limits" => Some(limits::tables(http)),
        None if name == "errors" => Some(errors::table()),
        None if name == "metrics" => Some(metrics::table()),
        None if name == "measured" => Some(section(FIRST_PAGE, "Measured").to_owned()),
        None if name == "reference" => {
            let mut list = String::new();
            for tag in &unclaimed {
                let _ = writeln!(list, "- [{}](api-reference/{}.md): {}", tag.title, tag.page, tag.about);
            }
            Some(list)
        }
        _ => parts.iter().find(|(known, _)| *known == name).map(|(_, make)| make()),
    };
    let of_tags = unclaimed.iter().map(|tag| {
        let calls = reference::of_tag(&description, tag.name);
        let first =
            tag.about.chars().next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
        let about = format!("{first}{}", tag.about.get(1..).unwrap_or_default());
        (format!("api-reference/{}", tag.page), format!("# {}\n\n{about}\n\n## Calls\n\n{calls}", tag.title))
    });
    let mut index = String::new();
    let mut pages: Vec<(String, String)> = Vec::new();
    for (path, text) in PAGES {
        let text = complete(text, part);
        match *path {
            INDEX => index = text,
            path => pages.push((path.to_owned(), text)),
        }
    }
    Library::new(index, pages.into_iter().chain(of_tags).chain(errors::pages()))
}

/// Every tag of the interface's description, and what it is about.
pub(crate) fn tags() -> impl Iterator<Item = (&'static str, &'static str)> {
    reference::TAGS.iter().map(|tag| (tag.name, tag.about))
}

/// What stands below a heading of the second level, without it.
fn section<'t>(markdown: &'t str, title: &str) -> &'t str {
    let (_, rest) = markdown.split_once(&format!("\n## {title}\n")).unwrap_or_default();
    rest.split("\n## ").next().unwrap_or_default().trim()
}

/// The name in a line that gives way to a part.
fn directive(line: &str) -> Option<&str> {
    line.strip_prefix(BEGIN)?.strip_suffix(END)
}

/// The page with its parts. A line whose part nobody knows stays as it is.
fn complete(text: &str, part: impl Fn(&str) -> Option<String>) -> String {
    let mut completed = String::with_capacity(text.len());
    for line in text.lines() {
        match directive(line).and_then(&part) {
            Some(part) => completed.push_str(part.trim_end()),
            None => completed.push_str(line),
        }
        completed.push('\n');
    }
    completed
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use cdp_console::docs::{links, render};

    use super::*;

    /// Parts that the program hands in, which these tests do without.
    const OF_THE_PROGRAM: &[&str] = &["commands", "configuration"];

    fn of_the_program() -> String {
        "(of the program)".to_owned()
    }

    fn whole() -> Library {
        let openapi = crate::openapi::to_json(&crate::describe());
        let parts: Vec<Part> =
            OF_THE_PROGRAM.iter().map(|name| (*name, of_the_program as fn() -> String)).collect();
        library(&HttpOptions::default(), openapi.as_bytes(), &parts)
    }

    #[test]
    fn every_page_stands_once_in_the_table_of_contents_under_its_title() {
        let library = whole();
        let mut listed = BTreeMap::new();
        for entry in library.contents().entries() {
            assert!(library.markdown(&entry.path).is_some(), "{} is listed and is not there", entry.path);
            assert!(listed.insert(entry.path.as_str(), entry).is_none(), "{} is listed twice", entry.path);
            assert!(entry.about.ends_with('.') && !entry.section.is_empty(), "{}: {entry:?}", entry.path);
        }
        for path in library.paths().filter(|path| !path.is_empty() && !path.starts_with("errors/")) {
            assert!(listed.contains_key(path), "host/docs/README.md does not list {path}.md");
            let title = render(path, library.markdown(path).unwrap()).title;
            assert!(!title.is_empty(), "{path} begins with no heading");
        }
    }

    #[test]
    fn every_part_is_known() {
        let library = whole();
        for path in library.paths() {
            let text = library.markdown(path).unwrap();
            assert!(!text.contains("<!--"), "{path} has a part that nobody makes");
        }
    }

    #[test]
    fn every_link_leads_somewhere() {
        let library = whole();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let routes: BTreeSet<&str> = crate::access::TABLE.iter().map(|(_, path, _)| *path).collect();
        let mut broken = Vec::new();
        for path in library.paths() {
            let text = library.markdown(path).unwrap();
            let file = if path.is_empty() { INDEX } else { path };
            let dir = Path::new("host/docs").join(file).parent().unwrap().to_owned();
            for link in links(text) {
                let (file, fragment) = link.split_once('#').unwrap_or((&link, ""));
                let (page, exists) = match file {
                    "" => (path.to_owned(), true),
                    web if web.starts_with("https://") => continue,
                    here if here.starts_with('/') => (String::new(), routes.contains(here)),
                    other => {
                        let place = normal(&dir.join(other));
                        let page =
                            place.strip_prefix("host/docs/").and_then(|place| place.strip_suffix(".md"));
                        match page {
                            Some("README") => (String::new(), true),
                            Some(page) => (page.to_owned(), library.markdown(page).is_some()),
                            None => (String::new(), fragment.is_empty() && root.join(&place).exists()),
                        }
                    }
                };
                let named = fragment.is_empty()
                    || library.markdown(&page).is_some_and(|text| {
                        render(&page, text).headings.iter().any(|heading| heading.id == fragment)
                    });
                if !exists || !named {
                    broken.push(format!("{path}: {link}"));
                }
            }
        }
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }

    /// The path without `..`.
    fn normal(path: &Path) -> String {
        let mut parts: Vec<String> = Vec::new();
        for part in path.components() {
            match part.as_os_str().to_string_lossy().as_ref() {
                ".." => {
                    parts.pop();
                }
                part => parts.push(part.to_owned()),
            }
        }
        parts.join("/")
    }

    #[test]
    fn what_the_code_knows_stands_on_its_page() {
        let library = whole();
        let page = library.markdown("api-reference/limits").unwrap();
        for (name, value) in crate::limits::all(&HttpOptions::default()) {
            assert!(page.contains(&format!("| `{name}` | {value} |")), "{name}");
        }
        let errors = library.markdown("errors").unwrap();
        for code in crate::error::Code::ALL {
            assert!(errors.contains(&format!("[`{}`]", code.as_str())), "{code:?}");
            assert!(
                library.markdown(&format!("errors/{}", code.as_str())).unwrap().contains(code.help().trim())
            );
        }
        let metrics = library.markdown("operate/monitoring").unwrap();
        for (name, ..) in metrics::ALL {
            assert!(metrics.contains(&format!("| `{name}` |")), "{name}");
        }
    }

    #[test]
    fn what_was_measured_is_on_the_page_of_capacity() {
        let library = whole();
        let page = library.markdown("operate/capacity").unwrap();
        assert!(page.contains(section(FIRST_PAGE, "Measured")) && page.contains("events/s"), "{page}");
        assert_eq!(section("x\n## A\n\ny\n\n## B\nz\n", "A"), "y");
    }

    #[test]
    fn a_line_gives_way_to_its_part_and_another_stays() {
        let part = |name: &str| (name == "a").then(|| "A\n".to_owned());
        let text = complete("x\n<!-- generated: a -->\n<!-- generated: b -->\n", part);
        assert_eq!(text, "x\nA\n<!-- generated: b -->\n");
    }
}
