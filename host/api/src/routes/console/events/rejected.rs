//! Events that are kept out of state: which, why, and trying them again.

use axum::extract::State;
use axum::response::Response;
use cdp_console::blocks::{Action, Block, Cell, Link, Section, Table, Tone};
use cdp_console::chart::thousands;
use cdp_console::form::{Choice, Field, Form as View, Kind};
use cdp_domain::ids::Position;
use cdp_engine::dead_letters::{Code, DeadLetter, Filter, Kept};

use super::super::desk::Desk;
use super::super::form::Form;
use super::super::{May, show};
use super::tabs;
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::params::Params;
use crate::work;

/// Letters of one page.
const LETTERS: usize = 50;

/// A filter from the words of an address or a form.
fn filter(get: &dyn Fn(&str) -> String) -> Filter {
    let text = |name: &str| Some(get(name)).filter(|text| !text.is_empty());
    Filter {
        kept: text("status").and_then(|word| Kept::find(&word)).or(Some(Kept::DeadLetter)),
        code: text("code").and_then(|word| Code::find(&word)),
        kind: text("type").map(Into::into),
        plugin: text("plugin").map(Into::into),
        source: text("source").map(Into::into),
        id: text("id").map(Into::into),
        ..Filter::default()
    }
}

/// The same as pairs, for links and buttons.
fn pairs(filter: &Filter) -> Vec<(&'static str, String)> {
    let mut pairs = Vec::new();
    let mut put = |name: &'static str, value: Option<String>| pairs.extend(value.map(|value| (name, value)));
    put("status", filter.kept.map(|kept| kept.as_str().to_owned()));
    put("code", filter.code.map(|code| code.as_str().to_owned()));
    put("type", filter.kind.as_ref().map(ToString::to_string));
    put("plugin", filter.plugin.as_ref().map(ToString::to_string));
    put("source", filter.source.as_ref().map(ToString::to_string));
    pairs
}

fn row(desk: &Desk, one: &DeadLetter) -> Vec<Cell> {
    let kind = if one.kind.is_empty() { "unreadable" } else { one.kind.as_str() };
    let places: Vec<_> = one
        .problems
        .iter()
        .take(3)
        .map(|problem| Cell::text(format!("{} {}", problem.pointer, problem.detail)))
        .collect();
    let mut why = vec![Cell::text(show::sentence(&show::short(&one.reason, 200)))];
    why.extend(places);
    let again = desk.may(May::Extend).then(|| {
        Cell::Do(Action {
            to: "/console/events/rejected/replay".to_owned(),
            label: "Try again".to_owned(),
            fields: vec![
                ("id", one.id.to_string()),
                ("source", one.source.to_string()),
                ("status", one.code.kept().as_str().to_owned()),
            ],
            ..Action::default()
        })
    });
    vec![
        desk.at(one.received_at),
        Cell::go(format!("/console/events/at/{}", one.position), kind),
        Cell::text(one.source.as_str()),
        Cell::code(one.code.as_str()),
        Cell::Many(why),
        if one.plugin.is_empty() { Cell::None } else { Cell::text(show::short(&one.plugin, 40)) },
        again.unwrap_or(Cell::None),
    ]
}

/// The page.
pub(in super::super) async fn page(State(_): State<App>, desk: Desk, params: Params) -> Answer<Response> {
    let get = |name: &str| params.get(name).unwrap_or_default().to_owned();
    let filter = filter(&get);
    let after = match params.get("after") {
        None => None,
        Some(text) => Some(text.parse::<Position>().map_err(|_| Failure::not_found("place in the list"))?),
    };
    let (tenant, asked) = (desk.tenant.clone(), filter.clone());
    let letters = work(true, move || tenant.dead_letters(&asked, LETTERS, after)).await??;
    let mut page = desk.page("Rejected events");
    desk.as_of(&mut page.frame);
    desk.done(&params, &mut page.frame);
    let stats = desk.tenant.stats();
    page.tabs = tabs("/console/events/rejected", stats.dead_letters);
    page.intro = "They were accepted and are on disk, and something keeps them out of state. Nothing is lost: once the cause is gone they are tried again and count at their own time.".to_owned();
    let kept = filter.kept.map_or("dead_letter", Kept::as_str);
    let named = [
        ("dead_letter", "failed"),
        ("dropped", "dropped by a plugin on purpose"),
        ("suppressed", "of erased people"),
    ];
    let mut codes =
        vec![Choice { text: "every reason".to_owned(), chosen: filter.code.is_none(), ..Choice::default() }];
    codes.extend(Code::ALL.iter().map(|code| Choice {
        value: code.as_str().to_owned(),
        text: code.as_str().replace('_', " "),
        chosen: filter.code == Some(*code),
    }));
    let types: Vec<String> = desk.tenant.event_types().into_iter().map(|one| one.kind.to_string()).collect();
    let fields = vec![
        Field::new("status", "Kept as", Kind::Select(Choice::named(&named, kept))),
        Field::new("code", "Why", Kind::Select(codes)),
        Field::text("type", "Event type").value(get("type")).suggest(types),
        Field::text("plugin", "Plugin").value(get("plugin")),
    ];
    let mut search = View::new("/console/events/rejected", "Show", fields).inline();
    search.get = true;
    page.sections.push(Section::new("search", "", vec![Block::Form(search)]));
    let more = letters.next.map(|next| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        pairs(&filter).iter().for_each(|(name, value)| {
            query.append_pair(name, value);
        });
        query.append_pair("after", &next.to_string());
        Link::new(format!("/console/events/rejected?{}", query.finish()), "Go on")
    });
    let mut blocks = Vec::new();
    if letters.items.is_empty() && more.is_none() {
        let what = if stats.dead_letters == 0 {
            "Nothing is kept out of state: every accepted event is applied."
        } else {
            "Nothing is kept out for this reason."
        };
        blocks.push(show::nothing(what, None, ""));
    } else {
        if desk.may(May::Extend) && matches!(kept, "dead_letter" | "dropped") {
            blocks.push(Block::Forms(vec![Action {
                to: "/console/events/rejected/replay".to_owned(),
                label: "Try all of these again".to_owned(),
                fields: pairs(&filter),
                tone: Tone::Accent,
                ask: "A job puts each through the plugins and schemas of today. What fails again stays where it is, with the new reason.".to_owned(),
            }]));
        }
        blocks.push(Block::Table(Table {
            caption: "Events that are kept out of state, oldest first".to_owned(),
            head: vec!["Received", "Event", "Source", "Code", "Why", "Plugin", ""],
            rows: letters.items.iter().map(|one| row(&desk, one)).collect(),
            more,
        }));
    }
    let note = format!(
        "{} failed and {} were dropped, in all",
        thousands(stats.dead_letters),
        thousands(stats.dropped)
    );
    page.sections.push(Section::new("letters", "Events", blocks).note(note));
    show::page(&page)
}

/// Tries again.
pub(in super::super) async fn replay(State(_): State<App>, desk: Desk, form: Form) -> Answer<Response> {
    let get = |name: &str| form.trimmed(name).to_owned();
    let job = desk.tenant.replay_dead_letters(filter(&get)).await?;
    show::done(&format!("/console/jobs/{job}"), "replaying")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_its_words_again() {
        let form = Form::of("status=dropped&code=plugin_rejected&type=a+b&plugin=ltv&source=&id=");
        let read = filter(&|name| form.get(name).to_owned());
        assert_eq!(read.kept, Some(Kept::Dropped));
        let words: Vec<_> = pairs(&read).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(words, ["status=dropped", "code=plugin_rejected", "type=a b", "plugin=ltv"]);
        assert_eq!(filter(&|_| String::new()).kept, Some(Kept::DeadLetter));
    }
}
