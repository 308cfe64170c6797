//! Takes JSON text apart without reading more of it than it must: numbers keep every digit.
//!
//! The host hands over text that it wrote from values it checked, so this looks for the ends of things and not for mistakes.

/// A member of an object, as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member<'t> {
    /// With its quotes.
    pub(crate) name: &'t str,
    pub(crate) value: &'t str,
}

/// The members of each object in a list; what stands beside objects is passed over. None when it is no list.
pub(crate) fn objects(text: &str) -> Option<Vec<Vec<Member<'_>>>> {
    let inner = within(text, '[', ']')?;
    Some(
        parts(inner)
            .filter_map(|item| within(item, '{', '}'))
            .map(|object| parts(object).filter_map(member).collect())
            .collect(),
    )
}

fn member(text: &str) -> Option<Member<'_>> {
    let colon = end(text, ':')?;
    Some(Member { name: text[..colon].trim(), value: text[colon + 1..].trim() })
}

fn within(text: &str, open: char, close: char) -> Option<&str> {
    text.trim().strip_prefix(open)?.strip_suffix(close)
}

/// What stands between commas of this level; nothing in an empty text.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text).filter(|text| !text.trim().is_empty());
    std::iter::from_fn(move || {
        let text = rest.take()?;
        match end(text, ',') {
            Some(at) => {
                rest = Some(&text[at + 1..]);
                Some(&text[..at])
            }
            None => Some(text),
        }
    })
}

/// The first of a sign on this level: in no text, list or object.
fn end(text: &str, sign: char) -> Option<usize> {
    let (mut deep, mut quoted, mut escaped) = (0_u32, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            c if c == sign && deep == 0 => return Some(at),
            '[' | '{' => deep += 1,
            ']' | '}' => deep = deep.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<Vec<Vec<(&str, &str)>>> {
        let pair = |member: Member<'_>| -> (&'static str, &'static str) {
            (String::leak(member.name.to_owned()), String::leak(member.value.to_owned()))
        };
        let pairs = |members: Vec<Member<'_>>| members.into_iter().map(pair).collect();
        Some(objects(text)?.into_iter().map(pairs).collect())
    }

    #[test]
    fn a_list_of_objects_is_taken_apart_and_nothing_is_rewritten() {
        assert_eq!(told("{}"), None);
        assert_eq!(told("[]"), Some(vec![]));
        assert_eq!(told(r#"[1,"{",null,[{"a":1}]]"#), Some(vec![]));
        assert_eq!(told(r#"[{}, {"a":1.50}]"#), Some(vec![vec![], vec![("\"a\"", "1.50")]]));
        assert_eq!(
            told(r#"[{"a,\"}":"x,]\\","b:":{"c":[1,{"d":"}"}]},"e":true}]"#),
            Some(vec![vec![
                ("\"a,\\\"}\"", "\"x,]\\\\\""),
                ("\"b:\"", r#"{"c":[1,{"d":"}"}]}"#),
                ("\"e\"", "true")
            ]])
        );
    }
}
