//! Where the items of a batch begin and end in its text: for the limit on an event's size, and to save the good items
//! of a batch that does not read as a whole. It looks at structure only; what it finds is still to be parsed.

use std::ops::Range;

/// The text of each item of the array that is the document, or that stands under `member` in the object that it is.
/// None when there is no such array or it does not end.
#[must_use]
pub fn ranges(text: &[u8], member: &str) -> Option<Vec<Range<usize>>> {
    let mut at = Walker { text, at: 0 };
    match at.next()? {
        b'[' => at.items(),
        b'{' => {
            at.at += 1;
            loop {
                match at.next()? {
                    b'"' => {}
                    b',' => {
                        at.at += 1;
                        continue;
                    }
                    _ => return None,
                }
                let begin = at.at;
                at.value()?;
                let name = text.get(begin + 1..at.at - 1)?;
                if at.next()? != b':' {
                    return None;
                }
                at.at += 1;
                if name == member.as_bytes() && at.next()? == b'[' {
                    return at.items();
                }
                at.next()?;
                at.value()?;
            }
        }
        _ => None,
    }
}

struct Walker<'t> {
    text: &'t [u8],
    at: usize,
}

impl Walker<'_> {
    /// The next byte that is no white space, left in place.
    fn next(&mut self) -> Option<u8> {
        while let b' ' | b'\t' | b'\n' | b'\r' = *self.text.get(self.at)? {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn items(&mut self) -> Option<Vec<Range<usize>>> {
        self.at += 1;
        let mut found = Vec::new();
        if self.next()? == b']' {
            return Some(found);
        }
        loop {
            self.next()?;
            let begin = self.at;
            self.value()?;
            found.push(begin..self.at);
            match self.next()? {
                b',' => self.at += 1,
                b']' => return Some(found),
                _ => return None,
            }
        }
    }

    /// Steps over one value.
    fn value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match *self.text.get(self.at)? {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                _ if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                _ => {
                    let rest = &self.text[self.at..];
                    let length = rest.iter().position(|byte| b" \t\n\r,]}:".contains(byte))?;
                    if length == 0 {
                        return None;
                    }
                    self.at += length;
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            self.at += memchr::memchr2(b'"', b'\\', self.text.get(self.at..)?)?;
            if self.text[self.at] == b'"' {
                self.at += 1;
                return Some(());
            }
            self.at += 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<Vec<&str>> {
        Some(ranges(text.as_bytes(), "batch")?.into_iter().map(|range| &text[range]).collect())
    }

    #[test]
    fn items_are_found_in_an_array_and_under_a_name() {
        assert_eq!(
            found(r#" [ {"a":"]}"} , [1,[2]],3, "x\"," ] "#).unwrap(),
            [r#"{"a":"]}"}"#, "[1,[2]]", "3", r#""x\",""#]
        );
        let nested = r#"{"a": {"batch": [9]}, "b":[1], "batch" : [{"x": 1}, {bad}] , "c": 1}"#;
        assert_eq!(found(nested).unwrap(), [r#"{"x": 1}"#, "{bad}"]);
        assert_eq!(found("[]").unwrap(), Vec::<&str>::new());
    }

    #[test]
    fn what_does_not_end_has_no_items() {
        for text in [
            "",
            "{",
            "[",
            "[1",
            "[1,",
            r#"["x"#,
            r#"["x\"#,
            r#"{"batch":[{}"#,
            r#"{"batch":{}}"#,
            "7",
            "[1 2]",
            "[}]",
            "{]",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
