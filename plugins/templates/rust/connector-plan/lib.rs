//! Keeps a list at another system in step with an audience, up to 100 people in a request.

use cdp_plugin_sdk::config::{Setting, flat};
use cdp_plugin_sdk::connector::{
    Change, Connector, Delivery, HeaderValue, HttpError, Planned, Request, Response, Verdict,
};
use cdp_plugin_sdk::{Descriptor, Problem, export_connector};

struct Plugin;

const HOST: &str = "https://lists.example.com";
const PEOPLE_MAX: usize = 100;

impl Connector for Plugin {
    /// The list's name.
    type Config = String;

    const DESCRIPTOR: Descriptor = Descriptor {
        name: "{{name}}",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Keeps a list in step with an audience.",
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

    fn plan(items: &[Delivery], list: &String) -> Result<Vec<Planned>, String> {
        let mut planned = Vec::new();
        for (leaves, method) in [(false, "PUT"), (true, "DELETE")] {
            let some: Vec<u32> = (0_u32..)
                .zip(items)
                .filter(|(_, item)| (item.change == Change::Removed) == leaves)
                .map(|(at, _)| at)
                .collect();
            for covers in some.chunks(PEOPLE_MAX) {
                let people: Vec<&str> = covers.iter().map(|at| items[*at as usize].document.as_str()).collect();
                let request = Request {
                    method: method.to_owned(),
                    url: format!("{HOST}/v1/lists/{list}/people"),
                    headers: vec![
                        ("content-type".to_owned(), HeaderValue::Plain("application/json".to_owned())),
                        ("authorization".to_owned(), HeaderValue::Secret("token".to_owned())),
                    ],
                    body: format!("[{}]", people.join(",")).into_bytes(),
                    timeout_ms: 10_000,
                    idempotency_key: Some(items[covers[0] as usize].id.clone()),
                };
                planned.push(Planned { covers: covers.to_vec(), request });
            }
        }
        Ok(planned)
    }

    fn settle(items: &[Delivery], reply: &Result<Response, HttpError>, _: &String) -> Vec<Verdict> {
        let verdict = match reply {
            Ok(reply) if (200..300).contains(&reply.status) => Verdict::Delivered,
            Ok(reply) if reply.status == 422 => Verdict::Rejected("the list does not take them".into()),
            _ => Verdict::Retry(None),
        };
        vec![verdict; items.len()]
    }
}

export_connector!(Plugin);
