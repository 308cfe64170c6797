//! What people say against the rules: these two are one person, or never are.

use axum::extract::{Path, State};
use axum::response::Response;
use cdp_console::blocks::{Action, Block, Cell, Section, Table, Tone, Width};
use cdp_console::form::{Choice, Field, Form as View, Kind};
use cdp_domain::identity::{Force, Subject};
use cdp_domain::value::Value;
use cdp_engine::Tenant;
use cdp_engine::identity::ConstraintView;

use super::super::desk::Desk;
use super::super::form::Form;
use super::super::profiles::find::kinds;
use super::super::show;
use super::page;
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::routes::identity::shapes::constraint_id;

const KINDS: [(&str, &str); 2] = [("must_link", "are one person"), ("must_not_link", "are never one person")];

fn subject(one: &Subject) -> Cell {
    match one {
        Subject::Identifier(one) => Cell::text(format!("{} {}", one.kind, show::short(&one.value, 60))),
        Subject::Fragment(id) => {
            Cell::go(format!("/console/profiles/{id}"), show::short(&id.to_string(), 16))
        }
    }
}

/// The constraints in force.
pub(super) fn list(desk: &Desk, all: &[ConstraintView], may: bool) -> Section {
    let row = |one: &ConstraintView| {
        let (tone, word) = match one.force {
            Force::MustLink => (Tone::Good, KINDS[0].1),
            Force::MustNotLink => (Tone::Bad, KINDS[1].1),
        };
        vec![
            subject(&one.a),
            subject(&one.b),
            Cell::badge(tone, word),
            Cell::text(show::short(&one.reason, 120)),
            desk.at(one.at),
            if may {
                Cell::Do(Action {
                    to: format!("/console/identity/constraints/{}/remove", constraint_id(one.id)),
                    label: "Remove".to_owned(),
                    tone: Tone::Bad,
                    ask: "People are then as if it had never been.".to_owned(),
                    ..Action::default()
                })
            } else {
                Cell::None
            },
        ]
    };
    let block = if all.is_empty() {
        show::nothing(
            "Nobody said anything against the rules. Two people who became one by mistake are taken apart here, and joined where they are one.",
            None,
            "",
        )
    } else {
        Block::Table(Table {
            caption: "Constraints in force, oldest first".to_owned(),
            head: vec!["One", "The other", "", "Reason", "Since", ""],
            rows: all.iter().map(row).collect(),
            more: None,
        })
    };
    Section::new("constraints", "Constraints", vec![block])
        .note("they outrank the rules, and can be taken back")
}

/// The form that makes one.
pub(super) fn add(tenant: &Tenant, form: &Form) -> Section {
    let kinds = kinds(tenant);
    let who = |at: &str, label: &str| {
        [
            Field::text(&format!("{at}_type"), &format!("{label}: identifier"))
                .value(form.get(&format!("{at}_type")))
                .suggest(kinds.clone())
                .hint("empty: the value is the id of a profile"),
            Field::text(&format!("{at}_value"), &format!("{label}: value"))
                .value(form.get(&format!("{at}_value")))
                .required(),
        ]
    };
    let mut fields = Vec::new();
    fields.extend(who("a", "One"));
    fields.extend(who("b", "The other"));
    let kind = if form.get("kind").is_empty() { "must_not_link" } else { form.get("kind") };
    fields.push(Field::new("kind", "They", Kind::Select(Choice::named(&KINDS, kind))));
    fields.push(Field::text("reason", "Reason").value(form.get("reason")).required().hint("for people"));
    let view = View::new("/console/identity/constraints", "Say so", fields);
    Section::new("say", "Say who is one person", vec![Block::Form(view)])
        .note("in force for all events, past and to come")
        .width(Width::Half)
}

/// An identifier, or an id where no type is given.
fn named(form: &Form, at: &str) -> Value {
    let (kind, value) = (form.trimmed(&format!("{at}_type")), form.trimmed(&format!("{at}_value")));
    if kind.is_empty() {
        return Value::from(value);
    }
    show::object([("type", Value::from(kind)), ("value", Value::from(value))])
}

/// Makes one.
pub(in super::super) async fn make(State(_): State<App>, desk: Desk, form: Form) -> Answer<Response> {
    let wanted = show::object([
        ("kind", Value::from(form.trimmed("kind"))),
        ("a", named(&form, "a")),
        ("b", named(&form, "b")),
        ("reason", Value::from(form.trimmed("reason"))),
    ]);
    match desk.tenant.constrain(&wanted).await {
        Ok(_) => show::done("/console/identity", "constrained"),
        Err(refused) => page::wrong(&desk, None, &form, Failure::from(refused)).await,
    }
}

/// Removes one.
pub(in super::super) async fn remove(
    State(_): State<App>,
    desk: Desk,
    Path(id): Path<String>,
) -> Answer<Response> {
    let number = id.strip_prefix("con_").and_then(|number| number.parse::<u32>().ok());
    let number = number.filter(|number| constraint_id(*number) == id);
    desk.tenant.release(number.ok_or_else(|| Failure::not_found("constraint"))?).await?;
    show::done("/console/identity", "removed")
}
