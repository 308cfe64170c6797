//! Events: as they come in, what became of one, and those that are kept out of state.

pub(super) mod live;
pub(super) mod receipt;
pub(super) mod rejected;

use cdp_console::blocks::Tab;

/// The views of events, with the one that is shown.
fn tabs(here: &str, rejected: u64) -> Vec<Tab> {
    let rejected = if rejected > 0 {
        format!("Rejected ({})", cdp_console::chart::thousands(rejected))
    } else {
        "Rejected".to_owned()
    };
    [("/console/events", "Live".to_owned()), ("/console/events/rejected", rejected)]
        .map(|(href, text)| Tab { href: href.to_owned(), text, here: href == here })
        .to_vec()
}
