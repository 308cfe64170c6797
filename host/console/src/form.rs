//! Forms: plain ones, which work without a script.

use askama::Template;

use crate::blocks::Tone;

/// What is filled in and sent.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "form.html")]
pub struct Form {
    /// Where it is sent: by POST, unless [`Self::get`] says otherwise.
    pub to: String,
    /// What it asks stands in the address: for filters, which hold nothing of anybody.
    pub get: bool,
    pub fields: Vec<Field>,
    pub submit: String,
    pub tone: Tone,
    /// It carries a file.
    pub file: bool,
    /// Other buttons: where they send the form to, and what they say.
    pub also: Vec<(String, String)>,
    /// Fields stand side by side.
    pub inline: bool,
}

impl Form {
    pub fn new(to: impl Into<String>, submit: impl Into<String>, fields: Vec<Field>) -> Self {
        Self { to: to.into(), submit: submit.into(), fields, ..Self::default() }
    }

    #[must_use]
    pub fn inline(mut self) -> Self {
        self.inline = true;
        self
    }

    #[must_use]
    pub fn also(mut self, to: impl Into<String>, text: impl Into<String>) -> Self {
        self.also.push((to.into(), text.into()));
        self
    }
}

/// How a field is filled in.
#[derive(Debug, Clone, Default)]
pub enum Kind {
    #[default]
    Text,
    Password,
    Number,
    Date,
    Hidden,
    File,
    /// Lines of text, shown in a fixed width.
    Lines(u8),
    /// One of several.
    Select(Vec<Choice>),
    /// Some of several.
    Checks(Vec<Choice>),
    /// One of several, all in sight.
    Radios(Vec<Choice>),
}

/// One that can be chosen.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    pub value: String,
    pub text: String,
    pub chosen: bool,
}

impl Choice {
    /// Choices of which one is chosen.
    pub fn of<T: AsRef<str>>(all: impl IntoIterator<Item = T>, chosen: &str) -> Vec<Self> {
        all.into_iter()
            .map(|one| {
                let text = one.as_ref().to_owned();
                Self { chosen: text == chosen, value: text.clone(), text }
            })
            .collect()
    }

    /// Choices with words of their own.
    #[must_use]
    pub fn named(all: &[(&str, &str)], chosen: &str) -> Vec<Self> {
        all.iter()
            .map(|(value, text)| Self {
                value: (*value).to_owned(),
                text: (*text).to_owned(),
                chosen: *value == chosen,
            })
            .collect()
    }
}

/// A field.
#[derive(Debug, Clone, Default)]
pub struct Field {
    pub name: String,
    pub label: String,
    pub kind: Kind,
    pub value: String,
    pub hint: String,
    /// What is wrong with it.
    pub problem: String,
    pub required: bool,
    /// For password managers.
    pub autocomplete: &'static str,
    /// Values that may be meant.
    pub suggestions: Vec<String>,
}

impl Field {
    pub fn new(name: &str, label: &str, kind: Kind) -> Self {
        Self { name: name.to_owned(), label: label.to_owned(), kind, ..Self::default() }
    }

    pub fn text(name: &str, label: &str) -> Self {
        Self::new(name, label, Kind::Text)
    }

    pub fn hidden(name: &str, value: impl Into<String>) -> Self {
        Self::new(name, "", Kind::Hidden).value(value)
    }

    #[must_use]
    pub fn value(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    #[must_use]
    pub fn suggest<T: Into<String>>(mut self, all: impl IntoIterator<Item = T>) -> Self {
        self.suggestions = all.into_iter().map(Into::into).collect();
        self
    }
}
