//! The documentation as a web of pages: Markdown in, readable HTML out, without scripts and without inline styles.
//!
//! | module | does |
//! | --- | --- |
//! | [`contents`] | reads the table of contents, which is a page itself, and knows what stands before and behind a page |
//! | [`markdown`] | turns a page into HTML: anchors on headings, links between pages, no raw HTML let through |
//! | [`layout`] | puts a page into its frame: navigation, the page's own headings, the way on |
//! | [`search`] | finds pages by words in titles, headings and text |
//!
//! Whoever serves it says what the pages are; this module knows no server. To add a page: its file, and a line in the
//! table of contents.

mod contents;
mod layout;
mod markdown;
mod search;

use std::collections::BTreeMap;
use std::sync::OnceLock;

pub use contents::{Contents, Entry};
pub use markdown::{Heading, Rendered, links, render};

/// The stylesheet of all pages.
pub const STYLE: &str = include_str!("style.css");

/// What browsers may do with the documentation: show it, with our stylesheet, and ask our search.
pub const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Where the table of contents lies among the pages.
const INDEX: &str = "";

/// All pages, by their address below `/docs/`, such as `start-here/customer-profiles`.
#[derive(Debug)]
pub struct Library {
    contents: Contents,
    pages: BTreeMap<String, String>,
    /// What a search looks through, made at the first one.
    places: OnceLock<Vec<search::Place>>,
}

impl Library {
    /// Of the table of contents and the other pages, all as Markdown.
    ///
    /// A page that the table of contents does not name is served and found, and stands in no navigation.
    #[must_use]
    pub fn new(index: String, pages: impl IntoIterator<Item = (String, String)>) -> Self {
        let contents = Contents::read(&index);
        let mut pages: BTreeMap<_, _> = pages.into_iter().collect();
        pages.insert(INDEX.to_owned(), index);
        Self { contents, pages, places: OnceLock::new() }
    }

    /// The table of contents.
    #[must_use]
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The addresses of all pages, in alphabetical order; the first is empty and the table of contents.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.pages.keys().map(String::as_str)
    }

    /// A page as it was written.
    #[must_use]
    pub fn markdown(&self, path: &str) -> Option<&str> {
        self.pages.get(path).map(String::as_str)
    }

    /// A page for a browser.
    #[must_use]
    pub fn html(&self, path: &str) -> Option<String> {
        let rendered = render(path, self.markdown(path)?);
        Some(layout::page(&self.contents, path, &rendered))
    }

    /// What is said, in a browser, of an address at which there is no page: pages that have its words are offered.
    #[must_use]
    pub fn missing(&self, path: &str) -> String {
        let places = self.places.get_or_init(|| search::places(&self.pages));
        let last = path.rsplit('/').find(|step| !step.is_empty()).unwrap_or_default();
        let words = last.trim_end_matches(".md").replace(['-', '_'], " ");
        layout::missing(&self.contents, &words, &search::find(places, &words))
    }

    /// What is found for words, for a browser.
    #[must_use]
    pub fn search(&self, query: &str) -> String {
        let places = self.places.get_or_init(|| search::places(&self.pages));
        layout::found(&self.contents, query, &search::find(places, query))
    }

    /// The list of pages for programs that read (`/llms.txt`).
    #[must_use]
    pub fn llms_txt(&self) -> String {
        let mut text = String::from("# ResultFly CDP\n");
        if let Some(about) = self.contents.about() {
            text.push_str(&format!("\n> {about}\n"));
        }
        let mut section = None;
        for entry in self.contents.entries() {
            if section != Some(entry.heading()) {
                section = Some(entry.heading());
                text.push_str(&format!("\n## {}\n\n", entry.heading()));
            }
            text.push_str(&format!("- [{}](/docs/{}.md): {}\n", entry.title, entry.path, entry.about));
        }
        text
    }
}

/// Text as it may stand in HTML, also in quoted attributes.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library() -> Library {
        let index = "# Documentation\n\nWhat is known.\n\n## Start here\n\n- [First](start/first.md): the beginning.\n\
                     - [Second](start/second.md): what follows.\n\n## Operate\n\n### Daily\n\n- [Run](operate/run.md): run it.\n";
        let pages = [
            ("start/first", "# First\n\nSee [the second](second.md#a-part) & <script>alert(1)</script>.\n"),
            ("start/second", "# Second\n\n## A part\n\nApples.\n\n## A part\n\nPears, <b>bold</b>.\n"),
            (
                "operate/run",
                "# Run\n\n| a | b |\n| --- | ---: |\n| 1 | 2 |\n\n```sh no-run reason=\"x\"\nls < a\n```\n",
            ),
            ("errors/none", "# none\n\nNo apples.\n"),
        ];
        Library::new(index.to_owned(), pages.map(|(path, text)| (path.to_owned(), text.to_owned())))
    }

    #[test]
    fn a_page_stands_in_its_frame_with_the_way_on() {
        let page = library().html("start/second").unwrap();
        assert!(page.contains("<title>Second · ResultFly CDP</title>"), "{page}");
        assert!(page.contains("href=\"/docs/start/first\" rel=\"prev\""), "{page}");
        assert!(page.contains("href=\"/docs/operate/run\" rel=\"next\""), "{page}");
        assert!(page.contains("aria-current=\"page\""), "{page}");
        assert!(page.contains("id=\"a-part\"") && page.contains("id=\"a-part-1\""), "{page}");
        assert_eq!(page.matches("href=\"#a-part-1\"").count(), 2, "the anchor and the page's own headings");
        assert!(library().html("start/third").is_none());
    }

    #[test]
    fn no_raw_html_and_no_inline_style_gets_through() {
        let library = library();
        let page = library.html("start/first").unwrap();
        assert!(
            page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && !page.contains("<script"),
            "{page}"
        );
        assert!(page.contains("href=\"/docs/start/second#a-part\""), "{page}");
        assert!(library.html("start/second").unwrap().contains("&lt;b&gt;bold&lt;/b&gt;"));
        let page = library.html("operate/run").unwrap();
        assert!(page.contains("<td class=\"right\">2</td>") && page.contains("ls &lt; a"), "{page}");
        for path in library.paths() {
            assert!(!library.html(path).unwrap().contains("style="), "{path}");
        }
    }

    #[test]
    fn a_search_finds_words_in_titles_before_those_in_text() {
        let found = library().search("apples");
        let at = |text: &str| found.find(text).unwrap_or_else(|| panic!("{text}: {found}"));
        at("href=\"/docs/start/second#a-part\"");
        at("href=\"/docs/errors/none\"");
        let found = library().search("second");
        assert!(
            found.find("/docs/start/second\"").unwrap() < found.rfind("/docs/start/first").unwrap(),
            "{found}"
        );
        let found = library().search("<img src=x> \"");
        assert!(!found.contains("<img") && found.contains("&lt;img src=x&gt; &quot;"), "{found}");
        assert!(library().search("nowhereatall").contains("Nothing"), "it says so");
    }

    #[test]
    fn a_wrong_address_leads_to_what_may_be_meant() {
        let page = library().missing("start/apples-<script>");
        assert!(page.contains("<h1>There is no such page</h1>") && !page.contains("<script"), "{page}");
        assert!(library().missing("start/apples.md").contains("href=\"/docs/errors/none\""));
        assert!(library().missing("").contains("href=\"/docs\""));
    }

    #[test]
    fn programs_get_a_list_of_all_pages() {
        let text = library().llms_txt();
        assert!(text.starts_with("# ResultFly CDP\n\n> What is known.\n\n## Start here\n\n- [First](/docs/start/first.md): the beginning.\n"), "{text}");
        assert!(text.contains("## Operate: Daily\n"), "{text}");
    }

    #[test]
    fn the_style_loads_nothing_from_elsewhere() {
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }
}
