//! The fenced blocks of a page.

/// A block, as the page has it.
#[derive(Debug)]
pub(super) struct Block {
    /// Page and line, for whoever has to look.
    pub(super) place: String,
    /// The first word behind the fence.
    pub(super) kind: String,
    /// The other words: `name`, `name=value` or `name="more values"`.
    marks: Vec<(String, String)>,
    /// What stands in it.
    pub(super) text: String,
}

impl Block {
    /// Whether a word stands behind the fence.
    pub(super) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// What a word behind the fence is set to; empty when it stands alone.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.marks.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The same as a number.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.value(name)
            .map(|value| value.parse().unwrap_or_else(|_| panic!("{}: {name} is no number", self.place)))
    }
}

/// Every block of a page.
pub(super) fn of(page: &str, markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = markdown.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else { continue };
        let place = format!("{page}:{}", at + 1);
        assert!(line.starts_with("```"), "{place}: a block begins at the beginning of its line");
        let text: Vec<&str> =
            lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
        let (kind, rest) = info.split_once(' ').unwrap_or((info, ""));
        blocks.push(Block { place, kind: kind.to_owned(), marks: marks(rest), text: text.join("\n") });
    }
    blocks
}

fn marks(mut rest: &str) -> Vec<(String, String)> {
    let mut marks = Vec::new();
    while !rest.trim_start().is_empty() {
        rest = rest.trim_start();
        let end = rest.find([' ', '=']).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        let (value, behind) = match behind.strip_prefix('=') {
            None => ("", behind),
            Some(quoted) if quoted.starts_with('"') => {
                quoted[1..].split_once('"').expect("a quote that begins ends")
            }
            Some(plain) => plain.split_once(' ').unwrap_or((plain, "")),
        };
        marks.push((name.to_owned(), value.to_owned()));
        rest = behind;
    }
    marks
}

#[test]
fn words_behind_a_fence_are_read() {
    let found = of("p", "x\n```sh no-run reason=\"it = long\" exit=3\na\n\nb\n```\n```json\n{}\n```\n");
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].kind.as_str(), found[0].text.as_str()), ("sh", "a\n\nb"));
    assert!(found[0].has("no-run") && !found[1].has("no-run"));
    assert_eq!((found[0].value("reason"), found[0].number("exit")), (Some("it = long"), Some(3)));
    assert_eq!(found[1].place, "p:7");
}
