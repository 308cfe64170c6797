//! Lookup tables: small reference data that a tenant uploads and its plugins may look into.
//!
//! A version's rows lie in the data directory, sealed, under the digest of what they say, before any record names them;
//! a record of the journal makes the version known. So the next event sees the new version, every event before it saw
//! the old one, and a rebuild reads at each place of the journal what was read there the first time.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use cdp_domain::ids::TenantNo;
use cdp_domain::json;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use cdp_runtime::{Grants, Tables};
use cdp_store::journal::{Header, RecordKind};
use cdp_store::seal::{KeyRing, open_in_place, seal_in_place};
use compact_str::CompactString;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::attributes::check_definition_name;
use crate::config::{Change, Config};
use crate::error::{Refused, Result};
use crate::tenant::{Core, Tenant};

/// Tables of one tenant.
pub const TABLES_MAX: usize = 50;
/// Bytes of the keys and values of one version of a table together.
pub const TABLE_BYTES_MAX: usize = 4 << 20;
/// Rows of one version of a table.
pub const TABLE_ROWS_MAX: usize = 100_000;
/// Bytes of a key; at least one.
pub const TABLE_KEY_BYTES_MAX: usize = 256;
/// Bytes of a value.
pub const TABLE_VALUE_BYTES_MAX: usize = 4 << 10;
/// Problems of an upload that are told at once.
const PROBLEMS_MAX: usize = 100;

/// A version of a table, as it stands in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableVersion {
    /// 1, 2, … under its name.
    pub version: u32,
    /// BLAKE3 of its rows, in hex.
    pub digest: String,
    /// How many there are.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// When it was uploaded.
    pub at: Timestamp,
}

/// What an upload is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// A line of names, then a row a line. The column `key` is the key; one other column is the value, several are a JSON
    /// object of texts.
    Csv,
    /// An object `{"key": …, "value": …}` a line. The key is a string; a value that is none is kept as JSON text.
    Ndjson,
}

/// What an upload came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutTable {
    /// The version that is read from now on.
    pub table: TableVersion,
    /// Whether the name is new.
    pub created: bool,
}

type Rows = BTreeMap<String, String>;

impl Tenant {
    /// Makes these rows the table's newest version, from the next event on. The same rows again are the same version.
    ///
    /// # Errors
    /// [`Refused::Invalid`] with a pointer to each bad line, `/LINE`, the first hundred; [`Refused::Conflict`] at
    /// [`TABLES_MAX`].
    pub async fn put_table(&self, name: &str, format: TableFormat, body: Vec<u8>) -> Result<PutTable> {
        check_definition_name(name)?;
        let rows =
            tokio::task::spawn_blocking(move || read(format, &body)).await.map_err(Refused::internal)?;
        let rows = rows.map_err(Refused::Invalid)?;
        let _changing = self.core.changing.lock().await;
        let config = self.config();
        let known = config.tables.get(name);
        if known.is_none() && config.tables.len() >= TABLES_MAX {
            return Err(Refused::Conflict(format!("there are {TABLES_MAX} tables already")));
        }
        let encoded = postcard::to_stdvec(&rows).map_err(Refused::internal)?;
        let digest = blake3::hash(&encoded);
        if let Some(same) = known.filter(|known| known.digest == digest.to_hex().as_str()) {
            return Ok(PutTable { table: same.clone(), created: false });
        }
        let shelf = self.core.tables.clone();
        let written = move || shelf.write(digest, encoded);
        tokio::task::spawn_blocking(written).await.map_err(Refused::internal)??;
        let bytes = rows.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        let version = config.table_versions.get(name).copied().unwrap_or(0) + 1;
        let table = TableVersion {
            version,
            digest: digest.to_hex().to_string(),
            rows: rows.len() as u64,
            bytes: bytes as u64,
            at: self.core.clock.now(),
        };
        let created = known.is_none();
        self.core.change(Change::TablePut { name: name.into(), table: table.clone() }).await?;
        Ok(PutTable { table, created })
    }

    /// Removes a table: from the next event on there is none of this name.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub async fn delete_table(&self, name: &str) -> Result<()> {
        let _changing = self.core.changing.lock().await;
        if !self.config().tables.contains_key(name) {
            return Err(Refused::NotFound("table"));
        }
        self.core.change(Change::TableDeleted { name: name.into() }).await.map(|_| ())
    }

    /// All tables, by name.
    #[must_use]
    pub fn tables(&self) -> Vec<(CompactString, TableVersion)> {
        self.config().tables.iter().map(|(name, table)| (name.clone(), table.clone())).collect()
    }

    /// One table.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn table(&self, name: &str) -> Result<TableVersion> {
        self.config().tables.get(name).cloned().ok_or(Refused::NotFound("table"))
    }
}

/// Takes an upload apart; every bad line is named.
fn read(format: TableFormat, body: &[u8]) -> std::result::Result<Rows, Vec<Problem>> {
    let mut taken = Taken::default();
    match format {
        TableFormat::Csv => read_csv(body, &mut taken),
        TableFormat::Ndjson => read_ndjson(body, &mut taken),
    }
    if taken.problems.is_empty() { Ok(taken.rows) } else { Err(taken.problems) }
}

#[derive(Default)]
struct Taken {
    rows: Rows,
    bytes: usize,
    full: bool,
    problems: Vec<Problem>,
}

impl Taken {
    fn problem(&mut self, line: u64, code: Code, detail: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem::new(format!("/{line}"), code, detail.into()));
        }
    }

    fn row(&mut self, line: u64, key: String, value: String) {
        if self.full {
            return;
        }
        if key.is_empty() || key.len() > TABLE_KEY_BYTES_MAX {
            let detail = format!("the key has {} bytes, 1 to {TABLE_KEY_BYTES_MAX} are allowed", key.len());
            return self.problem(line, Code::TooLong, detail);
        }
        if value.len() > TABLE_VALUE_BYTES_MAX {
            let detail = format!("the value has {} bytes, {TABLE_VALUE_BYTES_MAX} are allowed", value.len());
            return self.problem(line, Code::TooLong, detail);
        }
        self.bytes += key.len() + value.len();
        if self.bytes > TABLE_BYTES_MAX || self.rows.len() >= TABLE_ROWS_MAX {
            self.full = true;
            let detail = format!(
                "here the table has more than {TABLE_ROWS_MAX} rows or more than {TABLE_BYTES_MAX} bytes"
            );
            return self.problem(line, Code::TooLong, detail);
        }
        if self.rows.insert(key, value).is_some() {
            self.problem(line, Code::Duplicate, "the key stands in a line before");
        }
    }
}

fn read_csv(body: &[u8], taken: &mut Taken) {
    let mut reader = csv::Reader::from_reader(body);
    let columns: Vec<String> = match reader.headers() {
        Ok(names) => names.iter().map(str::to_owned).collect(),
        Err(error) => return taken.problem(1, Code::Invalid, error.to_string()),
    };
    let Some(key_at) = columns.iter().position(|name| name == "key") else {
        return taken.problem(1, Code::Required, "the first line has no column named key");
    };
    if columns.len() < 2 {
        return taken.problem(1, Code::Required, "there is no column for the value");
    }
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                taken.problem(line, Code::Invalid, error.to_string());
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        let others = || columns.iter().zip(&record).enumerate().filter(|(at, _)| *at != key_at);
        let value = if columns.len() == 2 {
            others().next().map(|(_, (_, text))| text.to_owned()).unwrap_or_default()
        } else {
            let members = others().map(|(_, (name, text))| (name.clone(), text.to_owned()));
            serde_json::to_string(&members.collect::<BTreeMap<_, _>>()).unwrap_or_default()
        };
        taken.row(line, record[key_at].to_owned(), value);
    }
}

fn read_ndjson(body: &[u8], taken: &mut Taken) {
    for (at, text) in body.split(|byte| *byte == b'\n').enumerate() {
        let line = at as u64 + 1;
        if text.trim_ascii().is_empty() {
            continue;
        }
        let parsed = match json::parse(text, json::Options::default()) {
            Ok(parsed) => parsed,
            Err(error) => {
                taken.problem(line, Code::Invalid, error.to_string());
                continue;
            }
        };
        let Some(object) = parsed.as_object() else {
            taken.problem(line, Code::WrongType, "must be an object with key and value");
            continue;
        };
        let key = object.get("key").and_then(Value::as_text);
        match (key, object.get("value")) {
            (Some(key), Some(value)) if object.iter().count() == 2 => {
                let value = value.as_text().map_or_else(|| json::to_string(value), str::to_owned);
                taken.row(line, key.to_owned(), value);
            }
            _ => taken.problem(line, Code::Required, "must have key, a string, and value, and nothing else"),
        }
    }
}

/// Bytes of the nonce before the sealed rows.
const NONCE_BYTES: usize = 12;

fn header(digest: blake3::Hash) -> Header {
    let mut id = [0; 16];
    id.copy_from_slice(&digest.as_bytes()[..16]);
    Header { kind: RecordKind::Config, id, key_ref: id, ..Header::default() }
}

/// The stored tables of one tenant, and those of their rows that are in memory, shared by all who look into the same
/// version.
pub(crate) struct Shelf {
    dir: PathBuf,
    no: TenantNo,
    keys: KeyRing,
    loaded: Mutex<HashMap<String, Weak<Rows>>>,
}

impl Shelf {
    /// The tables in a data directory.
    pub(crate) fn new(data_dir: &Path, no: TenantNo, keys: KeyRing) -> Self {
        let dir = data_dir.join("tables").join(format!("{:08x}", no.0));
        Self { dir, no, keys, loaded: Mutex::default() }
    }

    fn rows(&self, digest: &str) -> Result<Arc<Rows>> {
        let mut loaded = self.loaded.lock();
        if let Some(rows) = loaded.get(digest).and_then(Weak::upgrade) {
            return Ok(rows);
        }
        let rows = Arc::new(self.load(digest)?);
        loaded.retain(|_, rows| rows.strong_count() > 0);
        loaded.insert(digest.to_owned(), Arc::downgrade(&rows));
        Ok(rows)
    }

    fn write(&self, digest: blake3::Hash, mut rows: Vec<u8>) -> Result<()> {
        cdp_store::files::create_dir(&self.dir)?;
        let mut header = header(digest);
        seal_in_place(&self.keys, self.no, &mut header, &mut rows)?;
        rows.splice(0..0, header.nonce);
        Ok(cdp_store::files::write(&self.dir.join(digest.to_hex().as_str()), &rows)?)
    }

    fn load(&self, digest: &str) -> Result<Rows> {
        let named = blake3::Hash::from_hex(digest).map_err(Refused::internal)?;
        let bytes = std::fs::read(self.dir.join(digest)).map_err(Refused::internal)?;
        let (nonce, sealed) = bytes
            .split_at_checked(NONCE_BYTES)
            .ok_or_else(|| Refused::internal("a stored table is cut off"))?;
        let mut header = header(named);
        header.nonce.copy_from_slice(nonce);
        let mut rows = sealed.to_vec();
        open_in_place(&self.keys, self.no, &header, &mut rows)?;
        if blake3::hash(&rows) != named {
            return Err(Refused::internal("a stored table is not what was uploaded"));
        }
        postcard::from_bytes(&rows).map_err(Refused::internal)
    }
}

/// The rows of a version once somebody looked into it; None inside when they cannot be read.
type Loaded = OnceLock<Option<Arc<Rows>>>;

/// The tables as they are in one configuration; a version is read from disk when it is first looked into.
struct Snapshot {
    tables: BTreeMap<CompactString, (String, Loaded)>,
    shelf: Arc<Shelf>,
}

impl Tables for Snapshot {
    fn get(&self, table: &str, key: &str) -> Option<Option<String>> {
        let (digest, rows) = self.tables.get(table)?;
        let rows = rows.get_or_init(|| {
            let loaded = self.shelf.rows(digest);
            // A table that cannot be read is as one that is not there; guests say what they do without.
            loaded
                .inspect_err(
                    |error| tracing::error!(table, error = %error, "a lookup table could not be read"),
                )
                .ok()
        });
        rows.as_ref().map(|rows| rows.get(key).cloned())
    }
}

/// Grants with the tables of a configuration to look into.
pub(crate) fn with_tables(core: &Core, config: &Config, grants: Grants) -> Grants {
    if config.tables.is_empty() {
        return grants;
    }
    let tables = config
        .tables
        .iter()
        .map(|(name, table)| (name.clone(), (table.digest.clone(), OnceLock::new())))
        .collect();
    grants.with_tables(Arc::new(Snapshot { tables, shelf: core.tables.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(format: TableFormat, text: &str) -> std::result::Result<Vec<(String, String)>, Vec<String>> {
        read(format, text.as_bytes())
            .map(|rows| rows.into_iter().collect())
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn csv_has_a_key_and_a_value_or_several() {
        assert_eq!(
            rows(TableFormat::Csv, "key,rate\nDE,19\nFR,20\n"),
            Ok(pairs(&[("DE", "19"), ("FR", "20")]))
        );
        assert_eq!(rows(TableFormat::Csv, "rate,key\n19,DE\n"), Ok(pairs(&[("DE", "19")])));
        assert_eq!(
            rows(TableFormat::Csv, "key,rate,name\nDE,19,\"Deutschland, das\"\n"),
            Ok(pairs(&[("DE", r#"{"name":"Deutschland, das","rate":"19"}"#)]))
        );
        for (text, line) in [
            ("rate,name\n19,x\n", "/1"),
            ("key\nDE\n", "/1"),
            ("key,rate\nDE\n", "/2"),
            ("key,rate\nDE,19\nDE,20\n", "/3"),
            ("key,rate\n,19\n", "/2"),
        ] {
            let problems = rows(TableFormat::Csv, text).unwrap_err();
            assert!(problems[0].contains(line), "{text}: {problems:?}");
        }
    }

    #[test]
    fn ndjson_has_an_object_a_line() {
        let text = "{\"key\":\"DE\",\"value\":\"19\"}\n\n{\"key\":\"FR\",\"value\":{\"rate\":20}}\n";
        assert_eq!(rows(TableFormat::Ndjson, text), Ok(pairs(&[("DE", "19"), ("FR", r#"{"rate":20}"#)])));
        for text in
            ["[]", "{\"key\":1,\"value\":2}", "{\"key\":\"a\"}", "{\"key\":\"a\",\"value\":1,\"x\":2}", "{"]
        {
            let problems = rows(TableFormat::Ndjson, &format!("{{\"key\":\"DE\",\"value\":\"\"}}\n{text}"));
            assert!(problems.unwrap_err()[0].contains("/2"), "{text}");
        }
    }

    #[test]
    fn every_bound_holds_at_its_edge() {
        let line = |key: usize, value: usize| {
            format!("{{\"key\":\"{}\",\"value\":\"{}\"}}\n", "k".repeat(key), "v".repeat(value))
        };
        let fits = |text: &str| rows(TableFormat::Ndjson, text).is_ok();
        assert!(fits(&line(TABLE_KEY_BYTES_MAX, TABLE_VALUE_BYTES_MAX)));
        assert!(!fits(&line(TABLE_KEY_BYTES_MAX + 1, 1)));
        assert!(!fits(&line(1, TABLE_VALUE_BYTES_MAX + 1)));
        let many = |count: usize| {
            (0..count).map(|n| format!("{{\"key\":\"{n}\",\"value\":\"\"}}\n")).collect::<String>()
        };
        assert!(fits(&many(TABLE_ROWS_MAX)));
        assert!(!fits(&many(TABLE_ROWS_MAX + 1)));
        let full = TABLE_BYTES_MAX / TABLE_VALUE_BYTES_MAX;
        let wide = |count: usize| {
            let value = "v".repeat(TABLE_VALUE_BYTES_MAX - 4);
            (0..count).map(|n| format!("{{\"key\":\"{n:04}\",\"value\":\"{value}\"}}\n")).collect::<String>()
        };
        assert!(fits(&wide(full)));
        assert!(!fits(&wide(full + 1)));
    }
}
