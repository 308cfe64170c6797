//! A run that writes a file: for download, for a directory of the server's, or for a store of objects.
//!
//! The file is the delivery. It appears whole or not at all, under a name of the server's own; a run that a crash
//! interrupts writes it again from its beginning.

use cdp_domain::hex;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cdp_domain::ids::Ordinal;
use cdp_egress::{Fault, Why};
use cdp_engine::privacy::{RowIndex, Said};
use cdp_engine::{Refused, Result};
use cdp_store::files;

use super::beside::Beside;
use super::resolve::{Item, Outcome, Sends, resolve};
use super::survey::survey;
use super::tally::{Reason, Tally};
use super::{Ended, PAGE, Run, Watch};
use crate::destination::Target;
use crate::format::{Encoder, Written, json_object};
use crate::ledger::{Change, Diff, Fresh, Line};
use crate::manifest::{Salts, consent_json, leaf};
use crate::plan;

/// How often a file is begun anew because somebody was erased while it was written.
const TRIES: u32 = 5;

/// A file on its way.
struct Document<'a> {
    run: &'a Run,
    encoder: Encoder,
    index: RowIndex,
    beside: Beside,
    salts: Salts,
    tally: Tally,
    json: String,
    times: Times,
}

/// Where the time of a run went.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    /// Reading members; in runs that keep track, with their consent.
    read: Duration,
    /// Asking for consent.
    consent: Duration,
    /// Mapping, hashing and committing to rows.
    project: Duration,
    /// Rows into bytes, and those onto the disk.
    encode: Duration,
}

impl Times {
    fn write(self) -> serde_json::Value {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        serde_json::json!({
            "read_ms": ms(self.read),
            "consent_ms": ms(self.consent),
            "project_ms": ms(self.project),
            "encode_ms": ms(self.encode),
        })
    }
}

impl<'a> Document<'a> {
    fn create(run: &'a Run, path: &std::path::Path, tally: Tally) -> Result<Self> {
        let dir = path.parent().expect("it lies in a directory");
        files::create_dir(dir)?;
        Ok(Self {
            run,
            encoder: Encoder::new(files::NewFile::create(path)?, &run.plan)?,
            index: RowIndex::create(path)?,
            beside: Beside::create(&run.dir(), run.id)?,
            salts: Salts::new(&run.tenant, run.id),
            tally,
            json: String::new(),
            times: Times::default(),
        })
    }

    fn put(&mut self, item: &Item) -> Result<()> {
        let change = self.run.plan.is_incremental().then_some(item.change);
        let began = Instant::now();
        let end = self.encoder.row(change, &item.values)?;
        self.index.push(item.profile, end)?;
        let encoded = Instant::now();
        self.times.encode += encoded - began;
        self.beside.told(item.profile, said(item.change))?;
        self.json.clear();
        let names = self.run.plan.fields.iter().map(|field| field.name.as_str());
        json_object(change, names, &item.values, &mut self.json);
        let consent = item.granted.as_ref();
        let consent = consent.map(|granted| consent_json(&self.run.plan.consent.purpose, granted));
        let salt = self.salts.of(self.tally.rows());
        let leaf = leaf(&salt, &self.json, consent.as_deref().unwrap_or_default());
        self.beside.leaf(leaf, item.profile)?;
        self.tally.count(item.change);
        self.times.project += encoded.elapsed();
        Ok(())
    }

    fn withhold(&mut self, profile: cdp_domain::ids::FragmentId, reason: Reason) -> Result<()> {
        self.tally.withhold(reason);
        self.beside.withheld(profile, reason)
    }
}

pub(crate) fn said(change: Change) -> Said {
    if change == Change::Remove { Said::Remove } else { Said::Values }
}

impl Run {
    /// Where its file lies.
    pub(crate) fn file_path(&self) -> PathBuf {
        let name = format!("{}.{}", self.id, plan::extension(self.plan.format, self.plan.compression));
        match (&self.target, &self.plan.destination) {
            (Target::File, Some(destination)) => {
                self.dir().join(cdp_engine::privacy::TO).join(destination).join(name)
            }
            _ => self.dir().join(name),
        }
    }

    /// Writes the file and hands it over.
    pub(crate) fn write_document(&self, watch: &Watch<'_>) -> Result<Ended> {
        for _ in 0..TRIES {
            let erased = self.tenant.erased();
            let members = self.tenant.take_members(&self.plan.segment)?;
            let tally = Tally {
                members: members.len(),
                position: members.place.0.0,
                changes: members.place.1,
                segment_version: members.version,
                ..Tally::default()
            };
            watch.set_total(members.len());
            let mut document = Document::create(self, &self.file_path(), tally)?;
            let line = self.plan.keeps_track().then(|| Line::of(&self.tenant, &self.plan, &self.dir()));
            match &line {
                None => self.everybody(&mut document, &members, watch)?,
                Some(line) => self.tracked(&mut document, &members, line, watch)?,
            }
            document.tally.close(Reason::Merged);
            if let Some(ended) = self.hand_over(document, erased, line.as_ref(), watch)? {
                return Ok(ended);
            }
        }
        Err(Refused::Conflict("people were erased again and again while the export was written".to_owned()))
    }

    /// Everybody in one pass.
    fn everybody(
        &self,
        document: &mut Document<'_>,
        members: &cdp_engine::exports::Members,
        watch: &Watch<'_>,
    ) -> Result<()> {
        let sources = self.plan.sources();
        let mut from = Some(Ordinal(0));
        while let Some(ordinal) = from {
            let began = Instant::now();
            let page = self.tenant.audience(members, &sources, &self.plan.consent, ordinal, PAGE)?;
            let asked: Duration = page.items.iter().map(|row| row.asked).sum();
            document.times.consent += asked;
            document.times.read += began.elapsed().saturating_sub(asked);
            for row in page.items {
                match row.values {
                    Ok((values, granted)) => document.put(&Item {
                        change: Change::Add,
                        profile: row.profile_id,
                        values: crate::project::project(&self.plan, values),
                        granted: Some(granted),
                        after: None,
                        before: None,
                    })?,
                    Err(why) => document.withhold(row.profile_id, why.into())?,
                }
            }
            watch.done(document.tally.dealt_with())?;
            from = page.next;
        }
        Ok(())
    }

    /// Against what was sent before; the line's next file is written beside it.
    fn tracked(
        &self,
        document: &mut Document<'_>,
        members: &cdp_engine::exports::Members,
        line: &Line,
        watch: &Watch<'_>,
    ) -> Result<()> {
        let sends = if self.plan.is_incremental() { Sends::Differences } else { Sends::Replaces };
        let base = self.dir().join(format!("{}.survey", self.id));
        let sorted = survey(&self.tenant, &self.plan, members, &base, watch, |profile, reason| {
            document.withhold(profile, reason)
        })?;
        let members = sorted.map(|record| record.map(|record| Fresh::of_record(&record)));
        let mut next = line.next(self.id)?;
        let mut diff = Diff::new(members, line.entries()?);
        loop {
            let steps = diff.by_ref().take(PAGE).collect::<Result<Vec<_>>>()?;
            if steps.is_empty() {
                break;
            }
            let began = Instant::now();
            let outcomes = resolve(&self.tenant, &self.plan, sends, steps, &[])?;
            document.times.read += began.elapsed();
            for outcome in outcomes {
                match outcome {
                    Outcome::Send(item) => {
                        document.put(&item)?;
                        item.after.into_iter().try_for_each(|entry| next.push(entry))?;
                    }
                    Outcome::Unchanged(entry) => {
                        document.tally.unchanged += 1;
                        next.push(entry)?;
                    }
                    Outcome::Keep(entry) => next.push(entry)?,
                    Outcome::Withhold(profile, reason) => document.withhold(profile, reason)?,
                }
            }
            watch.done(document.tally.dealt_with())?;
        }
        next.commit()?;
        Ok(())
    }

    /// Lets the file appear and writes the run's end down; None when somebody was erased meanwhile, who may stand in it.
    fn hand_over(
        &self,
        document: Document<'_>,
        erased: u64,
        line: Option<&Line>,
        watch: &Watch<'_>,
    ) -> Result<Option<Ended>> {
        let Document { encoder, index, beside, tally, mut times, .. } = document;
        let began = Instant::now();
        let Written { file, sha256, bytes, unfit } = encoder.finish()?;
        times.encode += began.elapsed();
        let handed = self.tenant.hand_out(erased, move || {
            let (root, leaves) = beside.commit()?;
            index.commit()?;
            file.commit()?;
            let unfit = unfit.into_iter().map(|(name, count)| (name, count.into()));
            let mut info = self.ending(super::State::Done, &tally);
            info["bytes"] = bytes.into();
            info["sha256"] = sha256.into();
            info["file"] = "held".into();
            info["times"] = times.write();
            info["unfit"] = unfit.collect::<serde_json::Map<_, _>>().into();
            info["commitments"] = serde_json::json!({ "rows": leaves, "root": hex::encode(&root) });
            if !self.target.is_stored() {
                self.write_down(&info)?;
            }
            Ok(info)
        })?;
        let Some(mut info) = handed else { return Ok(None) };
        if self.target.is_stored() {
            // Erasures find the file from here on; what goes out is what is there.
            watch.look()?;
            let mut key = self.object_key(0);
            let mut sent = self.target.store(&self.file_path(), &key);
            if matches!(sent, Err(Fault::Permanent { why: Why::Conflict, .. })) && self.attempts.failures > 0
            {
                // An attempt whose outcome was not known was taken, and the file is another by now.
                key = self.object_key(self.attempts.failures);
                sent = self.target.store(&self.file_path(), &key);
            }
            let removed = std::fs::remove_file(self.file_path());
            drop(std::fs::remove_file(cdp_engine::privacy::rows_path(&self.file_path())));
            if let Err(fault) = sent {
                return Ok(Some(Ended::Fault(fault, false)));
            }
            removed.map_err(Refused::internal)?;
            info["file"] = "handed_over".into();
            info["object"] = key.into();
            self.write_down(&info)?;
        }
        if let Some(line) = line {
            line.replace(self.id)?;
        }
        Ok(Some(Ended::Over(info)))
    }

    fn object_key(&self, failures: u32) -> String {
        let extension = plan::extension(self.plan.format, self.plan.compression);
        let again = if failures > 0 { format!("-r{failures}") } else { String::new() };
        format!("{}/{}{again}.{extension}", self.plan.segment, self.id)
    }
}
