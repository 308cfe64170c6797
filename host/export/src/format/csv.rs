//! CSV after RFC 4180: UTF-8, lines that end with CR LF, a line of names.
//!
//! A missing value is an empty cell, an empty text a quoted one. Lists and objects are JSON.

use cdp_domain::json;
use cdp_domain::value::Value;
use cdp_engine::Result;

use super::{Column, Hashed, Text};
use crate::ledger::Change;
use crate::plan::Dialect;

pub(super) struct Csv {
    text: Text,
    dialect: Dialect,
    columns: usize,
    scratch: String,
}

impl Csv {
    pub(super) fn new(text: Text, dialect: Dialect, columns: &[Column]) -> Result<Self> {
        let mut csv = Self { text, dialect, columns: columns.len(), scratch: String::new() };
        if dialect.header {
            for (n, column) in columns.iter().enumerate() {
                csv.begin(n);
                csv.cell_text(&column.name);
            }
            csv.end()?;
        }
        Ok(csv)
    }

    pub(super) fn row(&mut self, change: Option<Change>, values: &[Option<Value>]) -> Result<u64> {
        let mut n = 0;
        if let Some(change) = change {
            self.begin(n);
            self.cell_text(change.as_str());
            n += 1;
        }
        for value in values {
            self.begin(n);
            self.cell(value.as_ref());
            n += 1;
        }
        self.end()
    }

    pub(super) fn finish(self) -> Result<Hashed> {
        self.text.finish()
    }

    fn begin(&mut self, n: usize) {
        if n > 0 {
            self.text.buffer.push(self.dialect.delimiter);
        }
    }

    fn end(&mut self) -> Result<u64> {
        self.text.buffer.extend_from_slice(b"\r\n");
        self.text.settle()
    }

    fn cell(&mut self, value: Option<&Value>) {
        let mut scratch = std::mem::take(&mut self.scratch);
        match value {
            // A line with nothing in it is skipped by readers: a lone missing value is quoted.
            None | Some(Value::Null) if self.columns == 1 => self.text.buffer.extend_from_slice(b"\"\""),
            None | Some(Value::Null) => {}
            Some(Value::Text(text)) => self.cell_text(text),
            Some(Value::Number(number)) => self.quoted(&number.plain(), false),
            Some(other) => {
                scratch.clear();
                json::write(other, &mut scratch);
                self.quoted(&scratch, false);
            }
        }
        self.scratch = scratch;
    }

    fn cell_text(&mut self, text: &str) {
        self.quoted(text, self.dialect.neutral && is_formula(text));
    }

    fn quoted(&mut self, text: &str, disarm: bool) {
        let out = &mut self.text.buffer;
        let delimiter = self.dialect.delimiter;
        let special = |byte: u8| byte == delimiter || matches!(byte, b'"' | b'\n' | b'\r');
        if !text.is_empty() && !text.bytes().any(special) {
            if disarm {
                out.push(b'\'');
            }
            out.extend_from_slice(text.as_bytes());
            return;
        }
        out.push(b'"');
        if disarm {
            out.push(b'\'');
        }
        for byte in text.bytes() {
            if byte == b'"' {
                out.push(b'"');
            }
            out.push(byte);
        }
        out.push(b'"');
    }
}

/// Whether a spreadsheet would take a text for a formula: those get an apostrophe before them. Numbers, also telephone
/// numbers, stay what they are.
fn is_formula(text: &str) -> bool {
    const BEGIN: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\0', '＝', '＋', '－', '＠'];
    if !text.starts_with(BEGIN) {
        return false;
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let number = match unsigned.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(unsigned),
    };
    !number
}

#[cfg(test)]
mod tests {
    use super::is_formula;

    #[test]
    fn formulas_are_told_from_numbers() {
        for formula in [
            "=1+1",
            "+1+1",
            "-1+1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "\0=1",
            "＝1",
            "＋1",
            "－1",
            "＠x",
            "-",
            "+",
            "=",
            "-1e5|cmd",
            "+A1",
            "-.5",
            "+1.",
            "-1.2.3",
            "+371 2000",
        ] {
            assert!(is_formula(formula), "{formula:?}");
        }
        for plain in ["", "a=1", "1", "-1", "+37120000000", "-12.50", "+0.5", " =1", "'=1", "x@y.eu", "a-b"] {
            assert!(!is_formula(plain), "{plain:?}");
        }
    }
}
