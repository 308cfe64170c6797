//! Currencies: how many decimal places they have.

/// The currencies of ISO 4217 that do not have two decimal places.
const PLACES: [(u32, &str); 3] = [
    (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
    (4, "CLF UYW"),
];

/// Whether this is written like a currency's code: three capital letters.
#[must_use]
pub fn is_code(code: &str) -> bool {
    code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// How many decimal places a currency's minor unit has; two where ISO 4217 says nothing else.
#[must_use]
pub fn places(code: &str) -> u32 {
    PLACES
        .iter()
        .find(|(_, codes)| codes.split(' ').any(|known| known == code))
        .map_or(2, |(places, _)| *places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yen_have_none_and_dinars_three() {
        for (code, want) in [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("XXX", 2)] {
            assert_eq!(places(code), want, "{code}");
        }
        assert!(is_code("EUR") && !is_code("eur") && !is_code("EURO"));
    }
}
