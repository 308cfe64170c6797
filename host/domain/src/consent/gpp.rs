//! The IAB's GPP strings: a header that says which sections follow, and the sections.
//!
//! Form: IAB Tech Lab, "Global Privacy Protocol", Consent String Specification.

use super::bits::Bits;

/// Bytes of a string that is read.
pub const GPP_BYTES_MAX: usize = 16_384;
/// The section that holds a TC string of the EU.
pub const TCF_EU: u16 = 2;
/// The section that holds a string of the U.S. Privacy API, such as `1YNN`.
pub const USP: u16 = 6;
/// Sections that one string may have.
const SECTIONS_MAX: u64 = 64;

/// Reads a GPP string: the sections with their numbers, ascending. None when it is none.
#[must_use]
pub fn read(text: &str) -> Option<Vec<(u16, &str)>> {
    if text.len() > GPP_BYTES_MAX {
        return None;
    }
    let mut parts = text.split('~');
    let mut header = Bits::of(parts.next()?)?;
    if header.number(6)? != 3 || header.number(6)? != 1 {
        return None;
    }
    let mut ids = Vec::new();
    let mut last = 0_u64;
    for _ in 0..header.number(12)?.min(SECTIONS_MAX + 1) {
        let range = header.bit()?;
        let from = last.checked_add(header.fibonacci()?)?;
        let to = if range { from.checked_add(header.fibonacci()?)? } else { from };
        if to - from > SECTIONS_MAX || ids.len() as u64 > SECTIONS_MAX {
            return None;
        }
        for id in from..=to {
            ids.push(u16::try_from(id).ok()?);
        }
        last = to;
    }
    let sections: Vec<&str> = parts.collect();
    (sections.len() == ids.len()).then(|| ids.into_iter().zip(sections).collect())
}

/// Whether a string of the U.S. Privacy API opts out of the sale of data; None when it is none.
#[must_use]
pub fn usp_opts_out(text: &str) -> Option<bool> {
    let letters: Vec<char> = text.chars().collect();
    let ['1', notice, sale, covered] = letters[..] else { return None };
    let known = [notice, sale, covered].iter().all(|letter| matches!(letter, 'Y' | 'N' | '-'));
    known.then_some(sale == 'Y')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TC: &str = "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA";

    #[test]
    fn headers_name_their_sections() {
        for (header, ids, sections) in [
            ("DBABM", vec![2], vec![TC]),
            ("DBABM=", vec![2], vec![TC]),
            ("DBACNY", vec![2, 6], vec![TC, "1YNN"]),
            ("DBACNYA", vec![2, 6], vec![TC, "1YNN"]),
            ("DBABjw", vec![5, 6], vec!["CPX", "1YNN"]),
        ] {
            let text = format!("{header}~{}", sections.join("~"));
            let wanted: Vec<_> = ids.into_iter().zip(sections).collect();
            assert_eq!(read(&text), Some(wanted), "{header}");
        }
        let padded = |bytes: usize| format!("DBABM~{}", "x".repeat(bytes - 6));
        assert!(read(&padded(GPP_BYTES_MAX)).is_some() && read(&padded(GPP_BYTES_MAX + 1)).is_none());
        for bad in ["", "DBABM", "DBABM~a~b", "CBABM~a", "D*~a"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_opt_out_is_the_third_letter() {
        assert_eq!(
            (usp_opts_out("1YYN"), usp_opts_out("1YNN"), usp_opts_out("1---")),
            (Some(true), Some(false), Some(false))
        );
        for bad in ["", "1YY", "2YYN", "1yyn", "1YYNN", "1YXN"] {
            assert_eq!(usp_opts_out(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "D[A-Za-z0-9_~-]{0,60}") {
            let _ = read(&text);
        }
    }
}
