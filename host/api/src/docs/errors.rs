//! The pages of errors, from the table in [`crate::error`].

use std::fmt::Write as _;

use crate::error::Code;

/// Every code in a table that leads to their pages.
pub(super) fn table() -> String {
    let mut text = String::from("| code | status | again? | means |\n| --- | ---: | --- | --- |\n");
    for code in Code::ALL {
        let (word, status) = (code.as_str(), code.status().as_u16());
        let again = if code.retryable() { "yes" } else { "no" };
        let _ = writeln!(text, "| [`{word}`](errors/{word}.md) | {status} | {again} | {} |", code.title());
    }
    text
}

/// A page for each code: its address and its text.
pub(super) fn pages() -> impl Iterator<Item = (String, String)> {
    Code::ALL.iter().map(|code| {
        let word = code.as_str();
        let again = if code.retryable() {
            "The same request may succeed later: send it again as [retries](../developers/cdp-integration/idempotency-and-retries.md) tells."
        } else {
            "The same request fails again until it is changed."
        };
        let text = format!(
            "# {word}\n\n{}.\n\n{}\n\nIt is answered with status {}.\n{again}\n\nSee [all errors](../errors.md).\n",
            code.title(),
            code.help().trim(),
            code.status().as_u16(),
        );
        (format!("errors/{word}"), text)
    })
}
