//! A prepared transformer, and how a batch goes through it.

use std::fmt;
use std::ops::{AddAssign, Range};
use std::time::Duration;

use cdp_domain::event::Event;
use cdp_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use wasmtime::component::ComponentExportIndex;

use crate::bindings;
use crate::columns::Plan;
use crate::descriptor::{Descriptor, Request};
use crate::digest::Digest;
use crate::engine::CacheUse;
use crate::error::{Error, Fault};
use crate::grants::Grants;
use crate::guest::{Cost, Guest};
use crate::inspect::Inspection;
use crate::limits::Limits;
use crate::logs::{Log, LogLine};
use crate::outcome::{Judge, RowOutcome};
use crate::state::{Inert, State};

/// A transformer that is ready to run; shared by all tenants and threads that use it.
pub struct Transformer {
    guest: Guest,
    limits: Limits,
    cache_use: CacheUse,
    descriptor: Descriptor,
    plan: Plan,
    judge: Judge,
    apply: ComponentExportIndex,
}

/// One event as a plugin is asked about it.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The event.
    pub event: &'a Event,
    /// When we received it.
    pub received_at: Timestamp,
}

/// What a plugin is asked.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The tenant's configuration of the plugin, as text.
    pub config: &'a str,
    /// What the tenant granted.
    pub grants: &'a Grants,
    /// Bounds; the runtime's own hold too.
    pub limits: Limits,
    /// The events. Order means nothing; any number, they are run 1,024 at a time.
    pub rows: &'a [Row<'a>],
}

/// What came of a call.
#[derive(Debug)]
pub struct Applied {
    /// One for each row of the call, same order.
    pub rows: Vec<Result<RowOutcome, Fault>>,
    /// What all its runs used.
    pub usage: Usage,
    /// What the plugin wrote down in the runs that count: those that gave answers, and those of single rows.
    pub log: Vec<LogLine>,
    /// Lines that were not kept.
    pub log_lines_dropped: u64,
}

/// What a call used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Fuel, of all runs.
    pub fuel: u64,
    /// The most linear memory of one run, in bytes.
    pub memory_bytes_peak: usize,
    /// Time on our clock, of all runs, without making columns and judging answers.
    pub elapsed: Duration,
    /// Instances that were started; 1 when all went well.
    pub runs: u32,
}

impl AddAssign<&Cost> for Usage {
    fn add_assign(&mut self, cost: &Cost) {
        self.fuel = self.fuel.saturating_add(cost.fuel);
        self.memory_bytes_peak = self.memory_bytes_peak.max(cost.memory_bytes);
        self.elapsed += cost.elapsed;
        self.runs += 1;
    }
}

/// Rows of one run, at most.
const ROWS_MAX: usize = 1024;
/// A call may use this many times the fuel that its rows have in one run, before the rest is given up.
const SEARCH_FACTOR: u64 = 6;
/// What a run counts for, at least, in that sum.
const RUN_FUEL_MIN: u64 = 100_000;
/// A call isolates at most this many rows at fault, before the rest is given up.
const POISON_ROWS_MAX: usize = 32;

impl Transformer {
    /// Asks a linked component what it is.
    pub(crate) fn new(guest: Guest, limits: Limits, cache_use: CacheUse) -> Result<Self, Error> {
        let state = || State::new(&limits, inert(guest.inspection.digest, None), None);
        let link = |error: wasmtime::Error| Error::Link(error.into());
        let apply = guest.export("transform", "apply").map_err(link)?;
        guest
            .check_types(&limits, state(), |exports| {
                exports.check::<(&str, &bindings::Batch), bindings::Outcome>(&apply, "transform.apply")
            })
            .map_err(link)?;
        let (raw, _) =
            guest.run::<(), bindings::Descriptor>(&guest.describe, (), limits.fuel(0), &limits, state());
        let descriptor = Descriptor::of(guest.inspection.world, raw.map_err(Error::Describe)?)
            .map_err(Error::Descriptor)?;
        let (plan, judge) = (Plan::new(&descriptor), Judge::new(&descriptor));
        Ok(Self { guest, limits, cache_use, descriptor, plan, judge, apply })
    }

    /// Names the component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.guest.inspection.digest
    }

    /// What inspection found.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        &self.guest.inspection
    }

    /// What the plugin says it is and needs.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Everything it asks of a tenant, in a stable order.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.descriptor.requests()
    }

    /// Whether preparing it had to compile.
    #[must_use]
    pub fn cache_use(&self) -> CacheUse {
        self.cache_use
    }

    /// Whether it wants events of this type; others are left untouched by [`Self::apply`] without being shown to it.
    #[must_use]
    pub fn wants(&self, event_type: &str) -> bool {
        self.plan.wants(event_type)
    }

    /// Lets the plugin judge a configuration; the inner result is its answer, each string one problem.
    ///
    /// # Errors
    /// The fault, when there is no answer.
    pub fn check_config(&self, config: &str) -> Result<Result<(), Vec<String>>, Fault> {
        let state = State::new(&self.limits, inert(self.digest(), None), None);
        let export = &self.guest.check_config;
        self.guest.run(export, (config,), self.limits.fuel(0), &self.limits, state).0
    }

    /// Puts events through the plugin.
    ///
    /// Rows at fault do not hurt their neighbours: a run that ends in a fault is repeated in halves until the rows at
    /// fault stand alone. That search ends, and what is left is [`Fault::Abandoned`], when the call has used six times
    /// the fuel its rows have in one run, or when 32 rows have been isolated: then the plugin is broken, not the rows.
    #[must_use]
    pub fn apply(&self, call: &Call<'_>) -> Applied {
        let limits = self.limits.and(call.limits);
        let wanted: Vec<usize> =
            (0..call.rows.len()).filter(|&at| self.wants(&call.rows[at].event.kind)).collect();
        let mut search = Search {
            transformer: self,
            call,
            limits,
            out: call.rows.iter().map(|_| Ok(RowOutcome::untouched())).collect(),
            usage: Usage::default(),
            log: Log::new(&limits),
            spent: 0,
            isolated: 0,
        };
        for rows in wanted.chunks(ROWS_MAX) {
            search.go(rows);
        }
        Applied {
            rows: search.out,
            usage: search.usage,
            log: search.log.lines,
            log_lines_dropped: search.log.dropped,
        }
    }

    /// One run over some rows, and its answer checked.
    fn run(
        &self,
        call: &Call<'_>,
        limits: &Limits,
        rows: &[&Row<'_>],
    ) -> (Result<Vec<RowOutcome>, Fault>, Cost) {
        let batch = self.plan.batch(rows, call.grants);
        let newest = rows.iter().map(|row| row.received_at).max();
        let tables = call.grants.tables(&self.descriptor.tables);
        let state = State::new(limits, inert(self.digest(), newest), tables);
        let fuel = limits.fuel(rows.len());
        let (answer, cost) = self.guest.run(&self.apply, (call.config, &batch), fuel, limits, state);
        let granted = |pointer: &str| call.grants.writes(pointer);
        let rows =
            answer.and_then(|answer| self.judge.rows(answer, rows.len(), limits.children_per_row, granted));
        (rows, cost)
    }
}

pub(crate) fn inert(digest: Digest, wall: Option<Timestamp>) -> Inert {
    let wall_ms = wall.map_or(0, |at| u64::try_from(at.0).unwrap_or(0));
    Inert { wall_ms, seed: digest.0, ..Inert::default() }
}

/// A call under way: runs, and the search for the rows at fault.
struct Search<'a> {
    transformer: &'a Transformer,
    call: &'a Call<'a>,
    limits: Limits,
    out: Vec<Result<RowOutcome, Fault>>,
    usage: Usage,
    log: Log,
    spent: u64,
    isolated: usize,
}

impl Search<'_> {
    /// Runs these rows of the call, cutting where it fails.
    fn go(&mut self, rows: &[usize]) {
        let fuel_max = self.limits.fuel(rows.len()).saturating_mul(SEARCH_FACTOR);
        self.spent = 0;
        let mut open: Vec<Range<usize>> = Vec::from([Range { start: 0, end: rows.len() }]);
        while let Some(range) = open.pop() {
            let part = &rows[range.clone()];
            if self.spent >= fuel_max || self.isolated >= POISON_ROWS_MAX {
                self.settle(part, &Fault::Abandoned);
                continue;
            }
            let shown: Vec<&Row<'_>> = part.iter().map(|&at| &self.call.rows[at]).collect();
            let (result, cost) = self.transformer.run(self.call, &self.limits, &shown);
            self.usage += &cost;
            self.spent = self.spent.saturating_add(cost.fuel.max(RUN_FUEL_MIN));
            match result {
                Ok(outcomes) => {
                    cost.log.into(&mut self.log);
                    for (&at, outcome) in part.iter().zip(outcomes) {
                        self.out[at] = Ok(outcome);
                    }
                }
                Err(fault @ Fault::Host(_)) => self.settle(part, &fault),
                Err(_) if part.len() > 1 => {
                    let middle = range.start + range.len() / 2;
                    open.push(middle..range.end);
                    open.push(range.start..middle);
                }
                Err(fault) => {
                    cost.log.into(&mut self.log);
                    self.isolated += 1;
                    self.settle(part, &fault);
                }
            }
        }
    }

    fn settle(&mut self, rows: &[usize], fault: &Fault) {
        for &at in rows {
            self.out[at] = Err(fault.clone());
        }
    }
}

impl fmt::Debug for Transformer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transformer")
            .field("digest", &self.digest())
            .field("descriptor", &self.descriptor)
            .finish_non_exhaustive()
    }
}
