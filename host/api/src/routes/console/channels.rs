//! Channels and consent: how many may be reached, the purposes, and what was decided about a contact point.

use axum::extract::State;
use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Link, Section, Table, Tone, Width};
use cdp_console::chart::{Bars, thousands};
use cdp_console::form::{Choice, Field, Form as View, Kind};
use cdp_console::pages::Page;
use cdp_domain::value::Value;
use cdp_engine::consent::Coverage;
use cdp_engine::purposes::Purpose;

use super::desk::Desk;
use super::form::Form;
use super::{May, profiles, reach, show};
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::params::Params;
use crate::work;

/// Pairs of channel and purpose that are counted on the page.
const COUNTED_MAX: usize = 8;
const IDS: [&str; COUNTED_MAX] = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"];

/// How many may be reached, and why the others may not.
fn bars(found: &Coverage) -> Bars {
    let mut items = vec![("may be reached".to_owned(), found.reachable, Tone::Good)];
    let mut others: Vec<_> =
        found.withheld.iter().map(|(why, count)| (show::withheld(why), *count, Tone::Bad)).collect();
    others.sort_by_key(|item| std::cmp::Reverse(item.1));
    items.extend(others);
    Bars::of("", Some(found.profiles), items)
}

fn purposes(desk: &Desk) -> Section {
    let row = |(name, one): (compact_str::CompactString, Purpose)| {
        let channels = if one.channels.is_empty() { "all".to_owned() } else { one.channels.join(", ") };
        let policy = one
            .policy
            .map_or(Cell::None, |policy| Cell::text(format!("version {}: {}", policy.version, policy.url)));
        vec![
            Cell::text(name.as_str()),
            Cell::text(one.title),
            Cell::text(one.legal_basis.replace('_', " ")),
            Cell::text(channels),
            policy,
            Cell::number(one.guards.len().to_string()),
        ]
    };
    let rows: Vec<_> = desk.tenant.purposes().into_iter().take(show::ROWS_MAX).map(row).collect();
    let block = if rows.is_empty() {
        show::nothing(
            "A purpose says what data may be used for and on which legal basis. None is registered, so nobody may be reached.",
            None,
            "",
        )
    } else {
        let head =
            vec!["Purpose", "Title", "Legal basis", "Channels", "Text that people are shown", "#Guards"];
        Block::Table(Table { caption: "Purposes".to_owned(), head, rows, more: None })
    };
    Section::new("purposes", "Purposes", vec![block]).width(Width::Full)
}

fn lookup_form(channel: &str, address: &str) -> Section {
    let fields = vec![
        Field::text("channel", "Channel").value(channel).required().suggest(["email", "sms", "push"]),
        Field::text("address", "Address").value(address).required().hint("in any spelling"),
    ];
    let form = View::new("/console/channels/lookup", "Look up", fields).inline();
    let section = Section::new("lookup", "What was decided about a contact point", vec![Block::Form(form)]);
    section.note("every decision, with its evidence")
}

fn purpose_form(form: &Form) -> Section {
    let bases = [
        "consent",
        "contract",
        "legal_obligation",
        "vital_interests",
        "public_interest",
        "legitimate_interests",
    ];
    let basis = if form.get("legal_basis").is_empty() { "consent" } else { form.get("legal_basis") };
    let fields = vec![
        Field::text("name", "Name")
            .value(form.get("name"))
            .required()
            .hint("for programs, such as marketing"),
        Field::text("title", "Title")
            .value(form.get("title"))
            .required()
            .hint("for people, such as News and offers"),
        Field::new("legal_basis", "Legal basis", Kind::Select(Choice::of(bases, basis))),
        Field::text("channels", "Channels").value(form.get("channels")).hint("with commas; empty means all"),
    ];
    let view = View::new("/console/purposes", "Register", fields);
    Section::new("register", "Register a purpose", vec![Block::Form(view)]).width(Width::Half)
}

/// How many may be reached, of each channel and purpose; what there is not yet is waited for together.
async fn counted(app: &App, desk: &Desk) -> Vec<((String, String), Option<reach::Reached>)> {
    let asked = reach::pairs(&desk.tenant).into_iter().take(COUNTED_MAX).map(|(channel, purpose)| {
        let (app, tenant) = (app.clone(), desk.tenant.clone());
        tokio::spawn(async move {
            let reached = reach::reached(&app, &tenant, &channel, &purpose).await;
            ((channel, purpose), reached)
        })
    });
    let mut all = Vec::new();
    for one in asked.collect::<Vec<_>>() {
        // One that panicked is begun again by the next page.
        all.extend(one.await.ok());
    }
    all
}

async fn view(app: &App, desk: &Desk, form: &Form) -> Page {
    let mut page = desk.page("Channels & consent");
    desk.as_of(&mut page.frame);
    page.intro =
        "Who may be reached is asked for every person: unknown means no, and the newest decision wins."
            .to_owned();
    for (n, ((channel, purpose), reached)) in counted(app, desk).await.into_iter().enumerate() {
        let title = format!("{channel}, for {purpose}");
        let section = match reached {
            Some(Ok(found)) => {
                let note = format!(
                    "of {} people, as of {}",
                    thousands(found.profiles),
                    desk.when(found.as_of).local
                );
                Section::new(IDS[n], title, vec![Block::Bars(bars(&found))]).note(note).refresh(15_000)
            }
            Some(Err(why)) => Section::new(IDS[n], title, vec![Block::Text(show::sentence(&why))]),
            None => Section::new(IDS[n], title, vec![Block::Text("Everybody is being counted.".to_owned())])
                .refresh(1_000),
        };
        page.sections.push(section.width(Width::Half));
    }
    page.sections.push(lookup_form(form.get("channel"), form.get("address")));
    page.sections.push(purposes(desk));
    if desk.may(May::Administer) {
        page.sections.push(purpose_form(form));
    }
    page
}

/// The page.
pub(super) async fn page(State(app): State<App>, desk: Desk, params: Params) -> Answer<Response> {
    let mut page = view(&app, &desk, &Form::default()).await;
    desk.done(&params, &mut page.frame);
    show::page(&page)
}

/// Looks a contact point up; its address travels in the body.
pub(super) async fn lookup(State(app): State<App>, desk: Desk, form: Form) -> Answer<Response> {
    let (channel, address) = (form.trimmed("channel").to_owned(), form.trimmed("address").to_owned());
    let tenant = desk.tenant.clone();
    let found = work(true, move || tenant.contact_point(&channel, &address)).await?;
    match found {
        Ok(found) => {
            let mut page =
                desk.below(profiles::consent::title(&found), &[("/console/channels", "Channels & consent")]);
            desk.as_of(&mut page.frame);
            page.sections.push(Section::new("point", "Decisions", profiles::consent::blocks(&desk, &found)));
            let row = |id: &cdp_domain::ids::FragmentId| {
                vec![Cell::Go(Link::new(format!("/console/profiles/{id}"), id.to_string()))]
            };
            let table = Table {
                caption: "People who use it".to_owned(),
                head: vec!["Person"],
                rows: found.profiles.iter().take(show::ROWS_MAX).map(row).collect(),
                more: None,
            };
            page.sections
                .push(Section::new("people", "Who uses it", vec![Block::Table(table)]).width(Width::Half));
            show::page(&page)
        }
        Err(refused) => {
            let mut page = view(&app, &desk, &form).await;
            page.frame.notices.push(show::notice_of(&show::told(Failure::from(refused))?, &desk.request_id));
            show::wrong(&page)
        }
    }
}

/// Registers a purpose.
pub(super) async fn purpose(State(app): State<App>, desk: Desk, form: Form) -> Answer<Response> {
    let channels = form.get("channels").split(',').map(str::trim).filter(|one| !one.is_empty());
    let definition = show::object([
        ("title", Value::from(form.trimmed("title"))),
        ("legal_basis", Value::from(form.trimmed("legal_basis"))),
        ("channels", Value::List(channels.map(Value::from).collect())),
    ]);
    match desk.tenant.put_purpose(form.trimmed("name"), &definition).await {
        Ok(_) => {
            let no = desk.tenant.no();
            app.console().reached.forget(|key| key.0 == no);
            show::done("/console/channels", "purpose")
        }
        Err(refused) => {
            let mut page = view(&app, &desk, &form).await;
            page.frame.notices.push(show::notice_of(&show::told(Failure::from(refused))?, &desk.request_id));
            show::wrong(&page)
        }
    }
}
