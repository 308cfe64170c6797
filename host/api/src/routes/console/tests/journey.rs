//! What people do, from the one-time link to the file of an audience.

use cdp_engine::users::Role;
use http::header;
use serde_json::json;

use super::{Browser, done, location, shop};

/// The session that an answer gives.
fn cookie(answered: &crate::routes::tests::Answered) -> String {
    let set = answered.headers[header::SET_COOKIE].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

const PASSWORD: &str = "correct horse battery";

#[tokio::test(flavor = "multi_thread")]
async fn the_first_admin_comes_in_by_a_link_signs_out_and_in_again() {
    let world = shop().await;
    let tenant = world.engine.open_tenants().remove(0);
    let token = world.engine.first_link(&tenant).unwrap().unwrap();
    let at = format!("/console/enter/{token}");
    let nobody = Browser::nobody(&world);
    assert_eq!(location(&nobody.get("/console").await), "/console/sign-in");
    assert_eq!(
        location(&nobody.get("/console/segments").await),
        "/console/sign-in?next=%2Fconsole%2Fsegments"
    );
    let page = nobody.get(&at).await;
    assert!(page.status == 200 && page.text.contains("first admin of Shop"), "{}", page.text);
    let short = nobody.post(&at, &[("name", "ana@shop.example"), ("password", "short")]).await;
    assert!(short.status == 422 && short.text.contains("at least 12 characters"), "{}", short.text);
    let entered = nobody.post(&at, &[("name", "ana@shop.example"), ("password", PASSWORD)]).await;
    assert_eq!(location(&entered), "/console");
    assert_eq!(nobody.get(&at).await.status, 404, "a link works once");
    let ana = Browser { world: &world, cookie: cookie(&entered) };
    let page = ana.get("/console").await;
    assert!(page.status == 200 && page.text.contains("ana@shop.example"), "{}", page.text);
    assert_eq!(location(&ana.post("/console/sign-out", &[]).await), "/console/sign-in");
    assert_eq!(location(&ana.get("/console").await), "/console/sign-in", "the session is over");
    let wrong = nobody
        .post("/console/sign-in", &[("name", "ana@shop.example"), ("password", "wrong horse battery")])
        .await;
    assert_eq!(wrong.status, 422);
    let fields = [("name", "Ana@Shop.example"), ("password", PASSWORD), ("next", "/console/segments")];
    let signed = nobody.post("/console/sign-in", &fields).await;
    assert_eq!(location(&signed), "/console/segments");
    let ana = Browser { world: &world, cookie: cookie(&signed) };
    assert_eq!(ana.get("/console/users").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slowed_down() {
    let world = shop().await;
    let nobody = Browser::nobody(&world);
    let fields = [("name", "ana"), ("password", "wrong horse battery")];
    for _ in 0..super::super::backoff::TRIES_FREE {
        assert_eq!(nobody.post("/console/sign-in", &fields).await.status, 422);
    }
    let waits = nobody.post("/console/sign-in", &fields).await;
    assert!(waits.status == 429 && waits.headers.contains_key(header::RETRY_AFTER), "{}", waits.text);
    let other = [("name", "ben"), ("password", "wrong horse battery")];
    assert_eq!(nobody.post("/console/sign-in", &other).await.status, 422, "others do not wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_is_built_explained_and_exported() {
    let world = shop().await;
    let marketer = Browser::of(&world, Role::Marketer).await;
    let rule = [
        ("r.kind", "group"),
        ("r.0.kind", "attribute"),
        ("r.0.name", "spend"),
        ("r.0.op", "gte"),
        ("r.0.value", "500"),
        ("r.1.kind", "did"),
        ("r.1.event", "Order"),
        ("r.1.op", "eq"),
        ("r.1.times", "0"),
        ("r.1.when", "last"),
        ("r.1.number", "1"),
        ("r.1.unit", "minutes"),
        ("r.2.kind", "reachable"),
        ("r.2.channel", "email"),
        ("r.2.purpose", "marketing"),
        ("title", "Spent 500"),
        ("name", "spent"),
    ];
    let with = |what: &'static str| rule.iter().copied().chain([("do", what)]).collect::<Vec<_>>();
    let page = marketer.post("/console/segments/+build", &with("refresh")).await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(page.text.contains("<p class=\"total\">1</p>"), "{}", page.text);
    assert!(page.text.contains("did “Order” not once in the last 1 minutes"), "{}", page.text);
    let added = marketer
        .post("/console/segments/+build", &[&with("add:r")[..], &[("r.add", "segment")]].concat())
        .await;
    assert!(added.text.contains("name=\"r.3.segment\""), "{}", added.text);
    let saved = marketer.post("/console/segments/+build", &with("save")).await;
    assert_eq!(location(&saved), "/console/segments/spent?done=defined");
    let again = marketer.post("/console/segments/+build", &with("save")).await;
    assert!(again.status == 422 && again.text.contains("exists already"), "{}", again.text);
    let segment = world.get("/v1/segments/spent").await.expect(200);
    done(&world, &segment["backfill_job"]).await;
    let page = marketer.get("/console/segments/spent").await;
    assert!(page.text.contains("Ann 1") && !page.text.contains("Ann 2"), "{}", page.text);
    let member = world.get("/v1/segments/spent/members").await.expect(200);
    let id = member["items"][0]["profile_id"].as_str().unwrap();
    let why = marketer.get(&format!("/console/segments/spent/members/{id}")).await;
    assert!(why.text.contains("belongs to “Spent 500”") && why.text.contains("it is 700"), "{}", why.text);
    let edit = marketer.get("/console/segments/spent/edit").await;
    assert!(edit.text.contains("value=\"500\"") && edit.text.contains("would leave"), "{}", edit.text);

    let request = [
        ("segment", "ordered"),
        ("consent", "email:marketing"),
        ("field", "channel.email"),
        ("field", "attribute.spend"),
        ("format", "csv"),
        ("mode", "full"),
    ];
    let preview = marketer.post("/console/exports/new", &request).await;
    assert!(
        preview.text.contains("ann1@example.com") && preview.text.contains("said no"),
        "{}",
        preview.text
    );
    assert!(!preview.text.contains("ann2@example.com"), "who said no is not shown");
    let begun = marketer.post("/console/exports/new?do=start", &request).await;
    let at = location(&begun).split('?').next().unwrap().to_owned();
    let id = at.rsplit('/').next().unwrap();
    done(&world, &world.get(&format!("/v1/exports/{id}")).await.expect(200)["job"]).await;
    let page = marketer.get(&at).await;
    assert!(page.text.contains("Download") && page.text.contains("said no"), "{}", page.text);
    let file = marketer.get(&format!("{at}/file")).await;
    assert_eq!(
        file.text.lines().collect::<Vec<_>>(),
        ["email,spend", "ann1@example.com,700"],
        "{}",
        file.text
    );
    let developer = Browser::of(&world, Role::Developer).await;
    assert_eq!(developer.get(&format!("{at}/file")).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_and_read_stands_in_the_audit_log_under_who_did_it() {
    let world = shop().await;
    let admin = Browser::of(&world, Role::Admin).await;
    let found = admin.post("/console/profiles", &[("type", "customer_id"), ("value", "1")]).await;
    assert_eq!(admin.get(location(&found)).await.status, 200);
    let spend = ("definition", r#"{"kind": "count", "event": "Order"}"#);
    let put = admin.post("/console/attributes", &[("name", "orders"), spend]).await;
    assert_eq!(location(&put), "/console/attributes/orders?done=defined");
    let log = world.get("/v1/audit?limit=1000").await.expect(200);
    let user = world.get("/v1/users").await.expect(200)["items"][0]["id"].clone();
    let acts: Vec<_> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["by"] == user)
        .map(|one| one["act"].as_str().unwrap())
        .collect();
    for act in ["POST /console/profiles", "GET /console/profiles/{id}", "POST /console/attributes"] {
        assert!(acts.contains(&act), "{act} is not in {acts:?}");
    }
    assert!(!log.to_string().contains("customer_id"), "what was looked for stands nowhere");
    assert!(admin.get("/console/audit").await.text.contains("GET /console/profiles/{id}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_invited_and_removed_and_keys_shown_once() {
    let world = shop().await;
    let admin = Browser::of(&world, Role::Admin).await;
    let invited = admin.post("/console/users", &[("name", "ben@shop.example"), ("role", "developer")]).await;
    assert_eq!(invited.status, 200, "{}", invited.text);
    let link = invited.text.split("/console/enter/").nth(1).unwrap();
    let token: String = link.chars().take_while(char::is_ascii_hexdigit).collect();
    let nobody = Browser::nobody(&world);
    let entered = nobody.post(&format!("/console/enter/{token}"), &[("password", PASSWORD)]).await;
    let ben = Browser { world: &world, cookie: cookie(&entered) };
    let made = ben.post("/console/keys", &[("name", "till"), ("scope", "ingest")]).await;
    let key = made.text.split("cdp_live_").nth(1).unwrap();
    let key: String = format!(
        "cdp_live_{}",
        key.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>()
    );
    let event = json!({"id": "k1", "type": "Order", "identifiers": [{"type": "customer_id", "value": "9"}]});
    world.send(http::Method::POST, "/v1/events", &key, &event).await.expect(202);
    assert!(!ben.get("/console/keys").await.text.contains(&key), "it is shown once");
    let more = ben.post("/console/keys", &[("name", "more"), ("scope", "admin")]).await;
    assert!(more.status == 422 && more.text.contains("your role"), "{}", more.text);
    let users = world.get("/v1/users").await.expect(200);
    let id = users["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|user| user["name"] == "ben@shop.example")
        .unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        location(&admin.post(&format!("/console/users/{id}/remove"), &[]).await),
        "/console/users?done=removed"
    );
    assert_eq!(location(&ben.get("/console").await), "/console/sign-in", "removed is signed out");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_followed_step_by_step() {
    let world = shop().await;
    let developer = Browser::of(&world, Role::Developer).await;
    let found = developer.post("/console/events/find", &[("id", "order-1"), ("source", "pos")]).await;
    let page = developer.get(location(&found)).await;
    for words in ["Accepted: it is on disk", "Identified", "Applied: it is in state", "customer_id"] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    let none = developer.post("/console/events/find", &[("id", "none"), ("source", "pos")]).await;
    assert!(
        none.status == 404 && none.text.contains("not_found") && none.text.contains("req_"),
        "{}",
        none.text
    );
}
