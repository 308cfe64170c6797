//! Rows into bytes: CSV and NDJSON, hashed as they are written.

use std::io::{BufWriter, Write};

use cdp_domain::json;
use cdp_domain::value::Value;
use cdp_engine::{Refused, Result};
use cdp_store::files::NewFile;
use sha2::{Digest as _, Sha256};

use crate::plan::Format;

/// Writes an audience.
pub(crate) enum Sink {
    Csv(Box<csv::Writer<Hashed>>),
    Ndjson(Box<Hashed>, Vec<String>),
}

/// A file that knows the hash and length of what went through it.
pub(crate) struct Hashed {
    file: BufWriter<NewFile>,
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

impl Sink {
    /// Begins; a CSV begins with its header line.
    pub(crate) fn new(file: NewFile, format: Format, names: &[&str]) -> Result<Self> {
        let file = Hashed { file: BufWriter::with_capacity(1 << 16, file), hash: Sha256::new(), bytes: 0 };
        match format {
            Format::Csv => {
                let mut writer =
                    csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(file);
                writer.write_record(names.iter().map(|name| cell_text(name))).map_err(Refused::internal)?;
                Ok(Self::Csv(Box::new(writer)))
            }
            Format::Ndjson => {
                Ok(Self::Ndjson(Box::new(file), names.iter().map(|name| (*name).to_owned()).collect()))
            }
        }
    }

    /// Adds a row, in the order of the names; where it ends in the file.
    pub(crate) fn row(&mut self, values: &[Option<Value>]) -> Result<u64> {
        match self {
            Self::Csv(writer) => {
                let cells = values.iter().map(|value| cell(value.as_ref()));
                writer.write_record(cells).map_err(Refused::internal)?;
                // Out of the writer's own buffer, so that the length is known; the file has a buffer of its own.
                writer.flush().map_err(Refused::internal)?;
                Ok(writer.get_ref().bytes)
            }
            Self::Ndjson(file, names) => {
                let mut line = String::from("{");
                for (n, (name, value)) in names.iter().zip(values).enumerate() {
                    if n > 0 {
                        line.push(',');
                    }
                    json::write_text(name, &mut line);
                    line.push(':');
                    json::write(value.as_ref().unwrap_or(&Value::Null), &mut line);
                }
                line.push_str("}\n");
                file.write_all(line.as_bytes()).map_err(Refused::internal)?;
                Ok(file.bytes)
            }
        }
    }

    /// Ends; the file to commit, its SHA-256 in hex, and its length.
    pub(crate) fn finish(self) -> Result<(NewFile, String, u64)> {
        let hashed = match self {
            Self::Csv(writer) => {
                writer.into_inner().map_err(|error| Refused::internal(error.into_error()))?
            }
            Self::Ndjson(file, _) => *file,
        };
        let file = hashed.file.into_inner().map_err(|error| Refused::internal(error.into_error()))?;
        let digest = hashed.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((file, digest, hashed.bytes))
    }
}

/// A missing value is an empty cell; lists and objects are JSON.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::Text(text)) => cell_text(text),
        Some(Value::Number(number)) => number.plain().to_string(),
        Some(other) => json::to_string(other),
    }
}

/// Text that a spreadsheet would take for a formula gets an apostrophe before it; numbers stay numbers.
fn cell_text(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let number = text.parse::<f64>().is_ok()
        || (text.starts_with('+') && text[1..].bytes().all(|b| b.is_ascii_digit()));
    if formula && !number { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(format: Format, rows: &[Vec<Option<Value>>]) -> String {
        let dir =
            std::env::temp_dir().join(format!("cdp-export-{}-{}", std::process::id(), format.extension()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("file");
        let mut sink = Sink::new(NewFile::create(&path).unwrap(), format, &["email", "note"]).unwrap();
        for row in rows {
            sink.row(row).unwrap();
        }
        let (file, sha256, bytes) = sink.finish().unwrap();
        file.commit().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let digest: String =
            Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((sha256, bytes), (digest, text.len() as u64));
        std::fs::remove_dir_all(dir).unwrap();
        text
    }

    #[test]
    fn csv_quotes_what_needs_it_and_disarms_formulas() {
        let rows = [
            vec![Some("a@x.eu".into()), Some("say \"hi\",\nbye".into())],
            vec![Some("=1+1".into()), Some("-12.50".into())],
            vec![None, Some(Value::from(5))],
            vec![Some("+37120000000".into()), Some("@cmd".into())],
        ];
        let want =
            "email,note\r\na@x.eu,\"say \"\"hi\"\",\nbye\"\r\n'=1+1,-12.50\r\n,5\r\n+37120000000,'@cmd\r\n";
        assert_eq!(write(Format::Csv, &rows), want);
    }

    #[test]
    fn ndjson_keeps_missing_values_as_null() {
        let rows = [vec![None, Some("ü\"".into())]];
        assert_eq!(write(Format::Ndjson, &rows), "{\"email\":null,\"note\":\"ü\\\"\"}\n");
    }
}
