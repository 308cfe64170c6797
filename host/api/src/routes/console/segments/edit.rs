//! The builder: a rule is edited as a form that comes back with every edit, with a count at every condition, the whole
//! in words, some of the people, and with an edit who would enter and leave.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::response::Response;
use cdp_console::blocks::{Block, Link, Notice, Tone};
use cdp_console::builder::Builder;
use cdp_console::chart::{percent, thousands};
use cdp_domain::value::Value;
use cdp_engine::segments::{Preview, Trial};
use cdp_engine::{Refused, Tenant};

use super::super::desk::Desk;
use super::super::form::Form;
use super::super::profiles::detail::name_of;
use super::super::show;
use super::draft::Cond;
use super::nodes::{Known, Names, Place, groups, node};
use super::{read, words};
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::work;

/// People that are shown of those who satisfy a rule.
const SAMPLE: usize = 5;
/// Groups below the whole that are counted.
const GROUPS_COUNTED: usize = 12;

/// What stands in the form beside the rule.
#[derive(Default)]
struct Head {
    editing: String,
    name: String,
    title: String,
    announce: bool,
    hold: bool,
}

/// What trying the rule gave.
#[derive(Default)]
struct Tried {
    preview: Option<Preview>,
    /// Of groups: for how many each holds.
    groups: BTreeMap<String, u64>,
    sample: Vec<Link>,
    problems: Vec<(String, String)>,
    /// Said above the form.
    notice: Option<Notice>,
}

/// Everything is counted in one look at the same people: the whole, its conditions and its groups.
fn try_out(
    tenant: &Tenant,
    rule: &Value,
    groups: &[(String, Value)],
    editing: &str,
) -> Result<Tried, Failure> {
    let compare_with = (!editing.is_empty()).then(|| editing.to_owned());
    let parts = groups.iter().map(|(_, part)| part.clone()).collect();
    let trial = Trial { rule: rule.clone(), compare_with, parts, sample: SAMPLE, exact: false };
    let mut tried = Tried::default();
    match tenant.preview(&trial) {
        Ok(Ok(preview)) => {
            for id in &preview.sample {
                if let Ok(view) = tenant.profile(*id) {
                    tried.sample.push(Link::new(format!("/console/profiles/{id}"), name_of(&view)));
                }
            }
            let pointers = groups.iter().map(|(pointer, _)| pointer.clone());
            tried.groups = pointers.zip(preview.parts.iter().copied()).collect();
            tried.preview = Some(preview);
        }
        Ok(Err(job)) => {
            tried.notice = Some(Notice {
                tone: Tone::Accent,
                title:
                    "This rule asks for events that nothing was folded for yet, so counting it takes a while."
                        .to_owned(),
                link: Some(Link::new(format!("/console/jobs/{job}"), "See how far it is")),
                ..Notice::default()
            });
        }
        Err(Refused::Invalid(problems)) => {
            tried.problems = problems
                .into_iter()
                .map(|problem| {
                    let pointer =
                        problem.pointer.strip_prefix("/rule").unwrap_or(&problem.pointer).to_owned();
                    (pointer, problem.detail)
                })
                .collect();
        }
        Err(refused) => return Err(refused.into()),
    }
    Ok(tried)
}

/// Shows the form with what its rule comes to.
async fn shown(desk: &Desk, root: Cond, head: Head, notices: Vec<Notice>, refused: bool) -> Answer<Response> {
    let title =
        if head.editing.is_empty() { "New segment".to_owned() } else { format!("Edit {}", head.editing) };
    let mut frame = desk.below(title, &[("/console/segments", "Segments")]).frame;
    if !head.editing.is_empty() {
        frame.crumbs.push(Link::new(
            format!("/console/segments/{}", show::step(&head.editing)),
            head.editing.as_str(),
        ));
    }
    frame.notices = notices;
    let (rule, places) = match root.rule("r", &desk.zone) {
        Ok(rule) => (Some(rule), Vec::new()),
        Err(places) => (None, places),
    };
    let mut tried = Tried::default();
    if let Some(rule) = &rule {
        let mut below = Vec::new();
        groups(&root, "", &mut below);
        let part = |(pointer, cond): (String, &Cond)| {
            Some((pointer, Cond { not: false, ..cond.clone() }.rule("r", &desk.zone).ok()?))
        };
        let parts: Vec<_> = below.into_iter().take(GROUPS_COUNTED).filter_map(part).collect();
        let (tenant, rule, editing) = (desk.tenant.clone(), rule.clone(), head.editing.clone());
        tried = work(true, move || try_out(&tenant, &rule, &parts, &editing)).await??;
    }
    frame.notices.extend(tried.notice.take());
    let tenant = desk.tenant.clone();
    let editing = head.editing.clone();
    let names = work(true, move || Names::of(&tenant, &editing)).await?;
    let preview = tried.preview.as_ref();
    let profiles = preview.map_or_else(|| desk.tenant.stats().profiles, |preview| preview.profiles);
    let count = |pointer: &str| {
        let preview = preview?;
        if pointer.is_empty() {
            return Some((preview.size, 0));
        }
        let of_segment = format!("{pointer}/segment");
        let leaf = preview.conditions.get(pointer).or_else(|| preview.conditions.get(&of_segment)).copied();
        leaf.or_else(|| Some((*tried.groups.get(pointer)?, 0)))
    };
    let known = Known { names: &names, count: &count, profiles, places: &places, pointers: &tried.problems };
    let tree = node(&root, &Place::root(), &known);
    let beside = |pointer: &str| {
        let turned = pointer.ends_with("/not");
        count(pointer)
            .map(|(size, _)| if turned { profiles.saturating_sub(size) } else { size })
            .map(|size| (Tone::Plain, thousands(size)))
    };
    let compared = preview.and_then(|preview| preview.compared);
    let mut side = Vec::new();
    if let Some(preview) = preview {
        side.push(Block::Text(format!("as of {}", desk.when(preview.as_of).local)));
    }
    let page = Builder {
        frame,
        editing: head.editing,
        name: head.name,
        title: head.title,
        total: preview.map(|preview| thousands(preview.size)).unwrap_or_default(),
        share: preview
            .map(|one| format!("{} of {}", percent(one.size, one.profiles), thousands(one.profiles)))
            .unwrap_or_default(),
        estimate: preview.is_some_and(|preview| !preview.exact),
        enters: compared.map(|(enters, _)| thousands(enters)).unwrap_or_default(),
        leaves: compared.map(|(_, leaves)| thousands(leaves)).unwrap_or_default(),
        words: Some(words::words(&root, "", &beside)),
        sample: tried.sample.clone(),
        json: rule.as_ref().map(show::pretty).unwrap_or_default(),
        beside: side,
        announce: head.announce,
        hold: head.hold,
        root: tree,
    };
    if refused { show::wrong(&page) } else { show::page(&page) }
}

/// An empty builder.
pub(in super::super) async fn new(desk: Desk) -> Answer<Response> {
    shown(&desk, Cond::group(Vec::new()), Head::default(), Vec::new(), false).await
}

/// The builder with a segment's rule.
pub(in super::super) async fn edit(
    State(_): State<App>,
    desk: Desk,
    Path(name): Path<String>,
) -> Answer<Response> {
    let info = desk.tenant.segment(&name)?;
    let root = Cond::of_rule(&info.rule, &desk.zone);
    let head = Head { editing: name.clone(), name, title: info.title, ..Head::default() };
    shown(&desk, root, head, Vec::new(), false).await
}

/// What the builder sends: an edit, or the wish to save.
pub(in super::super) async fn build(State(app): State<App>, desk: Desk, form: Form) -> Answer<Response> {
    let mut root = read::draft(&form);
    let head = Head {
        editing: form.get("editing").to_owned(),
        name: form.trimmed("name").to_owned(),
        title: form.trimmed("title").to_owned(),
        announce: form.ticked("announce"),
        hold: form.ticked("hold"),
    };
    let mut notices = Vec::new();
    match form.get("do") {
        "json" => match show::read(form.get("json")) {
            Ok(rule) => root = Cond::of_rule(&rule, &desk.zone),
            Err(failure) => notices.push(show::notice_of(&failure, &desk.request_id)),
        },
        "save" => match save(&app, &desk, &root, &head).await {
            Ok((name, word)) => return show::done(&format!("/console/segments/{}", show::step(&name)), word),
            Err(failure) => {
                let failure = show::told(failure)?;
                let notice = show::notice_of(&failure, &desk.request_id);
                return shown(&desk, root, head, vec![notice], true).await;
            }
        },
        edit => read::apply(&mut root, edit, &form),
    }
    shown(&desk, root, head, notices, false).await
}

/// A group of all of one condition says what the condition says: it is saved as that.
fn alone(rule: Value) -> Value {
    match rule.as_object().and_then(|object| object.get("all")) {
        Some(Value::List(items)) if items.len() == 1 => items[0].clone(),
        _ => rule,
    }
}

async fn save(app: &App, desk: &Desk, root: &Cond, head: &Head) -> Answer<(String, &'static str)> {
    use cdp_domain::problem::{Code as Wrong, Problem};
    let rule = root.rule("r", &desk.zone).map_err(|places| {
        let problem = |(_, detail): (String, String)| Problem::new("/rule", Wrong::Invalid, detail);
        Failure::invalid(places.into_iter().map(problem).collect())
    })?;
    let new = head.editing.is_empty();
    let name = if new { head.name.clone() } else { head.editing.clone() };
    if name.is_empty() {
        return Err(Failure::invalid(vec![Problem::new(
            "/name",
            Wrong::Required,
            "is required: give the segment a name",
        )]));
    }
    if new && desk.tenant.segment(&name).is_ok() {
        let detail = "a segment of this name exists already: edit that one, or choose another name";
        return Err(Failure::new(crate::error::Code::Conflict, detail));
    }
    let mut members = vec![("rule", alone(rule))];
    if !head.title.is_empty() {
        members.push(("title", Value::from(head.title.as_str())));
    }
    if head.announce {
        members.push(("announce", Value::from(true)));
    }
    if head.hold {
        members.push(("publish", Value::from("manually")));
    }
    let put = desk.tenant.put_segment(&name, &show::object(members)).await?;
    let no = desk.tenant.no();
    app.console().moves.forget(|tenant| *tenant == no);
    Ok((name, if put.created || put.job.is_some() { "defined" } else { "unchanged" }))
}
