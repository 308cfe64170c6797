//! Printing what a server answered.

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::Value;

use crate::{Failure, exit, say};

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Ndjson,
    /// RFC 4180, with a header line.
    Csv,
}

/// A column: its heading, and the JSON pointer of its values.
pub(crate) type Column = (&'static str, &'static str);

impl Output {
    /// Prints a list.
    pub(crate) fn list(self, columns: &[Column], items: &[Value]) -> Result<(), Failure> {
        match self {
            Self::Json => say(&format!("{:#}", Value::Array(items.to_vec()))),
            Self::Ndjson => items.iter().try_for_each(|item| say(&item.to_string())),
            Self::Table => {
                let rows = items.iter().map(|item| row(columns, item));
                table(columns.iter().map(|(heading, _)| (*heading).to_owned()).collect(), rows)
            }
            Self::Csv => {
                let mut out = csv::Writer::from_writer(Vec::new());
                let failed = |error: csv::Error| Failure::because(exit::FAILED, "write CSV", &error);
                out.write_record(columns.iter().map(|(heading, _)| heading)).map_err(failed)?;
                for item in items {
                    out.write_record(row(columns, item)).map_err(failed)?;
                }
                let bytes =
                    out.into_inner().map_err(|error| Failure::new(exit::FAILED, error.to_string()))?;
                say(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']))
            }
        }
    }

    /// Prints one thing.
    pub(crate) fn one(self, item: &Value) -> Result<(), Failure> {
        match self {
            Self::Json => say(&format!("{item:#}")),
            Self::Ndjson => say(&item.to_string()),
            Self::Table | Self::Csv => {
                if item.is_null() {
                    return Ok(());
                }
                let fields = item.as_object().into_iter().flatten();
                let fields: Vec<Vec<String>> =
                    fields.map(|(name, value)| vec![name.clone(), text(value)]).collect();
                if self == Self::Table {
                    return table(Vec::new(), fields.into_iter());
                }
                let pairs: Vec<Value> = fields
                    .into_iter()
                    .map(|pair| serde_json::json!({ "field": pair[0], "value": pair[1] }))
                    .collect();
                self.list(&[("field", "/field"), ("value", "/value")], &pairs)
            }
        }
    }
}

fn row(columns: &[Column], item: &Value) -> Vec<String> {
    columns.iter().map(|(_, pointer)| item.pointer(pointer).map_or_else(String::new, text)).collect()
}

/// A value on one line.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(text).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

fn table(headings: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(NOTHING);
    if !headings.is_empty() {
        table.set_header(headings.iter().map(|heading| heading.to_uppercase()).collect::<Vec<_>>());
    }
    for row in rows {
        table.add_row(row);
    }
    let text = table.to_string();
    say(&text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_is_one_line_whatever_it_is() {
        for (value, wanted) in [
            (json!(null), ""),
            (json!("a"), "a"),
            (json!(["ingest", "read"]), "ingest read"),
            (json!([{"a": 1}]), r#"[{"a":1}]"#),
            (json!(5), "5"),
        ] {
            assert_eq!(text(&value), wanted);
        }
        let item = json!({"a": {"b": 1}});
        assert_eq!(row(&[("x", "/a/b"), ("y", "/none")], &item), ["1", ""]);
    }
}
