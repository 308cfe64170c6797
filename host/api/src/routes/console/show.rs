//! What pages are made of here: answers, notices, and values in words.

use axum::response::{Html, IntoResponse as _, Response};
use cdp_console::blocks::{Block, Cell, Empty, Job, Link, Notice, Tone};
use cdp_console::chart::thousands;
use cdp_domain::json;
use cdp_domain::problem::Problem;
use cdp_domain::value::Value;
use cdp_engine::{JobStatus, JobView};
use http::{HeaderValue, StatusCode, header};

use crate::body;
use crate::error::{Answer, Code, Failure};

/// Rows that a table of a page has, at most.
pub(crate) const ROWS_MAX: usize = 100;

/// A page as an answer.
pub(crate) fn page(page: &impl cdp_console::Template) -> Answer<Response> {
    cdp_console::pages::write(page).map(|text| Html(text).into_response()).map_err(Failure::internal)
}

/// A page that shows what is wrong with what was sent.
pub(crate) fn wrong(page_shown: &impl cdp_console::Template) -> Answer<Response> {
    let mut response = page(page_shown)?;
    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    response.extensions_mut().insert(crate::finish::Shown);
    Ok(response)
}

/// Sends the browser to another page.
pub(crate) fn see(to: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/console"));
    response.headers_mut().insert(header::LOCATION, to);
    response
}

/// The same with the word for what was done there.
pub(crate) fn done(to: &str, word: &str) -> Answer<Response> {
    Ok(see(&format!("{to}{}done={word}", if to.contains('?') { "&" } else { "?" })))
}

/// A name as a step of an address.
pub(crate) fn step(name: &str) -> String {
    percent(name)
}

fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A failure as a notice.
pub(crate) fn notice_of(failure: &Failure, request_id: &str) -> Notice {
    Notice {
        tone: Tone::Bad,
        title: sentence(&failure.detail),
        detail: String::new(),
        code: failure.code.as_str().to_owned(),
        request_id: request_id.to_owned(),
        help: failure.code.help().trim().to_owned(),
        problems: problems(&failure.errors),
        ..Notice::default()
    }
}

/// Places and what is wrong there, where there are several or one says more than the sentence.
pub(crate) fn problems(all: &[Problem]) -> Vec<(String, String)> {
    if all.len() < 2 {
        return Vec::new();
    }
    all.iter().map(|problem| (problem.pointer.clone(), problem.detail.clone())).collect()
}

/// A fragment of a sentence as one.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map_or(String::new(), |letter| letter.to_uppercase().to_string());
    let rest = letters.as_str();
    let stop = if text.ends_with(['.', '!', '?', '…']) { "" } else { "." };
    format!("{first}{rest}{stop}")
}

/// A failure of what was sent is shown with the form again; every other one is the answer.
pub(crate) fn told(failure: Failure) -> Answer<Failure> {
    let mendable = matches!(
        failure.code,
        Code::Invalid
            | Code::Conflict
            | Code::NotFound
            | Code::MalformedJson
            | Code::PluginFailed
            | Code::InvalidParameter
    );
    if mendable { Ok(failure) } else { Err(failure) }
}

/// A link in a line of its own.
pub(crate) fn way(href: &str, text: &str) -> Block {
    Block::Empty(Empty { next: Some(Link::new(href, text)), ..Empty::default() })
}

/// What to say where there is nothing.
pub(crate) fn nothing(what: &str, next: Option<(&str, &str)>, command: &str) -> Block {
    let next = next.map(|(href, text)| Link::new(href, text));
    Block::Empty(Empty { what: what.to_owned(), next, command: command.to_owned() })
}

/// A value as people read it: texts without quotes, the rest as JSON.
pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        Value::Null => "–".to_owned(),
        other => json::to_string(other),
    }
}

/// The same, cut to a length that a cell has room for.
pub(crate) fn short(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// The same of an answer's.
pub(crate) fn text(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "–".to_owned(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A number of an answer with its thousands apart.
pub(crate) fn number(value: &serde_json::Value) -> String {
    value.as_u64().map_or_else(|| text(value), thousands)
}

/// JSON text as a value; a blank text is an empty object.
pub(crate) fn read(text: &str) -> Answer<Value> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    json::parse(text.as_bytes(), body::json_options())
        .map_err(|error| Failure::new(Code::MalformedJson, format!("the text is not valid JSON: {error}")))
}

/// An object of the engine's values.
pub(crate) fn object(members: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

/// JSON with a line for everything.
pub(crate) fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
    out
}

/// Objects and lists of up to so many bytes stay on one line.
const LINE_BYTES: usize = 72;

fn write(value: &Value, depth: usize, out: &mut String) {
    let flat = json::to_string(value);
    let indent = |out: &mut String, depth: usize| {
        out.push('\n');
        (0..depth).for_each(|_| out.push_str("  "));
    };
    match value {
        Value::List(items) if flat.len() > LINE_BYTES => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                indent(out, depth + 1);
                write(item, depth + 1, out);
            }
            indent(out, depth);
            out.push(']');
        }
        Value::Object(object) if flat.len() > LINE_BYTES => {
            out.push('{');
            for (n, (name, member)) in object.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                indent(out, depth + 1);
                json::write_text(name, out);
                out.push_str(": ");
                write(member, depth + 1, out);
            }
            indent(out, depth);
            out.push('}');
        }
        _ => out.push_str(&flat),
    }
}

/// JSON of an answer with a line for everything.
pub(crate) fn pretty_answer(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// How something stands, as a badge.
pub(crate) fn badge(word: &str) -> Cell {
    Cell::badge(tone(word), word.replace('_', " "))
}

/// How a word is meant.
pub(crate) fn tone(word: &str) -> Tone {
    match word {
        "active" | "done" | "granted" | "applied" | "yes" | "links" | "true" => Tone::Good,
        "building" | "running" | "queued" | "waiting" | "accepted" | "uploaded" => Tone::Accent,
        "paused" | "held" | "expired" | "cancelled" | "dropped" | "suppressed" | "missing" | "set_aside"
        | "shared" => Tone::Warn,
        "failed" | "suspended" | "disabled" | "denied" | "withdrawn" | "dead_letter" | "revoked"
        | "blocked" | "false" | "overgrown" => Tone::Bad,
        _ => Tone::Plain,
    }
}

/// A job as a page shows it.
pub(crate) fn job(view: &JobView) -> Job {
    let status = match view.status {
        JobStatus::Queued => "queued",
        JobStatus::Running => "running",
        JobStatus::Done => "done",
        JobStatus::Failed => "failed",
        JobStatus::Cancelled => "cancelled",
    };
    let at = view.progress;
    let over = !matches!(view.status, JobStatus::Queued | JobStatus::Running);
    let percent = match (view.status, at.total) {
        (JobStatus::Done, _) => Some(100),
        (_, 0) => None,
        (_, total) => u8::try_from(at.done.min(total) * 100 / total).ok(),
    };
    Job {
        id: view.id.clone(),
        kind: view.kind.replace('_', " "),
        status: status.to_owned(),
        tone: tone(status),
        percent,
        counted: match at.total {
            0 => format!("{} done", thousands(at.done)),
            total => format!("{} of {}", thousands(at.done), thousands(total)),
        },
        rate: if at.rate >= 1.0 { format!("{} a second", thousands(at.rate as u64)) } else { String::new() },
        left: match at.eta_seconds {
            Some(seconds) if !over => format!("about {} left", seconds_in_words(seconds)),
            _ => String::new(),
        },
        error: view.error.clone().unwrap_or_default(),
    }
}

/// A stretch of time in words.
pub(crate) fn seconds_in_words(seconds: u64) -> String {
    match seconds {
        0..=1 => "a second".to_owned(),
        2..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Bytes in words.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (count as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} bytes") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Why somebody is withheld, in words.
pub(crate) fn withheld(word: &str) -> String {
    match word {
        "no_contact_point" => "no address on this channel",
        "consent_unknown" => "never asked, or never answered",
        "consent_expired" => "consent ran out",
        "consent_denied" => "said no",
        "consent_withdrawn" => "took consent back",
        "purpose_unknown" => "the purpose is not for this channel",
        "restricted" => "restricted",
        other => return other.replace('_', " "),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_laid_out_and_stays_the_same() {
        let text = r#"{"all":[{"attribute":"total_spend","op":"gte","value":"1000"},{"reachable":{"channel":"email","purpose":"marketing"}}]}"#;
        let value = read(text).unwrap();
        let laid_out = pretty(&value);
        assert_eq!(laid_out.lines().count(), 6, "{laid_out}");
        assert_eq!(read(&laid_out).unwrap(), value);
        assert_eq!(pretty(&read("[1,2]").unwrap()), "[1,2]");
    }

    #[test]
    fn words_for_people() {
        assert_eq!(sentence("the rule is empty"), "The rule is empty.");
        assert_eq!(step("a b/ü"), "a%20b%2F%C3%BC");
        assert_eq!((bytes(512).as_str(), bytes(1536).as_str()), ("512 bytes", "1.5 KiB"));
        assert_eq!(short("abcdef", 3), "abc…");
        assert_eq!(seconds_in_words(7200), "2 h");
        assert_eq!(done("/console/x", "removed").unwrap().headers()["location"], "/console/x?done=removed");
    }

    #[test]
    fn a_failure_says_its_code_and_what_helps() {
        let notice = notice_of(&Failure::not_found("segment"), "req_1");
        assert_eq!((notice.code.as_str(), notice.request_id.as_str()), ("not_found", "req_1"));
        assert_eq!(notice.title, "There is no such segment.");
        assert!(!notice.help.is_empty());
    }
}
