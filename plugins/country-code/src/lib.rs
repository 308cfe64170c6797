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
    let name = normalise(name);
    names::NAMES.binary_search_by(|(known, _)| (*known).cmp(&name)).ok().map(|at| names::NAMES[at].1)
}

/// Lower case, without accents, dots, apostrophes and a leading "the"; whatever else is no letter or digit separates words.
fn normalise(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut gap = false;
    let mut push = |text: &str, gap: &mut bool| {
        if std::mem::take(gap) && !out.is_empty() {
            out.push(' ');
        }
        out.push_str(text);
    };
    for c in name.chars() {
        match c {
            'a'..='z' | '0'..='9' => push(c.encode_utf8(&mut [0; 4]), &mut gap),
            'A'..='Z' => push(c.to_ascii_lowercase().encode_utf8(&mut [0; 4]), &mut gap),
            '&' => {
                gap = true;
                push("and", &mut gap);
                gap = true;
            }
            '.' | '\'' | '’' => {}
            _ => match plain(c) {
                Some(text) => push(text, &mut gap),
                None => gap = true,
            },
        }
    }
    match out.strip_prefix("the ") {
        Some(rest) => rest.to_owned(),
        None => out,
    }
}

/// The letter without its accent, for the accents that country names have. Combining accents vanish.
fn plain(c: char) -> Option<&'static str> {
    Some(match c {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'À' | 'Á' | 'Â' | 'Ã' | 'Ä' | 'Å' => "a",
        'ç' | 'Ç' => "c",
        'è' | 'é' | 'ê' | 'ë' | 'È' | 'É' | 'Ê' | 'Ë' => "e",
        'ì' | 'í' | 'î' | 'ï' | 'Ì' | 'Í' | 'Î' | 'Ï' | 'İ' => "i",
        'ñ' | 'Ñ' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'Ò' | 'Ó' | 'Ô' | 'Õ' | 'Ö' => "o",
        'ù' | 'ú' | 'û' | 'ü' | 'Ù' | 'Ú' | 'Û' | 'Ü' => "u",
        'ý' | 'ÿ' | 'Ý' => "y",
        '\u{300}'..='\u{36f}' => "",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
