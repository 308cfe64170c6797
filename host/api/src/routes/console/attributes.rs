//! Attributes: their definitions, what they come to, and how far their past is computed.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::response::Response;
use cdp_console::blocks::{Action, Block, Cell, Fact, Link, Section, Table, Tone, Width};
use cdp_console::chart::{Bars, percent, thousands};
use cdp_console::form::{Field, Form as View, Kind};
use cdp_console::pages::Page;
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_engine::attributes::AttributeInfo;
use cdp_engine::segments::Trial;

use super::desk::Desk;
use super::form::Form;
use super::{May, show};
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::params::Params;

/// People whose values are shown as a distribution.
const SAMPLED: usize = 100;
/// Values, or ranges of values, of a distribution.
const BARS_MAX: usize = 10;

/// A definition in a few words.
fn words(definition: &Value) -> String {
    let Some(object) = definition.as_object() else { return String::new() };
    let text = |name: &str| object.get(name).map(show::value).unwrap_or_default();
    if object.get("expr").is_some() {
        return "a formula over other facts".to_owned();
    }
    if object.get("plugin").is_some() {
        return format!("derived by the plugin {}", text("plugin"));
    }
    let of = if object.get("property").is_some() {
        format!(" of {}", text("property").trim_start_matches('/'))
    } else {
        String::new()
    };
    let within = object.get("window").and_then(Value::as_object).and_then(|window| {
        window.iter().next().map(|(unit, n)| format!(", last {} {}", show::value(n), unit.replace('_', " ")))
    });
    format!("{}{of} over {}{}", text("kind").replace('_', " "), text("event"), within.unwrap_or_default())
}

fn put_form(name: &str, definition: &str, fixed: bool) -> View {
    let mut fields = Vec::new();
    if fixed {
        fields.push(Field::hidden("name", name));
    } else {
        fields.push(Field::text("name", "Name").value(name).required().hint("such as spend_90d"));
    }
    fields.push(
        Field::new("definition", "Definition", Kind::Lines(10))
            .value(definition)
            .required()
            .hint("kind, event, property, window, where; or expr for a formula. The page on attributes in the documentation has them all."),
    );
    View::new("/console/attributes", if fixed { "Save the change" } else { "Define" }, fields)
}

const EXAMPLE: &str = "{\n  \"kind\": \"sum\",\n  \"event\": \"Order Completed\",\n  \"property\": \"/revenue\",\n  \"window\": {\"days\": 90}\n}";

fn view(desk: &Desk, name: &str, definition: &str) -> Page {
    let mut page = desk.page("Attributes");
    desk.as_of(&mut page.frame);
    page.intro = "Facts that are computed from events, exact and always current, also when only time passes."
        .to_owned();
    let all = desk.tenant.attributes();
    let row = |one: &AttributeInfo| {
        vec![
            Cell::go(format!("/console/attributes/{}", show::step(&one.name)), one.name.as_str()),
            Cell::text(words(&one.definition)),
            Cell::number(one.version.to_string()),
            show::badge(one.status),
        ]
    };
    let building = all.iter().any(|one| one.status == "building");
    let block = if all.is_empty() {
        show::nothing(
            "None is defined. The form below has an example: what somebody spent in the last 90 days.",
            None,
            "cdp attributes put spend_90d spend_90d.json --wait",
        )
    } else {
        Block::Table(Table {
            caption: "Attributes".to_owned(),
            head: vec!["Attribute", "What it is", "#Version", "Status"],
            rows: all.iter().take(5 * show::ROWS_MAX).map(row).collect(),
            more: None,
        })
    };
    page.sections.push(Section::new("attributes", "", vec![block]).refresh(if building { 1_000 } else { 0 }));
    if desk.may(May::Define) {
        let form = put_form(name, if definition.is_empty() { EXAMPLE } else { definition }, false);
        page.sections.push(
            Section::new("define", "Define an attribute", vec![Block::Form(form)]).width(Width::TwoThirds),
        );
    }
    page
}

/// The page of all.
pub(super) async fn page(desk: Desk, params: Params) -> Answer<Response> {
    let mut page = view(&desk, "", "");
    desk.done(&params, &mut page.frame);
    show::page(&page)
}

/// Values in ranges, or the most frequent ones.
fn distribution(values: &[Value]) -> Vec<(String, u64, Tone)> {
    let numbers: Option<Vec<f64>> =
        values.iter().map(|value| show::value(value).parse::<f64>().ok().filter(|n| n.is_finite())).collect();
    if let Some(numbers) = numbers.filter(|numbers| numbers.len() > 1) {
        let (min, max) = numbers.iter().fold((f64::MAX, f64::MIN), |(a, b), n| (a.min(*n), b.max(*n)));
        let whole = numbers.iter().all(|n| n.fract() == 0.0);
        if max > min && !(whole && max - min < BARS_MAX as f64) {
            let width = (max - min) / BARS_MAX as f64;
            let mut counts = [0_u64; BARS_MAX];
            for n in &numbers {
                counts[(((n - min) / width) as usize).min(BARS_MAX - 1)] += 1;
            }
            let digits = if width >= 10.0 { 0 } else { 2 };
            let name = |n: usize| {
                let from = min + width * n as f64;
                format!("{from:.digits$} to {:.digits$}", from + width)
            };
            return counts.iter().enumerate().map(|(n, count)| (name(n), *count, Tone::Plain)).collect();
        }
    }
    let mut counts = BTreeMap::<String, u64>::new();
    for value in values {
        *counts.entry(show::short(&show::value(value), 60)).or_default() += 1;
    }
    let mut all: Vec<_> = counts.into_iter().map(|(name, count)| (name, count, Tone::Plain)).collect();
    all.sort_by_key(|one| std::cmp::Reverse(one.1));
    all.truncate(BARS_MAX);
    all
}

/// Who has a value; None while the version is being computed.
pub(super) type Seen = Option<Values>;

/// How many have a value, of how many, and some of the values.
#[derive(Debug, Clone)]
pub(super) struct Values {
    have: u64,
    of: u64,
    some: Vec<Value>,
    as_of: Timestamp,
}

/// Looks at a sample of everybody. Blocks.
fn sample(tenant: &cdp_engine::Tenant, name: &str) -> Seen {
    let rule = show::object([("attribute", Value::from(name)), ("op", Value::from("exists"))]);
    let trial = Trial { rule, sample: SAMPLED, ..Trial::default() };
    let preview = tenant.preview(&trial).ok()?.ok()?;
    let of = |id: &cdp_domain::ids::FragmentId| {
        let view = tenant.profile(*id).ok()?;
        view.attributes.into_iter().find(|(known, _)| known == name)?.1.value
    };
    let some = preview.sample.iter().filter_map(of).collect();
    Some(Values { have: preview.size, of: preview.profiles, some, as_of: preview.as_of })
}

/// How values are spread.
fn values(desk: &Desk, seen: Option<&Seen>) -> Section {
    let section = |blocks| Section::new("values", "Distribution", blocks);
    let Some(seen) = seen else {
        return section(vec![Block::Text("People who have a value are being counted.".to_owned())])
            .refresh(1_000);
    };
    let Some(seen) = seen else {
        let text = "It cannot be told yet: the version is being computed.";
        return section(vec![Block::Text(text.to_owned())]);
    };
    let note = format!("as of {}", desk.when(seen.as_of).local);
    if seen.some.is_empty() {
        let text = format!("None of {} people has a value now.", thousands(seen.of));
        return section(vec![Block::Text(text)]).note(note);
    }
    let text = format!(
        "{} of {} people have a value ({}).",
        thousands(seen.have),
        thousands(seen.of),
        percent(seen.have, seen.of)
    );
    let title = format!("the values of {} of them", seen.some.len());
    let bars = Bars::of(title, Some(seen.some.len() as u64), distribution(&seen.some));
    section(vec![Block::Text(text), Block::Bars(bars)]).note(note)
}

/// The page of one.
pub(super) async fn detail(
    State(app): State<App>,
    desk: Desk,
    Path(name): Path<String>,
    params: Params,
) -> Answer<Response> {
    let info = desk.tenant.attribute(&name)?;
    let (tenant, asked) = (desk.tenant.clone(), name.clone());
    let key = (desk.tenant.no(), name.clone(), info.version, info.status);
    let seen = app.console().seen.get(key, move || sample(&tenant, &asked)).await;
    let mut page = desk.below(name.as_str(), &[("/console/attributes", "Attributes")]);
    desk.as_of(&mut page.frame);
    desk.done(&params, &mut page.frame);
    page.intro = format!("{}.", words(&info.definition));
    let job = info.job.and_then(|job| app.engine().jobs().get(desk.tenant.no(), job));
    if let Some(job) = job {
        let section =
            Section::new("job", "The past is being computed", vec![Block::Jobs(vec![show::job(&job)])]);
        page.sections.push(section.note("until then the version before serves").refresh(1_000));
    }
    page.sections.push(values(&desk, seen.as_ref()).width(Width::Half));
    let used: Vec<_> = desk
        .tenant
        .segments()
        .into_iter()
        .filter(|one| uses(&one.rule, &name))
        .map(|one| {
            Cell::Go(Link::new(format!("/console/segments/{}", show::step(&one.name)), one.name.as_str()))
        })
        .collect();
    let mut facts = vec![
        Fact::new("Version", Cell::text(info.version.to_string())),
        Fact::new("Status", show::badge(info.status)),
        Fact::new("Used by", if used.is_empty() { Cell::None } else { Cell::Many(used) }),
    ];
    if let Some(at) = info.measured_at {
        facts.push(Fact::new("Rankings measured", desk.at(at)));
    }
    let mut blocks = vec![Block::Facts(facts)];
    if desk.may(May::Define) {
        blocks.push(Block::Forms(vec![Action {
            to: format!("/console/attributes/{}/remove", show::step(&name)),
            label: "Remove".to_owned(),
            tone: Tone::Bad,
            ask: "Its values are gone; events stay, and it can be defined again.".to_owned(),
            ..Action::default()
        }]));
    }
    page.sections.push(Section::new("about", "About", blocks).width(Width::Half));
    let definition = show::pretty(&info.definition);
    let block = if desk.may(May::Define) {
        Block::Form(put_form(&name, &definition, true))
    } else {
        Block::Code(String::new(), definition)
    };
    page.sections.push(Section::new("definition", "Definition", vec![block]).width(Width::TwoThirds));
    show::page(&page)
}

fn uses(rule: &Value, name: &str) -> bool {
    match rule {
        Value::Object(object) => object
            .iter()
            .any(|(key, inner)| key == "attribute" && inner.as_text() == Some(name) || uses(inner, name)),
        Value::List(items) => items.iter().any(|item| uses(item, name)),
        _ => false,
    }
}

/// What was looked at is of another definition.
fn forget(app: &App, desk: &Desk, name: &str) {
    let no = desk.tenant.no();
    app.console().seen.forget(|key| key.0 == no && key.1 == name);
}

/// Defines one.
pub(super) async fn put(State(app): State<App>, desk: Desk, form: Form) -> Answer<Response> {
    let name = form.trimmed("name");
    let put = async {
        let definition = show::read(form.get("definition"))?;
        Ok::<_, Failure>(desk.tenant.put_attribute(name, &definition).await?)
    };
    match put.await {
        Ok(put) => {
            forget(&app, &desk, name);
            let word = if put.created || put.job.is_some() { "defined" } else { "unchanged" };
            show::done(&format!("/console/attributes/{}", show::step(name)), word)
        }
        Err(failure) => {
            let mut page = view(&desk, name, form.get("definition"));
            page.frame.notices.push(show::notice_of(&show::told(failure)?, &desk.request_id));
            show::wrong(&page)
        }
    }
}

/// Removes one.
pub(super) async fn remove(State(app): State<App>, desk: Desk, Path(name): Path<String>) -> Answer<Response> {
    desk.tenant.delete_attribute(&name).await?;
    forget(&app, &desk, &name);
    show::done("/console/attributes", "removed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_in_ranges_and_words_by_how_often() {
        let numbers: Vec<_> = (0..100).map(|n| Value::from(n * 10)).collect();
        let bars = distribution(&numbers);
        assert_eq!((bars.len(), bars.iter().map(|bar| bar.1).sum::<u64>()), (BARS_MAX, 100));
        assert_eq!(bars[0].0, "0 to 99");
        let words: Vec<_> = ["b", "a", "b"].into_iter().map(Value::from).collect();
        let bars: Vec<_> = distribution(&words).into_iter().map(|bar| (bar.0, bar.1)).collect();
        assert_eq!(bars, [("b".to_owned(), 2), ("a".to_owned(), 1)]);
        let few: Vec<_> = [1, 1, 2].into_iter().map(Value::from).collect();
        assert_eq!(distribution(&few)[0].0, "1");
    }

    #[test]
    fn a_definition_reads_as_words() {
        let read = |text: &str| words(&show::read(text).unwrap());
        assert_eq!(read(EXAMPLE), "sum of revenue over Order Completed, last 90 days");
        assert_eq!(read(r#"{"expr":{"attribute":"a"}}"#), "a formula over other facts");
        assert_eq!(read(r#"{"kind":"time_since_last","event":"x"}"#), "time since last over x");
    }
}
