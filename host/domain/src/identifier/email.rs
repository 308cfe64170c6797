//! E-mail addresses as identifiers: what of RFC 5321 and 5322 is read, and the one form that each address gets.
//!
//! # What is read
//!
//! A dot-atom, an @, and a domain name with at least one dot, international ones included (RFC 6531, UTS 46).
//! White space around the address is cut: it comes from cells and forms.
//! Nothing else of the mail formats is read, because no form a person fills in produces it and every one of them is
//! another spelling of somebody's address: quoted local parts, comments, folding, display names, address literals.
//! Whether a domain exists is not asked. Reserved names (`.test`, `.invalid`) and single-letter ones are names like others.
//!
//! # The normal form
//!
//! | part | becomes |
//! | --- | --- |
//! | local part | lower case, then composed (NFC); dots and `+tags` stay, they are the provider's business |
//! | domain | its ASCII form (A-labels), lower case |
//!
//! In theory providers may tell `Ann@` from `ann@`; in practice none does, and people spell it either way.

use compact_str::CompactString;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// The local part, in bytes of its normal form, inclusive (RFC 5321, 4.5.3.1.1).
pub const LOCAL_BYTES_MAX: usize = 64;
/// A whole address, in bytes of its normal form, inclusive (RFC 5321, 4.5.3.1.3, less its brackets).
pub const ADDRESS_BYTES_MAX: usize = 254;
/// A label of the domain, in bytes of its ASCII form, inclusive (RFC 1035, 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// The normal form of an address without white space around it.
pub(super) fn normalise(raw: &str) -> Result<CompactString, String> {
    let (local, domain) = raw.rsplit_once('@').ok_or("is not an e-mail address: it has no @")?;
    let mut out = local_part(local)?;
    out.push('@');
    domain_name(domain, &mut out)?;
    if out.len() > ADDRESS_BYTES_MAX {
        return Err(format!("is not an e-mail address: it is longer than {ADDRESS_BYTES_MAX} bytes"));
    }
    Ok(out)
}

fn local_part(raw: &str) -> Result<CompactString, String> {
    let refused = || "is not an e-mail address: the part before the @ is not acceptable".to_owned();
    // Before and after: composing may make a separator out of a look-alike.
    if raw.chars().any(is_forbidden) {
        return Err(refused());
    }
    let mut out = CompactString::with_capacity(raw.len() + 32);
    if raw.is_ascii() {
        out.extend(raw.chars().map(|c| c.to_ascii_lowercase()));
    } else {
        out.extend(raw.to_lowercase().nfc());
    }
    if out.is_empty() || out.len() > LOCAL_BYTES_MAX || out.chars().any(is_forbidden) {
        return Err(refused());
    }
    if out.starts_with('.') || out.ends_with('.') || out.contains("..") {
        return Err("is not an e-mail address: a dot stands at an edge or twice before the @".to_owned());
    }
    if out.starts_with(is_combining_mark) {
        return Err(refused());
    }
    Ok(out)
}

fn domain_name(raw: &str, out: &mut CompactString) -> Result<(), String> {
    let refused = || "is not an e-mail address: the domain after the @ is not acceptable".to_owned();
    // The usual case costs no table: letters, digits, single hyphens and dots are their own ASCII form.
    let plain =
        raw.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.') && !raw.contains("--");
    let from = out.len();
    if plain {
        out.extend(raw.chars().map(|c| c.to_ascii_lowercase()));
    } else {
        out.push_str(&idna::domain_to_ascii_strict(raw).map_err(|_| refused())?);
    }
    let domain = &out[from..];
    let label_is_bad =
        |l: &str| l.is_empty() || l.len() > LABEL_BYTES_MAX || l.starts_with('-') || l.ends_with('-');
    let top_is_number = domain.rsplit('.').next().is_none_or(|top| top.bytes().all(|b| b.is_ascii_digit()));
    if !domain.contains('.') || domain.split('.').any(label_is_bad) || top_is_number {
        return Err(refused());
    }
    Ok(())
}

/// Separators of the mail formats, and what cannot be seen: two addresses that look the same must not be two people.
fn is_forbidden(c: char) -> bool {
    c.is_control() || c.is_whitespace() || "\"(),:;<>[\\]@".contains(c) || (!c.is_ascii() && is_unseen(c))
}

/// Format characters, private use and non-characters (Unicode general categories Cf, Co, Cn as far as never assigned).
fn is_unseen(c: char) -> bool {
    matches!(u32::from(c),
        0xAD | 0x600..=0x605 | 0x61C | 0x6DD | 0x70F | 0x890..=0x891 | 0x8E2 | 0x180E
        | 0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x206F | 0xFEFF | 0xFFF0..=0xFFFB
        | 0x110BD | 0x110CD | 0x13430..=0x1343F | 0x1BCA0..=0x1BCA3 | 0x1D173..=0x1D17A
        | 0xE000..=0xF8FF | 0xFDD0..=0xFDEF | 0xE0000..=0xE0FFF | 0xF0000..=0x10_FFFF)
        || u32::from(c) & 0xFFFE == 0xFFFE
}
