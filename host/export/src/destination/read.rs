//! Setting a destination up: every problem at once, and what is secret apart from what may be shown.

use cdp_domain::condition::unknown;
use cdp_domain::problem::{Code, Problem};
use cdp_domain::value::{Object, Value};
use cdp_egress::object_store::Credentials;
use cdp_egress::{Egress, Fault, ObjectStore, Postgres, Secret};
use cdp_engine::exports::NewDestination;
use cdp_engine::{Refused, Result};
use compact_str::CompactString;
use serde_json::json;
use zeroize::Zeroizing;

/// Bytes of an address.
pub const URL_BYTES_MAX: usize = 2048;
/// Bytes of a secret, or of a setting beside it.
const SECRET_BYTES_MAX: usize = 16_384;
/// Secrets of a webhook that are live at the same time.
pub const SECRETS_MAX: usize = cdp_egress::SECRETS_MAX;

/// Kinds that there are.
const KINDS: [&str; 5] = ["file", "webhook", "object_store", "postgres", "plugin"];

/// Reads what a destination is to be.
///
/// # Errors
/// [`Refused::Invalid`] with every problem.
pub(crate) fn read(egress: &Egress, definition: &Value) -> Result<NewDestination> {
    let Some(object) = definition.as_object() else {
        return Err(Refused::invalid(Problem::new("", Code::WrongType, "a destination is a JSON object")));
    };
    let mut problems = Vec::new();
    let kind = object.get("kind").and_then(Value::as_text).unwrap_or_default();
    let new = match kind {
        "file" => {
            unknown(object, &["kind"], "", &mut problems);
            Some(NewDestination { kind: "file", settings: json!({}), secrets: Vec::new() })
        }
        "webhook" => webhook(egress, object, &mut problems),
        "object_store" => object_store(egress, object, &mut problems),
        "postgres" => postgres(egress, object, &mut problems),
        "plugin" => super::connector::read(object, &mut problems),
        _ => {
            let detail = format!("must be one of {}", KINDS.join(", "));
            problems.push(Problem::new("/kind", Code::Invalid, detail));
            None
        }
    };
    match new {
        Some(new) if problems.is_empty() => Ok(new),
        _ => Err(Refused::Invalid(problems)),
    }
}

pub(super) fn text<'a>(
    object: &'a Object,
    name: &str,
    bytes_max: usize,
    problems: &mut Vec<Problem>,
) -> Option<&'a str> {
    let fits = |text: &&str| !text.is_empty() && text.len() <= bytes_max;
    let text = object.get(name).and_then(Value::as_text).filter(fits);
    if text.is_none() {
        let detail = format!("must be a string of 1 to {bytes_max} bytes");
        problems.push(Problem::new(format!("/{name}"), Code::Required, detail));
    }
    text
}

fn webhook(egress: &Egress, object: &Object, problems: &mut Vec<Problem>) -> Option<NewDestination> {
    unknown(object, &["kind", "url", "secret", "secrets"], "", problems);
    let url = text(object, "url", URL_BYTES_MAX, problems);
    if let Some(url) = url
        && let Err(fault) = egress.policy().http(url)
    {
        problems.push(Problem::new("/url", Code::Invalid, address(&fault)));
    }
    let secrets = secrets(object, problems);
    let url = url?;
    let secrets = secrets.into_iter().map(|secret| (CompactString::from("secret"), secret)).collect();
    Some(NewDestination { kind: "webhook", settings: json!({ "url": url }), secrets })
}

/// The parts of an object store that are secret, and those that may be shown, by the vendor of its address.
const STORES: [(&str, &[&str], &[&str]); 3] = [
    ("s3://", &["secret_access_key", "session_token"], &["access_key_id", "region", "endpoint"]),
    ("gs://", &["service_account_key"], &[]),
    ("az://", &["access_key"], &["account", "endpoint"]),
];

fn object_store(egress: &Egress, object: &Object, problems: &mut Vec<Problem>) -> Option<NewDestination> {
    let url = text(object, "url", URL_BYTES_MAX, problems)?;
    let Some((_, hidden, shown)) = STORES.iter().find(|store| url.starts_with(store.0)) else {
        let detail = "must begin with s3://, gs:// or az://";
        problems.push(Problem::new("/url", Code::Invalid, detail));
        return None;
    };
    let mut known = vec!["kind", "url"];
    known.extend_from_slice(hidden);
    known.extend_from_slice(shown);
    unknown(object, &known, "", problems);
    let (mut settings, mut secrets) = (json!({ "url": url }), Vec::new());
    for (names, is_hidden) in [(hidden, true), (shown, false)] {
        for name in *names {
            let optional = matches!(*name, "session_token" | "region" | "endpoint");
            if optional && matches!(object.get(name), None | Some(Value::Null)) {
                continue;
            }
            let Some(value) = text(object, name, SECRET_BYTES_MAX, problems) else { continue };
            if is_hidden {
                secrets.push((CompactString::from(*name), value.to_owned()));
            } else {
                settings[*name] = value.into();
            }
        }
    }
    if problems.is_empty()
        && let Err(fault) = store_of(&settings, &secrets).read(egress)
    {
        problems.push(Problem::new("/url", Code::Invalid, address(&fault)));
    }
    Some(NewDestination { kind: "object_store", settings, secrets })
}

/// An object store by its settings and secrets.
pub(super) fn store_of(settings: &serde_json::Value, secrets: &[(CompactString, String)]) -> ObjectStore {
    let shown = |name: &str| settings[name].as_str().map(str::to_owned);
    let hidden = |name: &str| {
        let found = secrets.iter().find(|(known, _)| known == name);
        found.map(|(_, secret)| Zeroizing::new(secret.clone()))
    };
    let url = shown("url").unwrap_or_default();
    let credentials = if url.starts_with("gs://") {
        Credentials::Google { service_account_key: hidden("service_account_key").unwrap_or_default() }
    } else if url.starts_with("az://") {
        Credentials::Azure {
            account: shown("account").unwrap_or_default(),
            access_key: hidden("access_key").unwrap_or_default(),
            endpoint: shown("endpoint"),
        }
    } else {
        Credentials::S3 {
            access_key_id: shown("access_key_id").unwrap_or_default(),
            secret_access_key: hidden("secret_access_key").unwrap_or_default(),
            session_token: hidden("session_token"),
            region: shown("region").unwrap_or_else(|| "us-east-1".to_owned()),
            endpoint: shown("endpoint"),
        }
    };
    ObjectStore { url, credentials }
}

fn postgres(egress: &Egress, object: &Object, problems: &mut Vec<Problem>) -> Option<NewDestination> {
    unknown(object, &["kind", "url", "table"], "", problems);
    let url = text(object, "url", URL_BYTES_MAX, problems);
    let table = text(object, "table", URL_BYTES_MAX, problems);
    let postgres = Postgres { url: url?.to_owned(), table: table?.to_owned() };
    if let Err(fault) = postgres.read(egress) {
        problems.push(Problem::new("/url", Code::Invalid, address(&fault)));
    }
    // The password stands in the address: what may be shown is what comes behind it.
    let shown = postgres.url.rsplit_once('@').map_or("", |(_, behind)| behind);
    let settings = json!({ "url": format!("postgres://{shown}"), "table": postgres.table });
    Some(NewDestination { kind: "postgres", settings, secrets: vec![("url".into(), postgres.url)] })
}

/// `secret`, or `secrets` with the newest first.
fn secrets(object: &Object, problems: &mut Vec<Problem>) -> Vec<String> {
    let (items, place): (Vec<&Value>, &str) = match (object.get("secret"), object.get("secrets")) {
        (Some(one), None) => (vec![one], "/secret"),
        (None, Some(Value::List(items))) if (1..=SECRETS_MAX).contains(&items.len()) => {
            (items.iter().collect(), "/secrets")
        }
        (None, Some(_)) => {
            let detail = format!("must be an array of 1 to {SECRETS_MAX} secrets, the newest first");
            problems.push(Problem::new("/secrets", Code::Invalid, detail));
            return Vec::new();
        }
        (Some(_), Some(_)) => {
            let detail = "must not stand beside secrets: name them all there, the newest first";
            problems.push(Problem::new("/secret", Code::Invalid, detail));
            return Vec::new();
        }
        (None, None) => {
            problems.push(Problem::new("/secret", Code::Required, "must be a secret such as whsec_…"));
            return Vec::new();
        }
    };
    let mut secrets = Vec::with_capacity(items.len());
    for (n, item) in items.iter().enumerate() {
        let pointer = if place == "/secret" { place.to_owned() } else { format!("{place}/{n}") };
        match item.as_text().map(|text| (text, Secret::read(text))) {
            Some((text, Ok(_))) => secrets.push(text.to_owned()),
            Some((_, Err(error))) => problems.push(Problem::new(pointer, Code::Invalid, error.to_string())),
            None => problems.push(Problem::new(pointer, Code::WrongType, "must be a string")),
        }
    }
    secrets
}

fn address(fault: &Fault) -> String {
    format!("cannot be used: {fault}")
}
