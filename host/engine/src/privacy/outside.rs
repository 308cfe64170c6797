//! Erasures as they are written down outside of the data directory: so that no older copy of it brings anybody back.
//!
//! A line for each erasure, of digests and ids like its record, with a code that only the installation's secret makes.
//! It is written before an erasure is answered. A start compares it with the journal: what is listed and not in the
//! journal was erased after the copy that was put back, so the keys are destroyed before anything is read, nothing that
//! names the person is taken in, and the erasure becomes a record of this journal too. What the journal has and the file
//! has not is added to the file.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cdp_domain::ids::{JobId, Position, TenantNo};
use cdp_jobs::{Outcome, Progress};
use cdp_store::journal::{Journal, RecordKind};
use cdp_store::keys::tag;
use cdp_store::kv::Order;
use cdp_store::seal::{Digests, KeyRing, MasterKey, open_in_place};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::erase::Erasure;
use crate::config::Change;
use crate::error::{Refused, Result};
use crate::rows::{Look as _, View};
use crate::tenant::{Core, new_job};

/// What the codes are for.
const PURPOSE: &str = "cdp 2026 erasures outside of the data directory";

/// The file of erasures of an installation.
pub(crate) struct Outside {
    path: PathBuf,
    digests: Digests,
    held: Mutex<Held>,
}

struct Held {
    /// None until the first erasure.
    file: Option<File>,
    listed: BTreeMap<(TenantNo, JobId), Erasure>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    tenant: u32,
    erasure: Erasure,
}

impl Outside {
    /// Reads the file, where there is one. A line that a crash left half written is cut when the next is written.
    ///
    /// # Errors
    /// [`Refused::Internal`] when a line was not written by this installation.
    pub(crate) fn open(path: &Path, master: &MasterKey) -> Result<Self> {
        let digests = Digests::new(master, TenantNo(0), PURPOSE);
        let mut listed = BTreeMap::new();
        let mut file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(Refused::internal(error)),
        };
        if let Some(file) = &mut file {
            let mut text = String::new();
            file.read_to_string(&mut text).map_err(Refused::internal)?;
            let whole = text.rfind('\n').map_or(0, |at| at + 1);
            for (n, line) in text[..whole].lines().enumerate() {
                let line = read(line, &digests).ok_or_else(|| {
                    let what = "was not written by this installation";
                    Refused::internal(format!("line {} of {} {what}", n + 1, path.display()))
                })?;
                listed.insert((TenantNo(line.tenant), line.erasure.job), line.erasure);
            }
            file.set_len(whole as u64).map_err(Refused::internal)?;
            file.seek(SeekFrom::End(0)).map_err(Refused::internal)?;
        }
        Ok(Self { path: path.to_owned(), digests, held: Mutex::new(Held { file, listed }) })
    }

    /// What is listed of a tenant.
    fn of(&self, tenant: TenantNo) -> Vec<Erasure> {
        let held = self.held.lock();
        held.listed.iter().filter(|((of, _), _)| *of == tenant).map(|(_, erasure)| erasure.clone()).collect()
    }

    /// Writes an erasure down; durable when it returns.
    pub(crate) fn add(&self, tenant: TenantNo, erasure: &Erasure) -> Result<()> {
        let mut held = self.held.lock();
        let key = (tenant, erasure.job);
        if held.listed.contains_key(&key) {
            return Ok(());
        }
        let line = Line { tenant: tenant.0, erasure: erasure.clone() };
        let body = serde_json::to_string(&line).map_err(Refused::internal)?;
        let text = format!("{} {body}\n", code(&self.digests, &body));
        let write = |file: &mut File| {
            file.write_all(text.as_bytes())?;
            file.sync_data()
        };
        let file = match &mut held.file {
            Some(file) => file,
            none => {
                use std::os::unix::fs::OpenOptionsExt as _;
                let mut options = OpenOptions::new();
                let options = options.create(true).append(true).mode(0o600);
                let file = options.open(&self.path).map_err(Refused::internal)?;
                let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
                cdp_store::files::sync_dir(dir.unwrap_or(Path::new(".")))?;
                none.insert(file)
            }
        };
        write(file).map_err(Refused::internal)?;
        held.listed.insert(key, line.erasure);
        Ok(())
    }
}

fn code(digests: &Digests, body: &str) -> String {
    cdp_domain::hex::encode(&digests.wide(body.as_bytes()))
}

fn read(line: &str, digests: &Digests) -> Option<Line> {
    let (told, body) = line.split_once(' ')?;
    (told == code(digests, body)).then(|| serde_json::from_str(body).ok()).flatten()
}

/// Compares the file with the journal of a tenant, before anything of the tenant is read: what comes back was erased
/// elsewhere, and its keys are destroyed now. What only the journal has is written into the file.
pub(crate) fn reconcile(
    outside: &Outside,
    view: &View<'_>,
    journal: &Journal,
    keys: &KeyRing,
    tenant: (TenantNo, &crate::tenant::TenantDigests),
) -> Result<Vec<Erasure>> {
    let (no, digests) = tenant;
    let mut known = HashSet::new();
    let mut range = view.context().table(tag::ERASURE);
    loop {
        let page = view.scan(&range, Order::Forward, 1024)?;
        let Some((last, _)) = page.last() else { break };
        range = range.after(last);
        known.extend(page.iter().filter_map(|(key, _)| cdp_store::keys::erasure(key)));
    }
    let ahead = erasures_from(journal, keys, no, view.inner.summary.applied)?;
    known.extend(ahead.iter().map(|erasure| erasure.job));
    let listed = outside.of(no);
    let jobs: HashSet<JobId> = listed.iter().map(|erasure| erasure.job).collect();
    if known.iter().any(|job| !jobs.contains(job)) {
        // A crash came before it was written down, or the file is new: the journal has them all.
        for erasure in erasures_from(journal, keys, no, Position(0))? {
            outside.add(no, &erasure)?;
        }
    }
    let missing: Vec<Erasure> = listed.into_iter().filter(|erasure| !known.contains(&erasure.job)).collect();
    for erasure in &missing {
        keys.destroy(&erasure.key_refs(digests), erasure.generations as usize)?;
    }
    Ok(missing)
}

/// The erasures whose records stand at `from` or behind it.
fn erasures_from(
    journal: &Journal,
    keys: &KeyRing,
    tenant: TenantNo,
    from: Position,
) -> Result<Vec<Erasure>> {
    let mut found = Vec::new();
    let mut reader = journal.reader(from);
    while let Some(record) = reader.next_ref()? {
        if record.header.kind != RecordKind::Config {
            continue;
        }
        let mut payload = record.payload.to_vec();
        match open_in_place(keys, tenant, &record.header, &mut payload) {
            Err(cdp_store::Error::KeyDestroyed) => continue,
            opened => opened?,
        }
        if let Change::Erased { erasure } = serde_json::from_slice(&payload).map_err(Refused::internal)? {
            found.push(erasure);
        }
    }
    Ok(found)
}

/// Makes what was erased elsewhere records of this journal: once state is brought forward.
pub(crate) fn erase_again(core: &Arc<Core>) {
    if core.returned.lock().is_empty() {
        return;
    }
    let shared = core.clone();
    let work = Box::new(move |_: &Progress| -> Outcome {
        let returned = std::mem::take(&mut *shared.returned.lock());
        for erasure in &returned {
            let change = Change::Erased { erasure: erasure.clone() };
            let done = pollster::block_on(async {
                let _changing = shared.changing.lock().await;
                shared.change(change).await
            });
            let submitted = done.and_then(|_| super::job::submit(&shared, erasure.job));
            submitted.map_err(|error| crate::writer::error_chain(&error))?;
        }
        Ok(json!({ "erased": returned.len() }))
    });
    let submitted = new_job().map(|job| core.jobs.submit(core.info.no, job, "erasure_again", work).is_ok());
    if !submitted.unwrap_or(false) {
        tracing::error!(
            tenant = core.info.no.0,
            "erasures that an older copy does not know could not be recorded; their keys are destroyed, and it is tried at the next start"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdp_domain::time::Timestamp;

    fn erasure(n: u8) -> Erasure {
        Erasure {
            job: JobId([n; 16]),
            at: Timestamp(i64::from(n)),
            reason: "asked for".into(),
            by: "key_1".into(),
            fragments: vec![[n; 16]],
            identifiers: vec![[n; 16]],
            contacts: Vec::new(),
            constraints: Vec::new(),
            generations: 1,
            position: Position(0),
        }
    }

    #[test]
    fn what_is_written_down_is_read_back_and_nobody_else_can_write_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.erasures");
        let master = MasterKey::from_bytes([1; 32]);
        let outside = Outside::open(&path, &master).unwrap();
        assert!(!path.exists(), "nothing is written before there is something");
        for n in 0..3 {
            outside.add(TenantNo(1 + u32::from(n) % 2), &erasure(n)).unwrap();
            outside.add(TenantNo(1 + u32::from(n) % 2), &erasure(n)).unwrap();
        }
        let again = Outside::open(&path, &master).unwrap();
        assert_eq!(again.of(TenantNo(1)), [erasure(0), erasure(2)]);
        assert_eq!(again.of(TenantNo(2)), [erasure(1)]);
        assert!(Outside::open(&path, &MasterKey::from_bytes([2; 32])).is_err(), "of another installation");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("asked", "axked", 1)).unwrap();
        assert!(Outside::open(&path, &master).is_err(), "edited");
        // What a crash left half written is cut, and the next line is whole.
        std::fs::write(&path, &text[..text.len() - 5]).unwrap();
        let cut = Outside::open(&path, &master).unwrap();
        assert_eq!(cut.of(TenantNo(1)), [erasure(0)]);
        cut.add(TenantNo(1), &erasure(2)).unwrap();
        assert_eq!(Outside::open(&path, &master).unwrap().of(TenantNo(1)).len(), 2);
    }
}
