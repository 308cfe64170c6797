//! A small reader for flat configurations: a JSON object of texts, numbers and truths.
//!
//! Enough for most plugins and a few kilobytes of code; a plugin with nested settings brings a JSON crate.

use std::fmt;

/// What is wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A JSON pointer; empty for the whole.
    pub pointer: String,
    /// A sentence for the tenant.
    pub sentence: String,
}

impl Problem {
    /// A problem at a place.
    #[must_use]
    pub fn new(pointer: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), sentence: sentence.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.pointer, self.sentence)
    }
}

/// One setting.
#[derive(Debug, Clone, PartialEq)]
pub enum Setting {
    /// A string.
    Text(String),
    /// A number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// Null.
    Null,
}

/// Reads a flat JSON object; an empty text counts as an empty object. Names come in the order in which they stand.
///
/// # Errors
/// One problem: the first thing that is not a flat JSON object.
pub fn flat(text: &str) -> Result<Vec<(String, Setting)>, Vec<Problem>> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = Reader { rest: text };
    reader.object().map_err(|sentence| vec![Problem::new("", sentence)])
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn object(&mut self) -> Result<Vec<(String, Setting)>, String> {
        let mut out: Vec<(String, Setting)> = Vec::new();
        self.expect('{')?;
        if !self.take('}') {
            loop {
                let name = self.text()?;
                self.expect(':')?;
                if out.iter().any(|(known, _)| *known == name) {
                    return Err(format!("{name:?} stands twice"));
                }
                let value = self.value()?;
                out.push((name, value));
                if !self.take(',') {
                    break;
                }
            }
            self.expect('}')?;
        }
        self.space();
        if self.rest.is_empty() { Ok(out) } else { Err("something follows the object".to_owned()) }
    }

    fn value(&mut self) -> Result<Setting, String> {
        self.space();
        if self.rest.starts_with('"') {
            return self.text().map(Setting::Text);
        }
        let end = self.rest.find([',', '}', ' ', '\n', '\r', '\t']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word {
            "true" => Ok(Setting::Boolean(true)),
            "false" => Ok(Setting::Boolean(false)),
            "null" => Ok(Setting::Null),
            _ => match word.parse::<f64>() {
                Ok(number)
                    if number.is_finite() && word.starts_with(|c: char| c == '-' || c.is_ascii_digit()) =>
                {
                    Ok(Setting::Number(number))
                }
                _ => Err("a setting is a string, a number, true, false or null".to_owned()),
            },
        }
    }

    fn text(&mut self) -> Result<String, String> {
        self.expect('"')?;
        let mut out = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(out);
                }
                '\\' => match chars.next().map(|(_, c)| c) {
                    Some(c @ ('"' | '\\' | '/')) => out.push(c),
                    Some('n') => out.push('\n'),
                    Some('r') => out.push('\r'),
                    Some('t') => out.push('\t'),
                    Some('b') => out.push('\u{8}'),
                    Some('f') => out.push('\u{c}'),
                    Some('u') => out.push(Self::escaped(&mut chars)?),
                    _ => return Err("a string has an unknown escape".to_owned()),
                },
                c if c < ' ' => return Err("a string has a control character".to_owned()),
                c => out.push(c),
            }
        }
        Err("a string does not end".to_owned())
    }

    fn escaped(chars: &mut std::str::CharIndices<'_>) -> Result<char, String> {
        let mut unit =
            || -> Option<u32> { (0..4).try_fold(0, |sum, _| Some(sum * 16 + chars.next()?.1.to_digit(16)?)) };
        let first = unit().ok_or("a string has a broken escape")?;
        if (0xd800..0xdc00).contains(&first) {
            // The second half of the pair is another escape.
            let pair = (chars.next().map(|c| c.1), chars.next().map(|c| c.1));
            let mut unit = || -> Option<u32> {
                (0..4).try_fold(0, |sum, _| Some(sum * 16 + chars.next()?.1.to_digit(16)?))
            };
            let second = unit().filter(|second| (0xdc00..0xe000).contains(second));
            if let (Some('\\'), Some('u'), Some(second)) = (pair.0, pair.1, second) {
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return char::from_u32(code).ok_or_else(|| "a string has a broken escape".to_owned());
            }
            return Err("a string has half of a surrogate pair".to_owned());
        }
        char::from_u32(first).ok_or_else(|| "a string has half of a surrogate pair".to_owned())
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\n', '\r', '\t']);
    }

    fn take(&mut self, c: char) -> bool {
        self.space();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, c: char) -> Result<(), String> {
        if self.take(c) { Ok(()) } else { Err(format!("expected {c:?}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_objects_are_read() {
        let settings = flat(r#" { "a" : "x\"\u00e9\ud83d\ude00" , "n":-1.5e2,"t":true,"z":null} "#).unwrap();
        assert_eq!(
            settings,
            [
                ("a".to_owned(), Setting::Text("x\"é😀".to_owned())),
                ("n".to_owned(), Setting::Number(-150.0)),
                ("t".to_owned(), Setting::Boolean(true)),
                ("z".to_owned(), Setting::Null),
            ]
        );
        assert_eq!(flat("").unwrap(), []);
        assert_eq!(flat("{}").unwrap(), []);
    }

    #[test]
    fn what_is_not_flat_is_refused() {
        for bad in [
            "[]",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":[1]}",
            "{\"a\":{}}",
            "{\"a\":1,}",
            "{\"a\":1,\"a\":2}",
            "{} x",
            "{\"a\":NaN}",
            "{\"a\":inf}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"",
            "{\"a\":+1}",
        ] {
            assert!(flat(bad).is_err(), "{bad}");
        }
    }
}
