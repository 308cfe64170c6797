//! Values that name nobody: what programs write where they have no identifier.
//!
//! A blocked value never links. It stays on the event and on its fragment, so that unblocking it, or blocking another
//! one after the damage is done, is exact: nothing of the past is rewritten.
//! The words are those that analytics vendors publish as refused ids, and what their users report as having joined
//! thousands of strangers.

/// Blocked for every type, whatever their case, also inside quotes and with spaces around them.
pub const BLOCKED_WORDS: [&str; 32] = [
    "anonymous",
    "[object object]",
    "distinct_id",
    "distinctid",
    "email",
    "false",
    "guest",
    "id",
    "infinity",
    "n/a",
    "na",
    "nan",
    "nil",
    "no-reply@example.com",
    "noemail@noemail.com",
    "none",
    "none@none.com",
    "noreply@example.com",
    "not_authenticated",
    "not available",
    "null",
    "null@null.com",
    "true",
    "undefined",
    "undefined@undefined.com",
    "unknown",
    "unknown@unknown.com",
    "user@example.com",
    "test@test.com",
    "test@example.com",
    "00000000-0000-0000-0000-000000000000",
    "-1",
];

/// Whether a value is blocked for every type: one of [`BLOCKED_WORDS`], or of zeros and dashes only, or without
/// anything that can be seen.
#[must_use]
pub fn blocked_everywhere(value: &str) -> bool {
    let bare = value.trim().trim_matches(['"', '\'', '`']).trim();
    bare.bytes().all(|byte| byte == b'0' || byte == b'-')
        || BLOCKED_WORDS.iter().any(|word| word.len() == bare.len() && word.eq_ignore_ascii_case(bare))
}

/// Whether `value` is like `pattern`, in which `*` stands for any run of characters; the case of ASCII letters does not
/// matter. Takes time in proportion to the product of both lengths, at most.
#[must_use]
pub fn like(pattern: &str, value: &str) -> bool {
    let (pattern, value) = (pattern.as_bytes(), value.as_bytes());
    let (mut p, mut v) = (0, 0);
    // Where to go back to: behind the last star, and the place of the value that it ends at so far.
    let mut back: Option<(usize, usize)> = None;
    while v < value.len() {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                back = Some((p, v));
            }
            Some(byte) if byte.eq_ignore_ascii_case(&value[v]) => {
                p += 1;
                v += 1;
            }
            _ => {
                let Some((star, end)) = back else { return false };
                p = star;
                v = end + 1;
                back = Some((star, v));
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_write_for_nobody_is_blocked_in_any_case_and_in_quotes() {
        for value in [
            "null",
            "NULL",
            "None",
            "undefined",
            "'undefined'",
            "\"null\"",
            "anonymous",
            "Guest",
            "N/A",
            " nan ",
            "0",
            "000-000",
            "-1",
            "-",
            "[object Object]",
            "test@test.com",
            "unknown",
            "false",
            "True",
            "distinct_id",
            "''",
            "00000000-0000-0000-0000-000000000000",
        ] {
            assert!(blocked_everywhere(value), "{value}");
        }
        for value in
            ["1", "10", "-10", "nobody", "anonymous-7", "nullable", "ann@test.com", "user", "identity"]
        {
            assert!(!blocked_everywhere(value), "{value}");
        }
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, value, wanted) in [
            ("*@test.com", "ann@test.com", true),
            ("*@test.com", "ann@test.com.eu", false),
            ("Test*", "tEST-7", true),
            ("a*b*c", "a--b-b-c", true),
            ("a*b*c", "a--c-b", false),
            ("*", "", true),
            ("", "a", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
        ] {
            assert_eq!(like(pattern, value), wanted, "{pattern} {value}");
        }
        assert!(!like(&"*a".repeat(200), &"a".repeat(150)));
    }
}
