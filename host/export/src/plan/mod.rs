//! What is asked of a run, read and checked.
//!
//! | file | decides |
//! | --- | --- |
//! | `read` | the request as a whole |
//! | `fields` | which values leave, under which name, in which form |

mod fields;
mod read;

use cdp_engine::exports::{Consent, Source};
use serde_json::{Value as Json, json};

/// Fields of one audience.
pub const FIELDS_MAX: usize = 100;
/// Decimals of a field of the type `decimal`.
pub const SCALE_MAX: u8 = 18;
/// Decimals of such a field where nothing else is said.
pub const SCALE_DEFAULT: u8 = 9;
/// Rows that one delivery to a webhook, a table or a plugin may carry.
pub const BATCH_ROWS_MAX: usize = 1000;
/// Rows that one delivery carries where nothing else is said.
pub const BATCH_ROWS_DEFAULT: usize = 500;

/// The form of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180, UTF-8.
    Csv,
    /// One JSON object a line.
    Ndjson,
    /// Typed columns.
    Parquet,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Csv, Self::Ndjson, Self::Parquet];

    /// By its name in requests.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.extension() == name)
    }

    /// Its name in requests, and the file's extension.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Parquet => "parquet",
        }
    }
}

/// How text is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// By its name in requests.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Zstd].into_iter().find(|one| one.as_str() == name)
    }

    /// Its name in requests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    fn ending(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }
}

/// What a file's name ends with, without the first dot.
#[must_use]
pub fn extension(format: Format, compression: Compression) -> String {
    format!("{}{}", format.extension(), compression.ending())
}

/// For `Content-Type`, by what a file's name ends with.
#[must_use]
pub fn media_type(format: Format, compression: Compression) -> &'static str {
    match (compression, format) {
        (Compression::Gzip, _) => "application/gzip",
        (Compression::Zstd, _) => "application/zstd",
        (Compression::None, Format::Csv) => "text/csv; charset=utf-8",
        (Compression::None, Format::Ndjson) => "application/x-ndjson",
        (Compression::None, Format::Parquet) => "application/vnd.apache.parquet",
    }
}

/// How CSV is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Between cells.
    pub delimiter: u8,
    /// Whether texts that a spreadsheet would take for formulas get an apostrophe before them.
    pub neutral: bool,
    /// Whether the first line gives the names.
    pub header: bool,
}

impl Default for Dialect {
    fn default() -> Self {
        Self { delimiter: b',', neutral: true, header: true }
    }
}

/// The type of a field, where the format has types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// An exact number with so many decimals.
    Decimal(u8),
    /// True or false.
    Boolean,
    /// An instant, to the millisecond.
    Timestamp,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Decimal(_) => "decimal",
            Self::Boolean => "boolean",
            Self::Timestamp => "timestamp",
        }
    }
}

/// A field of the audience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name in the file.
    pub name: String,
    /// As the request says it, such as `identifier.email`.
    pub from: String,
    /// Where it comes from.
    pub source: Source,
    /// Whether SHA-256 of the normalised value leaves in its place.
    pub hash: bool,
    /// Its type.
    pub kind: Kind,
}

impl Field {
    /// Whether it says who a person is, so that a receiver finds the row again by it.
    #[must_use]
    pub fn identifies(&self) -> bool {
        matches!(self.source, Source::ProfileId | Source::Identifier(_) | Source::Channel(_))
    }

    fn write(&self) -> Json {
        let mut field = json!({ "name": self.name, "from": self.from, "type": self.kind.as_str() });
        if self.hash {
            field["hash"] = "sha256".into();
        }
        if let Kind::Decimal(scale) = self.kind {
            field["scale"] = scale.into();
        }
        field
    }
}

/// Who stands in a run's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everybody.
    Full,
    /// What differs from what was sent before.
    Incremental,
}

impl Mode {
    /// Its name in requests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        }
    }
}

/// A checked request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The segment.
    pub segment: String,
    /// Where it goes; None leaves the file to be fetched.
    pub destination: Option<String>,
    /// The form of the file.
    pub format: Format,
    /// How it is packed.
    pub compression: Compression,
    /// How CSV is spoken.
    pub csv: Dialect,
    /// What goes into it, in order.
    pub fields: Vec<Field>,
    /// Which of the fields tell one row from another at the receiver: places in `fields`.
    pub key: Vec<usize>,
    /// For what consent is asked, and where.
    pub consent: Consent,
    /// Who stands in it.
    pub mode: Mode,
    /// Rows of one delivery.
    pub batch: usize,
    /// Whether the run goes on with who enters and leaves, when everything was sent.
    pub follow: bool,
}

impl Plan {
    /// Whether rows say what happened to them.
    #[must_use]
    pub fn is_incremental(&self) -> bool {
        self.mode == Mode::Incremental
    }

    /// Whether what was sent is kept, to compare with later.
    #[must_use]
    pub fn keeps_track(&self) -> bool {
        self.is_incremental() || self.destination.is_some()
    }

    /// The sources of the fields, in order.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        self.fields.iter().map(|field| field.source.clone()).collect()
    }

    /// The fields as they are told to clients.
    #[must_use]
    pub fn fields_json(&self) -> Json {
        self.fields.iter().map(Field::write).collect::<Vec<_>>().into()
    }

    /// The request again, with everything that it left open filled in.
    #[must_use]
    pub fn write(&self) -> Json {
        let delimiter = char::from(self.csv.delimiter).to_string();
        let key: Vec<_> = self.key.iter().map(|at| self.fields[*at].name.as_str()).collect();
        let mut request = json!({
            "segment": self.segment,
            "destination": self.destination,
            "format": self.format.extension(),
            "fields": self.fields_json(),
            "key": key,
            "consent": { "channel": self.consent.channel.as_str(), "purpose": self.consent.purpose.as_str() },
            "mode": self.mode.as_str(),
            "compression": self.compression.as_str(),
            "batch": self.batch,
        });
        if self.follow {
            request["follow"] = true.into();
        }
        if self.format == Format::Csv {
            let formulas = if self.csv.neutral { "neutral" } else { "raw" };
            request["csv"] =
                json!({ "delimiter": delimiter, "formulas": formulas, "header": self.csv.header });
        }
        request
    }
}

#[cfg(test)]
impl Plan {
    /// For tests: something that holds together.
    pub(crate) fn example() -> Self {
        Self {
            segment: "all".to_owned(),
            destination: None,
            format: Format::Csv,
            compression: Compression::None,
            csv: Dialect::default(),
            fields: Vec::new(),
            key: Vec::new(),
            consent: Consent { channel: "email".into(), purpose: "marketing".into() },
            mode: Mode::Full,
            batch: BATCH_ROWS_DEFAULT,
            follow: false,
        }
    }
}
