//! Hands an audience over in two steps: opens a batch at another system, then sends the people into it.

use cdp_plugin_sdk::config::{Setting, flat};
use cdp_plugin_sdk::connector::{Change, Delivery, HeaderValue, Request, Verdict};
use cdp_plugin_sdk::session::{Outside, SessionConnector};
use cdp_plugin_sdk::{Descriptor, Problem, export_session_connector};

struct Plugin;

const HOST: &str = "https://batches.example.com";

impl SessionConnector for Plugin {
    /// The list's name.
    type Config = String;

    const DESCRIPTOR: Descriptor = Descriptor {
        name: "{{name}}",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Hands an audience over as a batch.",
        config_schema: r#"{"type":"object","required":["list"],"properties":{"list":{"type":"string"}}}"#,
        hosts: &[HOST],
        secrets: &["token"],
        ..Descriptor::EMPTY
    };

    fn configure(text: &str) -> Result<String, Vec<Problem>> {
        let list = flat(text)?.into_iter().find_map(|(name, setting)| match setting {
            Setting::Text(list) if name == "list" && !list.is_empty() => Some(list),
            _ => None,
        });
        list.ok_or_else(|| vec![Problem::new("/list", "is the name of the list")])
    }

    fn deliver(items: &[Delivery], _: i64, list: &String, outside: &mut impl Outside) -> Result<Vec<Verdict>, String> {
        let Some(first) = items.first() else { return Ok(Vec::new()) };
        // The same delivery tried again finds the batch that it opened before.
        let opened = outside.send(request("POST", &format!("/v1/lists/{list}/batches"), String::new(), &first.id));
        let batch = match opened {
            Ok(reply) if reply.status == 201 => String::from_utf8_lossy(&reply.body).trim().to_owned(),
            _ => return Ok(vec![Verdict::Retry(None); items.len()]),
        };
        let rows: Vec<String> = items
            .iter()
            .map(|item| {
                let change = if item.change == Change::Removed { "remove" } else { "put" };
                format!(r#"{{"{change}":{}}}"#, item.document)
            })
            .collect();
        let sent = outside.send(request("PUT", &format!("/v1/batches/{batch}"), format!("[{}]", rows.join(",")), &first.id));
        let verdict = match sent {
            Ok(reply) if reply.status == 204 => Verdict::Delivered,
            _ => Verdict::Retry(None),
        };
        // What was sent last, to look at when something goes wrong; nothing rests on it.
        _ = outside.put("last-batch", batch.as_bytes(), None);
        Ok(vec![verdict; items.len()])
    }
}

export_session_connector!(Plugin);

fn request(method: &str, path: &str, body: String, key: &str) -> Request {
    Request {
        method: method.to_owned(),
        url: format!("{HOST}{path}"),
        headers: vec![
            ("content-type".to_owned(), HeaderValue::Plain("application/json".to_owned())),
            ("authorization".to_owned(), HeaderValue::Secret("token".to_owned())),
        ],
        body: body.into_bytes(),
        timeout_ms: 10_000,
        idempotency_key: Some(key.to_owned()),
    }
}
