//! Erasure, restriction, and who is one person, by forms.

use cdp_engine::users::Role;
use serde_json::{Value, json};

use super::{Browser, done, location, shop};
use crate::routes::tests::World;

#[tokio::test(flavor = "multi_thread")]
async fn somebody_is_erased_after_it_was_shown_what_that_comprises() {
    let world = shop().await;
    let admin = Browser::of(&world, Role::Admin).await;
    let empty = admin.get("/console/privacy").await;
    assert!(empty.status == 200 && empty.text.contains("Nobody was erased"), "{}", empty.text);
    let who = [("type", "email"), ("value", "Ann1@Example.com")];
    let none = [("type", "email"), ("value", "nobody@example.com")];
    let refused = admin.post("/console/privacy/erasures/+preview", &none).await;
    assert!(refused.status == 422 && refused.text.contains("There is no such profile."), "{}", refused.text);
    let preview = admin.post("/console/privacy/erasures/+preview", &who).await;
    assert_eq!(preview.status, 200, "{}", preview.text);
    for words in ["Erase for ever", "Consent decisions", "cannot be undone", "name=\"reason\""] {
        assert!(preview.text.contains(words), "{words}: {}", preview.text);
    }
    let lookup = json!({"identifier": {"type": "email", "value": "ann1@example.com"}});
    world.post("/v1/profiles/lookup", &lookup).await.expect(200);
    // Without a reason nothing is done, and what was typed is there again.
    let unsaid = admin.post("/console/privacy/erasures", &who).await;
    assert!(unsaid.status == 422 && unsaid.text.contains("Ann1@Example.com"), "{}", unsaid.text);
    world.post("/v1/profiles/lookup", &lookup).await.expect(200);
    let fields = [&who[..], &[("reason", "request 17")]].concat();
    let begun = admin.post("/console/privacy/erasures", &fields).await;
    let at = location(&begun).split('?').next().unwrap().to_owned();
    world.post("/v1/profiles/lookup", &lookup).await.expect(404);
    let id = at.rsplit('/').next().unwrap();
    done(&world, &Value::from(id)).await;
    let page = admin.get(&at).await;
    for words in ["request 17", "data keys destroyed", "Certificate", "done"] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    assert!(!page.text.contains("ann1@example.com"), "the certificate names nobody");
    let file = admin.get(&format!("{at}/certificate")).await;
    let certificate: Value = serde_json::from_str(&file.text).unwrap();
    assert_eq!((&certificate["id"], &certificate["status"]), (&json!(id), &json!("done")));
    assert!(file.headers["content-disposition"].to_str().unwrap().starts_with("attachment"));
    assert!(admin.get("/console/privacy").await.text.contains("request 17"));
    assert_eq!(admin.get("/console/privacy/erasures/none").await.status, 404);
    // It stands in the audit log under who did it, without naming whom it was about.
    let user = world.get("/v1/users").await.expect(200)["items"][0]["id"].clone();
    let log = world.get("/v1/audit?limit=1000").await.expect(200);
    let acts = log["items"].as_array().unwrap().iter().filter(|one| one["by"] == user);
    let acts: Vec<_> = acts.map(|one| one["act"].as_str().unwrap()).collect();
    for act in ["POST /console/privacy/erasures/+preview", "POST /console/privacy/erasures", "erased"] {
        assert!(acts.contains(&act), "{act}: {acts:?}");
    }
    assert!(!log.to_string().to_lowercase().contains("ann1"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_is_restricted_from_their_page_and_that_is_lifted() {
    let world = shop().await;
    let admin = Browser::of(&world, Role::Admin).await;
    let lookup = json!({"identifier": {"type": "customer_id", "value": "1"}});
    let id = world.post("/v1/profiles/lookup", &lookup).await.expect(200)["id"].as_str().unwrap().to_owned();
    let person = admin.get(&format!("/console/profiles/{id}")).await;
    let way = format!("/console/profiles/{id}/privacy");
    assert!(person.text.contains(&way), "{}", person.text);
    let marketer = Browser::of(&world, Role::Marketer).await;
    assert!(!marketer.get(&format!("/console/profiles/{id}")).await.text.contains(&way));
    let forms = admin.get(&way).await;
    assert!(
        forms.text.contains("value=\"customer_id\"") && forms.text.contains("value=\"1\""),
        "{}",
        forms.text
    );
    let fields = [("who_type", "customer_id"), ("who_value", "1")];
    let unsaid = admin.post("/console/privacy/restrictions", &fields).await;
    assert!(unsaid.status == 422 && unsaid.text.contains("1 to 1000 bytes"), "{}", unsaid.text);
    let fields = [&fields[..], &[("who_reason", "disputed, ticket 4")]].concat();
    let made = admin.post("/console/privacy/restrictions", &fields).await;
    assert_eq!(location(&made), "/console/privacy?done=restricted");
    let size = async || world.get("/v1/segments/ordered").await.expect(200)["size"].clone();
    assert_eq!(size().await, 1);
    let page = admin.get("/console/privacy").await;
    let restriction = world.get("/v1/restrictions").await.expect(200)["items"][0]["id"].clone();
    let lift = format!("/console/privacy/restrictions/{}/lift", restriction.as_str().unwrap());
    assert!(page.text.contains("disputed, ticket 4") && page.text.contains(&lift), "{}", page.text);
    assert!(admin.get(&format!("/console/profiles/{id}")).await.text.contains("is restricted"));
    assert_eq!(admin.post("/console/privacy/restrictions/res_700/lift", &[]).await.status, 404);
    let lifted = admin.post(&lift, &[]).await;
    assert_eq!(location(&lifted), "/console/privacy?done=lifted");
    assert_eq!(size().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_identity_are_tried_before_they_are_changed() {
    let world = shop().await;
    let admin = Browser::of(&world, Role::Admin).await;
    // Two customers at one address: one person as long as nothing else is said.
    let event = json!({"id": "both", "type": "Order", "identifiers": [
        {"type": "customer_id", "value": "1"}, {"type": "customer_id", "value": "2"}]});
    world.post("/v1/events?wait=applied", &event).await.expect(202);
    let page = admin.get("/console/identity").await;
    for words in ["merged", "user_id", "Nobody said anything against the rules", "e-mail address"] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    let rules = r#"{"types": [{"type": "customer_id", "priority": 1, "unique": true}, {"type": "email", "priority": 2}]}"#;
    let tried = admin.post("/console/identity/rules", &[("rules", rules)]).await;
    assert!(tried.status == 200 && tried.text.contains("What these rules would change"), "{}", tried.text);
    assert!(tried.text.contains("People that would fall apart"), "{}", tried.text);
    let version = async || world.get("/v1/identity/rules").await.expect(200)["version"].clone();
    assert_eq!(version().await, 0, "nothing was changed");
    let put = admin.post("/console/identity/rules?do=put", &[("rules", rules)]).await;
    assert_eq!(location(&put), "/console/identity?done=rules");
    assert_eq!(version().await, 1);
    let wrong = admin.post("/console/identity/rules", &[("rules", "{\"types\": 7}")]).await;
    assert!(wrong.status == 422 && wrong.text.contains("{&#34;types&#34;: 7}"), "{}", wrong.text);
    let marketer = Browser::of(&world, Role::Marketer).await;
    assert!(!marketer.get("/console/identity").await.text.contains("name=\"rules\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn people_say_who_is_one_person_and_take_it_back() {
    let world = shop().await;
    let admin = Browser::of(&world, Role::Admin).await;
    let id = async |customer: &str| {
        let lookup = json!({"identifier": {"type": "customer_id", "value": customer}});
        world.post("/v1/profiles/lookup", &lookup).await.expect(200)["id"].as_str().unwrap().to_owned()
    };
    let (first, second) = (id("1").await, id("2").await);
    assert_ne!(first, second);
    // The second by its profile's id.
    let fields = [
        ("a_type", "customer_id"),
        ("a_value", "1"),
        ("b_type", ""),
        ("b_value", second.as_str()),
        ("kind", "must_link"),
    ];
    let unsaid = admin.post("/console/identity/constraints", &fields).await;
    assert!(unsaid.status == 422 && unsaid.text.contains(&second), "{}", unsaid.text);
    let fields = [&fields[..], &[("reason", "the same passport")]].concat();
    assert_eq!(
        location(&admin.post("/console/identity/constraints", &fields).await),
        "/console/identity?done=constrained"
    );
    assert_eq!(id("1").await, id("2").await);
    let page = admin.get("/console/identity").await;
    assert!(page.text.contains("the same passport") && page.text.contains("are one person"), "{}", page.text);
    let constraint = world.get("/v1/identity/constraints").await.expect(200)["items"][0]["id"].clone();
    let remove = format!("/console/identity/constraints/{}/remove", constraint.as_str().unwrap());
    assert!(page.text.contains(&remove), "{}", page.text);
    let removed = admin.post(&remove, &[]).await;
    assert_eq!(location(&removed), "/console/identity?done=removed");
    assert_ne!(id("1").await, id("2").await);
    assert_eq!(admin.post(&remove, &[]).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_that_change_something_take_from_how_often_a_tenant_may_be_changed() {
    const BURST: u64 = 3;
    let rates = crate::Rates { changes_per_second: 1, burst_seconds: BURST, ..crate::Rates::NONE };
    let world = World::with(crate::HttpOptions { rates, ..Default::default() }).await;
    let admin = Browser::of(&world, Role::Admin).await;
    let began = std::time::Instant::now();
    let mut sent = 0;
    // A form that is refused for what it says counts too.
    let refused = loop {
        let answered = admin.post("/console/privacy/erasures", &[("type", "email"), ("value", "")]).await;
        if answered.status == 429 {
            break answered;
        }
        assert_eq!(answered.status, 422, "{}", answered.text);
        sent += 1;
        assert!(
            sent <= BURST + 1 + began.elapsed().as_secs(),
            "{sent} forms: more than the burst and the rate"
        );
    };
    assert!(sent >= BURST, "{sent} forms: the burst passes");
    assert!(refused.headers.contains_key(http::header::RETRY_AFTER));
    assert!(refused.text.contains("changes a second"), "{}", refused.text);
    // What only asks is answered.
    let asked = admin.post("/console/search", &[("q", "ann@example.com")]).await;
    assert_ne!(asked.status, 429, "{}", asked.text);
}
