//! A newcomer's path from the demo to an audience, through the console alone: what host/docs/start-here/first-audience.md
//! says is carried out step by step, as somebody without a script does it, by what things are called on the page.

use std::time::Duration;

use crate::browser::Demo;
use crate::console::Browser;
use crate::harness::page::{Press, Shown};
use crate::harness::{root, until};

/// What a step says to do.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Act {
    /// `*name*`: open or press.
    Press(String),
    /// `**label** to` and a value in type.
    Set(String, String),
    /// `Tick **label**`.
    Tick(String),
    /// “words”: they stand on the page.
    Sees(String),
}

/// The steps of a page: what its numbered lists say, in order.
fn steps(markdown: &str) -> Vec<Act> {
    let mut acts = Vec::new();
    let mut in_list = false;
    for line in markdown.lines() {
        let begins = line.split_once(". ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
        in_list = begins || in_list && line.starts_with("   ");
        if in_list {
            read(line, &mut acts);
        }
    }
    acts
}

/// The steps of the page.
fn page() -> Vec<Act> {
    let path = root().join("host/docs/start-here/first-audience.md");
    let acts = steps(&std::fs::read_to_string(path).unwrap());
    assert!(acts.len() > 40, "{acts:?}");
    acts
}

/// The same for whoever does them elsewhere: what to do, with what it is called, and a value.
pub(crate) fn told() -> Vec<Vec<String>> {
    let told = |act: Act| match act {
        Act::Press(name) => vec!["press".to_owned(), name],
        Act::Set(label, value) => vec!["set".to_owned(), label, value],
        Act::Tick(label) => vec!["tick".to_owned(), label],
        Act::Sees(words) => vec!["see".to_owned(), words],
    };
    page().into_iter().map(told).collect()
}

fn read(line: &str, acts: &mut Vec<Act>) {
    let (mut rest, mut field, mut before) = (line, None::<String>, String::new());
    while let Some(at) = rest.find(['*', '`', '“']) {
        before.push_str(&rest[..at]);
        let (mark, end) = match &rest[at..] {
            text if text.starts_with("**") => ("**", "**"),
            text if text.starts_with('*') => ("*", "*"),
            text if text.starts_with('`') => ("`", "`"),
            _ => ("“", "”"),
        };
        let inner = &rest[at + mark.len()..];
        let mut to = inner.find(end).unwrap_or_else(|| panic!("{mark} is not ended in {line}"));
        // Quotes within quotes.
        while mark == "“" && inner[..to].matches('“').count() > inner[..to].matches('”').count() {
            to += "”".len() + inner[to + "”".len()..].find('”').expect("quotes within quotes end");
        }
        let text = inner[..to].to_owned();
        match mark {
            "**" if before.trim_end().to_lowercase().ends_with("tick") => acts.push(Act::Tick(text)),
            "**" => field = Some(text),
            "*" if is_told(&before) => {}
            "*" => acts.push(Act::Press(text)),
            "`" => {
                let label = field.take().unwrap_or_else(|| panic!("into what goes {text} in {line}"));
                acts.push(Act::Set(label, text));
            }
            _ => acts.push(Act::Sees(text)),
        }
        before.clear();
        rest = &inner[to + end.len()..];
    }
    assert_eq!(field, None, "a field is named and not filled in: {line}");
}

/// Whether what follows is only told of, not pressed: “Under *People* stands the total”.
fn is_told(before: &str) -> bool {
    before.trim_end().ends_with("Under")
}

/// Somebody who reads the page and does what it says.
struct Newcomer {
    browser: Browser,
    /// Where they are.
    at: String,
    shown: Shown,
    file: String,
}

impl Newcomer {
    fn open(&mut self, path: &str) {
        let page = self.browser.get(path);
        if page.headers.get("content-disposition").is_some_and(|value| value.starts_with("attachment")) {
            self.file = page.text;
            return;
        }
        if page.status == 303 {
            return self.open(&page.location);
        }
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        path.clone_into(&mut self.at);
        self.shown = Shown::of(&page.text);
    }

    fn send(&mut self, action: &str, fields: &[(String, String)]) {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let page = self.browser.post(action, &fields);
        if page.status == 303 {
            return self.open(&page.location);
        }
        assert_eq!(page.status, 200, "{action}: {}", page.text);
        self.shown = Shown::of(&page.text);
    }

    /// Edits of the builder come back with their counts: without a script, by *Update counts*.
    fn edited(&mut self, label: &str) {
        let Some(form) = self.shown.form_of(label).filter(|form| self.shown.forms[*form].live) else {
            return;
        };
        // What only names the segment, or is a choice for a button, changes no count.
        if !matches!(label, "Title" | "Name" | "Add") {
            let mut fields = self.shown.sent(form);
            fields.push(("do".to_owned(), "refresh".to_owned()));
            let action = self.shown.forms[form].action.clone();
            self.send(&action, &fields);
        }
    }

    fn press(&mut self, name: &str) {
        // A page that shows work under way is looked at again until what is to be pressed is there.
        let found = until(Duration::from_secs(60), || {
            let found = self.shown.presses.iter().find(|one| one.text() == name).cloned();
            if found.is_none() && !self.at.is_empty() {
                let at = self.at.clone();
                self.open(&at);
            }
            found
        });
        let names: Vec<_> = self.shown.presses.iter().map(Press::text).collect();
        match found.unwrap_or_else(|| panic!("there is no {name:?} at {} among {names:?}", self.at)) {
            Press::Link { href, .. } => self.open(&href),
            Press::Button { form, name, value, action, .. } => {
                let mut fields = self.shown.sent(form);
                if !name.is_empty() {
                    fields.push((name, value));
                }
                let own = self.shown.forms[form].action.clone();
                self.send(if action.is_empty() { &own } else { &action }, &fields);
            }
        }
    }

    fn sees(&mut self, words: &str) {
        let there = until(Duration::from_secs(60), || {
            if self.shown.words.contains(words) {
                return Some(());
            }
            // A form that is being filled in has no address to be asked for again.
            if !self.shown.forms.iter().any(|form| form.live) {
                let at = self.at.clone();
                self.open(&at);
            }
            None
        });
        assert!(there.is_some(), "{words:?} does not stand at {}: {}", self.at, self.shown.words);
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Press(name) => self.press(name),
            Act::Set(label, value) => {
                self.shown.field(label).set(value);
                self.edited(label);
            }
            Act::Tick(label) => {
                let field = self.shown.field(label);
                assert!(field.is_box(), "{label} cannot be ticked");
                field.checked = true;
                self.edited(label);
            }
            Act::Sees(words) => self.sees(words),
        }
    }
}

#[test]
fn a_newcomer_gets_from_the_demo_to_an_audience_by_what_the_page_says() {
    let demo = Demo::start();
    let path = demo.link.strip_prefix(&demo.url).unwrap().to_owned();
    let browser = Browser::new(&demo.url);
    let (at, shown, file) = (String::new(), Shown::default(), String::new());
    let mut newcomer = Newcomer { browser, at, shown, file };
    newcomer.open(&path);
    newcomer.sees("4,372");
    for act in &page() {
        newcomer.act(act);
    }
    let rows: Vec<_> = newcomer.file.lines().collect();
    assert_eq!((rows.len(), rows[0]), (209, "email,total_spend"), "a line of names, and one for each person");
    assert!(rows[1..].iter().all(|row| row.contains("@example.com,")), "{:?}", &rows[..3]);
}

#[test]
fn a_step_is_read_as_it_is_written() {
    let page = "Open *nothing* here.\n\n1. Open *Segments*, set **Title** to `A b` and tick **not**.\n   It says “so, “so””.\n2. Under *People* stands “7”.\n\nNot *this*.\n";
    let act = |name: &str| Act::Press(name.to_owned());
    assert_eq!(
        steps(page),
        [
            act("Segments"),
            Act::Set("Title".to_owned(), "A b".to_owned()),
            Act::Tick("not".to_owned()),
            Act::Sees("so, “so”".to_owned()),
            Act::Sees("7".to_owned()),
        ]
    );
}
