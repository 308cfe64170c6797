//! Going through a page.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::answers::{difference, is_printed};
use super::blocks::Block;
use crate::harness::{CDP, Server, Tenant, root, run_to_end};

/// Far above what any command of a page takes on a busy machine.
const LONGEST: Duration = Duration::from_secs(100);
/// What pages call a project, where templates leave its name open.
const PROJECT: &str = "spend";
/// Where a page says that its server listens.
const ADDRESS: &str = "127.0.0.1:8080";

/// A page under way.
pub(super) struct Walk<'a> {
    page: &'a str,
    home: tempfile::TempDir,
    server: Option<Server>,
    tenant: Option<Tenant>,
    description: Value,
    /// What was answered and printed, the newest last.
    seen: Vec<String>,
    answered: Value,
    printed: String,
}

impl<'a> Walk<'a> {
    pub(super) fn new(page: &'a str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let state = home.path().join(".state");
        std::fs::create_dir(&state).unwrap();
        std::fs::write(state.join("env"), "").unwrap();
        std::fs::write(state.join("cwd"), home.path().to_string_lossy().as_bytes()).unwrap();
        Self {
            page,
            home,
            server: None,
            tenant: None,
            description: Value::Null,
            seen: Vec::new(),
            answered: Value::Null,
            printed: String::new(),
        }
    }

    /// Does every block; gives how many were sent or run.
    pub(super) fn through(mut self, blocks: &[Block]) -> usize {
        let runs = |block: &&Block| matches!(block.kind.as_str(), "sh" | "http") && !block.has("no-run");
        let count = blocks.iter().filter(runs).count();
        if count > 0 && !crate::stranger::has_curl() {
            eprintln!("curl is not here, and {} uses it: the page is passed over", self.page);
            return 0;
        }
        if count > 0 && !blocks.iter().any(|block| block.has("background")) {
            let server = Server::fresh();
            self.tenant = Some(server.tenant_in("shop", "Europe/Riga"));
            self.description = server.anonymous().get("/openapi.json").expect_status(200);
            self.server = Some(server);
        }
        for block in blocks.iter().filter(|block| !block.has("no-run")) {
            match block.kind.as_str() {
                "sh" if block.has("background") => self.start(block),
                "sh" => {
                    if block.has("stopped")
                        && let Some(server) = self.server.take()
                    {
                        server.finish();
                    }
                    self.run(block);
                }
                "http" => self.send(block),
                "json" => self.json(block),
                "text" if block.has("answer") => self.compare_printed(block),
                "text" => {}
                "js" | "python" | "rust" | "go" | "c" => excerpt(block),
                other => panic!("{}: nothing is known of blocks of the kind {other:?}", block.place),
            }
        }
        if let Some(server) = self.server.take() {
            server.finish();
        }
        count
    }

    /// A shell as the page's reader has one.
    fn shell(&self, script: &str) -> Command {
        let bin = Path::new(CDP).parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&path))).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(self.home.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CDP_") {
                command.env_remove(name);
            }
        }
        // A free port wherever a command would take the usual one.
        command.env("PATH", path).env("RUST_LOG", "error").env("CDP_LISTEN", "127.0.0.1:0");
        if let Some(server) = &self.server {
            command.env("CDP_URL", &server.url);
        }
        if let Some(tenant) = &self.tenant {
            command.env("CDP_API_KEY", tenant.key());
        }
        command
    }

    fn state(&self) -> String {
        self.home.path().join(".state").to_string_lossy().into_owned()
    }

    fn start(&mut self, block: &Block) {
        assert_eq!(block.text.lines().count(), 1, "{}: one command that goes on", block.place);
        let state = self.state();
        let script = format!(". {state}/env\ncd \"$(cat {state}/cwd)\"\nexec {}", block.text);
        self.server = Some(Server::of(&mut self.shell(&script)));
    }

    fn run(&mut self, block: &Block) {
        let state = self.state();
        let mut text = self.filled(&block.text);
        if let Some(server) = &self.server {
            text = text.replace(&format!("http://{ADDRESS}"), &server.url);
        }
        let script = format!(
            "set -e\n. {state}/env\ncd \"$(cat {state}/cwd)\"\n{text}\nexport -p > {state}/env\npwd > {state}/cwd\n"
        );
        let ended = run_to_end(self.shell(&script), LONGEST);
        self.printed = format!("{}{}", ended.stdout, ended.stderr);
        self.seen.push(self.printed.clone());
        let wanted = block.number("exit").unwrap_or(0);
        assert_eq!(ended.code, Some(wanted), "{}:\n{text}\n{}", block.place, self.printed);
    }

    fn send(&mut self, block: &Block) {
        let tenant = self.tenant.as_ref().unwrap_or_else(|| panic!("{}: who sends this?", block.place));
        let text = self.filled(&block.text);
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let (method, path) = head.split_once(' ').unwrap_or_else(|| panic!("{}: {head}", block.place));
        let wanted: Option<u16> = block.number("status");
        let body = body.trim();
        self.hold_against_description(block, method, path, body, wanted.is_none());
        let answer = match method {
            _ if body.is_empty() => tenant.try_call(method, path, "", None).unwrap(),
            "POST" => tenant.post_bytes(path, "application/json", body.as_bytes()),
            _ => tenant.try_call(method, path, "application/json", Some(body.as_bytes())).unwrap(),
        };
        let fits = wanted.map_or((200..300).contains(&answer.status), |wanted| answer.status == wanted);
        assert!(fits, "{}: {head} was answered {} {}", block.place, answer.status, answer.text());
        self.answered = answer.json();
        self.seen.push(answer.text());
        if wanted.is_none() {
            tenant.finish_job(&self.answered);
        }
    }

    /// The call is described, and its body is what the description says.
    fn hold_against_description(&self, block: &Block, method: &str, path: &str, body: &str, good: bool) {
        let bare = path.split('?').next().unwrap();
        let paths = self.description["paths"].as_object().unwrap();
        let item = paths
            .iter()
            .find(|(template, item)| is_of(template, bare) && item.get(method.to_lowercase()).is_some());
        let (_, item) =
            item.unwrap_or_else(|| panic!("{}: no call is described as {method} {bare}", block.place));
        if body.is_empty() || !good {
            return;
        }
        let body: Value =
            serde_json::from_str(body).unwrap_or_else(|error| panic!("{}: {error}", block.place));
        let schema = &item[method.to_lowercase()]["requestBody"]["content"]["application/json"]["schema"];
        assert!(!schema.is_null(), "{}: no body is described for {method} {bare}", block.place);
        // A list of events is one of the forms of a body that the description tells in words.
        if body.is_array() {
            return;
        }
        let schema = json!({ "allOf": [schema], "components": self.description["components"] });
        let validator = jsonschema::validator_for(&schema).unwrap();
        let faults: Vec<String> =
            validator.iter_errors(&body).map(|error| format!("{} {error}", error.instance_path())).collect();
        assert!(faults.is_empty(), "{}: the description has it otherwise: {faults:?}", block.place);
    }

    fn json(&self, block: &Block) {
        let written: Value =
            serde_json::from_str(&block.text).unwrap_or_else(|error| panic!("{}: {error}", block.place));
        if block.has("answer") {
            let found = difference(&written, &self.answered, "");
            assert!(found.is_none(), "{}: {}", block.place, found.unwrap_or_default());
        }
    }

    fn compare_printed(&self, block: &Block) {
        for line in block.text.lines() {
            assert!(
                is_printed(line, &self.printed),
                "{}: {line:?} was not printed:\n{}",
                block.place,
                self.printed
            );
        }
    }

    /// The text with the ids that were answered last in place of `exp_…` and the like.
    fn filled(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("_…") {
            let (before, behind) = rest.split_at(at);
            let begins = before.rfind(|c: char| !c.is_ascii_lowercase()).map_or(0, |at| at + 1);
            let prefix = format!("{}_", &before[begins..]);
            filled.push_str(&before[..begins]);
            match self.seen.iter().rev().find_map(|text| id(text, &prefix)) {
                Some(id) => filled.push_str(id),
                None => filled.push_str(&format!("{prefix}…")),
            }
            rest = &behind["_…".len()..];
        }
        filled + rest
    }
}

/// The first id of a kind in a text.
fn id<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    text.match_indices(prefix).find_map(|(at, _)| {
        let tail = &text[at + prefix.len()..];
        let length = tail.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tail.len());
        (length >= 8).then(|| &text[at..at + prefix.len() + length])
    })
}

/// Whether an address is one of a template.
fn is_of(template: &str, path: &str) -> bool {
    let (mut of, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (of.next(), given.next()) {
            (None, None) => return true,
            (Some(part), Some(there)) if part == there || part.starts_with('{') => {}
            _ => return false,
        }
    }
}

/// The block stands in the file that it names.
fn excerpt(block: &Block) {
    let file = block.value("file").unwrap_or_else(|| panic!("{}: of which file is it?", block.place));
    let text = std::fs::read_to_string(root().join(file))
        .unwrap_or_else(|error| panic!("{}: {file}: {error}", block.place));
    let plain = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let there = plain(&text.replace("{{name}}", PROJECT));
    assert!(there.contains(plain(&block.text).trim()), "{}: it does not stand in {file}", block.place);
}
