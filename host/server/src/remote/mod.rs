//! What the command line does through a server's public interface, like any client: one file per noun.
//!
//! Results go to standard output, everything else to standard error. A list is a table, one JSON document, one document a
//! line or CSV; a single thing is JSON, or for people a table of its fields. Keys come from the environment or a file,
//! never from an argument, where other users of the machine would see them.
//!
//! Work that is waited for shows a bar on standard error, where that is a terminal.
//!
//! To add a verb: a variant with its help and an example, and one call of [`Server`].

pub(crate) mod access_requests;
pub(crate) mod attributes;
pub(crate) mod events;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod profiles;
pub(crate) mod retention;
pub(crate) mod segments;
mod shown;
pub(crate) mod suppressions;
pub(crate) mod tenants;
pub(crate) mod users;
mod waiting;

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::demo::client::{Answer, Client};
use crate::{Failure, exit};
pub(crate) use shown::{Column, Output};

/// Which server, as whom, and how to print.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Server {
    /// The server.
    #[arg(long, env = "CDP_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub(crate) url: String,
    /// A file with a key of the tenant [default: the key in CDP_API_KEY].
    #[arg(long, env = "CDP_API_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// The operator's key, where it is the operator who asks.
    #[arg(skip)]
    operator: Option<String>,
}

/// Which part of a list, of which server.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) range: Range,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// How much of a list.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Range {
    /// At most so many; 0 is all.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    limit: usize,
}

/// Whether to wait for work that was begun.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Waiting {
    /// Wait until the job that this begins has ended, and fail when it does.
    #[arg(long)]
    pub(crate) wait: bool,
}

impl Server {
    fn client_with(&self, key: &str) -> Client {
        Client::new(self.url.trim_end_matches('/'), key.trim())
    }

    /// The same server, asked by the operator.
    fn as_operator(&self, key: String) -> Self {
        Self { operator: Some(key), ..self.clone() }
    }

    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let key = match (&self.operator, &self.key_file) {
            (Some(key), _) => key.clone(),
            (None, Some(file)) => read_key(file)?,
            (None, None) => std::env::var("CDP_API_KEY").map_err(|_| {
                let sentence = "there is no key: put one into CDP_API_KEY, or name its file with --key-file";
                Failure::new(exit::CONFIGURATION, sentence)
            })?,
        };
        Ok(self.client_with(&key))
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        done(self.client()?.get_patiently(path), &format!("read {path}"))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let sent = self.client()?.post_json(path, body);
        done(sent, &format!("ask for {path}"))
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        done(self.client()?.put(path, body), &format!("write {path}"))
    }

    pub(crate) fn delete(&self, path: &str) -> Result<Value, Failure> {
        done(self.client()?.delete(path), &format!("remove {path}"))
    }

    /// Every item of a list, page by page, up to the range's limit.
    pub(crate) fn list(&self, path: &str, range: Range) -> Result<Vec<Value>, Failure> {
        let client = self.client()?;
        let (mut items, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let left = if range.limit == 0 { 1000 } else { range.limit - items.len() };
            let joint = if path.contains('?') { '&' } else { '?' };
            let mut address = format!("{path}{joint}limit={}", left.min(1000));
            if let Some(cursor) = &cursor {
                address.push_str(&format!("&cursor={cursor}"));
            }
            let page = done(client.get_patiently(&address), &format!("read {path}"))?;
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() || (range.limit > 0 && items.len() >= range.limit) {
                return Ok(items);
            }
        }
    }

    /// Prints what an answer began, or waits for it and prints what it came to.
    pub(crate) fn begun(&self, answer: &Value, waiting: Waiting) -> Result<(), Failure> {
        let is_job = answer["job"].is_string() || answer["backfill_job"].is_string();
        if !waiting.wait || !is_job {
            return self.output.one(answer);
        }
        self.ended(answer)?;
        self.output.one(answer)
    }
}

fn read_key(file: &std::path::Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| {
        Failure::because(exit::CONFIGURATION, &format!("read the key in {}", file.display()), &error)
    })
}

/// Reads `TYPE=VALUE`, such as `email=ann@example.com`; `-` takes the value from standard input.
pub(crate) fn identifier(text: &str) -> Result<Value, Failure> {
    named(text, || std::io::read_to_string(std::io::stdin()))
}

fn named(text: &str, read: impl FnOnce() -> std::io::Result<String>) -> Result<Value, Failure> {
    let Some((kind, value)) = text.split_once('=') else {
        let sentence = "an identifier is TYPE=VALUE, such as email=ann@example.com";
        return Err(Failure::new(exit::USAGE, sentence));
    };
    if value != "-" {
        return Ok(json!({ "type": kind, "value": value }));
    }
    let value = read().map_err(|error| Failure::because(exit::FAILED, "read the value", &error))?;
    Ok(json!({ "type": kind, "value": value.trim_end_matches(['\n', '\r']) }))
}

/// Reads a JSON document from a file, or from standard input for `-`.
pub(crate) fn document(path: &std::path::Path) -> Result<Value, Failure> {
    let text = match path.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()),
        _ => std::fs::read_to_string(path),
    };
    let doing = format!("read {}", path.display());
    let text = text.map_err(|error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        Failure::because(if missing { exit::NOT_FOUND } else { exit::FAILED }, &doing, &error)
    })?;
    serde_json::from_str(&text).map_err(|error| Failure::because(exit::INPUT_REJECTED, &doing, &error))
}

/// A part of an address, so that a name cannot lead elsewhere.
pub(crate) fn part(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    name.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The body of a success; otherwise what the server says, with the exit code that belongs to its status.
pub(crate) fn done(answer: Result<Answer, impl std::fmt::Display>, doing: &str) -> Result<Value, Failure> {
    let answer = answer
        .map_err(|error| Failure::new(exit::UNREACHABLE, format!("the server does not answer: {error}")))?;
    let code = match answer.status {
        204 => return Ok(Value::Null),
        200..300 => {
            return answer.json().map_err(|error| {
                Failure::new(exit::FAILED, format!("the server's answer is no JSON: {error}"))
            });
        }
        401 | 403 => exit::NOT_ALLOWED,
        404 => exit::NOT_FOUND,
        409 => exit::CONFLICT,
        400 | 413 | 415 | 422 => exit::INPUT_REJECTED,
        429 | 503 => exit::UNREACHABLE,
        _ => exit::FAILED,
    };
    match answer.expect(&format!("could not {doing}")) {
        Ok(_) => Err(Failure::new(exit::FAILED, "the server's answer is neither a success nor a failure")),
        Err(sentence) => Err(Failure::new(code, sentence.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_part_of_an_address() {
        assert_eq!(part("total_spend"), "total_spend");
        assert_eq!(part("../keys?x=1"), "..%2Fkeys%3Fx%3D1");
    }

    #[test]
    fn an_identifier_has_a_type_and_any_value() {
        assert_eq!(identifier("email=a=b@x.eu").unwrap(), json!({"type": "email", "value": "a=b@x.eu"}));
        assert_eq!(identifier("email").unwrap_err().code, exit::USAGE);
        let read = named("email=-", || Ok("ann@example.com\n".to_owned())).unwrap();
        assert_eq!(read, json!({"type": "email", "value": "ann@example.com"}));
        let broken = named("email=-", || Err(std::io::ErrorKind::InvalidData.into()));
        assert_eq!(broken.unwrap_err().code, exit::FAILED);
    }
}
