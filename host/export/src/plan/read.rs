//! Reading a request: every problem at once, each with its pointer.

use cdp_domain::condition::unknown;
use cdp_domain::event::check_name;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::value::{Number, Object, Value};
use cdp_engine::exports::Consent;
use cdp_engine::{Refused, Result, Tenant};

use super::fields::read_fields;
use super::{BATCH_ROWS_DEFAULT, BATCH_ROWS_MAX, Compression, Dialect, Field, Format, Mode, Plan};
use crate::format::CHANGE;

/// What a request may say.
const KNOWN: [&str; 11] = [
    "segment",
    "destination",
    "format",
    "fields",
    "consent",
    "mode",
    "compression",
    "csv",
    "key",
    "batch",
    "follow",
];

/// Delimiters of CSV that can be told from what stands in cells.
const DELIMITERS: [&str; 4] = [",", ";", "\t", "|"];

impl Plan {
    /// Reads a request and checks it against what the tenant has.
    ///
    /// # Errors
    /// [`Refused::Invalid`] with every problem.
    pub fn read(tenant: &Tenant, request: &Value) -> Result<Self> {
        let Some(object) = request.as_object() else {
            return Err(Refused::invalid(Problem::new("", Code::WrongType, "a request is a JSON object")));
        };
        let mut problems = Vec::new();
        unknown(object, &KNOWN, "", &mut problems);
        let segment = object.get("segment").and_then(Value::as_text).unwrap_or_default().to_owned();
        if segment.is_empty() {
            problems.push(Problem::new("/segment", Code::Required, "must name a segment"));
        }
        let format = one_of(object, "format", "csv", Format::of, "csv, ndjson or parquet", &mut problems);
        let compression =
            one_of(object, "compression", "none", Compression::of, "none, gzip or zstd", &mut problems);
        let mode = one_of(object, "mode", "full", mode, "full or incremental", &mut problems);
        let destination = destination(tenant, object, &mut problems);
        let csv = read_csv(object.get("csv"), format, &mut problems);
        let batch = batch(object, &mut problems);
        let consent = read_consent(object.get("consent"), &mut problems);
        let fields = read_fields(tenant, object.get("fields"), &mut problems);
        if format == Some(Format::Parquet) && compression.is_some_and(|packed| packed != Compression::None) {
            let detail = "must be none: Parquet is compressed inside, with zstd";
            problems.push(Problem::new("/compression", Code::Invalid, detail));
        }
        let tracked = mode == Some(Mode::Incremental) || destination.is_some();
        let key = read_key(object.get("key"), &fields, tracked, &mut problems);
        let kind =
            destination.as_ref().and_then(|name| tenant.destination(name).ok()).map(|known| known.kind);
        let kind = kind.as_deref().unwrap_or_default();
        let follow = follow(object.get("follow"), mode, kind, &mut problems);
        if kind == "postgres" && key.len() > 1 {
            let detail = "must be one field: a table has one column that names a row";
            problems.push(Problem::new("/key", Code::Invalid, detail));
        }
        if mode == Some(Mode::Incremental) {
            for (n, _) in fields.iter().enumerate().filter(|(_, field)| field.name == CHANGE) {
                let detail = "is taken: in incremental runs it says what happened to a row";
                problems.push(Problem::new(format!("/fields/{n}/name"), Code::Duplicate, detail));
            }
        }
        if let Some(consent) = &consent
            && let Err(refused) = tenant.check_consent(consent)
        {
            match refused {
                Refused::Invalid(found) => problems.extend(found),
                other => return Err(other),
            }
        }
        match (format, compression, mode, consent) {
            (Some(format), Some(compression), Some(mode), Some(consent)) if problems.is_empty() => Ok(Self {
                segment,
                destination,
                format,
                compression,
                csv,
                fields,
                key,
                consent,
                mode,
                batch,
                follow,
            }),
            _ => Err(Refused::Invalid(problems)),
        }
    }
}

fn mode(name: &str) -> Option<Mode> {
    [Mode::Full, Mode::Incremental].into_iter().find(|mode| mode.as_str() == name)
}

fn one_of<T>(
    object: &Object,
    name: &str,
    default: &str,
    of: impl Fn(&str) -> Option<T>,
    words: &str,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let found = match object.get(name) {
        None | Some(Value::Null) => of(default),
        Some(value) => value.as_text().and_then(of),
    };
    if found.is_none() {
        problems.push(Problem::new(format!("/{name}"), Code::Invalid, format!("must be {words}")));
    }
    found
}

fn destination(tenant: &Tenant, object: &Object, problems: &mut Vec<Problem>) -> Option<String> {
    let value = object.get("destination").filter(|value| **value != Value::Null)?;
    let Some(name) = value.as_text() else {
        problems.push(Problem::new("/destination", Code::WrongType, "must name a destination, or be absent"));
        return None;
    };
    if tenant.destination(name).is_err() {
        problems.push(Problem::new("/destination", Code::NotFound, "is not a destination"));
        return None;
    }
    Some(name.to_owned())
}

/// Whether a run follows: it keeps a connection's worth of rows in step, so it needs a destination that takes rows.
fn follow(value: Option<&Value>, mode: Option<Mode>, kind: &str, problems: &mut Vec<Problem>) -> bool {
    let detail = match value {
        None | Some(Value::Null | Value::Bool(false)) => return false,
        Some(Value::Bool(true)) if mode == Some(Mode::Full) => {
            "needs the mode incremental: it sends what differs"
        }
        Some(Value::Bool(true)) if matches!(kind, "webhook" | "postgres" | "plugin") => return true,
        Some(Value::Bool(true)) => "needs a destination that takes rows: a webhook, a table or a plugin",
        Some(_) => {
            problems.push(Problem::new("/follow", Code::WrongType, "must be true or false"));
            return false;
        }
    };
    problems.push(Problem::new("/follow", Code::Invalid, detail));
    false
}

fn read_csv(value: Option<&Value>, format: Option<Format>, problems: &mut Vec<Problem>) -> Dialect {
    let mut dialect = Dialect::default();
    let object = match value {
        None | Some(Value::Null) => return dialect,
        Some(Value::Object(object)) => object,
        Some(_) => {
            let detail = "must be {\"delimiter\", \"formulas\", \"header\"}";
            problems.push(Problem::new("/csv", Code::WrongType, detail));
            return dialect;
        }
    };
    if format.is_some_and(|format| format != Format::Csv) {
        problems.push(Problem::new("/csv", Code::Invalid, "is for the format csv"));
    }
    unknown(object, &["delimiter", "formulas", "header"], "/csv", problems);
    match object.get("delimiter").map(Value::as_text) {
        None => {}
        Some(Some(text)) if DELIMITERS.contains(&text) => dialect.delimiter = text.as_bytes()[0],
        Some(_) => {
            let detail = "must be a comma, a semicolon, a tab or a vertical bar";
            problems.push(Problem::new("/csv/delimiter", Code::Invalid, detail));
        }
    }
    match object.get("formulas").map(Value::as_text) {
        None | Some(Some("neutral")) => {}
        Some(Some("raw")) => dialect.neutral = false,
        Some(_) => problems.push(Problem::new("/csv/formulas", Code::Invalid, "must be neutral or raw")),
    }
    match object.get("header") {
        None => {}
        Some(Value::Bool(header)) => dialect.header = *header,
        Some(_) => problems.push(Problem::new("/csv/header", Code::WrongType, "must be true or false")),
    }
    dialect
}

fn batch(object: &Object, problems: &mut Vec<Problem>) -> usize {
    let given = match object.get("batch") {
        None | Some(Value::Null) => return BATCH_ROWS_DEFAULT,
        Some(Value::Number(Number::Int(rows))) => usize::try_from(*rows).ok(),
        Some(_) => None,
    };
    given.filter(|rows| (1..=BATCH_ROWS_MAX).contains(rows)).unwrap_or_else(|| {
        let detail = format!("must be a whole number from 1 to {BATCH_ROWS_MAX}");
        problems.push(Problem::new("/batch", Code::Invalid, detail));
        BATCH_ROWS_DEFAULT
    })
}

/// The fields that tell one row from another: those that are named, or the first that identifies.
fn read_key(
    value: Option<&Value>,
    fields: &[Field],
    tracked: bool,
    problems: &mut Vec<Problem>,
) -> Vec<usize> {
    let items = match value {
        None | Some(Value::Null) => {
            let first = fields.iter().position(Field::identifies);
            if tracked && first.is_none() && !fields.is_empty() {
                let detail = "must hold a field from profile_id, an identifier or a channel: a row is found again by it";
                problems.push(Problem::new("/fields", Code::Required, detail));
            }
            return first.into_iter().collect();
        }
        Some(Value::List(items)) if !items.is_empty() => items,
        Some(_) => {
            problems.push(Problem::new("/key", Code::WrongType, "must be an array of names of fields"));
            return Vec::new();
        }
    };
    let mut key = Vec::with_capacity(items.len());
    for (n, item) in items.iter().enumerate() {
        let at = item.as_text().and_then(|name| fields.iter().position(|field| field.name == name));
        let (code, detail) = match at {
            Some(at) if !fields[at].identifies() => {
                (Code::Invalid, "must be from profile_id, an identifier or a channel")
            }
            Some(at) if key.contains(&at) => (Code::Duplicate, "stands twice"),
            Some(at) => {
                key.push(at);
                continue;
            }
            None => (Code::NotFound, "is not the name of a field"),
        };
        problems.push(Problem::new(format!("/key/{n}"), code, detail));
    }
    key
}

fn read_consent(value: Option<&Value>, problems: &mut Vec<Problem>) -> Option<Consent> {
    let Some(object) = value.and_then(Value::as_object) else {
        problems.push(Problem::new(
            "/consent",
            Code::Required,
            "must be {\"channel\", \"purpose\"}: nothing leaves without consent",
        ));
        return None;
    };
    unknown(object, &["channel", "purpose"], "/consent", problems);
    let mut name = |field: &str| {
        let name = object.get(field).and_then(Value::as_text).filter(|name| check_name(name).is_ok());
        if name.is_none() {
            problems.push(Problem::new(format!("/consent/{field}"), Code::Required, "must be a name"));
        }
        name
    };
    let (channel, purpose) = (name("channel"), name("purpose"));
    Some(Consent { channel: channel?.into(), purpose: purpose?.into() })
}
