//! A prepared transformer, and how a batch goes through it.

use std::fmt;
use std::ops::{AddAssign, Range};
use std::sync::Arc;
use std::time::Duration;

use cdp_domain::event::Event;
use cdp_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::bindings::{self, Batch};
use crate::call::Cost;
use crate::columns::Plan;
use crate::descriptor::{Descriptor, Request};
use crate::digest::Digest;
use crate::engine::CacheUse;
use crate::error::{Error, Fault};
use crate::exports::Export;
use crate::grants::Grants;
use crate::guest::{Guest, KeepKey, keep_key};
use crate::inspect::Inspection;
use crate::likely::Found;
use crate::limits::Limits;
use crate::logs::{Log, LogLine};
use crate::outcome::{Judge, RowOutcome};
use crate::state::Setting;
use crate::told::Probe;

/// A transformer that is ready to run; shared by all threads of a tenant.
pub struct Transformer {
    guest: Arc<Guest>,
    limits: Limits,
    descriptor: Descriptor,
    plan: Plan,
    judge: Judge,
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
    /// The events. Order means nothing; any number, they are run 1,024 or 1 MiB at a time.
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
    /// Instances that were asked; one for each 1,024 rows or 1 MiB when all went well.
    pub runs: u32,
}

impl AddAssign<&Cost> for Usage {
    fn add_assign(&mut self, cost: &Cost) {
        self.fuel = self.fuel.saturating_add(cost.fuel);
        self.memory_bytes_peak = self.memory_bytes_peak.max(cost.memory_bytes);
        self.elapsed += cost.elapsed;
        self.runs += cost.runs;
    }
}

/// A search for rows at fault may use the fuel of this many runs, before the rest is given up: enough to cut a run of
/// [`ROWS_MAX`](crate::ROWS_MAX) rows down to one.
pub(crate) const SEARCH_RUNS: u64 = 16;
/// What a run counts for, at least, in that sum.
pub(crate) const RUN_FUEL_MIN: u64 = 100_000;
/// A search isolates at most this many rows at fault, before the rest is given up.
pub(crate) const POISON_ROWS_MAX: usize = 32;

/// What the world's functions take and give.
pub(crate) fn check_types(probe: &mut Probe<'_>) -> Result<(), Error> {
    probe.check::<(&str, &bindings::Batch), bindings::Outcome>(Export::Apply)
}

impl Transformer {
    pub(crate) fn new(guest: Arc<Guest>, descriptor: Descriptor, limits: Limits) -> Self {
        let (plan, judge) = (Plan::new(&descriptor), Judge::new(&descriptor));
        Self { guest, limits, descriptor, plan, judge }
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
        self.guest.cache_use
    }

    /// Whether instances are kept between calls, because starting one is dear.
    #[must_use]
    pub fn keeps_instances(&self) -> bool {
        self.guest.keeps()
    }

    /// Whether a kept instance once answered otherwise than a fresh one: the plugin remembers what it should not. Its
    /// answers are right, for it has had fresh instances only since then.
    #[must_use]
    pub fn has_hidden_state(&self) -> bool {
        self.guest.has_hidden_state()
    }

    /// Whether its machine code is in memory.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.guest.is_loaded()
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
        let setting = self.guest.setting(self.limits);
        self.guest.run(Export::CheckConfig, (config,), &setting, None).0
    }

    /// Puts events through the plugin.
    ///
    /// Rows at fault do not hurt their neighbours: a run that ends in a fault is repeated in halves until the rows at
    /// fault stand alone; [`Limits`] says why what comes of a row does not depend on the others. The search for rows at
    /// fault ends, and what is left is [`Fault::Abandoned`], when it has used the fuel of 16 runs or isolated 32 rows.
    /// Ask for those again: at least one row is judged each time.
    #[must_use]
    pub fn apply(&self, call: &Call<'_>) -> Applied {
        let limits = self.limits.and(call.limits);
        let wanted: Vec<usize> =
            (0..call.rows.len()).filter(|&at| self.wants(&call.rows[at].event.kind)).collect();
        let mut search = Search {
            transformer: self,
            call,
            limits,
            key: self.guest.keeps().then(|| keep_key(call.config, call.grants)),
            out: call.rows.iter().map(|_| Ok(RowOutcome::untouched())).collect(),
            usage: Usage::default(),
            log: Log::new(&limits),
        };
        let mut rest = &wanted[..];
        while !rest.is_empty() {
            let most = rest.len().min(self.guest.likely.rows());
            let batch = search.batch(&rest[..most], limits.input_bytes);
            let (rows, later) = rest.split_at(batch.rows as usize);
            search.go(rows, batch);
            rest = later;
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
        key: Option<&KeepKey>,
        batch: &Batch,
    ) -> (Result<Vec<RowOutcome>, Fault>, Cost) {
        let rows = batch.rows as usize;
        let tables = call.grants.tables(&self.descriptor.tables);
        let setting = Setting::new(*limits, self.digest().0, tables);
        let granted = |pointer: &str| call.grants.writes(pointer);
        let ask = |key: Option<&KeepKey>| {
            let (answer, cost) = self.guest.run(Export::Apply, (call.config, batch), &setting, key);
            let judge = |answer| self.judge.rows(answer, rows, limits.children_per_row, granted);
            (answer.and_then(judge), cost)
        };
        let (judged, cost) = ask(key);
        // Only a fresh instance convicts.
        if rows == 1 && key.is_some() && matches!(judged, Err(Fault::Contract(_))) {
            let (again, more) = ask(None);
            return (again, more.and(&cost));
        }
        (judged, cost)
    }
}

/// A call under way: runs, and the search for the rows at fault.
struct Search<'a> {
    transformer: &'a Transformer,
    call: &'a Call<'a>,
    limits: Limits,
    key: Option<KeepKey>,
    out: Vec<Result<RowOutcome, Fault>>,
    usage: Usage,
    log: Log,
}

impl Search<'_> {
    /// The columns of these rows of the call, or of as many as have so many bytes.
    fn batch(&self, rows: &[usize], bytes_max: usize) -> Batch {
        let Call { grants, rows: all, .. } = self.call;
        self.transformer.plan.batch(rows.iter().map(|&at| &all[at]), grants, bytes_max)
    }

    /// Runs these rows of the call, whose columns are `whole`, cutting where it fails.
    fn go(&mut self, rows: &[usize], whole: Batch) {
        let fuel_max = self.limits.fuel.saturating_mul(SEARCH_RUNS);
        let mut spent = 0_u64;
        let mut found = Found::default();
        let mut whole = Some(whole);
        let mut open: Vec<Range<usize>> = Vec::from([Range { start: 0, end: rows.len() }]);
        while let Some(range) = open.pop() {
            let part = &rows[range.clone()];
            if spent >= fuel_max || found.isolated >= POISON_ROWS_MAX {
                found.gave_up |= spent >= fuel_max;
                self.settle(part, &Fault::Abandoned);
                continue;
            }
            let batch = whole.take().unwrap_or_else(|| self.batch(part, usize::MAX));
            let (result, cost) = self.transformer.run(self.call, &self.limits, self.key.as_ref(), &batch);
            self.usage += &cost;
            if result.is_err() {
                spent = spent.saturating_add(cost.fuel.max(RUN_FUEL_MIN));
            }
            match result {
                Ok(outcomes) => {
                    found.fitting = found.fitting.max(part.len());
                    cost.log.into(&mut self.log);
                    for (&at, outcome) in part.iter().zip(outcomes) {
                        self.out[at] = Ok(outcome);
                    }
                }
                Err(fault @ Fault::Host(_)) => self.settle(part, &fault),
                Err(fault) if part.len() > 1 => {
                    found.over |= fault.is_of_a_bound();
                    let middle = range.start + range.len() / 2;
                    open.push(middle..range.end);
                    open.push(range.start..middle);
                }
                Err(fault) => {
                    cost.log.into(&mut self.log);
                    found.isolated += 1;
                    self.settle(part, &fault);
                }
            }
        }
        self.transformer.guest.likely.learn(rows.len(), &found);
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
