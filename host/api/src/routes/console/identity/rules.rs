//! Trying rules of identity out, and changing them.

use axum::extract::State;
use axum::response::Response;
use cdp_console::blocks::{Block, Cell, Fact, Section, Table};
use cdp_console::chart::thousands;
use cdp_domain::value::Value;
use cdp_engine::identity::{DryRun, Move};

use super::super::desk::Desk;
use super::super::form::Form;
use super::super::show;
use super::page;
use crate::app::App;
use crate::error::{Answer, Failure};
use crate::params::Params;

/// Merges and splits that are shown of those that there would be.
const MOVES_SHOWN: usize = 20;

fn moves(caption: &str, head: [&'static str; 2], all: &[Move]) -> Block {
    let row = |one: &Move| {
        let go = |id: &cdp_domain::ids::FragmentId| {
            Cell::go(format!("/console/profiles/{id}"), show::short(&id.to_string(), 16))
        };
        vec![go(&one.profile), Cell::Many(one.parts.iter().take(8).map(go).collect())]
    };
    Block::Table(Table {
        caption: caption.to_owned(),
        head: head.to_vec(),
        rows: all.iter().take(MOVES_SHOWN).map(row).collect(),
        more: None,
    })
}

fn outcome(run: &DryRun) -> Section {
    let number = |count: usize| Cell::text(thousands(count as u64));
    let mut facts = vec![
        Fact::new("Profiles now", Cell::text(thousands(run.profiles_before))),
        Fact::new("Profiles then", Cell::text(thousands(run.profiles_after))),
        Fact::new("Merges", number(run.merges.len())),
        Fact::new("Splits", number(run.splits.len())),
    ];
    if run.reads_otherwise {
        let text =
            "from then on: values are compared otherwise. Those accepted before stay as they were read";
        facts.push(Fact::new("Events are read otherwise", Cell::text(text)));
    }
    let mut blocks = vec![Block::Facts(facts)];
    if !run.merges.is_empty() {
        blocks.push(moves("People that would become one", ["Would be", "Are now"], &run.merges));
    }
    if !run.splits.is_empty() {
        blocks.push(moves("People that would fall apart", ["Is now", "Would be"], &run.splits));
    }
    Section::new("outcome", "What these rules would change", blocks).note("exactly; nothing was changed")
}

/// Says what rules would change, or changes them.
pub(in super::super) async fn rules(
    State(_): State<App>,
    desk: Desk,
    params: Params,
    form: Form,
) -> Answer<Response> {
    let text = form.get("rules");
    let put = params.get("do") == Some("put");
    let tried = async {
        let rules: Value = show::read(text)?;
        if put {
            desk.tenant.put_identity_rules(&rules).await?;
            return Ok(None);
        }
        Ok::<_, Failure>(Some(desk.tenant.try_identity_rules(&rules).await?))
    };
    match tried.await {
        Ok(None) => show::done("/console/identity", "rules"),
        Ok(Some(run)) => {
            let mut page = page::view(&desk, Some(text), &Form::default()).await?;
            page.sections.insert(0, outcome(&run));
            show::page(&page)
        }
        Err(failure) => page::wrong(&desk, Some(text), &Form::default(), failure).await,
    }
}
