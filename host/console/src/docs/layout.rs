//! The frame of a page.

use std::fmt::Write as _;

use super::contents::{Contents, Entry};
use super::escape;
use super::markdown::{Heading, Rendered};
use super::search::Found;

/// Places that are offered where there is no page.
const OFFERED_MAX: usize = 6;

/// A page in its frame.
pub(super) fn page(contents: &Contents, path: &str, page: &Rendered) -> String {
    let (previous, next) = contents.around(path);
    let mut main = format!("<article>\n{}</article>\n", page.html);
    if previous.is_some() || next.is_some() {
        main.push_str("<nav class=\"way\" aria-label=\"The way on\">");
        for (entry, rel, word) in [(previous, "prev", "Before"), (next, "next", "Next")] {
            if let Some(entry) = entry {
                let (path, title) = (escape(&entry.path), escape(&entry.title));
                let _ =
                    write!(main, "<a href=\"/docs/{path}\" rel=\"{rel}\"><span>{word}</span> {title}</a>");
            }
        }
        main.push_str("</nav>\n");
    }
    frame(contents, path, &page.title, "", &main, &own(&page.headings))
}

/// What was found, in the same frame.
pub(super) fn found(contents: &Contents, query: &str, found: &[Found<'_>]) -> String {
    let mut main = String::from("<article>\n<h1>Search</h1>\n");
    if query.trim().is_empty() {
        main.push_str("<p>Type a word or two above, such as “erasure” or “retry after”.</p>\n");
    } else if found.is_empty() {
        let _ = writeln!(
            main,
            "<p>Nothing has all of these words: {}. Try fewer, or shorter ones.</p>",
            escape(query)
        );
    } else {
        main.push_str(&list(found));
    }
    main.push_str("</article>\n");
    frame(contents, "search", "Search", query, &main, "")
}

/// Places, one below the other.
fn list(found: &[Found<'_>]) -> String {
    let mut main = String::from("<ol class=\"found\">\n");
    for place in found {
        let path = if place.path.is_empty() { String::new() } else { format!("/{}", place.path) };
        let (fragment, below) = match place.heading {
            Some((text, id)) => (format!("#{id}"), format!(" › {}", escape(text))),
            None => (String::new(), String::new()),
        };
        let _ = writeln!(
            main,
            "<li><a href=\"/docs{}{}\">{}{below}</a><p>{}</p></li>",
            escape(&path),
            escape(&fragment),
            escape(place.title),
            escape(&place.around),
        );
    }
    main.push_str("</ol>\n");
    main
}

/// What is said of an address at which there is no page.
pub(super) fn missing(contents: &Contents, words: &str, found: &[Found<'_>]) -> String {
    let mut main = String::from(
        "<article>\n<h1>There is no such page</h1>\n\
         <p>The address leads nowhere; it may have been mistyped, or be of another version. \
         <a href=\"/docs\">All pages</a> are one list, and the search above finds words.</p>\n",
    );
    if !found.is_empty() {
        main.push_str("<h2>These may be meant</h2>\n");
        main.push_str(&list(&found[..found.len().min(OFFERED_MAX)]));
    }
    main.push_str("</article>\n");
    frame(contents, "", "There is no such page", words, &main, "")
}

/// The page's own headings.
fn own(headings: &[Heading]) -> String {
    if headings.len() < 2 {
        return String::new();
    }
    let mut list = String::from("<nav class=\"own\" aria-label=\"On this page\"><p>On this page</p><ul>\n");
    for Heading { level, id, text, .. } in headings {
        let _ = writeln!(list, "<li class=\"level{level}\"><a href=\"#{id}\">{}</a></li>", escape(text));
    }
    list.push_str("</ul></nav>\n");
    list
}

/// The list of all pages, with the one that is shown marked.
fn navigation(contents: &Contents, path: &str) -> String {
    let mut list = String::new();
    let mut last: Option<&Entry> = None;
    for entry in contents.entries() {
        if last.is_none_or(|last| last.heading() != entry.heading()) {
            if last.is_some() {
                list.push_str("</ul>\n");
            }
            if last.is_none_or(|last| last.section != entry.section) {
                let _ = writeln!(list, "<p class=\"section\">{}</p>", escape(&entry.section));
            }
            if !entry.group.is_empty() {
                let _ = writeln!(list, "<p class=\"group\">{}</p>", escape(&entry.group));
            }
            list.push_str("<ul>\n");
        }
        let current = if entry.path == path { " aria-current=\"page\"" } else { "" };
        let (address, title) = (escape(&entry.path), escape(&entry.title));
        let _ = writeln!(list, "<li><a href=\"/docs/{address}\"{current}>{title}</a></li>");
        last = Some(entry);
    }
    if last.is_some() {
        list.push_str("</ul>\n");
    }
    list
}

fn frame(contents: &Contents, path: &str, title: &str, query: &str, main: &str, own: &str) -> String {
    let (title, query, navigation) = (escape(title), escape(query), navigation(contents, path));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title} · ResultFly CDP</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <link rel=\"stylesheet\" href=\"/docs/style.css\">\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#content\">Skip to the text</a>\n\
         <header><a class=\"home\" href=\"/docs\">ResultFly CDP <span>documentation</span></a>\
         <form action=\"/docs/search\" method=\"get\" role=\"search\"><label for=\"q\">Search</label>\
         <input id=\"q\" type=\"search\" name=\"q\" value=\"{query}\" maxlength=\"200\"><button>Search</button></form>\
         <a class=\"jump\" href=\"#contents\">All pages</a><a href=\"/console\">Console</a></header>\n\
         <div class=\"frame\">\n<main id=\"content\">\n{main}</main>\n{own}\
         <nav id=\"contents\" aria-label=\"Documentation\">\n{navigation}</nav>\n</div>\n</body>\n</html>\n"
    )
}
