//! Transformer: country names as shops write them become ISO 3166-1 codes.
//!
//! Reads `/properties/country` and `/traits/country`, writes `country_code` beside each, and leaves the rest alone.
//! A name counts whatever its case, accents and punctuation: "EIRE", "Côte d'Ivoire", "U.S.A.".
//! A code (`de`, `DE`) stands for itself. What is no country ("Unspecified", "European Community") or more than one
//! ("Channel Islands") has no code; the setting `unknown` says what happens then:
//!
//! - `"keep"`, the usual: no code is written, one that is there stays.
//! - `"drop_field"`: a code that is there is removed.
//! - `"reject"`: the event goes to the dead letters.

use cdp_plugin_sdk::config::{Setting, flat};
use cdp_plugin_sdk::{
    Decision, Descriptor, Kind, Patch, Presence, Problem, Row, Transformer, export_transformer, field,
};

mod names;

/// The plugin.
pub struct CountryCode;

/// What happens with names that have no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// Nothing.
    Keep,
    /// A code that is there is removed.
    DropField,
    /// The event is rejected.
    Reject,
}

const SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"properties":{"unknown":{"description":"What happens with names that have no code","enum":["keep","drop_field","reject"],"default":"keep"}}}"#;

impl Transformer for CountryCode {
    type Config = Unknown;

    const DESCRIPTOR: Descriptor = Descriptor {
        name: "country-code",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Writes the ISO 3166-1 code of a country beside its name.",
        // Position by position: the code of reads[i] goes to writes[i].
        reads: &[field("/properties/country", Kind::Text), field("/traits/country", Kind::Text)],
        writes: &[field("/properties/country_code", Kind::Text), field("/traits/country_code", Kind::Text)],
        config_schema: SCHEMA,
        ..Descriptor::EMPTY
    };

    fn configure(text: &str) -> Result<Unknown, Vec<Problem>> {
        let mut unknown = Unknown::Keep;
        let mut problems = Vec::new();
        for (name, setting) in flat(text)? {
            match (name.as_str(), setting) {
                ("unknown", Setting::Text(value)) => match value.as_str() {
                    "keep" => unknown = Unknown::Keep,
                    "drop_field" => unknown = Unknown::DropField,
                    "reject" => unknown = Unknown::Reject,
                    _ => problems.push(Problem::new("/unknown", "is one of keep, drop_field and reject")),
                },
                ("unknown", _) => problems.push(Problem::new("/unknown", "is a string")),
                _ => problems.push(Problem::new(format!("/{name}"), "is no setting of this plugin")),
            }
        }
        if problems.is_empty() { Ok(unknown) } else { Err(problems) }
    }

    fn apply(row: Row<'_>, unknown: &Unknown, patch: &mut Patch<'_>) -> Decision {
        for at in 0..Self::DESCRIPTOR.reads.len() {
            match (row.text(at).map(str::trim).filter(|name| !name.is_empty()), row.presence(at)) {
                (Some(name), _) => match (code(name), unknown) {
                    (Some(code), _) => patch.set_text(at, code),
                    (None, Unknown::Keep) => {}
                    (None, Unknown::DropField) => patch.remove(at),
                    (None, Unknown::Reject) => {
                        let pointer = Self::DESCRIPTOR.reads[at].pointer;
                        return Decision::Reject(format!("{pointer} names no country that has a code"));
                    }
                },
                (None, Presence::Mistyped) if *unknown == Unknown::Reject => {
                    return Decision::Reject(format!(
                        "{} is not a string",
                        Self::DESCRIPTOR.reads[at].pointer
                    ));
                }
                _ => {}
            }
        }
        Decision::Keep
    }
}

export_transformer!(CountryCode);

/// The ISO 3166-1 alpha-2 code of a country by its name or code, if it has one.
#[must_use]
pub fn code(name: &str) -> Option<&'static str> {
    if let [a, b] = name.as_bytes() {
        let upper = [a.to_ascii_uppercase(), b.to_ascii_uppercase()];
        if let Some((_, code)) = names::NAMES.iter().find(|(_, code)| code.as_bytes() == upper) {
            return Some(code);
        }
    }
    let name = normalise(name)?;
    names::NAMES
        .binary_search_by(|(known, _)| known.as_bytes().cmp(name.bytes()))
        .ok()
        .map(|at| names::NAMES[at].1)
}

/// Bytes of a normalised name, at most: the longest known one has 52.
const NAME_BYTES_MAX: usize = 64;

/// A normalised name, without the heap.
struct Name {
    bytes: [u8; NAME_BYTES_MAX],
    len: usize,
    gap: bool,
}

impl Name {
    fn bytes(&self) -> &[u8] {
        let all = &self.bytes[..self.len];
        all.strip_prefix(b"the ").unwrap_or(all)
    }

    /// Adds a letter or digit, after a space if a word ended before it.
    fn push(&mut self, byte: u8) -> Option<()> {
        if std::mem::take(&mut self.gap) && self.len > 0 {
            *self.bytes.get_mut(self.len)? = b' ';
            self.len += 1;
        }
        *self.bytes.get_mut(self.len)? = byte;
        self.len += 1;
        Some(())
    }
}

/// Lower case, without accents, dots, apostrophes and a leading "the"; whatever else is no letter or digit separates
/// words. None when it is longer than any name.
fn normalise(name: &str) -> Option<Name> {
    let mut out = Name { bytes: [0; NAME_BYTES_MAX], len: 0, gap: false };
    for c in name.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' => out.push(c.to_ascii_lowercase() as u8)?,
            '&' => {
                out.gap = true;
                b"and".iter().try_for_each(|&byte| out.push(byte))?;
                out.gap = true;
            }
            '.' | '\'' | '’' | '\u{300}'..='\u{36f}' => {}
            _ => match plain(c) {
                Some(byte) => out.push(byte)?,
                None => out.gap = true,
            },
        }
    }
    Some(out)
}

/// The letter without its accent, for the accents that country names have.
fn plain(c: char) -> Option<u8> {
    Some(match c {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'À' | 'Á' | 'Â' | 'Ã' | 'Ä' | 'Å' => b'a',
        'ç' | 'Ç' => b'c',
        'è' | 'é' | 'ê' | 'ë' | 'È' | 'É' | 'Ê' | 'Ë' => b'e',
        'ì' | 'í' | 'î' | 'ï' | 'Ì' | 'Í' | 'Î' | 'Ï' | 'İ' => b'i',
        'ñ' | 'Ñ' => b'n',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'Ò' | 'Ó' | 'Ô' | 'Õ' | 'Ö' => b'o',
        'ù' | 'ú' | 'û' | 'ü' | 'Ù' | 'Ú' | 'Û' | 'Ü' => b'u',
        'ý' | 'ÿ' | 'Ý' => b'y',
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
