//! Beginning an export: the segment, the consent, the fields, and the first rows before anything leaves.

use axum::extract::State;
use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Section, Table, Tone, Width};
use cdp_console::chart::{Bars, thousands};
use cdp_console::form::{Choice, Field, Form as View, Kind};
use cdp_console::pages::Page;
use cdp_domain::value::Value;
use serde_json::Value as Json;

use super::super::desk::Desk;
use super::super::form::Form;
use super::super::segments::list::title;
use super::super::segments::nodes;
use super::super::{profiles, reach, show};
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::params::Params;
use crate::work;

/// Rows that are shown before anything leaves.
const ROWS_SHOWN: usize = 10;

/// What was chosen.
#[derive(Debug, Clone, Default)]
struct Chosen {
    segment: String,
    /// `channel:purpose`.
    consent: String,
    /// Where each comes from; with `sha256:` before it, it is hashed.
    fields: Vec<String>,
    format: String,
    mode: String,
    destination: String,
    schedule: String,
    cron: String,
    time_zone: String,
    overlap: String,
}

/// The mode by which a run goes on telling who enters and leaves.
const FOLLOW: &str = "follow";

impl Chosen {
    fn of(form: &Form) -> Self {
        let get = |name: &str| form.trimmed(name).to_owned();
        Self {
            segment: get("segment"),
            consent: get("consent"),
            fields: form.all("field").map(str::to_owned).collect(),
            format: get("format"),
            mode: get("mode"),
            destination: get("destination"),
            schedule: get("schedule"),
            cron: get("cron"),
            time_zone: get("time_zone"),
            overlap: get("overlap"),
        }
    }

    /// The request that this is.
    fn request(&self) -> Value {
        let (channel, purpose) = self.consent.split_once(':').unwrap_or((&self.consent, ""));
        let mut names: Vec<String> = Vec::new();
        let fields = self.fields.iter().map(|chosen| {
            let (hashed, from) = match chosen.strip_prefix("sha256:") {
                Some(from) => (true, from),
                None => (false, chosen.as_str()),
            };
            let last = from.split_once('.').map_or(from, |(_, last)| last);
            let mut name = if hashed { format!("{last}_sha256") } else { last.to_owned() };
            if names.contains(&name) {
                name = from.replace('.', "_");
            }
            names.push(name.clone());
            let mut members = vec![("name", Value::from(name.as_str())), ("from", Value::from(from))];
            if hashed {
                members.push(("hash", Value::from("sha256")));
            }
            show::object(members)
        });
        let mut members = vec![
            ("segment", Value::from(self.segment.as_str())),
            ("fields", Value::List(fields.collect())),
            ("consent", show::object([("channel", Value::from(channel)), ("purpose", Value::from(purpose))])),
        ];
        let mut put = |name: &'static str, text: &str| {
            if !text.is_empty() {
                members.push((name, Value::from(text)));
            }
        };
        put("format", &self.format);
        put("mode", if self.mode == FOLLOW { "incremental" } else { &self.mode });
        put("destination", &self.destination);
        if self.mode == FOLLOW {
            members.push(("follow", Value::from(true)));
        }
        show::object(members)
    }

    /// The schedule that asks for it again and again.
    fn scheduled(&self) -> Value {
        let mut members = vec![("export", self.request())];
        for (name, text) in [("cron", &self.cron), ("time_zone", &self.time_zone), ("overlap", &self.overlap)]
        {
            if !text.is_empty() {
                members.push((name, Value::from(text.as_str())));
            }
        }
        show::object(members)
    }
}

/// What may be handed out, with words.
fn sources(desk: &Desk) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut channels: Vec<_> = reach::pairs(&desk.tenant).into_iter().map(|(channel, _)| channel).collect();
    channels.sort();
    channels.dedup();
    for channel in &channels {
        all.push((format!("channel.{channel}"), format!("{channel}: the address that agreed")));
        all.push((format!("sha256:channel.{channel}"), format!("{channel}, hashed for ad platforms")));
    }
    all.extend(
        desk.tenant
            .attributes()
            .iter()
            .map(|one| (format!("attribute.{}", one.name), format!("attribute {}", one.name))),
    );
    all.extend(
        nodes::traits(&desk.tenant)
            .into_iter()
            .map(|name| (format!("trait.{name}"), format!("trait {name}"))),
    );
    all.extend(
        profiles::find::kinds(&desk.tenant)
            .into_iter()
            .map(|kind| (format!("identifier.{kind}"), format!("identifier {kind}"))),
    );
    all.push(("profile_id".to_owned(), "profile id".to_owned()));
    all
}

fn form(app: &App, desk: &Desk, chosen: &Chosen) -> View {
    let segments = desk.tenant.segments().into_iter().map(|one| Choice {
        chosen: one.name == chosen.segment,
        text: format!("{} · {}", title(&one), thousands(one.size)),
        value: one.name.to_string(),
    });
    let consents = reach::pairs(&desk.tenant).into_iter().map(|(channel, purpose)| {
        let value = format!("{channel}:{purpose}");
        Choice { chosen: value == chosen.consent, text: format!("{channel}, for {purpose}"), value }
    });
    let fields = sources(desk).into_iter().map(|(value, text)| Choice {
        chosen: chosen.fields.contains(&value),
        value,
        text,
    });
    let mut destinations = vec![Choice {
        value: String::new(),
        text: "a file for download".to_owned(),
        chosen: chosen.destination.is_empty(),
    }];
    destinations.extend(app.exports().destinations(&desk.tenant).iter().filter_map(|one| {
        let name = one["name"].as_str()?;
        let text = format!("{name} ({})", show::text(&one["kind"]));
        Some(Choice { value: name.to_owned(), text, chosen: name == chosen.destination })
    }));
    let formats = [("csv", "CSV"), ("ndjson", "NDJSON"), ("parquet", "Parquet")];
    let modes = [
        ("full", "everybody"),
        ("incremental", "only what changed since the last run"),
        (FOLLOW, "what changed, and from then on whoever enters or leaves, at once"),
    ];
    let overlaps = [("skip", "is left out"), ("queue", "waits for it")];
    let overlap = if chosen.overlap.is_empty() { "skip" } else { &chosen.overlap };
    let fields = vec![
        Field::new("segment", "1. Segment", Kind::Select(segments.collect())),
        Field::new("consent", "2. Who may be reached by, and for what", Kind::Select(consents.collect()))
            .hint("whoever did not agree is withheld and counted by reason"),
        Field::new("field", "3. Fields", Kind::Checks(fields.collect()))
            .hint("nothing leaves that is not ticked"),
        Field::new("format", "4. Format", Kind::Radios(Choice::named(&formats, &chosen.format))),
        Field::new("destination", "5. To", Kind::Select(destinations)),
        Field::new("mode", "6. Rows", Kind::Radios(Choice::named(&modes, &chosen.mode)))
            .hint("changes are told to a destination; to be told at once, a webhook"),
        Field::text("schedule", "7. Only for a schedule: its name").value(&chosen.schedule),
        Field::text("cron", "and when, as five fields")
            .value(&chosen.cron)
            .hint("such as 0 7 * * 1 for Mondays at seven; empty for one that goes on following"),
        Field::text("time_zone", "in this zone").value(&chosen.time_zone).hint(format!(
            "such as Europe/Riga; empty is the organisation’s, {}",
            desk.tenant.info().time_zone
        )),
        Field::new(
            "overlap",
            "A run that is due while the one before goes on",
            Kind::Select(Choice::named(&overlaps, overlap)),
        ),
    ];
    View::new("/console/exports/new", "Show the first rows", fields)
        .also("/console/exports/new?do=start", "Begin the export")
        .also("/console/exports/new?do=schedule", "Save as a schedule")
}

fn view(app: &App, desk: &Desk, chosen: &Chosen) -> Page {
    let mut page = desk.below("New export", &[("/console/exports", "Exports")]);
    desk.as_of(&mut page.frame);
    let nobody = desk.tenant.segments().is_empty();
    let none = reach::pairs(&desk.tenant).is_empty();
    let block = if nobody {
        let next = Some(("/console/segments/+new", "Define the first segment"));
        show::nothing("An export hands out the members of a segment, and none is defined.", next, "")
    } else if none {
        let next = Some(("/console/channels", "Register a purpose"));
        show::nothing(
            "Nothing leaves without a purpose that consent was asked for, and none is registered.",
            next,
            "",
        )
    } else {
        Block::Form(form(app, desk, chosen))
    };
    page.sections.push(Section::new("new", "", vec![block]).width(Width::Half));
    page
}

/// An empty form, or one with the segment that is asked for.
pub(in super::super) async fn page(State(app): State<App>, desk: Desk, params: Params) -> Answer<Response> {
    let pairs = reach::pairs(&desk.tenant);
    let first = pairs.first().map(|(channel, purpose)| (channel.clone(), format!("{channel}:{purpose}")));
    let (channel, consent) = first.unwrap_or_default();
    let chosen = Chosen {
        segment: params.get("segment").unwrap_or_default().to_owned(),
        consent,
        fields: if channel.is_empty() { Vec::new() } else { vec![format!("channel.{channel}")] },
        format: "csv".to_owned(),
        mode: "full".to_owned(),
        ..Chosen::default()
    };
    show::page(&view(&app, &desk, &chosen))
}

fn preview(desk: &Desk, found: &Json) -> Vec<Section> {
    let names: Vec<String> = found["request"]["fields"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|field| field["name"].as_str().map(str::to_owned))
        .collect();
    let rows: Vec<_> = found["rows"].as_array().into_iter().flatten().take(ROWS_SHOWN).collect();
    let block = if rows.is_empty() {
        show::nothing("Of the members that were looked at nobody may be reached.", None, "")
    } else {
        let lines = rows.iter().map(|row| {
            let facts = names.iter().map(|name| {
                cdp_console::blocks::Fact::new(
                    name.as_str(),
                    Cell::text(show::short(&show::text(&row[name.as_str()]), 120)),
                )
            });
            Block::Facts(facts.collect())
        });
        let first: Vec<_> = lines.collect();
        if names.len() > 6 {
            Block::Folded(format!("{} rows", first.len()), first)
        } else {
            table(&names, &rows)
        }
    };
    let looked_at = found["looked_at"].as_u64().unwrap_or(0);
    let mut reasons: Vec<_> = found["withheld"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(why, count)| (show::withheld(why), count.as_u64().unwrap_or(0), Tone::Bad))
        .collect();
    let reached = looked_at.saturating_sub(reasons.iter().map(|one| one.1).sum());
    reasons.insert(0, ("may be reached".to_owned(), reached, Tone::Good));
    let note = format!("as of {}; nothing was written down", desk.when(desk.tenant.now()).local);
    let members = found["members"].as_u64().unwrap_or(0);
    vec![
        Section::new("rows", "The first rows", vec![block]).note(note).width(Width::Half),
        Section::new(
            "reach",
            "Who may be reached",
            vec![Block::Bars(Bars::of("", Some(looked_at), reasons))],
        )
        .note(format!("of the first {} of {} members", thousands(looked_at), thousands(members)))
        .width(Width::Half),
    ]
}

fn table(names: &[String], rows: &[&Json]) -> Block {
    let mut out = vec![names.iter().map(|name| Cell::badge(Tone::Plain, name.as_str())).collect::<Vec<_>>()];
    out.extend(rows.iter().map(|row| {
        names
            .iter()
            .map(|name| Cell::text(show::short(&show::text(&row[name.as_str()]), 60)))
            .collect::<Vec<_>>()
    }));
    Block::Table(Table { caption: "The first rows".to_owned(), head: Vec::new(), rows: out, more: None })
}

/// Shows the first rows, begins the run, or sets a schedule up.
pub(in super::super) async fn step(
    State(app): State<App>,
    desk: Desk,
    params: Params,
    form: Form,
) -> Answer<Response> {
    let chosen = Chosen::of(&form);
    let request = chosen.request();
    let done = match params.get("do") {
        Some("start") => match app.exports().start(&desk.tenant, &request).await {
            Ok(started) => return show::done(&format!("/console/exports/{}", started.id), "started"),
            Err(refused) => Err(Failure::from(refused)),
        },
        Some("schedule") => {
            let name = if chosen.schedule.is_empty() { "weekly" } else { &chosen.schedule };
            match app.exports().put_schedule(&desk.tenant, name, &chosen.scheduled()).await {
                Ok(_) => return show::done("/console/exports/schedules", "scheduled"),
                Err(refused) => Err(Failure::from(refused)),
            }
        }
        _ => {
            let (at, tenant) = (app.clone(), desk.tenant.clone());
            work(true, move || at.exports().preview(&tenant, &request)).await?.map_err(Failure::from)
        }
    };
    let mut page = view(&app, &desk, &chosen);
    match done {
        Ok(found) => {
            page.sections.extend(preview(&desk, &found));
            show::page(&page)
        }
        Err(failure) => {
            page.frame.notices.push(show::notice_of(&show::told(failure)?, &desk.request_id));
            show::wrong(&page)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ticked_becomes_a_request() {
        let form = Form::of(
            "segment=vip&consent=email:marketing&field=channel.email&field=sha256:channel.email&field=identifier.email\
             &field=attribute.total_spend&format=csv&mode=full&destination=",
        );
        let wanted = r#"{"segment":"vip","format":"csv","mode":"full","consent":{"channel":"email","purpose":"marketing"},"fields":[
            {"name":"email","from":"channel.email"},{"name":"email_sha256","from":"channel.email","hash":"sha256"},
            {"name":"identifier_email","from":"identifier.email"},{"name":"total_spend","from":"attribute.total_spend"}]}"#;
        assert_eq!(Chosen::of(&form).request(), show::read(wanted).unwrap());
        let form = Form::of(
            "segment=vip&consent=email:news&field=profile_id&format=ndjson&mode=follow&destination=hook&overlap=queue&cron=",
        );
        let wanted = r#"{"overlap":"queue","export":{"segment":"vip","format":"ndjson","mode":"incremental","follow":true,"destination":"hook",
            "consent":{"channel":"email","purpose":"news"},"fields":[{"name":"profile_id","from":"profile_id"}]}}"#;
        assert_eq!(Chosen::of(&form).scheduled(), show::read(wanted).unwrap());
    }
}
