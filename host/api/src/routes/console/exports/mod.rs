//! Audiences: runs, the form that begins one, schedules and destinations.

pub(super) mod destinations;
pub(super) mod list;
pub(super) mod new;
pub(super) mod run;
pub(super) mod schedules;

use cdp_console::blocks::Tab;

/// The views of exports, with the one that is shown.
fn tabs(here: &str) -> Vec<Tab> {
    [
        ("/console/exports", "Runs"),
        ("/console/exports/schedules", "Schedules"),
        ("/console/exports/destinations", "Destinations"),
    ]
    .map(|(href, text)| Tab { href: href.to_owned(), text: text.to_owned(), here: href == here })
    .to_vec()
}
