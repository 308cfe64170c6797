//! The reference of calls, from the description of the interface.
//!
//! A page for each tag of [`TAGS`]. A hand-written page may claim a tag with `<!-- generated: operations TAG -->`; any
//! other tag gets a page of its own.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;

use serde_json::{Map, Value};

/// A tag of the description: the name of its page, its title, and what it is about.
pub(super) struct Tag {
    pub(super) name: &'static str,
    pub(super) page: &'static str,
    pub(super) title: &'static str,
    pub(super) about: &'static str,
}

const fn tag(name: &'static str, page: &'static str, title: &'static str, about: &'static str) -> Tag {
    Tag { name, page, title, about }
}

/// Every tag, in the order of the table of contents.
pub(super) const TAGS: &[Tag] = &[
    tag(
        "events",
        "event-ingestion",
        "Event ingestion",
        "sending events, what an answer means, and what became of each.",
    ),
    tag("segment", "segment-libraries", "Segment libraries", "the calls that analytics libraries make."),
    tag("catalogue", "catalogue", "Event catalogue", "which events there are, and what they should carry."),
    tag("profiles", "profiles", "Profiles", "what is known of a person."),
    tag("identity", "identity", "Identity", "rules, constraints, and why two are one."),
    tag("consent", "consent", "Channels and consent", "purposes, decisions, signals and proof."),
    tag("attributes", "attributes", "Attributes", "facts computed from events."),
    tag("segments", "segments", "Segments", "rules over profiles, and who satisfies them."),
    tag("exports", "exports", "Exports", "audiences, destinations and schedules."),
    tag("privacy", "privacy", "Privacy", "access, erasure, restriction and the audit log."),
    tag("plugins", "plugins", "Plugins", "versions, activation, health, and lookup tables."),
    tag("jobs", "jobs", "Jobs", "how far background work is."),
    tag("keys", "keys", "Keys", "what a tenant's programs speak with."),
    tag("users", "users", "Console users", "who may come into the console."),
    tag("tenants", "tenants", "Tenants", "what the operator makes."),
    tag("operation", "operation", "Operation", "health, readiness, figures and limits."),
    tag("documentation", "documentation", "Documentation", "these pages themselves."),
];

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

fn operations(description: &Value) -> Vec<(&str, &str, &Value)> {
    let mut all = Vec::new();
    for (path, item) in description["paths"].as_object().into_iter().flatten() {
        for method in METHODS {
            if let Some(operation) = item.get(method) {
                all.push((method, path.as_str(), operation));
            }
        }
    }
    all
}

/// The calls of a tag, each with parameters, body and answers, and behind them the objects that they speak of.
pub(super) fn of_tag(description: &Value, tag: &str) -> String {
    let mut text = String::new();
    let mut types = Types::default();
    for (method, path, operation) in operations(description) {
        let tagged = operation["tags"].as_array().is_some_and(|tags| tags.iter().any(|one| one == tag));
        if tagged {
            call(&mut text, &mut types, method, path, operation);
        }
    }
    types.write(&mut text, description);
    text
}

fn call(text: &mut String, types: &mut Types, method: &str, path: &str, operation: &Value) {
    let summary = operation["summary"].as_str().unwrap_or(path);
    let _ = write!(text, "### {summary}\n\n`{} {path}`\n\n", method.to_uppercase());
    if let Some(said) = operation["description"].as_str() {
        let _ = write!(text, "{}\n\n", said.trim());
    }
    let parameters: Vec<&Value> = operation["parameters"].as_array().into_iter().flatten().collect();
    if !parameters.is_empty() {
        text.push_str("| parameter | in | is | |\n| --- | --- | --- | --- |\n");
        for parameter in parameters {
            let name = parameter["name"].as_str().unwrap_or_default();
            let place = parameter["in"].as_str().unwrap_or_default();
            let must = if parameter["required"] == true && place != "path" { " (required)" } else { "" };
            let kind = types.of(&parameter["schema"]);
            let said = cell(parameter["description"].as_str().unwrap_or_default());
            let _ = writeln!(text, "| `{name}` | {place}{must} | {kind} | {said} |");
        }
        text.push('\n');
    }
    if let Some(content) = operation["requestBody"]["content"].as_object() {
        let said = operation["requestBody"]["description"].as_str().map(|said| format!(": {}", cell(said)));
        let _ = write!(text, "The body{} is {}.\n\n", said.unwrap_or_default(), contents(types, content));
    }
    text.push_str("| answer | is | |\n| --- | --- | --- |\n");
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        let kinds = answer["content"].as_object().map(|content| contents(types, content)).unwrap_or_default();
        let said = cell(answer["description"].as_str().unwrap_or_default());
        let status = if status == "default" { "any error" } else { status };
        let _ = writeln!(text, "| {status} | {kinds} | {said} |");
    }
    text.push('\n');
}

fn contents(types: &mut Types, content: &Map<String, Value>) -> String {
    let kinds = content.iter().map(|(media, body)| match types.of(&body["schema"]).as_str() {
        "" | "object" => format!("`{media}`"),
        kind => format!("`{media}`: {kind}"),
    });
    kinds.collect::<Vec<_>>().join(", or ")
}

/// Text that stays in its cell.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// The named objects that were spoken of, so that each is told once.
#[derive(Default)]
struct Types {
    named: BTreeSet<String>,
    waiting: VecDeque<String>,
}

impl Types {
    /// What a schema takes, in words.
    fn of(&mut self, schema: &Value) -> String {
        if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
            if self.named.insert(name.to_owned()) {
                self.waiting.push_back(name.to_owned());
            }
            return format!("[{name}](#the-object-{})", name.to_lowercase());
        }
        for several in ["oneOf", "anyOf", "allOf"] {
            if let Some(kinds) = schema[several].as_array() {
                let kinds: BTreeSet<String> = kinds.iter().map(|kind| self.of(kind)).collect();
                return kinds.into_iter().collect::<Vec<_>>().join(" or ");
            }
        }
        if let Some(values) = schema["enum"].as_array() {
            let values: Vec<String> = values.iter().map(|value| format!("`{}`", plain(value))).collect();
            return values.join(", ");
        }
        match &schema["type"] {
            Value::Array(kinds) => {
                let one = |kind: &Value| {
                    let mut alone = schema.clone();
                    alone["type"] = kind.clone();
                    alone
                };
                let kinds: Vec<String> = kinds.iter().map(|kind| self.of(&one(kind))).collect();
                kinds.join(" or ")
            }
            Value::String(kind) if kind == "array" => match self.of(&schema["items"]) {
                inner if inner.is_empty() => "list".to_owned(),
                inner => format!("list of {inner}"),
            },
            Value::String(kind) if kind == "object" && schema["additionalProperties"].is_object() => {
                format!("object of {}", self.of(&schema["additionalProperties"]))
            }
            Value::String(kind) => kind.replace("string", "text"),
            _ => String::new(),
        }
    }

    /// A table for each object, and for those that they speak of.
    fn write(&mut self, text: &mut String, description: &Value) {
        if self.waiting.is_empty() {
            return;
        }
        text.push_str("## Objects\n\n");
        while let Some(name) = self.waiting.pop_front() {
            let schema = &description["components"]["schemas"][&name];
            let _ = write!(text, "### The object {name}\n\n");
            if let Some(said) = schema["description"].as_str() {
                let _ = write!(text, "{}\n\n", said.trim());
            }
            let Some(properties) = schema["properties"].as_object() else {
                let kind = self.of(schema);
                if !kind.is_empty() && kind != "object" {
                    let _ = write!(text, "It is {kind}.\n\n");
                }
                continue;
            };
            let required: Vec<&str> =
                schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            text.push_str("| member | is | |\n| --- | --- | --- |\n");
            for (member, schema) in properties {
                let may = if required.contains(&member.as_str()) { "" } else { ", may be left out" };
                let kind = self.of(schema);
                let said = cell(schema["description"].as_str().unwrap_or_default());
                let _ = writeln!(text, "| `{member}` | {kind}{may} | {said} |");
            }
            text.push('\n');
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tags whose calls browsers make, and no program.
    const NOT_FOR_PROGRAMS: &[&str] = &["console"];

    /// Every tag that a call has, each once.
    fn tags(description: &Value) -> BTreeSet<String> {
        let all = operations(description);
        let tags =
            all.iter().flat_map(|(_, _, operation)| operation["tags"].as_array().into_iter().flatten());
        let tags = tags.filter_map(|tag| tag.as_str().map(str::to_owned));
        tags.filter(|tag| !NOT_FOR_PROGRAMS.contains(&tag.as_str())).collect()
    }

    fn description() -> Value {
        serde_json::from_str(&crate::openapi::to_json(&crate::describe())).unwrap()
    }

    #[test]
    fn every_tag_has_its_place_in_the_reference() {
        let used = tags(&description());
        let missing: Vec<_> =
            used.iter().filter(|tag| !TAGS.iter().any(|known| known.name == **tag)).collect();
        assert!(missing.is_empty(), "say in TAGS what they are about: {missing:?}");
        for tag in TAGS {
            assert!(used.iter().any(|used| used == tag.name), "{} is used by no call", tag.name);
        }
    }

    #[test]
    fn every_call_stands_in_the_reference_with_its_parameters() {
        let description = description();
        for (method, path, operation) in operations(&description) {
            let Some(tag) = operation["tags"][0].as_str() else { panic!("{method} {path} has no tag") };
            if NOT_FOR_PROGRAMS.contains(&tag) {
                continue;
            }
            let text = of_tag(&description, tag);
            assert!(text.contains(&format!("`{} {path}`", method.to_uppercase())), "{method} {path}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                assert!(text.contains(&format!("| `{name}` |")), "{method} {path}: {name}");
            }
        }
    }

    #[test]
    fn every_object_that_is_named_is_told() {
        let description = description();
        for tag in TAGS {
            let text = of_tag(&description, tag.name);
            for link in text.split("(#the-object-").skip(1) {
                let name = link.split(')').next().unwrap();
                let told = text.lines().any(|line| {
                    line.strip_prefix("### The object ").is_some_and(|told| told.to_lowercase() == name)
                });
                assert!(told, "{}: {name}", tag.name);
            }
        }
    }
}
