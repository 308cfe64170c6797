//! How long events are kept, of whom nothing is taken in, and what is held about somebody: by forms.

use cdp_engine::users::Role;
use serde_json::{Value, json};

use super::{Browser, done, location, shop};
use crate::routes::tests::{Answered, World};

/// What a hidden field of a page holds.
#[track_caller]
fn hidden(page: &Answered, name: &str) -> String {
    let begin = format!("name=\"{name}\" value=\"");
    let at = page.text.find(&begin).unwrap_or_else(|| panic!("no {name}: {}", page.text)) + begin.len();
    let value = &page.text[at..][..page.text[at..].find('"').unwrap()];
    value.replace("&#34;", "\"").replace("&#60;", "<").replace("&#62;", ">").replace("&#38;", "&")
}

/// Sends a change of rules, waits for what it counts, and gives that page.
async fn counted(world: &World, admin: &Browser<'_>, fields: &[(&str, &str)]) -> Answered {
    let asked = admin.post("/console/privacy/retention/+preview", fields).await;
    let at = location(&asked).to_owned();
    let job = done(world, &Value::from(at.rsplit('/').next().unwrap())).await;
    assert_eq!(job["status"], "done", "{job}");
    let page = admin.get(&at).await;
    assert_eq!(page.status, 200, "{}", page.text);
    page
}

/// Says yes to what a page shows.
async fn say_yes(admin: &Browser<'_>, page: &Answered) -> Answered {
    let (rules, was) = (hidden(page, "rules"), hidden(page, "was"));
    admin.post("/console/privacy/retention", &[("rules", &rules), ("was", &was)]).await
}

async fn retention(world: &World) -> Value {
    world.get("/v1/retention").await.expect(200)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_set_after_it_was_shown_what_goes() {
    let world = shop().await;
    let (admin, marketer) =
        (Browser::of(&world, Role::Admin).await, Browser::of(&world, Role::Marketer).await);
    let at = "/console/privacy/retention";
    let looked_at = marketer.get(at).await;
    assert!(looked_at.status == 200 && looked_at.text.contains("There is no rule"), "{}", looked_at.text);
    assert!(!looked_at.text.contains("name=\"days\""), "only an admin sets rules");
    let typed = [("type", "Order"), ("days", "a month"), ("derived", "decayed")];
    let refused = admin.post(&format!("{at}/+preview"), &typed).await;
    assert!(refused.status == 422 && refused.text.contains("a month"), "{}", refused.text);

    let wanted = [("type", "Order"), ("days", "30"), ("derived", "decayed")];
    let first = counted(&world, &admin, &wanted).await;
    for words in ["Remove 2 events for good", "for good", "people may leave segments", "30 days", "for ever"]
    {
        assert!(first.text.contains(words), "{words}: {}", first.text);
    }
    assert_eq!(retention(&world).await["rules"], json!([]), "nothing is done yet");
    assert_eq!(
        admin.post(at, &[("rules", &hidden(&first, "rules"))]).await.status,
        422,
        "nobody saw what goes"
    );
    assert_eq!(location(&say_yes(&admin, &first).await), "/console/privacy/retention?done=retained");
    let rule = json!([{"type": "Order", "days": 30, "derived": "decayed"}]);
    assert_eq!(retention(&world).await["rules"], rule);
    while retention(&world).await["swept_at"].is_null() {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    while world.get("/v1/segments/ordered").await.expect(200)["size"] != 0 {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let jobs = world.get("/v1/jobs").await.expect(200);
    let removal = jobs["items"].as_array().unwrap().iter().find(|job| job["kind"] == "retention").unwrap();
    assert_eq!(done(&world, &removal["id"]).await["status"], "done");
    let page = admin.get(at).await;
    for words in ["30 days", "decayed", "Payloads written over", "Carried out as of"] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    // Who was shown something else says yes to nothing.
    let stale = say_yes(&admin, &first).await;
    assert!(stale.status == 422 && stale.text.contains("changed meanwhile"), "{}", stale.text);
    let same = counted(&world, &admin, &wanted).await;
    assert!(same.text.contains("These are the rules in force"), "{}", same.text);

    let gone = counted(&world, &admin, &[("do", "remove"), ("type", "Order")]).await;
    assert!(gone.text.contains("Set the rules") && !gone.text.contains("Remove 0"), "{}", gone.text);
    say_yes(&admin, &gone).await;
    assert_eq!(retention(&world).await["rules"], json!([]));
    let none = admin.post(&format!("{at}/+preview"), &[("do", "remove"), ("type", "Order")]).await;
    assert!(none.status == 422 && none.text.contains("There is no such rule"), "{}", none.text);
    assert_eq!(admin.get(&format!("{at}/previews/job_none")).await.status, 404);
    // What was set stands in the audit log; what was only counted does not.
    let log = world.get("/v1/audit?limit=1000").await.expect(200).to_string();
    assert!(
        log.contains("POST /console/privacy/retention\"") && !log.contains("retention/+preview"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn suppressions_are_paged_and_one_is_lifted_with_a_reason() {
    let world = shop().await;
    let admin = Browser::of(&world, Role::Admin).await;
    let list = "/console/privacy/suppressions";
    assert!(admin.get(list).await.text.contains("Nobody is suppressed"));
    for batch in 0..6 {
        let badges = (0..20).map(|n| json!({"type": "badge", "value": format!("b{batch}-{n}")}));
        let identifiers: Vec<_> =
            std::iter::once(json!({"type": "customer_id", "value": "1"})).chain(badges).collect();
        let event = json!({"id": format!("badges-{batch}"), "type": "Visit", "identifiers": identifiers});
        world.post("/v1/events?wait=applied", &event).await.expect(202);
    }
    let who = json!({"identifier": {"type": "customer_id", "value": "1"}, "reason": "request 17"});
    let erasure = world.post("/v1/erasures", &who).await.expect(202);
    let certificate = done(&world, &erasure["job"]).await["result"].clone();
    let all = certificate["suppressions"].as_array().unwrap().len();
    assert_eq!(all, 123, "120 badges, the customer, the address as an identifier and as a contact point");

    let first = admin.get(list).await;
    let rows = |page: &Answered| page.text.matches("/console/privacy/suppressions/sup_").count();
    assert_eq!(rows(&first), 100, "{}", first.text);
    let (_, rest) = first.text.split_once("/console/privacy/suppressions?after=").expect("there is more");
    let second = admin.get(&format!("{list}?after={}", rest.split('"').next().unwrap())).await;
    assert_eq!(rows(&second), all - 100, "{}", second.text);
    assert_eq!(admin.get(&format!("{list}?after=x")).await.status, 404);
    let named = admin.get(&format!("/console/privacy/erasures/{}", erasure["id"].as_str().unwrap())).await;
    assert_eq!(rows(&named), 20, "{}", named.text);

    let event =
        json!({"id": "again", "type": "Visit", "identifiers": [{"type": "customer_id", "value": "1"}]});
    world.post("/v1/events", &event).await.problem(403, "suppressed");
    for (n, id) in certificate["suppressions"].as_array().unwrap().iter().enumerate() {
        let at = format!("{list}/{}", id.as_str().unwrap());
        let page = admin.get(&at).await;
        assert!(page.status == 200 && page.text.contains("name=\"reason\""), "{}", page.text);
        if n == 0 {
            let unsaid = admin.post(&format!("{at}/lift"), &[("reason", " ")]).await;
            assert!(unsaid.status == 422 && unsaid.text.contains("1 to 1000 bytes"), "{}", unsaid.text);
        }
        let done = admin.post(&format!("{at}/lift"), &[("reason", "they came back, ticket 4")]).await;
        assert_eq!(location(&done), "/console/privacy/suppressions?done=let_in");
        assert_eq!(admin.get(&at).await.status, 404, "it is lifted");
    }
    world.post("/v1/events", &event).await.expect(202);
    let log = world.get("/v1/audit?limit=1000").await.expect(200).to_string();
    assert!(log.contains("they came back, ticket 4") && log.contains("suppression_lifted"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_about_somebody_is_put_together_and_downloaded_by_an_admin_only() {
    let world = shop().await;
    let admin = Browser::of(&world, Role::Admin).await;
    let developer = Browser::of(&world, Role::Developer).await;
    let list = "/console/privacy/access";
    assert!(admin.get(list).await.text.contains("No request is known"));
    let nobody = admin.post(list, &[("ask_type", "email"), ("ask_value", "nobody@example.com")]).await;
    assert!(nobody.status == 422 && nobody.text.contains("nobody@example.com"), "{}", nobody.text);
    let asked = admin.post(list, &[("ask_type", "email"), ("ask_value", "Ann1@Example.com")]).await;
    let at = location(&asked).to_owned();
    let id = at.rsplit('/').next().unwrap().to_owned();
    done(&world, &Value::from(id.as_str())).await;
    let page = admin.get(&at).await;
    for words in ["Download", "Events left out", "Contact points", "/console/profiles/prf_"] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    assert!(!page.text.contains("ann1@example.com"), "the page names nobody: {}", page.text);
    let file = admin.get(&format!("{at}/document")).await;
    let document: Value = serde_json::from_str(&file.text).unwrap();
    assert_eq!(
        (&document["format"], &document["traits"]["name"]["value"]),
        (&json!("cdp-access/1"), &json!("Ann 1"))
    );
    assert!(file.headers["content-disposition"].to_str().unwrap().contains(&id));
    assert!(admin.get(list).await.text.contains(&format!("{at}/document")));
    // Others see that there was a job, and nothing of what came of it.
    for browser in [&admin, &developer] {
        let job = browser.get(&format!("/console/jobs/{id}")).await;
        assert!(job.status == 200 && !job.text.contains("ann1@example.com"), "{}", job.text);
    }
    assert!(admin.get(&format!("/console/jobs/{id}")).await.text.contains(&at));
    assert_eq!(developer.get(&format!("{at}/document")).await.status, 403);
    let log = world.get("/v1/audit?limit=1000").await.expect(200).to_string();
    assert!(log.contains("GET /console/privacy/access/{id}/document"), "{log}");
    // A person's page leads there, with the identifier filled in.
    let profile = document["profile_id"].as_str().unwrap();
    let rights = admin.get(&format!("/console/profiles/{profile}/privacy")).await;
    assert!(rights.text.contains("name=\"ask_value\" type=\"text\" value=\"1\""), "{}", rights.text);
    // An erasure of anybody takes all documents.
    let who = json!({"identifier": {"type": "customer_id", "value": "2"}, "reason": "request 18"});
    done(&world, &world.post("/v1/erasures", &who).await.expect(202)["job"]).await;
    assert_eq!(admin.get(&at).await.status, 404);
}
