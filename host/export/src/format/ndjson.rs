//! NDJSON: an object a line, its members in the order of the fields; a missing value is `null`.

use cdp_domain::json;
use cdp_domain::value::Value;
use cdp_engine::Result;

use super::{CHANGE, Column, Hashed, Text};
use crate::ledger::Change;

pub(super) struct Ndjson {
    text: Text,
    /// The names, but for that of the change.
    names: Vec<String>,
    line: String,
}

impl Ndjson {
    pub(super) fn new(text: Text, columns: &[Column]) -> Self {
        let names = columns.iter().map(|column| column.name.clone()).filter(|name| name != CHANGE).collect();
        Self { text, names, line: String::new() }
    }

    pub(super) fn row(&mut self, change: Option<Change>, values: &[Option<Value>]) -> Result<u64> {
        self.line.clear();
        object(change, self.names.iter().map(String::as_str), values, &mut self.line);
        self.text.buffer.extend_from_slice(self.line.as_bytes());
        self.text.buffer.push(b'\n');
        self.text.settle()
    }

    pub(super) fn finish(self) -> Result<Hashed> {
        self.text.finish()
    }
}

/// Appends a row as a JSON object.
pub(crate) fn object<'a>(
    change: Option<Change>,
    names: impl Iterator<Item = &'a str>,
    values: &[Option<Value>],
    out: &mut String,
) {
    out.push('{');
    if let Some(change) = change {
        json::write_text(CHANGE, out);
        out.push(':');
        json::write_text(change.as_str(), out);
    }
    for (n, (name, value)) in names.zip(values).enumerate() {
        if n > 0 || change.is_some() {
            out.push(',');
        }
        json::write_text(name, out);
        out.push(':');
        json::write(value.as_ref().unwrap_or(&Value::Null), out);
    }
    out.push('}');
}
