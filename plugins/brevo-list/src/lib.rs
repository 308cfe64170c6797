//! Connector: keeps a contact list at Brevo in step with an audience.
//!
//! A row has the field `email`, which names the contact; every other field becomes an attribute of the contact, under its
//! name in capitals. Who joins the audience, or changes, is made or changed as a contact and put on the list, one request a
//! row; who leaves is taken off the list, up to 150 in a request, and stays a contact. Contacts that were put on the list
//! by others are never looked at.
//!
//! The setting `list` is the number of the list. The secret `api-key` is a key of Brevo's.

use std::fmt::Write as _;

use cdp_plugin_sdk::config::{Setting, flat};
use cdp_plugin_sdk::connector::{
    Change, Connector, Delivery, HeaderValue, HttpError, Planned, Request, Response, Verdict,
};
use cdp_plugin_sdk::{Descriptor, Problem, export_connector};

#[cfg(test)]
mod tests;

/// The plugin.
pub struct BrevoList;

const HOST: &str = "https://api.brevo.com";
/// Addresses that one request takes off a list, at most.
const REMOVED_MAX: usize = 150;
const TIMEOUT_MS: u32 = 20_000;

const SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"required":["list"],"properties":{"list":{"description":"The number of the list","type":"integer","minimum":1}}}"#;

/// A row as it is sent.
struct Contact {
    email: String,
    /// The inside of a JSON object.
    attributes: String,
}

impl Connector for BrevoList {
    /// The list's number.
    type Config = u64;

    const DESCRIPTOR: Descriptor = Descriptor {
        name: "brevo-list",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Keeps a contact list at Brevo in step with an audience.",
        config_schema: SCHEMA,
        secrets: &["api-key"],
        hosts: &[HOST],
        ..Descriptor::EMPTY
    };

    fn configure(text: &str) -> Result<u64, Vec<Problem>> {
        let mut list = None;
        let mut problems = Vec::new();
        for (name, setting) in flat(text)? {
            match (name.as_str(), setting) {
                // Whole, and exact as a number of JSON.
                ("list", Setting::Number(n))
                    if n >= 1.0 && n.fract() == 0.0 && n <= 9_007_199_254_740_991.0 =>
                {
                    list = Some(n as u64);
                }
                ("list", _) => problems.push(Problem::new("/list", "is a whole number from 1")),
                _ => problems.push(Problem::new(format!("/{name}"), "is no setting of this plugin")),
            }
        }
        match list {
            Some(list) if problems.is_empty() => Ok(list),
            Some(_) => Err(problems),
            None => {
                if problems.is_empty() {
                    problems.push(Problem::new("/list", "is missing"));
                }
                Err(problems)
            }
        }
    }

    fn plan(items: &[Delivery], list: &u64) -> Result<Vec<Planned>, String> {
        let mut planned = Vec::new();
        let mut removed: Vec<(u32, String)> = Vec::new();
        for (at, item) in (0_u32..).zip(items) {
            let contact = read(&item.document).map_err(|why| format!("row {}: {why}", item.id))?;
            if item.change == Change::Removed {
                removed.push((at, contact.email));
                continue;
            }
            let body = format!(
                "{{\"email\":{},\"updateEnabled\":true,\"listIds\":[{list}],\"attributes\":{{{}}}}}",
                contact.email, contact.attributes
            );
            planned.push(Planned { covers: vec![at], request: post("/v3/contacts", body, &item.id) });
        }
        for chunk in removed.chunks(REMOVED_MAX) {
            let emails: Vec<&str> = chunk.iter().map(|(_, email)| email.as_str()).collect();
            let path = format!("/v3/contacts/lists/{list}/contacts/remove");
            let first = &items[chunk[0].0 as usize].id;
            planned.push(Planned {
                covers: chunk.iter().map(|(at, _)| *at).collect(),
                request: post(&path, format!("{{\"emails\":[{}]}}", emails.join(",")), first),
            });
        }
        Ok(planned)
    }

    fn settle(items: &[Delivery], reply: &Result<Response, HttpError>, _: &u64) -> Vec<Verdict> {
        let leaves = items.iter().all(|item| item.change == Change::Removed);
        let verdict = match reply {
            Ok(reply) => match reply.status {
                200..=299 => Verdict::Delivered,
                // Whoever is not on the list, or no contact any more, need not be taken off it.
                400 | 404 if leaves => Verdict::Delivered,
                429 => Verdict::Retry(wait_ms(reply)),
                400 => Verdict::Rejected("Brevo does not take this contact".to_owned()),
                _ => Verdict::Retry(None),
            },
            Err(_) => Verdict::Retry(None),
        };
        vec![verdict; items.len()]
    }
}

export_connector!(BrevoList);

fn post(path: &str, body: String, key: &str) -> Request {
    Request {
        method: "POST".to_owned(),
        url: format!("{HOST}{path}"),
        headers: vec![
            ("content-type".to_owned(), HeaderValue::Plain("application/json".to_owned())),
            ("api-key".to_owned(), HeaderValue::Secret("api-key".to_owned())),
        ],
        body: body.into_bytes(),
        timeout_ms: TIMEOUT_MS,
        idempotency_key: Some(key.to_owned()),
    }
}

/// Seconds until there are requests again, as Brevo tells them.
fn wait_ms(reply: &Response) -> Option<u32> {
    let (_, seconds) = reply.headers.iter().find(|(name, _)| name == "x-sib-ratelimit-reset")?;
    seconds.trim().parse::<u32>().ok()?.checked_mul(1000)
}

fn read(document: &str) -> Result<Contact, String> {
    let fields = flat(document).map_err(|_| "its fields are texts, numbers and truths".to_owned())?;
    let mut email = None;
    let mut attributes = String::new();
    for (name, setting) in fields {
        if name == "email" {
            match setting {
                Setting::Text(text) if !text.is_empty() => email = Some(quoted(&text)),
                _ => return Err("its field email is no address".to_owned()),
            }
            continue;
        }
        let value = match setting {
            Setting::Text(text) => quoted(&text),
            Setting::Number(number) => number.to_string(),
            Setting::Boolean(truth) => truth.to_string(),
            // Brevo takes an attribute away that is empty.
            Setting::Null => "\"\"".to_owned(),
        };
        let comma = if attributes.is_empty() { "" } else { "," };
        write!(attributes, "{comma}{}:{value}", quoted(&name.to_uppercase())).expect("a text takes all");
    }
    let email = email.ok_or("it has no field email")?;
    Ok(Contact { email, attributes })
}

/// A text as JSON.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => write!(out, "\\u{:04x}", u32::from(c)).expect("a text takes all"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
