//! Fields: where each comes from, under which name and in which form it leaves.

use cdp_domain::condition::unknown;
use cdp_domain::event::check_name;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::value::{Number, Object, Value};
use cdp_engine::Tenant;
use cdp_engine::exports::Source;

use super::{FIELDS_MAX, Field, Kind, SCALE_DEFAULT, SCALE_MAX};

/// Reads the fields of a request.
pub(super) fn read_fields(tenant: &Tenant, value: Option<&Value>, problems: &mut Vec<Problem>) -> Vec<Field> {
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
        unknown(object, &["name", "from", "hash", "type", "scale"], &place, problems);
        let Some(field) = read_field(tenant, object, &place, problems) else { continue };
        if fields.iter().any(|known| known.name == field.name) {
            problems.push(Problem::new(format!("{place}/name"), Code::Duplicate, "stands twice"));
        }
        fields.push(field);
    }
    fields
}

fn read_field(tenant: &Tenant, object: &Object, place: &str, problems: &mut Vec<Problem>) -> Option<Field> {
    let name = object.get("name").and_then(Value::as_text).filter(|name| check_name(name).is_ok());
    if name.is_none() {
        problems.push(Problem::new(format!("{place}/name"), Code::Required, "must be a name"));
    }
    let from = object.get("from").and_then(Value::as_text).unwrap_or_default();
    let source = read_source(tenant, from, place, problems);
    let hash = match object.get("hash").map(Value::as_text) {
        None => Some(false),
        Some(Some("sha256")) => Some(true),
        Some(_) => {
            problems.push(Problem::new(format!("{place}/hash"), Code::Invalid, "must be sha256, or absent"));
            None
        }
    };
    let kind = read_kind(tenant, object, source.as_ref()?, hash?, place, problems)?;
    Some(Field { name: name?.to_owned(), from: from.to_owned(), source: source?, hash: hash?, kind })
}

fn read_source(tenant: &Tenant, from: &str, place: &str, problems: &mut Vec<Problem>) -> Option<Source> {
    let source = match from.split_once('.') {
        None if from == "profile_id" => Some(Source::ProfileId),
        Some(("profile", "id")) => Some(Source::ProfileId),
        Some(("identifier", kind)) if !kind.is_empty() => Some(Source::Identifier(kind.into())),
        Some(("trait", name)) if !name.is_empty() => Some(Source::Trait(name.into())),
        Some(("channel", name)) if !name.is_empty() => Some(Source::Channel(name.into())),
        Some(("attribute", name)) if tenant.has_attribute(name) => Some(Source::Attribute(name.into())),
        Some(("attribute", _)) => {
            let detail = "is not a defined attribute";
            problems.push(Problem::new(format!("{place}/from"), Code::NotFound, detail));
            return None;
        }
        _ => None,
    };
    if source.is_none() {
        let detail = "must be profile_id, identifier.TYPE, trait.NAME, attribute.NAME or channel.NAME";
        problems.push(Problem::new(format!("{place}/from"), Code::Invalid, detail));
    }
    source
}

fn read_kind(
    tenant: &Tenant,
    object: &Object,
    source: &Source,
    hash: bool,
    place: &str,
    problems: &mut Vec<Problem>,
) -> Option<Kind> {
    let scale = match object.get("scale") {
        None => None,
        Some(Value::Number(Number::Int(scale))) if (0..=i64::from(SCALE_MAX)).contains(scale) => {
            u8::try_from(*scale).ok()
        }
        Some(_) => {
            let detail = format!("must be a whole number from 0 to {SCALE_MAX}");
            problems.push(Problem::new(format!("{place}/scale"), Code::Invalid, detail));
            return None;
        }
    };
    let kind = match object.get("type").map(Value::as_text) {
        None => usual(tenant, source, hash),
        Some(Some("text")) => Kind::Text,
        Some(Some("integer")) => Kind::Integer,
        Some(Some("decimal")) => Kind::Decimal(SCALE_DEFAULT),
        Some(Some("boolean")) => Kind::Boolean,
        Some(Some("timestamp")) => Kind::Timestamp,
        Some(_) => {
            let detail = "must be text, integer, decimal, boolean or timestamp";
            problems.push(Problem::new(format!("{place}/type"), Code::Invalid, detail));
            return None;
        }
    };
    if hash && kind != Kind::Text {
        problems.push(Problem::new(format!("{place}/type"), Code::Invalid, "must be text: it is hashed"));
        return None;
    }
    match (kind, scale) {
        (Kind::Decimal(_), Some(scale)) => Some(Kind::Decimal(scale)),
        (_, Some(_)) => {
            let detail = "is for fields of the type decimal";
            problems.push(Problem::new(format!("{place}/scale"), Code::Invalid, detail));
            None
        }
        (kind, None) => Some(kind),
    }
}

/// The type of a field where the request says none: counts are whole numbers, sums and averages decimals, all else text.
fn usual(tenant: &Tenant, source: &Source, hash: bool) -> Kind {
    let Source::Attribute(name) = source else { return Kind::Text };
    let known = tenant.attribute(name).ok().filter(|_| !hash);
    let kind = known.as_ref().and_then(|known| known.definition.as_object()?.get("kind")?.as_text());
    match kind {
        Some("count" | "distinct_count") => Kind::Integer,
        Some("sum" | "avg" | "time_since_first" | "time_since_last") => Kind::Decimal(SCALE_DEFAULT),
        _ => Kind::Text,
    }
}
