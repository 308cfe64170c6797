//! What is asked of a run, read and checked.

use cdp_domain::condition::unknown;
use cdp_domain::event::check_name;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::value::Value;
use cdp_engine::exports::{Consent, Source};
use cdp_engine::{Refused, Result, Tenant};

/// Fields of one audience.
pub const FIELDS_MAX: usize = 100;

/// The form of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180, UTF-8, a header line; cells that a spreadsheet would take for a formula begin with an apostrophe.
    Csv,
    /// One JSON object a line.
    Ndjson,
}

impl Format {
    /// By its name in requests.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "csv" => Some(Self::Csv),
            "ndjson" => Some(Self::Ndjson),
            _ => None,
        }
    }

    /// Its name in requests, and the file's extension.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }

    /// For `Content-Type`.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Ndjson => "application/x-ndjson",
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
}

/// A checked request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The segment.
    pub segment: String,
    /// The form of the file.
    pub format: Format,
    /// What goes into it, in order.
    pub fields: Vec<Field>,
    /// For what consent is asked, and where.
    pub consent: Consent,
}

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
        unknown(
            object,
            &["segment", "destination", "format", "fields", "consent", "mode"],
            "",
            &mut problems,
        );
        let mut add = |pointer: &str, code, detail: &str| problems.push(Problem::new(pointer, code, detail));
        let segment = object.get("segment").and_then(Value::as_text).unwrap_or_default().to_owned();
        if segment.is_empty() {
            add("/segment", Code::Required, "must name a segment");
        }
        let format = Format::of(object.get("format").and_then(Value::as_text).unwrap_or("csv"));
        if format.is_none() {
            add("/format", Code::Invalid, "must be csv or ndjson");
        }
        if !matches!(object.get("destination"), None | Some(Value::Null)) {
            add("/destination", Code::Invalid, "must be absent: this server offers the download only");
        }
        if !matches!(object.get("mode").map(Value::as_text), None | Some(Some("full"))) {
            add("/mode", Code::Invalid, "must be full");
        }
        let consent = read_consent(object.get("consent"), &mut problems);
        let fields = read_fields(tenant, object.get("fields"), &mut problems);
        if let Some(consent) = &consent
            && let Err(refused) = tenant.check_consent(consent)
        {
            match refused {
                Refused::Invalid(found) => problems.extend(found),
                other => return Err(other),
            }
        }
        match (format, consent) {
            (Some(format), Some(consent)) if problems.is_empty() => {
                Ok(Self { segment, format, fields, consent })
            }
            _ => Err(Refused::Invalid(problems)),
        }
    }
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

fn read_fields(tenant: &Tenant, value: Option<&Value>, problems: &mut Vec<Problem>) -> Vec<Field> {
    let items = match value {
        Some(Value::List(items)) if (1..=FIELDS_MAX).contains(&items.len()) => items,
        _ => {
            let detail = format!("must be an array of 1 to {FIELDS_MAX} fields");
            problems.push(Problem::new("/fields", Code::Required, detail));
            return Vec::new();
        }
    };
    let mut fields: Vec<Field> = Vec::with_capacity(items.len());
    for (n, item) in items.iter().enumerate() {
        let place = format!("/fields/{n}");
        let Some(object) = item.as_object() else {
            problems.push(Problem::new(place, Code::WrongType, "a field is {\"name\", \"from\"}"));
            continue;
        };
        unknown(object, &["name", "from"], &place, problems);
        let name = object.get("name").and_then(Value::as_text).filter(|name| check_name(name).is_ok());
        let Some(name) = name else {
            problems.push(Problem::new(format!("{place}/name"), Code::Required, "must be a name"));
            continue;
        };
        if fields.iter().any(|field| field.name == name) {
            problems.push(Problem::new(format!("{place}/name"), Code::Duplicate, "stands twice"));
        }
        let from = object.get("from").and_then(Value::as_text).unwrap_or_default();
        let source = match from.split_once('.') {
            None if from == "profile_id" => Some(Source::ProfileId),
            Some(("profile", "id")) => Some(Source::ProfileId),
            Some(("identifier", kind)) if !kind.is_empty() => Some(Source::Identifier(kind.into())),
            Some(("trait", name)) if !name.is_empty() => Some(Source::Trait(name.into())),
            Some(("channel", name)) if !name.is_empty() => Some(Source::Channel(name.into())),
            Some(("attribute", name)) if tenant.has_attribute(name) => Some(Source::Attribute(name.into())),
            Some(("attribute", _)) => {
                problems.push(Problem::new(
                    format!("{place}/from"),
                    Code::NotFound,
                    "is not a defined attribute",
                ));
                continue;
            }
            _ => None,
        };
        match source {
            Some(source) => fields.push(Field { name: name.to_owned(), from: from.to_owned(), source }),
            None => {
                let detail =
                    "must be profile_id, identifier.TYPE, trait.NAME, attribute.NAME or channel.NAME";
                problems.push(Problem::new(format!("{place}/from"), Code::Invalid, detail));
            }
        }
    }
    fields
}
