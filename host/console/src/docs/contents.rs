//! The table of contents: a Markdown page with sections, groups and a list of pages.
//!
//! ```text
//! ## Section
//! ### Group
//! - [Title](folder/page.md): what it is about.
//! ```

/// What the table of contents says.
#[derive(Debug, Default)]
pub struct Contents {
    about: Option<String>,
    entries: Vec<Entry>,
}

/// A page in the table of contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is called there.
    pub title: String,
    /// Its address below `/docs/`.
    pub path: String,
    /// What it is about, in a sentence.
    pub about: String,
    /// The section it stands in.
    pub section: String,
    /// The group in the section; empty where there is none.
    pub group: String,
    heading: String,
}

impl Entry {
    /// Section and group.
    #[must_use]
    pub fn heading(&self) -> &str {
        &self.heading
    }
}

impl Contents {
    /// Reads a page in the form that this module shows; other lines are for people only.
    #[must_use]
    pub fn read(index: &str) -> Self {
        let mut contents = Self::default();
        let (mut section, mut group) = (String::new(), String::new());
        for line in index.lines() {
            if let Some(title) = line.strip_prefix("## ") {
                (section, group) = (title.trim().to_owned(), String::new());
            } else if let Some(title) = line.strip_prefix("### ") {
                group = title.trim().to_owned();
            } else if let Some((title, path, about)) = listed(line) {
                let heading = if group.is_empty() { section.clone() } else { format!("{section}: {group}") };
                let (section, group) = (section.clone(), group.clone());
                contents.entries.push(Entry { title, path, about, section, group, heading });
            } else if contents.about.is_none() && !line.trim().is_empty() && !line.starts_with('#') {
                contents.about = Some(line.trim().to_owned());
            }
        }
        contents
    }

    /// The first sentence of the page.
    #[must_use]
    pub fn about(&self) -> Option<&str> {
        self.about.as_deref()
    }

    /// All pages, in the order of reading.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What is read before a page, and what after it.
    #[must_use]
    pub fn around(&self, path: &str) -> (Option<&Entry>, Option<&Entry>) {
        let Some(at) = self.entries.iter().position(|entry| entry.path == path) else { return (None, None) };
        (at.checked_sub(1).and_then(|at| self.entries.get(at)), self.entries.get(at + 1))
    }
}

/// Title, address and sentence of a line of the list.
fn listed(line: &str) -> Option<(String, String, String)> {
    let (title, rest) = line.strip_prefix("- [")?.split_once("](")?;
    let (target, about) = rest.split_once(')')?;
    let path = target.strip_suffix(".md")?;
    let about = about.strip_prefix(':').unwrap_or(about).trim();
    Some((title.to_owned(), path.to_owned(), about.to_owned()))
}
