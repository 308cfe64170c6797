//! Where somebody works: who they are, whose data it is, and the clock of that tenant.

use axum::extract::FromRequestParts;
use cdp_console::blocks::{Cell, Link, Notice, Tone, When};
use cdp_console::frame::{Frame, Group, Item};
use cdp_console::pages::Page;
use cdp_domain::time::{Timestamp, Zone};
use cdp_engine::Tenant;
use cdp_engine::users::{Session, UserInfo};
use http::request::Parts;

use super::May;
use crate::error::{Answer, Failure};
use crate::params::Params;

/// Somebody who is signed in, at a page.
#[derive(Clone)]
pub(crate) struct Desk {
    /// Whose data it is about.
    pub(crate) tenant: Tenant,
    /// Who.
    pub(crate) user: UserInfo,
    /// How instants are shown.
    pub(crate) zone: Zone,
    /// The route.
    path: String,
    pub(crate) request_id: String,
}

impl<S: Sync> FromRequestParts<S> for Desk {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let missing = || Failure::internal("a page asks for somebody on a route that lets everybody in");
        parts.extensions.get::<Self>().cloned().ok_or_else(missing)
    }
}

/// What a place is called, where it is, its icon, its key, and who may go there.
type Place = (&'static str, &'static str, &'static str, &'static str, May);

/// Places: what they are called, where they are, their icon, their key, and who may go there.
const PLACES: [(&str, &[Place]); 5] = [
    (
        "",
        &[("Overview", "/console", "M4 13h6V4H4zM14 20h6v-9h-6zM4 20h6v-3H4zM14 7h6V4h-6z", "o", May::Look)],
    ),
    (
        "Audiences",
        &[
            (
                "Profiles",
                "/console/profiles",
                "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 20c1-4 4.5-5.5 8-5.5s7 1.5 8 5.5",
                "p",
                May::Look,
            ),
            ("Segments", "/console/segments", "M9 15a6 6 0 1 1 6-6M15 21a6 6 0 1 0-6-6", "s", May::Look),
            ("Channels & consent", "/console/channels", "M4 6h16v12H4zM4 7l8 6 8-6", "c", May::Look),
            (
                "Identity",
                "/console/identity",
                "M9 9a4 4 0 1 0-4-4 4 4 0 0 0 4 4zM15 15a4 4 0 1 0 4 4 4 4 0 0 0-4-4zM11 9l3 6",
                "i",
                May::Look,
            ),
            ("Exports", "/console/exports", "M12 4v11M8 8l4-4 4 4M5 15v4h14v-4", "e", May::Look),
        ],
    ),
    (
        "Integration",
        &[
            ("Live events", "/console/events", "M3 12h4l3-8 4 16 3-8h4", "l", May::Look),
            ("Event catalogue", "/console/catalogue", "M5 4h11l3 3v13H5zM9 10h6M9 14h6", "", May::Look),
            ("Attributes", "/console/attributes", "M5 20V11M10 20V5M15 20v-7M20 20V8", "a", May::Look),
            ("Plugins", "/console/plugins", "M9 4v4H5v5h3v4h8v-4h3V8h-4V4M9 8h6", "", May::Look),
            ("API keys", "/console/keys", "M9 14a4 4 0 1 1 3-3l8 8v-3h-2v-2h-2l-1-1", "k", May::Extend),
        ],
    ),
    (
        "Privacy",
        &[
            (
                "Access requests",
                "/console/privacy/access",
                "M7 3h7l4 4v14H7zM12.500 10v6M10 13.500l2.500 2.500 2.500-2.500",
                "",
                May::Administer,
            ),
            (
                "Erasure & restriction",
                "/console/privacy",
                "M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 7 0v3M12 14.500v2",
                "",
                May::Administer,
            ),
            (
                "Suppressions",
                "/console/privacy/suppressions",
                "M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16zM6.500 6.500l11 11",
                "",
                May::Administer,
            ),
            (
                "Retention",
                "/console/privacy/retention",
                "M7 4h10M7 20h10M8 4c0 5 4 5 4 8s-4 3-4 8M16 4c0 5-4 5-4 8s4 3 4 8",
                "",
                May::Look,
            ),
        ],
    ),
    (
        "Operation",
        &[
            ("Jobs", "/console/jobs", "M12 7v5l3 2M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16z", "j", May::Look),
            ("System", "/console/system", "M4 5h16v6H4zM4 13h16v6H4zM8 8h.01M8 16h.01", "y", May::Look),
            (
                "Users",
                "/console/users",
                "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM3 20c.5-4 3-5 6-5s5.500 1 6 5M16 4.500a3.500 3.500 0 0 1 0 6.500M18 15c2 .7 3 2.300 3 5",
                "u",
                May::Administer,
            ),
            (
                "Audit log",
                "/console/audit",
                "M12 4l7 3v5c0 4-3 6.500-7 8-4-1.500-7-4-7-8V7zM9 12l2 2 4-4",
                "",
                May::Administer,
            ),
        ],
    ),
];

/// What came of the form before this page, by the word in the address.
const DONE: [(&str, &str); 32] = [
    ("defined", "Saved. It is in force for every event from now on; the past is being computed."),
    ("unchanged", "Nothing changed: this is the definition that there was."),
    ("removed", "Removed."),
    ("published", "Published: the new version serves."),
    ("started", "Begun."),
    ("cancelled", "It will stop in a moment."),
    ("paused", "Paused."),
    ("resumed", "It goes on."),
    ("replaying", "The events are being tried again."),
    ("uploaded", "Taken in. Nothing of it runs before it is activated."),
    ("activated", "Activated: the next event sees it."),
    ("rolled_back", "Rolled back: what ran before runs again."),
    ("suspended", "Suspended: events pass it untouched."),
    ("revoked", "Revoked: the key opens nothing any more."),
    ("role", "The role is changed."),
    ("password", "The password is changed, and every other session ended."),
    ("scheduled", "The schedule is set up."),
    ("destination", "The destination is set up."),
    ("purpose", "The purpose is registered."),
    ("schema", "The schema is in force for every event from now on."),
    ("compared", "The version is being compared with the one that runs."),
    ("measured", "Rankings are being measured."),
    ("erased", "They are erased: out of everything, and nothing that names them is taken in."),
    ("restricted", "They are restricted: in no segment and no audience from now on."),
    ("lifted", "The restriction is lifted."),
    ("let_in", "The suppression is lifted: what names it is taken in from now on."),
    ("retained", "The rules are in force. What is over by them is being removed."),
    ("rules", "The rules are in force, and everybody is placed by them."),
    ("constrained", "It is in force for all events."),
    ("ordered", "The next event goes through them in this order."),
    ("trust", "Whose plugins are taken is changed. What runs goes on running."),
    ("tried", "It is tried on its share of the events from the next one on."),
];

/// The place that a route belongs to: the nearest above it, or itself.
fn place_of(path: &str) -> Option<&'static str> {
    let leads = |href: &&str| {
        path == *href
            || *href != "/console" && path.strip_prefix(href).is_some_and(|rest| rest.starts_with('/'))
    };
    PLACES.iter().flat_map(|group| group.1).map(|place| place.1).filter(leads).max_by_key(|href| href.len())
}

impl Desk {
    pub(super) fn new(session: Session, path: &str, request_id: &str) -> Self {
        let zone = Zone::named(&session.tenant.info().time_zone).unwrap_or(Zone::Utc);
        Self {
            tenant: session.tenant,
            user: session.user,
            zone,
            path: path.to_owned(),
            request_id: request_id.to_owned(),
        }
    }

    /// Whether their role includes this.
    pub(crate) fn may(&self, may: May) -> bool {
        may.allows(self.user.role)
    }

    /// An empty page with its frame.
    pub(crate) fn page(&self, title: impl Into<String>) -> Page {
        Page { frame: self.frame(title), ..Page::default() }
    }

    /// The frame of a page.
    pub(crate) fn frame(&self, title: impl Into<String>) -> Frame {
        let here = place_of(&self.path);
        let item = |place: &Place| Item {
            text: place.0,
            href: place.1,
            icon: place.2,
            key: place.3,
            here: Some(place.1) == here,
        };
        let group = |group: &(&'static str, &'static [Place])| Group {
            title: group.0,
            items: group.1.iter().filter(|place| self.may(place.4)).map(item).collect(),
        };
        Frame {
            title: title.into(),
            tenant: self.tenant.info().name.clone(),
            user: self.user.name.to_string(),
            role: self.user.role.as_str().to_owned(),
            nav: PLACES.iter().map(group).filter(|group| !group.items.is_empty()).collect(),
            ..Frame::default()
        }
    }

    /// The way to a page below another.
    pub(crate) fn below(&self, title: impl Into<String>, above: &[(&str, &str)]) -> Page {
        let mut page = self.page(title);
        page.frame.crumbs = above.iter().map(|(href, text)| Link::new(*href, *text)).collect();
        page
    }

    /// Says as of when the numbers of a page are, and how far they lie behind.
    pub(crate) fn as_of(&self, frame: &mut Frame) {
        frame.as_of = Some(self.when(self.tenant.now()));
        let behind = self.tenant.stats().pending;
        if behind > 0 {
            frame.lag = format!("{} events are being applied", cdp_console::chart::thousands(behind));
        }
    }

    /// Tells what came of the form before.
    pub(crate) fn done(&self, params: &Params, frame: &mut Frame) {
        let word = params.get("done").unwrap_or_default();
        if let Some((_, sentence)) = DONE.iter().find(|(known, _)| *known == word) {
            let tone = Tone::Good;
            frame.notices.push(Notice { tone, title: (*sentence).to_owned(), ..Notice::default() });
        }
    }

    /// An instant as people of this tenant read it.
    pub(crate) fn when(&self, at: Timestamp) -> When {
        let local = self.zone.show(at, "%-d %b %Y, %H:%M:%S");
        When { local, utc: at.to_string() }
    }

    /// The same in a cell.
    pub(crate) fn at(&self, at: Timestamp) -> Cell {
        Cell::At(self.when(at))
    }

    /// The same of what may be missing.
    pub(crate) fn maybe_at(&self, at: Option<Timestamp>) -> Cell {
        at.map_or(Cell::None, |at| self.at(at))
    }

    /// The same as words.
    pub(crate) fn at_words(&self, text: &serde_json::Value) -> String {
        let at = text.as_str().and_then(|text| Timestamp::parse(text).ok());
        at.map_or("–".to_owned(), |at| self.when(at).local)
    }

    /// The same of a text in an answer.
    pub(crate) fn at_text(&self, text: &serde_json::Value) -> Cell {
        let at = text.as_str().and_then(|text| Timestamp::parse(text).ok());
        self.maybe_at(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_belongs_to_the_nearest_place_above_it() {
        for (path, place) in [
            ("/console", Some("/console")),
            ("/console/account", None),
            ("/console/privacy", Some("/console/privacy")),
            ("/console/privacy/erasures/{id}", Some("/console/privacy")),
            ("/console/privacy/retention/previews/{id}", Some("/console/privacy/retention")),
            ("/console/privacyless", None),
            ("/console/profiles/{id}/privacy", Some("/console/profiles")),
        ] {
            assert_eq!(place_of(path), place, "{path}");
        }
    }
}
