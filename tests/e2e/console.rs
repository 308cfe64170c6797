//! The console over a socket: from the link that the server prints to the file of an audience, as host/docs/console.md
//! tells it, with plain HTTP as a browser without a script speaks it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::json;

use crate::harness::{Server, serve};

/// A browser without a script.
pub(crate) struct Browser {
    agent: ureq::Agent,
    url: String,
    cookie: String,
}

pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) text: String,
    pub(crate) location: String,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Browser {
    pub(crate) fn new(url: &str) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build();
        Self { agent: config.into(), url: url.to_owned(), cookie: String::new() }
    }

    fn read(&mut self, response: ureq::http::Response<ureq::Body>) -> Page {
        let (parts, mut body) = response.into_parts();
        let header =
            |name: &str| parts.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let set = header("set-cookie");
        if let Some(pair) = set.split(';').next().filter(|pair| pair.starts_with("__Host-")) {
            self.cookie = pair.to_owned();
        }
        let headers =
            parts.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        Page {
            status: parts.status.as_u16(),
            location: header("location"),
            headers: headers.collect(),
            text: body.read_to_string().unwrap(),
        }
    }

    pub(crate) fn get(&mut self, path: &str) -> Page {
        let request = self.agent.get(format!("{}{path}", self.url)).header("cookie", &self.cookie);
        let response = request.call().unwrap();
        self.read(response)
    }

    pub(crate) fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let request = self.agent.post(format!("{}{path}", self.url)).header("cookie", &self.cookie);
        let request = request.header("origin", &self.url);
        let response = request.send_form(fields.iter().copied()).unwrap();
        self.read(response)
    }

    /// Sends a form with a file.
    pub(crate) fn upload(&mut self, path: &str, fields: &[(&str, &str)], file: &[u8]) -> Page {
        let boundary = "----a-boundary-that-no-component-has";
        let mut body = Vec::new();
        for (name, value) in fields {
            let part =
                format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            body.extend(part.into_bytes());
        }
        let head = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wasm\"\r\n\
             content-type: application/wasm\r\n\r\n"
        );
        body.extend(head.into_bytes());
        body.extend(file);
        body.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
        let request = self.agent.post(format!("{}{path}", self.url)).header("cookie", &self.cookie);
        let request = request.header("origin", &self.url);
        let kind = format!("multipart/form-data; boundary={boundary}");
        let response = request.header("content-type", kind).send(&body[..]).unwrap();
        self.read(response)
    }

    /// Sends a form and goes where it leads.
    #[track_caller]
    pub(crate) fn through(&mut self, path: &str, fields: &[(&str, &str)]) -> (String, Page) {
        let answered = self.post(path, fields);
        assert_eq!(answered.status, 303, "{}", answered.text);
        let to = answered.location.clone();
        (to.clone(), self.get(&to))
    }
}

#[test]
fn a_marketer_comes_in_builds_a_segment_and_exports_it() {
    let server = Server::fresh();
    let shop = server.tenant("shop");
    shop.put(
        "/v1/purposes/marketing",
        &json!({"title": "News and offers", "legal_basis": "consent", "channels": ["email"]}),
    )
    .expect_status(201);
    for n in 0..20 {
        let address = format!("ann{n}@example.com");
        let status = if n % 4 == 0 { "denied" } else { "granted" };
        let event = json!({
            "id": format!("o{n}"), "type": "Order Completed", "time": "2011-10-01T10:00:00Z",
            "identifiers": [{"type": "customer_id", "value": n.to_string()}],
            "properties": {"revenue": (n * 100).to_string()},
            "channels": [{"channel": "email", "address": address}],
            "consents": [{"channel": "email", "address": address, "purpose": "marketing", "status": status}],
        });
        shop.post("/v1/events?wait=applied", &event).expect_status(202);
    }
    let link =
        shop.post("/v1/users", &json!({"name": "ana@shop.example", "role": "marketer"})).expect_status(201);
    let link = link["link"].as_str().unwrap().to_owned();

    let mut ana = Browser::new(&server.url);
    assert_eq!(ana.get("/console").location, "/console/sign-in");
    assert!(ana.get(&link).text.contains("Welcome, ana@shop.example"));
    let (to, page) = ana.through(&link, &[("password", "correct horse battery")]);
    assert!(to == "/console" && page.text.contains("Overview"), "{}", page.text);
    assert!(page.headers["content-security-policy"].starts_with("default-src 'none'"));

    let rule = [
        ("title", "Large orders, reachable"),
        ("name", "large_orders"),
        ("r.kind", "group"),
        ("r.0.kind", "did"),
        ("r.0.event", "Order Completed"),
        ("r.0.op", "gte"),
        ("r.0.times", "1"),
        ("r.0.when", "between"),
        ("r.0.from", "2011-09-10"),
        ("r.0.to", "2011-12-10"),
        ("r.0.w0.property", "/revenue"),
        ("r.0.w0.op", "gte"),
        ("r.0.w0.value", "500"),
        ("r.1.kind", "reachable"),
        ("r.1.channel", "email"),
        ("r.1.purpose", "marketing"),
    ];
    let built = ana.post("/console/segments/+build", &[&rule[..], &[("do", "refresh")]].concat());
    assert!(
        built.text.contains("<p class=\"total\">12</p>"),
        "15 spent enough, 3 of them said no: {}",
        built.text
    );
    let (to, _) = ana.through("/console/segments/+build", &[&rule[..], &[("do", "save")]].concat());
    assert_eq!(to, "/console/segments/large_orders?done=defined");
    shop.finish_job(&shop.get("/v1/segments/large_orders").expect_status(200));
    assert!(ana.get("/console/segments/large_orders").text.contains("Why?"));

    let request = [
        ("segment", "large_orders"),
        ("consent", "email:marketing"),
        ("field", "channel.email"),
        ("format", "csv"),
        ("mode", "full"),
    ];
    assert!(ana.post("/console/exports/new", &request).text.contains("ann5@example.com"));
    let (to, _) = ana.through("/console/exports/new?do=start", &request);
    let at = to.split('?').next().unwrap().to_owned();
    let id = at.rsplit('/').next().unwrap();
    shop.finish_job(&shop.get(&format!("/v1/exports/{id}")).expect_status(200));
    let file = ana.get(&format!("{at}/file"));
    assert_eq!(file.text.lines().count(), 13, "a line of names and twelve people: {}", file.text);
    assert_eq!(ana.get("/console/keys").status, 403, "a marketer makes no keys");
}

/// A server on this directory: its process, its address, and the link that it prints for the tenant without a user.
fn started(dir: &Path) -> (Child, String, Option<String>) {
    let mut child = serve(dir, "127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let url = lines.find_map(|line| Some(line.split_once("listening on ")?.1.trim().to_owned())).unwrap();
    (
        child,
        url,
        lines.next().and_then(|line| Some(line.split_once("comes in once at ")?.1.trim().to_owned())),
    )
}

#[test]
fn the_first_admin_comes_in_by_the_printed_link_and_a_session_outlives_a_restart() {
    let own = tempfile::tempdir().unwrap();
    let dir = own.path().join("data");
    let mut server = Server::at(&dir);
    server.tenant("shop");
    server.terminate();
    let (mut child, url, link) = started(&dir);
    let link = link.expect("the tenant has no console user, so a link is printed");
    let path = link.strip_prefix(&url).expect("the link is of this server").to_owned();
    let mut ana = Browser::new(&url);
    let (to, _) = ana.through(&path, &[("name", "ana"), ("password", "correct horse battery")]);
    assert_eq!(to, "/console");
    assert_eq!(Browser::new(&url).get(&path).status, 404, "it worked once");
    child.kill().unwrap();
    child.wait().unwrap();
    server.restart();
    ana.url.clone_from(&server.url);
    assert_eq!(ana.get("/console").status, 200, "the session goes on");
    assert_eq!(ana.post("/console/sign-out", &[]).status, 303);
    assert_eq!(ana.get("/console").location, "/console/sign-in");
    server.finish();
}
