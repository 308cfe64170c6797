//! Why somebody belongs to a segment, or does not: every condition with its answer, its value and its evidence.

use axum::extract::{Path, State};
use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Notice, Section, Table, Tone, Width};
use cdp_domain::ids::FragmentId;
use cdp_engine::segments::{Explanation, Reason};

use super::super::desk::Desk;
use super::super::profiles::detail::name_of;
use super::super::show;
use super::draft::Cond;
use super::list::title;
use super::words;
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::work;

fn beside(told: &Explanation, pointer: &str) -> Option<(Tone, String)> {
    let of_segment = format!("{pointer}/segment");
    let reasons: Vec<&Reason> = told
        .conditions
        .iter()
        .filter(|reason| reason.pointer == pointer || reason.pointer.starts_with(&of_segment))
        .collect();
    let reason = reasons.first()?;
    if reasons.len() > 1 {
        return Some((Tone::Plain, format!("{} conditions, below", reasons.len())));
    }
    let (tone, word) = match reason.answer {
        "true" => (Tone::Good, "holds"),
        "missing" => (Tone::Warn, "no value is known"),
        _ => (Tone::Bad, "does not hold"),
    };
    let value =
        reason.value.as_ref().map(|value| format!(": it is {}", show::short(&show::value(value), 80)));
    Some((tone, format!("{word}{}", value.unwrap_or_default())))
}

/// The page.
pub(in super::super) async fn page(
    State(_): State<App>,
    desk: Desk,
    Path((name, id)): Path<(String, String)>,
) -> Answer<Response> {
    let id: FragmentId = id.parse().map_err(|_| Failure::not_found("profile"))?;
    let (tenant, asked) = (desk.tenant.clone(), name.clone());
    let (info, told, profile) = work(true, move || -> cdp_engine::Result<_> {
        Ok((tenant.segment(&asked)?, tenant.explain_member(&asked, id)?, tenant.profile(id)?))
    })
    .await??;
    let (who, step) = (name_of(&profile), show::step(&name));
    let here = format!("/console/segments/{step}");
    let heading = format!("{} {who}?", if told.member { "Why" } else { "Why not" });
    let mut page = desk.below(heading, &[("/console/segments", "Segments"), (here.as_str(), title(&info))]);
    page.frame.as_of = Some(desk.when(told.as_of));
    let (tone, mut sentence) = if told.member {
        (Tone::Good, format!("{who} belongs to “{}”.", title(&info)))
    } else {
        (Tone::Warn, format!("{who} does not belong to “{}”.", title(&info)))
    };
    if told.restricted {
        sentence.push_str(
            " The use of their data is restricted, so they are in no segment whatever the rule says.",
        );
    }
    let turn = told
        .next_turn
        .map(|at| format!("This may turn by itself on {}, without a new event.", desk.when(at).local));
    page.frame.notices.push(Notice {
        tone,
        title: sentence,
        detail: turn.unwrap_or_default(),
        link: Some(cdp_console::blocks::Link::new(
            format!("/console/profiles/{}", profile.id),
            "To the person",
        )),
        ..Notice::default()
    });
    let draft = Cond::of_rule(&info.rule, &desk.zone);
    let wrapped = !matches!(&info.rule.as_object(), Some(object) if object.get("all").is_some() || object.get("any").is_some());
    // A rule that is one condition was put into a group; its places do not know of it.
    let find = |pointer: &str| {
        let own = if wrapped { pointer.strip_prefix("/all/0").unwrap_or(pointer) } else { pointer };
        beside(&told, own)
    };
    let words = words::words(&draft, "", &find);
    page.sections.push(
        Section::new("words", "Condition by condition", vec![Block::Words(words)]).width(Width::TwoThirds),
    );
    let row = |reason: &Reason| {
        let evidence = reason.evidence.iter().map(|one| {
            Cell::text(format!(
                "{} of {} at {}",
                show::short(&one.id, 40),
                one.source,
                desk.when(one.time).local
            ))
        });
        vec![
            Cell::code(reason.pointer.as_str()),
            show::badge(reason.answer),
            reason
                .value
                .as_ref()
                .map_or(Cell::None, |value| Cell::text(show::short(&show::value(value), 120))),
            Cell::Many(evidence.collect()),
            desk.maybe_at(reason.next_turn),
        ]
    };
    let table = Table {
        caption: "Every condition with its evidence".to_owned(),
        head: vec!["Place in the rule", "Answer", "Value", "Events that made it so", "May turn by itself"],
        rows: told.conditions.iter().take(show::ROWS_MAX).map(row).collect(),
        more: None,
    };
    let rule = Block::Code(String::new(), show::pretty(&info.rule));
    page.sections.push(
        Section::new("rule", "The rule", vec![rule])
            .note(format!("version {}", told.version))
            .width(Width::Third),
    );
    page.sections.push(Section::new("evidence", "Evidence", vec![Block::Table(table)]));
    show::page(&page)
}
