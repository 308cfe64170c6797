//! From Markdown to HTML.
//!
//! Raw HTML of a page is shown as the text it is. Links between pages (`../plugins/rust.md#values`) lead to the pages as
//! they are served; what lies elsewhere in the repository is named and not linked, since nobody serves it.

use pulldown_cmark::{CodeBlockKind, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

use super::escape;

/// A page as HTML, and what it says about itself.
#[derive(Debug, Default)]
pub struct Rendered {
    /// What stands in its first heading.
    pub title: String,
    /// The page.
    pub html: String,
    /// The headings of the second and third level, in order.
    pub headings: Vec<Heading>,
}

/// A heading of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heading {
    /// 2 or 3.
    pub level: u8,
    /// The name to link to; unique on the page.
    pub id: String,
    /// What it says.
    pub text: String,
    /// Where it begins in the source, in bytes.
    pub at: usize,
}

fn parser(markdown: &str) -> Parser<'_> {
    Parser::new_ext(markdown, Options::ENABLE_TABLES | Options::ENABLE_GFM)
}

/// Every link of a page as it was written, in order.
#[must_use]
pub fn links(markdown: &str) -> Vec<String> {
    let linked = parser(markdown).filter_map(|event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
            Some(dest_url.into_string())
        }
        _ => None,
    });
    linked.collect()
}

/// Turns the page at this address into HTML.
#[must_use]
pub fn render(path: &str, markdown: &str) -> Rendered {
    let mut rendered = Rendered::default();
    let mut writing = Writing::new(path);
    for (event, at) in parser(markdown).into_offset_iter() {
        writing.take(event, at.start);
    }
    html::push_html(&mut rendered.html, writing.events.into_iter());
    rendered.title = writing.title;
    rendered.headings = writing.headings;
    rendered
}

/// What has been read, and what it became.
struct Writing<'a> {
    path: &'a str,
    events: Vec<Event<'a>>,
    title: String,
    headings: Vec<Heading>,
    /// Where the heading begins that is being read, among the events and in the source, and what it says so far.
    heading: Option<(usize, usize, String)>,
    alignments: Vec<pulldown_cmark::Alignment>,
    column: usize,
    in_head: bool,
    /// What ends a link that is being read.
    link_end: &'static str,
}

impl<'a> Writing<'a> {
    fn new(path: &'a str) -> Self {
        Self {
            path,
            events: Vec::new(),
            title: String::new(),
            headings: Vec::new(),
            heading: None,
            alignments: Vec::new(),
            column: 0,
            in_head: false,
            link_end: "",
        }
    }

    fn html(&mut self, text: impl Into<CowStr<'a>>) {
        self.events.push(Event::Html(text.into()));
    }

    fn inline(&mut self, text: impl Into<CowStr<'a>>) {
        self.events.push(Event::InlineHtml(text.into()));
    }

    fn take(&mut self, event: Event<'a>, at: usize) {
        if let (Some((_, _, said)), Event::Text(text) | Event::Code(text)) = (&mut self.heading, &event) {
            said.push_str(text);
        }
        match event {
            Event::Html(text) | Event::InlineHtml(text) => self.events.push(Event::Text(text)),
            Event::Start(Tag::HtmlBlock) => self.events.push(Event::Start(Tag::Paragraph)),
            Event::End(TagEnd::HtmlBlock) => self.events.push(Event::End(TagEnd::Paragraph)),
            Event::Start(tag @ Tag::Heading { .. }) => {
                self.heading = Some((self.events.len(), at, String::new()));
                self.events.push(Event::Start(tag));
            }
            Event::End(TagEnd::Heading(level)) => self.end_heading(level),
            Event::Start(Tag::CodeBlock(kind)) => {
                let language = match &kind {
                    CodeBlockKind::Fenced(info) => info.split(' ').next().unwrap_or_default().to_owned(),
                    CodeBlockKind::Indented => String::new(),
                };
                let class = if language.is_empty() {
                    String::new()
                } else {
                    format!(" class=\"language-{}\"", escape(&language))
                };
                self.html(format!("<pre tabindex=\"0\"><code{class}>"));
            }
            Event::End(TagEnd::CodeBlock) => self.html("</code></pre>\n"),
            Event::Start(Tag::Link { dest_url, .. }) => {
                let (begin, end) = link(self.path, &dest_url);
                self.link_end = end;
                self.inline(begin);
            }
            Event::End(TagEnd::Link) => self.inline(self.link_end),
            Event::Start(Tag::Table(alignments)) => {
                self.alignments = alignments;
                self.html("<div class=\"wide\" tabindex=\"0\"><table>\n");
            }
            Event::End(TagEnd::Table) => self.html("</tbody></table></div>\n"),
            Event::Start(Tag::TableHead) => {
                (self.column, self.in_head) = (0, true);
                self.html("<thead><tr>");
            }
            Event::End(TagEnd::TableHead) => {
                self.in_head = false;
                self.html("</tr></thead>\n<tbody>\n");
            }
            Event::Start(Tag::TableRow) => {
                self.column = 0;
                self.html("<tr>");
            }
            Event::End(TagEnd::TableRow) => self.html("</tr>\n"),
            Event::Start(Tag::TableCell) => {
                let class = match self.alignments.get(self.column) {
                    Some(pulldown_cmark::Alignment::Right) => " class=\"right\"",
                    Some(pulldown_cmark::Alignment::Center) => " class=\"center\"",
                    _ => "",
                };
                self.column += 1;
                let begin = if self.in_head { "<th scope=\"col\"" } else { "<td" };
                self.html(format!("{begin}{class}>"));
            }
            Event::End(TagEnd::TableCell) => self.html(if self.in_head { "</th>" } else { "</td>" }),
            other => self.events.push(other),
        }
    }

    /// Gives a heading its name, a link to itself, and its place in the list.
    fn end_heading(&mut self, level: HeadingLevel) {
        let Some((began, at, text)) = self.heading.take() else { return };
        let slug = slug(&text);
        let same = |id: &str| self.headings.iter().any(|heading| heading.id == id);
        let id = if same(&slug) {
            (1..).map(|n| format!("{slug}-{n}")).find(|id| !same(id)).unwrap_or_default()
        } else {
            slug
        };
        if level == HeadingLevel::H1 {
            if self.title.is_empty() {
                self.title = text;
            }
        } else {
            if let Some(Event::Start(Tag::Heading { id: named, .. })) = self.events.get_mut(began) {
                *named = Some(CowStr::from(id.clone()));
            }
            self.inline(format!(
                " <a class=\"anchor\" href=\"#{id}\" aria-label=\"Link to this section\">#</a>"
            ));
            if level <= HeadingLevel::H3 {
                self.headings.push(Heading { level: level as u8, id, text, at });
            }
        }
        self.events.push(Event::End(TagEnd::Heading(level)));
    }
}

/// A heading's name in links, as code hosts make it: lower case, words joined by hyphens, everything else left out.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.trim().chars() {
        match c {
            ' ' => slug.push('-'),
            '-' | '_' => slug.push(c),
            c if c.is_alphanumeric() => slug.extend(c.to_lowercase()),
            _ => {}
        }
    }
    slug
}

/// What a link from this page begins and ends with.
fn link(path: &str, target: &str) -> (String, &'static str) {
    if target.starts_with("https://") || target.starts_with("http://") {
        return (format!("<a href=\"{}\" rel=\"noreferrer\">", escape(target)), "</a>");
    }
    if target.starts_with('#') || target.starts_with('/') {
        return (format!("<a href=\"{}\">", escape(target)), "</a>");
    }
    match resolve(path, target) {
        Some(address) => (format!("<a href=\"{}\">", escape(&address)), "</a>"),
        None => {
            let place = target.trim_start_matches("../");
            (format!("<span class=\"elsewhere\" title=\"{} in the repository\">", escape(place)), "</span>")
        }
    }
}

/// The address that a relative link from a page leads to; None when it leaves the documentation.
fn resolve(path: &str, target: &str) -> Option<String> {
    let (file, fragment) = target.split_once('#').map_or((target, ""), |(file, part)| (file, part));
    let file = file.strip_suffix(".md")?;
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in file.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop()?;
            }
            other => parts.push(other),
        }
    }
    let joint = if fragment.is_empty() { "" } else { "#" };
    // The table of contents is what `/docs` itself shows.
    let below = match parts.join("/").as_str() {
        "README" => String::new(),
        other => format!("/{other}"),
    };
    Some(format!("/docs{below}{joint}{fragment}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_between_pages_lead_to_the_pages_as_they_are_served() {
        for (path, target, address) in [
            ("a/b/page", "other.md", Some("/docs/a/b/other")),
            ("a/b/page", "../other.md#x", Some("/docs/a/other#x")),
            ("a/b/page", "../../README.md", Some("/docs")),
            ("", "start/first.md", Some("/docs/start/first")),
            ("a/page", "../../../wit", None),
            ("a/page", "../../../CHANGELOG.md", None),
        ] {
            assert_eq!(resolve(path, target).as_deref(), address, "{path} {target}");
        }
    }

    #[test]
    fn a_heading_is_named_by_its_words() {
        assert_eq!(slug("What is kept: `unique_list`, and more"), "what-is-kept-unique_list-and-more");
        let page = render("", "# T\n\n## `a` & b\n\nx\n\n#### deep\n");
        assert_eq!((page.title.as_str(), page.headings.len()), ("T", 1));
        assert_eq!((page.headings[0].id.as_str(), page.headings[0].text.as_str()), ("a--b", "a & b"));
        assert!(page.html.contains("<h4 id=\"deep\">"), "{}", page.html);
    }

    #[test]
    fn addresses_cannot_leave_their_attribute() {
        let page = render("", "[x](https://a/\"onclick=)  [y](<javascript:alert(1)>) [z](<a\"b.md>)");
        assert!(
            !page.html.contains("\"onclick") && !page.html.contains("href=\"javascript"),
            "{}",
            page.html
        );
    }
}
