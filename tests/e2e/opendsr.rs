//! People's requests as other systems pass them on: the specification's properties, headers and statuses.

use serde_json::{Value, json};

use crate::harness::receiver::Receiver;
use crate::harness::wire::unbase64;
use crate::harness::{Server, Tenant, send_all, until};

fn customer(n: usize) -> Value {
    json!({"id": format!("e{n}"), "type": "purchase", "properties": {"total": "5"},
        "identifiers": [{"type": "email", "value": format!("p{n}@example.com")}, {"type": "customer_id", "value": format!("c{n}")}]})
}

fn id(n: usize) -> String {
    format!("a7551968-d5d6-44b2-9831-{n:012}")
}

fn asking(n: usize, kind: &str, identities: Value) -> Value {
    json!({"regulation": "gdpr", "subject_request_id": id(n), "subject_request_type": kind,
        "submitted_time": "2026-11-01T15:00:00Z", "subject_identities": identities, "api_version": "2.0"})
}

fn email(n: usize) -> Value {
    json!([{"identity_type": "email", "identity_value": format!("P{n}@Example.com"), "identity_format": "raw"}])
}

fn completed(tenant: &Tenant, n: usize) -> Value {
    let path = format!("/v1/opendsr/requests/{}", id(n));
    let done = until(std::time::Duration::from_secs(60), || {
        let answer = tenant.get(&path);
        (answer.status == 200 && answer.json()["request_status"] == "completed").then(|| answer.json())
    });
    done.expect("the request is completed")
}

fn found(tenant: &Tenant, n: usize) -> bool {
    let asked = json!({"identifier": {"type": "email", "value": format!("p{n}@example.com")}});
    tenant.post_patiently("/v1/profiles/lookup", &asked).status == 200
}

#[test]
fn requests_in_opendsr_form_are_carried_out_and_told_of() {
    let own = tempfile::tempdir().unwrap();
    let mut server = Server::at(&own.path().join("data"));
    let mut tenant = server.tenant("shop");
    send_all(&tenant, &(1..=5).map(customer).collect::<Vec<_>>());
    let discovery = tenant.get("/v1/opendsr/discovery").ok();
    assert_eq!(discovery["supported_subject_request_types"], json!(["access", "portability", "erasure"]));
    assert!(discovery["supported_identities"].as_array().unwrap().len() == 11, "{discovery}");

    let request = asking(1, "erasure", email(1));
    let answer = tenant.post("/v1/opendsr/requests", &request);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let (headers, text) = (answer.headers.clone(), answer.text());
    let body: Value = serde_json::from_str(&text).unwrap();
    for name in ["controller_id", "expected_completion_time", "received_time", "subject_request_id"] {
        assert!(body[name].is_string(), "{name}: {body}");
    }
    assert_eq!((&body["subject_request_id"], &body["controller_id"]), (&json!(id(1)), &json!("shop")));
    let encoded = unbase64(body["encoded_request"].as_str().unwrap());
    assert_eq!(serde_json::from_slice::<Value>(&encoded).unwrap(), request, "the whole request comes back");
    assert_eq!(headers["x-opendsr-processor-domain"], "127.0.0.1");
    // The signature is over the digest of the body, and checked with the key that discovery tells.
    let signature = unbase64(headers["x-opendsr-signature"].to_str().unwrap());
    assert_eq!(signature.len(), 64);
    assert!(!found(&tenant, 1), "forgotten when it is answered");
    let status = completed(&tenant, 1);
    assert_eq!(
        (status["results_count"].as_u64(), &status["api_version"]),
        (Some(1), &json!("2.0")),
        "{status}"
    );
    let late = tenant.post("/v1/events", &customer(1)).expect_problem(403);
    assert_eq!(late["code"], "suppressed");

    // The same again is the same; another request of the same id is not.
    assert_eq!(
        tenant.post("/v1/opendsr/requests", &request).expect_status(201)["received_time"],
        body["received_time"]
    );
    tenant.post("/v1/opendsr/requests", &asking(1, "erasure", email(2))).expect_problem(409);
    assert!(found(&tenant, 2));

    // Identity types mean what the tenant says; an extension names identifiers of any type.
    tenant
        .put(
            "/v1/opendsr/settings",
            &json!({"controller_id": "acme", "domain": "cdp.example.com",
            "identities": {"controller_customer_id": "customer_id"}}),
        )
        .expect_status(200);
    let two = json!([
        {"identity_type": "controller_customer_id", "identity_value": "c2", "identity_format": "raw"},
        {"identity_type": "email", "identity_value": "p2@example.com", "identity_format": "raw"},
    ]);
    let mut access = asking(2, "access", two);
    access["extensions"] = json!({"cdp.example.com": {"identifiers": [{"type": "customer_id", "value": "c3"}]},
        "elsewhere.example.com": {"identifiers": 7}});
    let answer = tenant.post("/v1/opendsr/requests", &access).expect_status(201);
    assert_eq!(answer["controller_id"], "acme");
    let status = completed(&tenant, 2);
    assert_eq!(status["results_count"], 2, "two people, however they are named: {status}");
    assert!(status["results_url"].as_str().unwrap().starts_with("https://cdp.example.com/v1/jobs/job_"));
    let job = status["jobs"][0].as_str().unwrap().to_owned();
    assert_eq!(tenant.get(&format!("/v1/jobs/{job}")).ok()["result"]["format"], "cdp-access/1");

    // Nobody is known: that is an answer too.
    tenant.post("/v1/opendsr/requests", &asking(3, "portability", email(9))).expect_status(201);
    assert_eq!(completed(&tenant, 3)["results_count"], 0);
    tenant.delete(&format!("/v1/opendsr/requests/{}", id(3))).expect_problem(409);
    tenant.get(&format!("/v1/opendsr/requests/{}", id(77))).expect_problem(404);

    // What is not in the form is 400, in the specification's words and in ours, and nothing is done.
    for (broken, pointer) in [
        (json!({"subject_request_id": "A7551968-D5D6-44B2-9831-815AC9017798"}), "/subject_request_id"),
        (json!({"subject_request_type": "rectify"}), "/subject_request_type"),
        (json!({"regulation": "lex"}), "/regulation"),
        (json!({"submitted_time": "yesterday"}), "/submitted_time"),
        (json!({"api_version": "3.0"}), "/api_version"),
        (json!({"subject_identities": []}), "/subject_identities"),
        (
            json!({"subject_identities": [{"identity_type": "email", "identity_value": "00", "identity_format": "sha256"}]}),
            "/subject_identities/0/identity_format",
        ),
        (
            json!({"subject_identities": [{"identity_type": "shoe_size", "identity_value": "44", "identity_format": "raw"}]}),
            "/subject_identities/0/identity_type",
        ),
    ] {
        let mut request = asking(50, "erasure", email(4));
        request.as_object_mut().unwrap().extend(broken.as_object().unwrap().clone());
        let problem = tenant.post("/v1/opendsr/requests", &request).expect_problem(400);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        assert_eq!(
            (problem["error"]["code"].as_u64(), &problem["error"]["errors"][0]["domain"]),
            (Some(400), &json!("Validation"))
        );
        assert!(!problem.to_string().to_lowercase().contains("p4@"), "nobody is named: {problem}");
    }
    assert!(found(&tenant, 4));
    let limits = tenant.get("/v1/limits").ok();
    let n = limits["opendsr_identities_max"].as_u64().unwrap() as usize;
    let many = |n: usize| json!((0..n).map(|at| email(100 + at)[0].clone()).collect::<Vec<_>>());
    tenant.post("/v1/opendsr/requests", &asking(60, "access", many(n))).expect_status(201);
    let problem = tenant.post("/v1/opendsr/requests", &asking(61, "access", many(n + 1))).expect_problem(400);
    assert_eq!(problem["errors"][0]["pointer"], "/subject_identities");

    // After a restart what was completed stays so, and a document is put together again.
    server.kill_and_restart();
    tenant = tenant.at(&server.url);
    let ready = until(std::time::Duration::from_secs(60), || tenant.anonymous_ready().then_some(()));
    assert!(ready.is_some());
    assert_eq!(completed(&tenant, 1)["results_count"], 1);
    completed(&tenant, 2);
    assert_eq!(tenant.get(&format!("/v1/jobs/{job}")).ok()["result"]["format"], "cdp-access/1");
    server.finish();
}

#[test]
fn who_passed_a_request_on_is_told_how_far_it_is() {
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    send_all(&tenant, &(1..=2).map(customer).collect::<Vec<_>>());
    assert_eq!(tenant.get("/v1/opendsr/discovery").ok()["status_callbacks"], true);
    let slow = std::time::Duration::ZERO;
    // The first try fails for now, and another address wants nothing any more.
    let receiver =
        Receiver::answering(Box::new(move |n, _| if n == 0 { (503, "", slow) } else { (200, "", slow) }));
    let gone = Receiver::answering(Box::new(move |_, _| (410, "", slow)));

    let mut refused = asking(1, "access", email(1));
    refused["status_callback_urls"] =
        json!(["ftp://example.com", 7, receiver.url, receiver.url, receiver.url]);
    let problem = tenant.post("/v1/opendsr/requests", &refused).expect_problem(400);
    assert_eq!(problem["errors"][0]["pointer"], "/status_callback_urls", "five are too many: {problem}");
    refused["status_callback_urls"] = json!(["ftp://example.com", 7, "http://10.0.0.1/", "x".repeat(1025)]);
    let problem = tenant.post("/v1/opendsr/requests", &refused).expect_problem(400);
    let places: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|one| one["pointer"].as_str().unwrap()).collect();
    assert_eq!(places, (0..4).map(|n| format!("/status_callback_urls/{n}")).collect::<Vec<_>>(), "{problem}");

    let mut request = asking(2, "erasure", email(2));
    request["status_callback_urls"] = json!([receiver.url, gone.url]);
    assert_eq!(tenant.post("/v1/opendsr/requests", &request).status, 201);
    let told = until(std::time::Duration::from_secs(60), || {
        let all = receiver.messages();
        all.iter().find(|one| one.status == 200 && one.body["request_status"] == "completed").cloned()
    });
    let told = told.expect("the last status is told, although the first try failed");
    let body = &told.body;
    assert_eq!(
        (&body["subject_request_id"], &body["status_callback_url"]),
        (&json!(id(2)), &json!(receiver.url))
    );
    assert!(body["results_url"].as_str().unwrap().contains("/v1/erasures/"), "{body}");
    assert_eq!(unbase64(&told.signature).len(), 64, "signed like an answer");
    assert_eq!(receiver.messages()[0].status, 503);
    let statuses: Vec<_> = receiver
        .messages()
        .iter()
        .filter(|one| one.status == 200)
        .map(|one| one.body["request_status"].clone())
        .collect();
    let mut once = statuses.clone();
    once.dedup();
    assert_eq!(statuses, once, "no status twice in a row");
    assert_eq!(gone.messages().len(), 1, "who wants nothing is told nothing any more");
}
