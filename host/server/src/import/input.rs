//! Reading rows: NDJSON or CSV, from a file or standard input, plain or compressed.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, stdin};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use cdp_domain::json;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::time::Timestamp;
use cdp_domain::value::Value;
use flate2::bufread::MultiGzDecoder;

use super::report::Refused;
use crate::{Failure, exit};

/// The longest row, in bytes, inclusive: far above the largest event, so that it is refused as a row and not as a file.
pub(super) const ROW_BYTES_MAX: usize = 1 << 20;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// One JSON object a line.
    Ndjson,
    /// Comma-separated with a line of names (RFC 4180).
    Csv,
}

/// Where a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(super) struct Place {
    /// From 1; the line of names is no row.
    pub(super) row: u64,
    /// The line on which it begins, from 1.
    pub(super) line: u64,
}

/// A row as it was read.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) place: Place,
    pub(super) content: Content,
}

/// What stands in it.
#[derive(Debug)]
pub(super) enum Content {
    /// A line's JSON.
    Json(Value),
    /// A record's cells.
    Cells(csv::StringRecord),
}

/// An open file.
pub(super) struct Input {
    path: Option<PathBuf>,
    bytes: Arc<AtomicU64>,
    bytes_total: Option<u64>,
    changed_at: Option<Timestamp>,
    rows: u64,
    reader: Reader,
}

enum Reader {
    Ndjson { lines: Box<dyn BufRead>, line: u64 },
    Csv { records: Box<csv::Reader<Box<dyn BufRead>>>, columns: Vec<String> },
}

impl Input {
    /// Opens a file, `-` for standard input. The content tells whether it is compressed.
    pub(super) fn open(path: &Path, format: Option<Format>) -> Result<Self, Failure> {
        let bytes = Arc::new(AtomicU64::new(0));
        let standard = path == Path::new("-");
        let (raw, bytes_total, changed_at): (Box<dyn Read>, _, _) = if standard {
            (Box::new(stdin()), None, None)
        } else {
            let doing = format!("open {}", path.display());
            let failed = |error: std::io::Error| {
                let missing = error.kind() == std::io::ErrorKind::NotFound;
                let code = if missing { exit::NOT_FOUND } else { exit::FAILED };
                Failure::because(code, &doing, &error)
            };
            let file = File::open(path).map_err(failed)?;
            let about = file.metadata().map_err(failed)?;
            let changed = about.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let changed = changed.and_then(|since| i64::try_from(since.as_millis()).ok()).map(Timestamp);
            (Box::new(file), about.is_file().then_some(about.len()), changed)
        };
        let counted = Counted { inner: raw, bytes: bytes.clone() };
        let mut packed = BufReader::with_capacity(64 << 10, counted);
        let gzip = packed.fill_buf().map_err(unreadable)?.starts_with(&[0x1f, 0x8b]);
        let plain: Box<dyn BufRead> = if gzip {
            Box::new(BufReader::with_capacity(256 << 10, MultiGzDecoder::new(packed)))
        } else {
            Box::new(packed)
        };
        let reader = match format.or_else(|| by_name(path)) {
            Some(Format::Ndjson) => Reader::Ndjson { lines: plain, line: 0 },
            Some(Format::Csv) => csv(plain)?,
            None => {
                let sentence =
                    "what the file is cannot be told by its name: say --format ndjson or --format csv";
                return Err(Failure::new(exit::USAGE, sentence));
            }
        };
        let path = (!standard).then(|| path.to_owned());
        Ok(Self { path, bytes, bytes_total, changed_at, rows: 0, reader })
    }

    /// The names of the columns of a CSV file.
    pub(super) fn columns(&self) -> Option<&[String]> {
        match &self.reader {
            Reader::Csv { columns, .. } => Some(columns),
            Reader::Ndjson { .. } => None,
        }
    }

    /// The file; None for standard input.
    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// A path beside the file: its name with another ending behind.
    pub(super) fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().unwrap_or_else(|| "import".into()).into_os_string();
        name.push(".");
        name.push(ending);
        name.into()
    }

    /// How large the file is.
    pub(super) fn bytes_total(&self) -> Option<u64> {
        self.bytes_total
    }

    /// When the file was changed last.
    pub(super) fn changed_at(&self) -> Option<Timestamp> {
        self.changed_at
    }

    /// Bytes read, before they are unpacked.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Rows read.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Passes over rows that are dealt with.
    pub(super) fn skip(&mut self, rows: u64) -> Result<(), Failure> {
        while self.rows < rows {
            if self.next()?.is_none() {
                let sentence =
                    "the file is shorter than what an earlier run has dealt with; --from-start begins anew";
                return Err(Failure::new(exit::CONFLICT, sentence));
            }
        }
        Ok(())
    }

    /// The next row, or why it is none; None at the end. Blank lines are no rows.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn next(&mut self) -> Result<Option<Result<Row, Refused>>, Failure> {
        match &mut self.reader {
            Reader::Ndjson { lines, line } => {
                let mut text = Vec::new();
                loop {
                    text.clear();
                    let end = read_line(lines, &mut text)?;
                    *line += u64::from(end != LineEnd::Nothing);
                    if end == LineEnd::Nothing {
                        return Ok(None);
                    }
                    if end == LineEnd::TooLong || !text.trim_ascii().is_empty() {
                        self.rows += 1;
                        let place = Place { row: self.rows, line: *line };
                        return Ok(Some(if end == LineEnd::TooLong {
                            Err(too_long(place))
                        } else {
                            json_row(place, &text)
                        }));
                    }
                }
            }
            Reader::Csv { records, columns } => {
                let mut cells = csv::StringRecord::new();
                let read = records.read_record(&mut cells);
                let line = cells.position().map_or_else(|| records.position().line(), csv::Position::line);
                match read {
                    Ok(false) => Ok(None),
                    Ok(true) => {
                        self.rows += 1;
                        let place = Place { row: self.rows, line };
                        if cells.len() != columns.len() {
                            let detail =
                                format!("has {} cells, and there are {} columns", cells.len(), columns.len());
                            return Ok(Some(Err(Refused::of(
                                place,
                                Problem::new("", Code::Invalid, detail),
                            ))));
                        }
                        if cells.as_slice().len() > ROW_BYTES_MAX {
                            return Ok(Some(Err(too_long(place))));
                        }
                        Ok(Some(Ok(Row { place, content: Content::Cells(cells) })))
                    }
                    Err(error) if matches!(error.kind(), csv::ErrorKind::Utf8 { .. }) => {
                        self.rows += 1;
                        let place = Place { row: self.rows, line };
                        let problem = Problem::new("", Code::Invalid, "is not UTF-8");
                        Ok(Some(Err(Refused::of(place, problem))))
                    }
                    Err(error) => Err(Failure::because(exit::FAILED, "read the file", &error)),
                }
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    Nothing,
    Whole,
    TooLong,
}

/// Reads a line of bounded length; what is longer is passed over.
fn read_line(from: &mut dyn BufRead, into: &mut Vec<u8>) -> Result<LineEnd, Failure> {
    let mut seen = false;
    let mut length = 0;
    loop {
        let buffer = from.fill_buf().map_err(unreadable)?;
        if buffer.is_empty() {
            break;
        }
        seen = true;
        let (part, ended) = match buffer.iter().position(|b| *b == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), false),
        };
        length += part;
        if length <= ROW_BYTES_MAX {
            into.extend_from_slice(&buffer[..part]);
        }
        from.consume(part);
        if ended {
            break;
        }
    }
    Ok(match (seen, length > ROW_BYTES_MAX) {
        (false, _) => LineEnd::Nothing,
        (true, false) => LineEnd::Whole,
        (true, true) => LineEnd::TooLong,
    })
}

fn json_row(place: Place, text: &[u8]) -> Result<Row, Refused> {
    // A mark at the beginning of a file is not part of its first row.
    let text = if place.line == 1 { text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text) } else { text };
    match json::parse(text, json::Options::default()) {
        Ok(value) => Ok(Row { place, content: Content::Json(value) }),
        Err(error) => {
            let detail = format!("is not JSON: {} at column {}", error.detail, error.column);
            Err(Refused::of(place, Problem::new("", Code::Invalid, detail)))
        }
    }
}

fn too_long(place: Place) -> Refused {
    let detail = format!("is longer than {ROW_BYTES_MAX} bytes");
    Refused::of(place, Problem::new("", Code::TooLong, detail))
}

fn csv(plain: Box<dyn BufRead>) -> Result<Reader, Failure> {
    let mut records = Box::new(csv::ReaderBuilder::new().flexible(true).from_reader(plain));
    let head = records
        .headers()
        .map_err(|error| Failure::because(exit::INPUT_REJECTED, "read the names of the columns", &error))?;
    let columns: Vec<String> =
        head.iter().map(|name| name.trim().trim_start_matches('\u{feff}').to_owned()).collect();
    for (n, name) in columns.iter().enumerate() {
        if columns[..n].contains(name) {
            return Err(Failure::new(exit::INPUT_REJECTED, format!("two columns are called {name:?}")));
        }
    }
    Ok(Reader::Csv { records, columns })
}

fn by_name(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit_once('.')?.1 {
        "csv" => Some(Format::Csv),
        "ndjson" | "jsonl" => Some(Format::Ndjson),
        _ => None,
    }
}

fn unreadable(error: std::io::Error) -> Failure {
    Failure::because(exit::FAILED, "read the file", &error)
}

struct Counted {
    inner: Box<dyn Read>,
    bytes: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
