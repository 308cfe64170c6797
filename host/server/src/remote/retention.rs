//! `cdp retention`: how long events are kept, and how far that is carried out.

use std::collections::BTreeSet;
use std::time::Duration;

use cdp_domain::time::Timestamp;
use serde_json::{Value, json};

use super::{Column, Server, Waiting};
use crate::{Failure, exit};

/// What the rules show.
const RULES: &[Column] = &[("type", "/type"), ("days", "/days"), ("derived", "/derived")];
/// What a count shows.
const COUNTED: &[Column] = &[
    ("type", "/type"),
    ("days", "/days"),
    ("derived", "/derived"),
    ("events that go", "/events"),
    ("oldest", "/oldest"),
];

/// How soon it is asked again whether the rules are carried out.
const PAUSE: Duration = Duration::from_millis(200);

/// What to do with it.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the rules: how long events of a type are kept.
    #[command(after_help = "Examples:\n  cdp retention get\n  cdp retention get -o json > rules.json")]
    Get(GetArgs),
    /// Set the rule for an event type; the others stay as they are.
    #[command(
        after_help = "Examples:\n  cdp retention set 'Page Viewed' --days 90 --derived decayed --dry-run\n  cdp retention set 'Page Viewed' --days 90 --derived decayed --wait\n  cdp retention set '*' --days 730 --derived frozen\n\nWhat is over goes for good: see with --dry-run how many events that are."
    )]
    Set(SetArgs),
    /// Remove the rule of an event type: its events fall under the rule for all others, or are kept for ever.
    #[command(
        after_help = "Examples:\n  cdp retention remove 'Page Viewed'\n  cdp retention remove 'Page Viewed' --dry-run"
    )]
    Remove(RemoveArgs),
    /// Show as of when the rules are carried out, what went, and the removal that ran last.
    #[command(after_help = "Examples:\n  cdp retention status\n  cdp retention status -o json | jq .job")]
    Status(GetArgs),
}

/// Which server.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    server: Server,
}

/// Which rule.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SetArgs {
    /// The event type as it is sent; * for all that have no rule of their own.
    #[arg(value_name = "TYPE")]
    kind: String,
    /// Days of 24 hours after an event happened.
    #[arg(long, value_name = "N")]
    days: u32,
    /// What becomes of what the events amounted to: it goes with them, or stays.
    #[arg(long, value_parser = ["decayed", "frozen"])]
    derived: String,
    #[command(flatten)]
    how: How,
}

/// Of which type.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RemoveArgs {
    /// The event type as the rule names it.
    #[arg(value_name = "TYPE")]
    kind: String,
    #[command(flatten)]
    how: How,
}

/// How to change rules.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct How {
    /// Only count what would go, rule by rule.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    server: Server,
}

/// Does it.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Get(args) => {
            let view = args.server.get("/v1/retention")?;
            args.server.output.list(RULES, items(&view["rules"]))
        }
        Command::Set(args) => {
            let mut rules = args.how.rules()?;
            let rule = json!({ "type": args.kind, "days": args.days, "derived": args.derived });
            match rules.iter_mut().find(|rule| rule["type"] == args.kind) {
                Some(known) => *known = rule,
                None => rules.push(rule),
            }
            args.how.put(&rules)
        }
        Command::Remove(args) => {
            let mut rules = args.how.rules()?;
            let before = rules.len();
            rules.retain(|rule| rule["type"] != args.kind);
            if rules.len() == before {
                let sentence = format!("there is no rule for `{}`", args.kind);
                return Err(Failure::new(exit::NOT_FOUND, sentence));
            }
            args.how.put(&rules)
        }
        Command::Status(args) => status(&args.server),
    }
}

impl How {
    /// The rules in force.
    fn rules(&self) -> Result<Vec<Value>, Failure> {
        Ok(items(&self.server.get("/v1/retention")?["rules"]).to_vec())
    }

    /// Sets rules, or has it counted what they would remove.
    fn put(&self, rules: &[Value]) -> Result<(), Failure> {
        let (server, body) = (&self.server, json!({ "rules": rules }));
        if self.dry_run {
            let counting = server.put("/v1/retention?dry_run=true", &body)?;
            let counted = server.ended(&counting)?;
            return server.output.list(COUNTED, items(&counted["rules"]));
        }
        let failed = if self.waiting.wait { removals(server)?.failed } else { BTreeSet::new() };
        let mut view = server.put("/v1/retention", &body)?;
        if self.waiting.wait {
            view = carried_out(server, view, &failed)?;
        }
        server.output.list(RULES, items(&view["rules"]))
    }
}

/// Returns when every event whose days are over by the rules is gone; fails with the removal that fails.
fn carried_out(server: &Server, mut view: Value, failed_before: &BTreeSet<String>) -> Result<Value, Failure> {
    while !is_carried_out(&view) {
        let removals = removals(server)?;
        if let Some(id) = removals.failed.difference(failed_before).next() {
            return Err(Failure::new(exit::FAILED, format!("the removal failed: see `cdp jobs get {id}`")));
        }
        match &removals.running {
            Some(job) => drop(server.ended(&json!({ "job": job }))?),
            None => std::thread::sleep(PAUSE),
        }
        view = server.get("/v1/retention")?;
    }
    Ok(view)
}

fn is_carried_out(view: &Value) -> bool {
    let at = |name: &str| view[name].as_str().and_then(|text| Timestamp::parse(text).ok());
    let none = items(&view["rules"]).is_empty();
    none || at("swept_at").is_some_and(|swept| at("set_at").is_none_or(|set| swept >= set))
}

/// Removals that the server knows of.
#[derive(Default)]
struct Removals {
    failed: BTreeSet<String>,
    running: Option<String>,
    /// The one that runs, or any that ended.
    shown: Option<Value>,
}

fn removals(server: &Server) -> Result<Removals, Failure> {
    let mut removals = Removals::default();
    for job in server.list("/v1/jobs", super::Range { limit: 0 })? {
        if job["kind"] != "retention" {
            continue;
        }
        let id = job["id"].as_str().unwrap_or_default().to_owned();
        match job["status"].as_str() {
            Some("failed" | "cancelled") => drop(removals.failed.insert(id)),
            Some("queued" | "running") => {
                removals.running = Some(id);
                removals.shown = Some(job);
                continue;
            }
            _ => {}
        }
        if removals.running.is_none() {
            removals.shown = Some(job);
        }
    }
    Ok(removals)
}

fn status(server: &Server) -> Result<(), Failure> {
    let mut view = server.get("/v1/retention")?;
    view["carried_out"] = is_carried_out(&view).into();
    view["job"] = removals(server)?.shown.unwrap_or_default();
    server.output.one(&view)
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_carried_out_when_it_was_swept_since() {
        let view = |rules: Value, set: Value, swept: Value| {
            is_carried_out(&json!({ "rules": rules, "set_at": set, "swept_at": swept }))
        };
        let (rule, early, late) =
            (json!([{}]), json!("2026-01-01T00:00:00Z"), json!("2026-01-01T00:00:00.001Z"));
        assert!(view(json!([]), late.clone(), early.clone()), "there is nothing to do");
        assert!(!view(rule.clone(), early.clone(), Value::Null));
        assert!(!view(rule.clone(), late.clone(), early.clone()));
        assert!(view(rule.clone(), early.clone(), early.clone()) && view(rule, early, late));
    }
}
