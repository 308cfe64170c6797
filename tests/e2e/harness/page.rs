//! A page as somebody without a script has it: links, forms with their fields by label, and the words that stand there.
//!
//! Reads the console's own pages, whose templates write every attribute in quotes; it is no reader of HTML at large.

use std::collections::BTreeMap;

/// Elements without an end.
const VOID: [&str; 6] = ["input", "meta", "link", "br", "rect", "path"];

/// A field of a form.
#[derive(Debug, Clone, Default)]
pub(crate) struct Field {
    form: Option<usize>,
    id: String,
    pub(crate) label: String,
    pub(crate) name: String,
    kind: String,
    pub(crate) value: String,
    pub(crate) checked: bool,
    /// Of a select: value, text.
    options: Vec<(String, String)>,
}

impl Field {
    /// Whether it can be ticked.
    pub(crate) fn is_box(&self) -> bool {
        matches!(self.kind.as_str(), "checkbox" | "radio")
    }

    /// Fills it in; a select takes the text of one of its options.
    pub(crate) fn set(&mut self, text: &str) {
        if self.kind == "select" {
            let found = self.options.iter().find(|(_, shown)| shown == text);
            let found = found.unwrap_or_else(|| panic!("{} has no {text:?}: {:?}", self.label, self.options));
            self.value.clone_from(&found.0);
        } else {
            text.clone_into(&mut self.value);
        }
    }
}

/// A form.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form {
    pub(crate) action: String,
    /// It counts while one edits.
    pub(crate) live: bool,
}

/// What can be pressed.
#[derive(Debug, Clone)]
pub(crate) enum Press {
    Link { text: String, href: String },
    Button { text: String, form: usize, name: String, value: String, action: String },
}

impl Press {
    /// What it is called.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Link { text, .. } | Self::Button { text, .. } => text,
        }
    }
}

/// A page.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown {
    pub(crate) words: String,
    pub(crate) forms: Vec<Form>,
    pub(crate) fields: Vec<Field>,
    pub(crate) presses: Vec<Press>,
}

/// A part of the text: a tag with its attributes, an end, or words.
enum Part {
    Open(String, BTreeMap<String, String>),
    Close(String),
    Words(String),
}

fn parts(html: &str) -> Vec<Part> {
    let (mut out, mut rest) = (Vec::new(), html);
    while let Some(at) = rest.find('<') {
        out.push(Part::Words(unescape(&rest[..at])));
        rest = &rest[at + 1..];
        if rest.starts_with('!') {
            rest = rest.split_once('>').map_or("", |(_, rest)| rest);
        } else if let Some(end) = rest.strip_prefix('/') {
            let (name, after) = end.split_once('>').unwrap_or((end, ""));
            out.push(Part::Close(name.trim().to_owned()));
            rest = after;
        } else {
            let name_end = rest.find([' ', '>', '/', '\n']).unwrap_or(rest.len());
            let name = rest[..name_end].to_owned();
            let (attributes, after) = attributes(&rest[name_end..]);
            out.push(Part::Open(name, attributes));
            rest = after;
        }
    }
    out.push(Part::Words(unescape(rest)));
    out
}

/// Attributes up to the end of the tag, and what stands behind it.
fn attributes(text: &str) -> (BTreeMap<String, String>, &str) {
    let (mut found, mut rest) = (BTreeMap::new(), text);
    loop {
        rest = rest.trim_start_matches([' ', '\n', '/']);
        if rest.is_empty() {
            return (found, rest);
        }
        if let Some(after) = rest.strip_prefix('>') {
            return (found, after);
        }
        let end = rest.find([' ', '=', '>', '\n']).unwrap_or(rest.len());
        let name = rest[..end].to_owned();
        rest = &rest[end..];
        let value = match rest.strip_prefix("=\"") {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"').expect("every value is in quotes");
                rest = after;
                unescape(value)
            }
            None => String::new(),
        };
        found.insert(name, value);
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some((name, after)) = rest.split_once(';').filter(|(name, _)| name.len() < 9) else {
            out.push('&');
            continue;
        };
        let named = match name {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            _ => name.strip_prefix('#').and_then(|number| char::from_u32(number.parse().ok()?)),
        };
        match named {
            Some(letter) => {
                out.push(letter);
                rest = after;
            }
            None => out.push('&'),
        }
    }
    out.push_str(rest);
    out
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is open while a page is read.
#[derive(Default)]
struct Reader {
    shown: Shown,
    form: Option<usize>,
    /// Labels by the id that they are for.
    labels: BTreeMap<String, String>,
    /// The label that is open: for which id, its words, and the first field in it.
    label: Option<(String, String, usize)>,
    /// The link or button that is open: its attributes and words.
    pressed: Option<(bool, BTreeMap<String, String>, String)>,
    /// The option that is open.
    option: Option<(BTreeMap<String, String>, String)>,
    area: bool,
    hidden: usize,
}

impl Shown {
    /// Reads a page.
    pub(crate) fn of(html: &str) -> Self {
        let mut reader = Reader::default();
        for part in parts(html) {
            match part {
                Part::Open(name, attributes) => reader.open(&name, attributes),
                Part::Close(name) => reader.close(&name),
                Part::Words(words) => reader.words(&words),
            }
        }
        let Reader { mut shown, labels, .. } = reader;
        for field in &mut shown.fields {
            if let Some(label) = labels.get(&field.id).filter(|_| !field.id.is_empty()) {
                field.label = squeezed(label);
            }
        }
        shown.words = squeezed(&shown.words);
        shown
    }

    /// The last field of this label.
    pub(crate) fn field(&mut self, label: &str) -> &mut Field {
        let labels: Vec<_> = self.fields.iter().map(|field| field.label.clone()).collect();
        let found = self.fields.iter_mut().rev().find(|field| field.label == label && field.kind != "hidden");
        found.unwrap_or_else(|| panic!("no field is called {label:?} among {labels:?}"))
    }

    /// The form of a field.
    pub(crate) fn form_of(&self, label: &str) -> Option<usize> {
        self.fields.iter().rev().find(|field| field.label == label)?.form
    }

    /// What a form sends.
    pub(crate) fn sent(&self, form: usize) -> Vec<(String, String)> {
        let own = self.fields.iter().filter(|field| field.form == Some(form) && !field.name.is_empty());
        let own = own.filter(|field| field.kind != "file" && (!field.is_box() || field.checked));
        own.map(|field| (field.name.clone(), field.value.clone())).collect()
    }
}

impl Reader {
    fn open(&mut self, tag: &str, attributes: BTreeMap<String, String>) {
        let get = |name: &str| attributes.get(name).cloned().unwrap_or_default();
        match tag {
            "form" => {
                let (action, live) = (get("action"), attributes.contains_key("data-live"));
                self.shown.forms.push(Form { action, live });
                self.form = Some(self.shown.forms.len() - 1);
            }
            "label" => self.label = Some((get("for"), String::new(), self.shown.fields.len())),
            "input" | "select" | "textarea" => {
                let kind = match tag {
                    "input" => attributes.get("type").cloned().unwrap_or_else(|| "text".to_owned()),
                    other => other.to_owned(),
                };
                self.shown.fields.push(Field {
                    form: self.form,
                    id: get("id"),
                    label: get("aria-label"),
                    name: get("name"),
                    checked: attributes.contains_key("checked"),
                    value: get("value"),
                    options: Vec::new(),
                    kind,
                });
                self.area = tag == "textarea";
            }
            "option" => self.option = Some((attributes, String::new())),
            "a" | "button" => self.pressed = Some((tag == "a", attributes, String::new())),
            "title" | "style" | "script" | "datalist" => self.hidden += 1,
            _ => {}
        }
        if !VOID.contains(&tag) {
            self.shown.words.push(' ');
        }
    }

    fn close(&mut self, tag: &str) {
        match tag {
            "form" => self.form = None,
            "label" => {
                let Some((id, words, first)) = self.label.take() else { return };
                match self.shown.fields.get_mut(first).filter(|_| id.is_empty()) {
                    Some(field) => field.label = squeezed(&words),
                    None => drop(self.labels.insert(id, words)),
                }
            }
            "option" => {
                let Some((attributes, words)) = self.option.take().filter(|_| self.hidden == 0) else {
                    return;
                };
                let value = attributes.get("value").cloned().unwrap_or_default();
                if let Some(field) = self.shown.fields.last_mut().filter(|field| field.kind == "select") {
                    if field.options.is_empty() || attributes.contains_key("selected") {
                        field.value.clone_from(&value);
                    }
                    field.options.push((value, squeezed(&words)));
                }
            }
            "textarea" => self.area = false,
            "a" | "button" => {
                let Some((is_link, attributes, words)) = self.pressed.take() else { return };
                let get = |name: &str| attributes.get(name).cloned().unwrap_or_default();
                let text = attributes.get("aria-label").cloned().unwrap_or_else(|| squeezed(&words));
                match self.form {
                    _ if is_link => self.shown.presses.push(Press::Link { text, href: get("href") }),
                    Some(form) if get("type") != "button" => {
                        let (name, value, action) = (get("name"), get("value"), get("formaction"));
                        self.shown.presses.push(Press::Button { text, form, name, value, action });
                    }
                    _ => {}
                }
            }
            "title" | "style" | "script" | "datalist" => self.hidden = self.hidden.saturating_sub(1),
            _ => {}
        }
        self.shown.words.push(' ');
    }

    fn words(&mut self, words: &str) {
        if self.area {
            if let Some(field) = self.shown.fields.last_mut() {
                field.value.push_str(words.strip_prefix('\n').unwrap_or(words));
            }
            return;
        }
        if let Some((_, option)) = &mut self.option {
            option.push_str(words);
            return;
        }
        if let Some((_, label, _)) = &mut self.label {
            label.push_str(words);
        }
        if let Some((_, _, pressed)) = &mut self.pressed {
            pressed.push_str(words);
        }
        if self.hidden == 0 {
            self.shown.words.push_str(words);
        }
    }
}

#[test]
fn a_page_is_read_as_somebody_has_it() {
    let html = "<!doctype html><title>T</title><a href=\"/x?a=1&amp;b=2\">Go <b>on</b></a>\
        <form action=\"/f\" method=\"post\" data-live><input type=\"hidden\" name=\"h\" value=\"1\">\
        <label for=\"i\">Name</label><input id=\"i\" name=\"n\" value=\"&#34;q&#34;\">\
        <label class=\"turn\"><input type=\"checkbox\" name=\"c\" value=\"1\"> not</label>\
        <label for=\"s\">When</label><select id=\"s\" name=\"w\"><option value=\"a\">ever</option><option value=\"b\" selected>from</option></select>\
        <textarea id=\"t\" name=\"j\">\n{}</textarea><button type=\"submit\" name=\"do\" value=\"save\">Save</button></form><p>1 &lt; 2</p>";
    let mut page = Shown::of(html);
    assert_eq!(page.words, "Go on Name not When Save 1 < 2");
    assert!(
        matches!(&page.presses[0], Press::Link { text, href } if text == "Go on" && href == "/x?a=1&b=2")
    );
    assert_eq!((page.presses[1].text(), page.forms[0].live), ("Save", true));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(page.sent(0), [pair("h", "1"), pair("n", "\"q\""), pair("w", "b"), pair("j", "{}")]);
    page.field("not").checked = true;
    page.field("When").set("ever");
    page.field("Name").set("x");
    let sent = page.sent(0);
    assert!(
        sent.contains(&pair("c", "1")) && sent.contains(&pair("w", "a")) && sent.contains(&pair("n", "x"))
    );
}
