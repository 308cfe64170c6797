//! Bytes as hexadecimal digits in lower case, and back: digests, keys and tokens as people and papers see them.

/// Two digits for each byte.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(2 * bytes.len());
    push(bytes, &mut out);
    out
}

/// Appends two digits for each byte.
pub fn push(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 0xf)]));
    }
}

/// Exactly `N` bytes from 2 `N` digits in lower case; None for anything else, so that one value has one spelling.
#[must_use]
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    decode_all(text)?.try_into().ok()
}

/// The bytes of an even number of digits in lower case; None for anything else.
#[must_use]
pub fn decode_all(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_one_spelling() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode_all(&encode(&all)), Some(all));
        assert_eq!((encode(&[0, 0xab]).as_str(), encode(&[]).as_str()), ("00ab", ""));
        assert_eq!(decode::<2>("00ab"), Some([0, 0xab]));
        for bad in ["00a", "00aB", "+0ab", "00 b", "0xab", "00ag", "ä0a", "00ab00", ""] {
            assert_eq!(decode::<2>(bad), None, "{bad}");
        }
    }
}
