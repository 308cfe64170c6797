//! Rows into bytes: CSV, NDJSON and Parquet, packed or not, hashed as they are written.
//!
//! Memory does not grow with the audience: text goes out in pieces of [`BUFFER_BYTES`], Parquet in row groups of at most
//! [`ROW_GROUP_ROWS`] rows or [`ROW_GROUP_BYTES`] bytes.
//!
//! To add a format: a file here, an arm of [`Encoder`], its name in [`crate::plan::Format`].

mod csv;
mod ndjson;
mod pack;
mod parquet;

use cdp_domain::hex;
use std::io::Write;

use cdp_domain::value::Value;
use cdp_engine::{Refused, Result};
use cdp_store::files::NewFile;
use sha2::{Digest as _, Sha256};

use crate::ledger::Change;
use crate::plan::{Compression, Field, Format, Kind, Plan};
pub(crate) use ndjson::object as json_object;

/// Bytes of text that are gathered before they go out.
pub const BUFFER_BYTES: usize = 64 * 1024;
/// Rows of one row group of a Parquet file.
pub const ROW_GROUP_ROWS: usize = 65_536;
/// Bytes of values after which a row group of a Parquet file ends, too.
pub const ROW_GROUP_BYTES: usize = 32 << 20;

/// The name of the column that says what happened to a row, in incremental files.
pub const CHANGE: &str = "change";

/// Writes an audience, row by row.
pub(crate) struct Encoder {
    form: Form,
    rows: u64,
}

enum Form {
    Csv(csv::Csv),
    Ndjson(ndjson::Ndjson),
    Parquet(Box<parquet::Parquet>),
}

/// A file that is complete and not yet under its name.
pub(crate) struct Written {
    pub(crate) file: NewFile,
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
    /// Values that did not fit their column's type and are missing there, by column.
    pub(crate) unfit: Vec<(String, u64)>,
}

impl Encoder {
    /// Begins a file of a plan's form.
    pub(crate) fn new(file: NewFile, plan: &Plan) -> Result<Self> {
        let out = Hashed { file, hash: Sha256::new(), bytes: 0 };
        let columns = Column::of(plan);
        let form = match plan.format {
            Format::Csv => Form::Csv(csv::Csv::new(Text::new(out, plan.compression)?, plan.csv, &columns)?),
            Format::Ndjson => Form::Ndjson(ndjson::Ndjson::new(Text::new(out, plan.compression)?, &columns)),
            Format::Parquet => Form::Parquet(Box::new(parquet::Parquet::new(out, &columns)?)),
        };
        Ok(Self { form, rows: 0 })
    }

    /// Adds a row, in the order of the fields; where it ends: in bytes of the text before packing, or in rows.
    pub(crate) fn row(&mut self, change: Option<Change>, values: &[Option<Value>]) -> Result<u64> {
        self.rows += 1;
        match &mut self.form {
            Form::Csv(csv) => csv.row(change, values),
            Form::Ndjson(ndjson) => ndjson.row(change, values),
            Form::Parquet(parquet) => parquet.row(change, values).map(|()| self.rows),
        }
    }

    /// Ends it.
    pub(crate) fn finish(self) -> Result<Written> {
        let (out, unfit) = match self.form {
            Form::Csv(csv) => (csv.finish()?, Vec::new()),
            Form::Ndjson(ndjson) => (ndjson.finish()?, Vec::new()),
            Form::Parquet(parquet) => parquet.finish()?,
        };
        Ok(Written { file: out.file, sha256: hex::encode(&out.hash.finalize()), bytes: out.bytes, unfit })
    }
}

/// A column of a file.
#[derive(Debug, Clone)]
struct Column {
    name: String,
    kind: Kind,
}

impl Column {
    fn of(plan: &Plan) -> Vec<Self> {
        let change = plan.is_incremental().then(|| Self { name: CHANGE.to_owned(), kind: Kind::Text });
        let of = |field: &Field| Self { name: field.name.clone(), kind: field.kind };
        change.into_iter().chain(plan.fields.iter().map(of)).collect()
    }
}

/// A file that knows the hash and length of what went through it.
struct Hashed {
    file: NewFile,
    hash: Sha256,
    bytes: u64,
}

impl Write for Hashed {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        self.file.write_all(part)?;
        self.hash.update(part);
        self.bytes += part.len() as u64;
        Ok(part.len())
    }

    /// Of what is before the file's own buffer there is nothing.
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Text on its way out, gathered and packed.
struct Text {
    buffer: Vec<u8>,
    out: pack::Packer,
    /// Bytes that left the buffer, before packing.
    sent: u64,
}

impl Text {
    fn new(out: Hashed, compression: Compression) -> Result<Self> {
        let out = pack::Packer::new(out, compression)?;
        Ok(Self { buffer: Vec::with_capacity(BUFFER_BYTES + 4096), out, sent: 0 })
    }

    /// Sends on what is gathered when it is much; where the text ends.
    fn settle(&mut self) -> Result<u64> {
        let end = self.sent + self.buffer.len() as u64;
        if self.buffer.len() >= BUFFER_BYTES {
            self.send()?;
        }
        Ok(end)
    }

    fn send(&mut self) -> Result<()> {
        self.out.write_all(&self.buffer).map_err(Refused::internal)?;
        self.sent += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Hashed> {
        self.send()?;
        self.out.finish()
    }
}

#[cfg(test)]
mod tests;
