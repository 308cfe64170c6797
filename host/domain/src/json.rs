//! The strict reader of JSON text, and its writer.
//!
//! Refused, with the place: anything that is not RFC 8259, names that stand twice, lone surrogates, nesting, lists and
//! objects beyond the limits, exponents beyond [`EXPONENT_DIGITS_MAX`], and `NaN`/`Infinity` unless asked for.
//! Numbers keep every digit.

use std::fmt::Write as _;

use compact_str::CompactString;
use jiter::{Jiter, JiterErrorType, JsonErrorType, Peek};

use crate::value::{EXPONENT_DIGITS_MAX, Number, Object, Value};

/// How to read.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Deepest nesting of arrays and objects; a scalar has depth 0.
    pub depth_max: u32,
    /// Most items of one array, and members of one object.
    pub width_max: usize,
    /// Reads a bare `NaN` or `Infinity`, as the Python clients of analytics vendors write it, as null.
    pub nan_as_null: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { depth_max: 36, width_max: 10_000, nan_as_null: false }
    }
}

/// Why a text is not acceptable JSON, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail} at line {line}, column {column}")]
pub struct Error {
    /// From 1.
    pub line: usize,
    /// From 1, in bytes.
    pub column: usize,
    /// What is wrong, without repeating the input.
    pub detail: String,
}

/// Reads one JSON value that fills the whole text.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn parse(text: &[u8], options: Options) -> Result<Value, Error> {
    let mut reader = Reader { input: Jiter::new(text), options };
    if options.nan_as_null {
        reader.input = Jiter::new(text).with_allow_inf_nan();
    }
    reader.document().map_err(|error| match text.strip_prefix(b"\xef\xbb\xbf") {
        Some(_) => Error { detail: "the text begins with a byte order mark".to_owned(), ..error },
        None => error,
    })
}

struct Reader<'j> {
    input: Jiter<'j>,
    options: Options,
}

impl<'j> Reader<'j> {
    fn document(&mut self) -> Result<Value, Error> {
        let peek = self.step(|input| input.peek())?;
        let value = self.value(peek, 0)?;
        self.step(|input| input.finish())?;
        Ok(value)
    }

    fn step<T>(
        &mut self,
        read: impl FnOnce(&mut Jiter<'j>) -> Result<T, jiter::JiterError>,
    ) -> Result<T, Error> {
        match read(&mut self.input) {
            Ok(value) => Ok(value),
            Err(error) => {
                let at = error.get_position(&self.input);
                let detail = match error.error_type {
                    // What the reader says of half a surrogate pair at the end of a string.
                    JiterErrorType::JsonError(JsonErrorType::UnexpectedEndOfHexEscape) => {
                        "an escape ends too early, or is a lone surrogate".to_owned()
                    }
                    other => other.to_string(),
                };
                Err(Error { line: at.line, column: at.column, detail })
            }
        }
    }

    fn refuse<T>(&self, detail: impl Into<String>) -> Result<T, Error> {
        let at = self.input.current_position();
        Err(Error { line: at.line, column: at.column, detail: detail.into() })
    }

    fn value(&mut self, peek: Peek, depth: u32) -> Result<Value, Error> {
        match peek {
            Peek::String => Ok(Value::Text(self.step(|input| input.known_str().map(CompactString::from))?)),
            Peek::True | Peek::False => Ok(Value::Bool(self.step(|input| input.known_bool(peek))?)),
            Peek::Null => self.step(|input| input.known_null()).map(|()| Value::Null),
            Peek::Object => self.object(depth + 1),
            Peek::Array => self.array(depth + 1),
            _ => self.number(peek),
        }
    }

    fn number(&mut self, peek: Peek) -> Result<Value, Error> {
        let (number, digits) = self.step(|input| {
            input.known_number_bytes(peek).map(|text| {
                let digits = text.iter().any(u8::is_ascii_digit);
                (std::str::from_utf8(text).ok().and_then(Number::parse), digits)
            })
        })?;
        match number {
            Some(number) => Ok(Value::Number(number)),
            None if digits => {
                self.refuse(format!("the exponent of a number has more than {EXPONENT_DIGITS_MAX} digits"))
            }
            None if self.options.nan_as_null => Ok(Value::Null),
            None => self.refuse("expected a value"),
        }
    }

    fn array(&mut self, depth: u32) -> Result<Value, Error> {
        self.check_depth(depth)?;
        let mut items = Vec::new();
        let mut next = self.step(|input| input.known_array())?;
        while let Some(peek) = next {
            if items.len() == self.options.width_max {
                return self.refuse(format!("an array has more than {} items", self.options.width_max));
            }
            items.push(self.value(peek, depth)?);
            next = self.step(|input| input.array_step())?;
        }
        Ok(Value::List(items))
    }

    fn object(&mut self, depth: u32) -> Result<Value, Error> {
        self.check_depth(depth)?;
        let mut members = Vec::new();
        let mut next = self.step(|input| input.known_object().map(|name| name.map(CompactString::from)))?;
        while let Some(name) = next {
            if members.len() == self.options.width_max {
                return self.refuse(format!("an object has more than {} members", self.options.width_max));
            }
            let peek = self.step(|input| input.peek())?;
            members.push((name, self.value(peek, depth)?));
            next = self.step(|input| input.next_key().map(|name| name.map(CompactString::from)))?;
        }
        match Object::new(members) {
            Ok(object) => Ok(Value::Object(object)),
            Err(_) => self.refuse("a name stands twice in the object that ends"),
        }
    }

    fn check_depth(&self, depth: u32) -> Result<(), Error> {
        if depth > self.options.depth_max {
            return self.refuse(format!("nested deeper than {}", self.options.depth_max));
        }
        Ok(())
    }
}

/// Writes a value as compact JSON; members come in the order of their names.
#[must_use]
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

/// Appends a value to `out` as compact JSON.
pub fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Number(number) => write!(out, "{number}").expect("writing to a string"),
        Value::Text(text) => write_text(text, out),
        Value::List(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(object) => {
            out.push('{');
            for (n, (name, member)) in object.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                write_text(name, out);
                out.push(':');
                write(member, out);
            }
            out.push('}');
        }
    }
}

/// Appends a string to `out` as a JSON string.
pub fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => write!(out, "\\u{:04x}", c as u32).expect("writing to a string"),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Value, Error> {
        parse(text.as_bytes(), Options::default())
    }

    #[test]
    fn key_order_spaces_and_number_spelling_do_not_matter() {
        assert_eq!(read(r#"{"b": 1.0, "a": [ 2e0 ]}"#), read(r#"{"a":[2],"b":1}"#));
    }

    #[test]
    fn an_error_says_the_place() {
        let error = read("{\n  \"a\": truX }").unwrap_err();
        assert_eq!(error.line, 2);
    }

    #[test]
    fn doubled_names_lone_surrogates_and_garbage_are_refused() {
        for bad in [
            r#"{"a":1,"b":2,"a":3}"#,
            r#"{"a":1,"a":1}"#,
            r#""\ud800""#,
            "[1,]",
            "NaN",
            "-Infinity",
            "1 2",
            "",
            "\u{feff}1",
            "[01]",
            "'a'",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn depth_is_allowed_up_to_the_limit() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(read(&nested(36)).is_ok());
        assert!(read(&nested(37)).is_err());
        assert!(read(&nested(1_000_000)).is_err());
    }

    #[test]
    fn arrays_and_objects_are_as_wide_as_the_limit_allows() {
        let options = Options { width_max: 3, ..Options::default() };
        for (text, wanted) in [
            ("[1,2,3]", true),
            ("[1,2,3,4]", false),
            (r#"{"a":1,"b":2,"c":3}"#, true),
            (r#"{"a":1,"b":2,"c":3,"d":4}"#, false),
        ] {
            let read = parse(text.as_bytes(), options);
            assert_eq!(read.is_ok(), wanted, "{text}");
            assert!(wanted || read.unwrap_err().detail.contains("more than 3"));
        }
    }

    #[test]
    fn each_kind_of_bad_text_is_told_as_what_it_is() {
        for (text, wanted) in [
            (&b"\xef\xbb\xbf{}"[..], "byte order mark"),
            (br#"{"a":1,"a":1}"#, "stands twice"),
            (br#""\ud800""#, "surrogate"),
            (br#""\ud800x""#, "surrogate"),
            (b"\"a\0b\"", "control character"),
            (b"\"\xff\"", "unicode"),
            (b"1e1000000000000", "exponent"),
            (b"-1e-1000000000000", "exponent"),
            (b"\0", "expected value"),
        ] {
            for nan_as_null in [false, true] {
                let error = parse(text, Options { nan_as_null, ..Options::default() }).unwrap_err();
                let told = error.detail.contains(wanted);
                assert!(told, "{}: {}", String::from_utf8_lossy(text), error.detail);
            }
        }
        assert_eq!(read(r#""\u0000""#), Ok(Value::from("\0")), "an escaped NUL is a character like another");
    }

    #[test]
    fn a_bare_nan_costs_only_its_value_where_asked_for() {
        let options = Options { nan_as_null: true, ..Options::default() };
        assert_eq!(parse(br#"{"a":NaN,"b":-Infinity,"c":1}"#, options), read(r#"{"a":null,"b":null,"c":1}"#));
    }

    proptest! {
        #[test]
        fn writing_and_reading_agree(text in "\\PC*", n in any::<i64>()) {
            let value = Value::List(vec![Value::Text(text.into()), Value::from(n), Value::Null, true.into()]);
            prop_assert_eq!(read(&to_string(&value)), Ok(value));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes, Options { nan_as_null: true, ..Options::default() });
        }
    }
}
