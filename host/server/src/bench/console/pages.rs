//! The pages, with somebody, something and some run to look at.

use super::fill::Filled;
use super::visitor::Visitor;
use crate::demo::client::Fallible;

/// A page that is opened.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) name: String,
    pub(super) path: String,
    /// What is sent; without it the page is only asked for.
    pub(super) fields: Vec<(String, String)>,
    /// It counts as one edits.
    pub(super) builder: bool,
}

impl Page {
    /// One that is only asked for.
    pub(super) fn at(name: &str, path: &str) -> Self {
        Self { name: name.to_owned(), path: path.to_owned(), fields: Vec::new(), builder: false }
    }

    fn sent(name: &str, path: &str, fields: &[(&str, &str)]) -> Self {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { fields, ..Self::at(name, path) }
    }

    fn builder(self) -> Self {
        Self { builder: true, ..self }
    }
}

/// A rule with two groups, as the form of the builder sends it.
const RULE: [(&str, &str); 21] = [
    ("do", "refresh"),
    ("title", "Tried"),
    ("name", "tried"),
    ("r.kind", "group"),
    ("r.0.kind", "attribute"),
    ("r.0.name", "spent"),
    ("r.0.op", "gte"),
    ("r.0.value", "300"),
    ("r.1.kind", "group"),
    ("r.1.any", "1"),
    ("r.1.0.kind", "attribute"),
    ("r.1.0.name", "largest"),
    ("r.1.0.op", "gt"),
    ("r.1.0.value", "500"),
    ("r.1.1.kind", "trait"),
    ("r.1.1.name", "city"),
    ("r.1.1.op", "eq"),
    ("r.1.1.value", "City 7"),
    ("r.2.kind", "reachable"),
    ("r.2.channel", "email"),
    ("r.2.purpose", "marketing"),
];

/// All of them.
pub(super) fn all(visitor: &mut Visitor, filled: &Filled) -> Fallible<Vec<Page>> {
    let find = [("type".to_owned(), "email".to_owned()), ("value".to_owned(), filled.email.clone())];
    let found = visitor.post("/console/profiles", &find)?;
    let person = found.location.split('?').next().unwrap_or_default().to_owned();
    if !person.starts_with("/console/profiles/prf_") {
        return Err(format!("nobody was found: {} {}", found.status, found.text()?).into());
    }
    let id = person.rsplit('/').next().unwrap_or_default();
    let timeline = visitor.get(&format!("{person}?view=timeline"))?.text()?;
    let event = timeline.split('"').find(|part| part.starts_with("/console/events/at/"));
    let event = event.ok_or("the timeline has no event")?.to_owned();
    let export = format!("/console/exports/{}", filled.export);
    let job = format!("/console/jobs/{}", filled.job);
    let view = |word: &str| format!("{person}?view={word}");
    let chosen = [
        ("segment", "all"),
        ("consent", "email:marketing"),
        ("field", "channel.email"),
        ("field", "attribute.spent"),
        ("format", "csv"),
        ("mode", "full"),
    ];
    let mut pages = vec![
        Page::at("overview", "/console"),
        Page::at("overview, week", "/console?span=week"),
        Page::at("profiles", "/console/profiles"),
        Page::at("profile", &person),
        Page::at("profile, timeline", &view("timeline")),
        Page::at("profile, identity", &view("identity")),
        Page::at("profile, consent", &view("consent")),
        Page::at("profile, segments", &view("segments")),
        Page::at("profile, disclosures", &view("disclosures")),
        Page::sent("search", "/console/search", &[("q", "City")]),
        Page::at("segments", "/console/segments"),
        Page::at("segment of all", "/console/segments/all"),
        Page::at("segment of a tenth", "/console/segments/spent_0"),
        Page::at("segment, why", &format!("/console/segments/all/members/{id}")),
        Page::at("builder, new", "/console/segments/+new").builder(),
        Page::at("builder, edit", "/console/segments/reachable_0/edit").builder(),
        Page::sent("builder, counting", "/console/segments/+build", &RULE).builder(),
        Page::at("channels", "/console/channels"),
        Page::sent(
            "contact point",
            "/console/channels/lookup",
            &[("channel", "email"), ("address", &filled.email)],
        ),
        Page::at("exports", "/console/exports"),
        Page::at("export", &export),
        Page::at("export, new", "/console/exports/new?segment=all"),
        Page::sent("export, first rows", "/console/exports/new", &chosen),
        Page::at("destinations", "/console/exports/destinations"),
        Page::at("schedules", "/console/exports/schedules"),
        Page::at("live events", "/console/events"),
        Page::at("event", &event),
        Page::at("rejected events", "/console/events/rejected"),
        Page::at("rejected, by type", "/console/events/rejected?type=broken"),
        Page::at("catalogue", "/console/catalogue"),
        Page::at("event type", "/console/catalogue/purchase"),
        Page::at("attributes", "/console/attributes"),
        Page::at("attribute", "/console/attributes/spent"),
    ];
    for (name, path) in [
        ("plugins", "/console/plugins"),
        ("keys", "/console/keys"),
        ("users", "/console/users"),
        ("access requests", "/console/privacy/access"),
        ("suppressions", "/console/privacy/suppressions"),
        ("retention", "/console/privacy/retention"),
        ("jobs", "/console/jobs"),
        ("job", job.as_str()),
        ("system", "/console/system"),
        ("audit log", "/console/audit"),
        ("account", "/console/account"),
    ] {
        pages.push(Page::at(name, path));
    }
    Ok(pages)
}
