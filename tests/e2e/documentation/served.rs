//! The documentation as a server shows it: every page, for people and for programs, with what that server is.

use crate::harness::{Server, send_all};
use serde_json::json;

#[test]
fn every_page_is_served_for_people_and_for_programs() {
    let server = Server::fresh();
    let anybody = server.anonymous();
    let list = anybody.get("/llms.txt");
    assert_eq!(list.status, 200);
    let pages: Vec<String> =
        list.text().split("](").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned()).collect();
    assert!(pages.len() > 50, "{pages:?}");
    for page in pages.iter().map(String::as_str).chain(["/docs/README.md", "/docs/errors/invalid.md"]) {
        let text = anybody.get(page);
        assert_eq!(
            (text.status, text.headers["content-type"].to_str().unwrap()),
            (200, "text/markdown; charset=utf-8")
        );
        assert!(!text.text().contains("<!-- generated"), "{page} lacks a part");
        let shown = anybody.get(page.strip_suffix(".md").unwrap());
        assert_eq!(
            (shown.status, shown.headers["content-type"].to_str().unwrap()),
            (200, "text/html; charset=utf-8")
        );
        let policy = shown.headers["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let html = shown.text();
        assert!(!html.contains("<script") && !html.contains(" style=") && !html.contains("<style"), "{page}");
        assert!(html.contains("href=\"/docs/style.css\""), "{page}");
    }
    let accept = [("accept", "text/markdown")];
    let text = anybody.call_with("GET", "/docs/start-here/getting-started", &accept, &json!(null));
    assert!(text.text().starts_with("# Getting started"), "{}", text.text());
    // A wrong address is a page for whoever reads, and a problem for programs.
    for wrong in ["/docs/start-here/getting-startd", "/docs/nowhere", "/docs/a/b/c/d/e", "/docs/a/"] {
        let shown = anybody.get_with(wrong, &[("accept", "text/html,*/*;q=0.8")]);
        assert_eq!(shown.status, 404, "{wrong}");
        assert_eq!(shown.headers["content-type"], "text/html; charset=utf-8", "{wrong}");
        let html = shown.text();
        assert!(
            html.contains("There is no such page") && html.contains("href=\"/docs/start-here/"),
            "{wrong}"
        );
        assert_eq!(anybody.get(wrong).expect_problem(404)["status"], 404, "{wrong}");
    }
    let gone = anybody.get_with("/nowhere", &[("accept", "text/html")]);
    assert_eq!(gone.expect_problem(404)["code"], "unknown_route");
    let packed = anybody.get_with("/docs", &[("accept-encoding", "gzip")]);
    assert_eq!(packed.headers["content-encoding"], "gzip");
    assert!(packed.body.len() * 2 < anybody.get("/docs").body.len(), "{} bytes", packed.body.len());
    assert_eq!(anybody.get("/docs/style.css").headers["content-type"], "text/css; charset=utf-8");
    assert!(
        anybody.get("/docs/search?q=idempotency+key").text().contains("/docs/developers/cdp-integration/")
    );
    anybody.get("/docs/start-here/nothing").expect_problem(404);
    server.finish();
}

#[test]
fn a_changed_limit_changes_the_page() {
    let usual = Server::fresh();
    let other = Server::configured("events_per_second_max = 777\n[http]\nbody_read_ms_max = 12345\n");
    for (server, value) in [(&usual, "30000"), (&other, "12345")] {
        let anybody = server.anonymous();
        let page = anybody.get("/docs/api-reference/limits.md").text();
        let limits = anybody.get("/v1/limits").expect_status(200);
        let limits = limits.as_object().unwrap();
        assert!(limits.len() > 150);
        for (name, value) in limits {
            assert!(page.contains(&format!("| `{name}` | {value} |")), "{name}: {value}");
        }
        let row = page.lines().find(|line| line.starts_with("| `body_read_ms_max` |")).unwrap();
        assert!(row.contains(value), "{row}");
        let shown = anybody.get("/docs/api-reference/limits").text();
        assert!(shown.contains(&format!("<td class=\"right\">{value}</td>")), "{value}");
    }
    usual.finish();
    other.finish();
}

#[test]
fn every_figure_that_is_served_is_told() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    send_all(
        &tenant,
        &[
            json!({"id": "1", "type": "visit", "identifiers": [{"type": "email", "value": "ann@example.com"}]}),
        ],
    );
    let page = server.anonymous().get("/docs/operate/monitoring.md").text();
    let figures = server.anonymous().get("/metrics").text();
    let names: Vec<&str> =
        figures.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("| `{name}` |")), "{name} is on no page");
    }
    server.finish();
}

#[test]
fn an_error_leads_to_its_page() {
    let server = Server::fresh();
    let problem = server.anonymous().get("/v1/segments").expect_problem(401);
    let page = server.anonymous().get(problem["type"].as_str().unwrap());
    assert_eq!(page.status, 200);
    assert!(page.text().contains(problem["title"].as_str().unwrap()), "{}", page.text());
    server.finish();
}
