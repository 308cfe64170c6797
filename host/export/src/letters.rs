//! What a destination would not take, over all runs; and sending again what it lost.

use std::collections::{BTreeMap, HashSet};

use cdp_domain::ids::ExportId;
use cdp_domain::json;
use cdp_domain::time::Timestamp;
use cdp_engine::{Page, Refused, Result, Tenant};
use serde_json::{Value as Json, json as to_json};

use crate::Exports;
use crate::ledger::Line;
use crate::plan::Plan;
use crate::run::{beside, is_over};

/// Runs that are looked at for one page.
const PAGE: usize = 1000;

/// What is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// Runs that ended in the range.
    pub runs: u64,
    /// Rows of theirs that stand at the destination: the next incremental run sends them again.
    pub rows: u64,
}

impl Exports {
    /// Runs that have rows which the destination would not take, with those that are named: at most `limit`, in the order
    /// of the runs' ids; `after` continues a page.
    ///
    /// # Errors
    /// [`Refused::NotFound`] for the destination.
    pub fn dead_letters(
        &self,
        tenant: &Tenant,
        name: &str,
        limit: usize,
        mut after: Option<ExportId>,
    ) -> Result<Page<Json, ExportId>> {
        tenant.destination(name)?;
        let mut items = Vec::new();
        loop {
            let page = tenant.exports(PAGE, after)?;
            for info in page.items {
                if info["destination"] != name || info["dead_letters"].as_u64().unwrap_or(0) == 0 {
                    continue;
                }
                items.push(to_json!({
                    "export": info["id"],
                    "segment": info["segment"],
                    "ended_at": info["ended_at"],
                    "dead_letters": info["dead_letters"],
                    "letters": info["letters"],
                }));
                if items.len() == limit {
                    return Ok(Page { next: info["id"].as_str().and_then(|id| id.parse().ok()), items });
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(Page { items, next: None });
            }
        }
    }

    /// Has what runs to a destination sent, that ended from `from` on and before `to`, sent again by the next incremental
    /// run: what of it stands there is taken for changed. Removals are not repeated; what they named is not kept.
    ///
    /// # Errors
    /// [`Refused::NotFound`] for the destination; [`Refused::Conflict`] while a run to it is under way, and for a
    /// destination that takes files; they hold what was sent.
    pub fn replay_destination(
        &self,
        tenant: &Tenant,
        name: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Replayed> {
        let kind = tenant.destination(name)?.kind;
        if !matches!(kind.as_str(), "webhook" | "postgres" | "plugin") {
            let detail = "the destination takes files, and each of them holds what was sent".to_owned();
            return Err(Refused::Conflict(detail));
        }
        let dir = crate::exports_dir(&self.0.engine, tenant.no());
        let mut replayed = Replayed { runs: 0, rows: 0 };
        let mut lines: BTreeMap<[u8; 16], (Line, HashSet<[u8; 16]>)> = BTreeMap::new();
        let mut after = None;
        loop {
            let page = tenant.exports(PAGE, after)?;
            for info in page.items {
                let ended = info["ended_at"].as_str().and_then(|at| Timestamp::parse(at).ok());
                let within = ended.is_some_and(|at| from <= at && at < to);
                if info["destination"] != name || !within || !is_over(&info) {
                    continue;
                }
                let Some(id) = info["id"].as_str().and_then(|id| id.parse::<ExportId>().ok()) else {
                    continue;
                };
                let request = json::parse(info["request"].to_string().as_bytes(), json::Options::default());
                // What cannot be asked for any more, such as a segment that is gone, cannot be sent again.
                let Ok(plan) = Plan::read(tenant, &request.map_err(Refused::internal)?) else { continue };
                let line = Line::of(tenant, &plan, &dir);
                let (_, told) = lines.entry(line.id()).or_insert_with(|| (line, HashSet::new()));
                let leaves = beside::Leaves::open(&dir, id)?;
                for row in 0..leaves.count() {
                    told.insert(leaves.get(row)?.1.0);
                }
                replayed.runs += 1;
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        for (line, told) in lines.into_values() {
            let mut holder = [0; 16];
            getrandom::fill(&mut holder).map_err(Refused::internal)?;
            let holder = ExportId(holder);
            if !self.0.is_resumed() || !self.0.lines.take(&line, holder) {
                let detail =
                    "an export to it is under way; pause or cancel it, or wait for its end".to_owned();
                return Err(Refused::Conflict(detail));
            }
            let marked = line.settle().and_then(|()| line.mark(|entry| told.contains(&entry.profile)));
            self.0.lines.give_back(&line, holder);
            replayed.rows += marked?;
        }
        Ok(replayed)
    }
}
