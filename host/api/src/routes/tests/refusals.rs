//! What is refused, and how it is told.

use axum::body::Body;
use axum::extract::Request;
use axum::response::IntoResponse as _;
use http::{Method, header};
use serde_json::{Value, json};

use super::{World, event, pointers};
use crate::body::{BODY_BYTES_MAX, BODY_DEPTH_MAX, BODY_WIDTH_MAX};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_or_revoked_key_is_a_401_and_a_narrow_one_a_403() {
    let world = World::new().await;
    let made = world.post("/v1/keys", &json!({"name": "till", "scopes": ["ingest"]})).await.expect(201);
    let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    world.send(Method::POST, "/v1/events", key, &event("1")).await.expect(202);
    world.send(Method::GET, "/v1/segments", key, &Value::Null).await.problem(403, "missing_scope");
    let revoke = format!("/v1/keys/{id}");
    world.send(Method::DELETE, &revoke, &world.admin, &Value::Null).await.expect(204);
    world.send(Method::POST, "/v1/events", key, &event("2")).await.problem(401, "invalid_key");
    world.send(Method::POST, "/v1/events", "", &event("2")).await.problem(401, "missing_key");
    let mangled = key.replace("cdp_live", "cdp_dead");
    let answered = world.send(Method::POST, "/v1/events", &mangled, &event("2")).await;
    assert_eq!(answered.headers[header::WWW_AUTHENTICATE], "Bearer");
    answered.problem(401, "invalid_key");
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_json_is_a_400_with_the_place() {
    let world = World::new().await;
    let bad = async |body: &[u8]| world.raw("/v1/events", "application/json", body.to_vec()).await;
    let problem = bad(b"{\"id\": \"1\",\n  \"type\": nope}").await.problem(400, "malformed_json");
    assert!(problem["detail"].as_str().unwrap().contains("line 2"), "{problem}");
    for body in
        [&b""[..], b"{\"id\": \"\xff\"}", b"{\"a\":1,\"a\":2}", b"[NaN]", "[".repeat(10_000).as_bytes()]
    {
        bad(body).await.problem(400, "malformed_json");
    }
    world.raw("/v1/segments/x", "application/json", "{").await.problem(405, "method_not_allowed");
    world.raw("/v1/keys", "application/json", "{").await.problem(400, "malformed_json");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_fields_are_a_422_with_all_pointers() {
    let world = World::new().await;
    let bad = json!({
        "id": 7, "time": "yesterday", "identifiers": [{"type": "email"}],
        "consents": [{"channel": "email", "address": "a@example.com", "purpose": "marketing", "status": "perhaps"}],
    });
    let problem = world.post("/v1/events", &bad).await.problem(422, "invalid");
    for pointer in ["/id", "/type", "/time", "/identifiers/0/value", "/consents/0/status"] {
        assert!(pointers(&problem).contains(&pointer), "{pointer} is missing in {problem}");
    }
    let problem =
        world.post("/v1/keys", &json!({"scopes": ["fly"], "colour": 1})).await.problem(422, "invalid");
    assert_eq!(pointers(&problem), ["/name", "/scopes", "/colour"]);
    let unknown = json!({"kind": "count", "event": "purchase", "colour": "red"});
    let problem = world.put("/v1/attributes/a", &unknown).await.problem(422, "invalid");
    assert!(pointers(&problem).contains(&"/colour"), "{problem}");
    let problem = world
        .post("/v1/consents", &json!({"consents": [{"status": "perhaps"}]}))
        .await
        .problem(422, "invalid");
    assert!(pointers(&problem).contains(&"/consents/0/status"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_taken_up_to_the_limit_and_refused_beyond() {
    let world = World::new().await;
    let padded = |bytes: usize| format!("[{}]", " ".repeat(bytes - 2));
    assert_eq!(
        world.raw("/v1/events", "application/json", padded(BODY_BYTES_MAX)).await.expect(202)["accepted"],
        0
    );
    let answered = world.raw("/v1/events", "application/json", padded(BODY_BYTES_MAX + 1)).await;
    answered.problem(413, "body_too_large");
    let many = |n: usize| Value::Array((0..n).map(|n| event(&n.to_string())).collect());
    assert_eq!(world.post("/v1/events", &many(1000)).await.expect(202)["accepted"], 1000);
    world.post("/v1/events", &many(1001)).await.problem(413, "too_many_events");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_taken_up_to_its_limit_and_refused_beyond_alone_and_in_a_batch() {
    use cdp_domain::limits::EVENT_BYTES_MAX;
    let world = World::new().await;
    let sized = |id: &str, bytes: usize| {
        let mut one = event(id);
        one["properties"] = json!({"pad": ""});
        let bare = one.to_string().len();
        one["properties"]["pad"] = "x".repeat(bytes - bare).into();
        one
    };
    assert_eq!(world.post("/v1/events", &sized("1", EVENT_BYTES_MAX)).await.expect(202)["accepted"], 1);
    world.post("/v1/events", &sized("2", EVENT_BYTES_MAX + 1)).await.problem(413, "event_too_large");
    let batch = json!([sized("3", EVENT_BYTES_MAX), sized("4", EVENT_BYTES_MAX + 1)]);
    let answer = world.post("/v1/events", &batch).await.expect(202);
    assert_eq!((answer["accepted"].as_u64(), answer["rejected"].as_u64()), (Some(1), Some(1)), "{answer}");
    assert_eq!(answer["results"][0]["status"], "over_limit");
    assert_eq!(answer["results"][0]["problem"]["code"], "event_too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_addresses_methods_types_and_encodings_are_told_apart() {
    let world = World::new().await;
    world.get("/v1/no-such-thing").await.problem(404, "unknown_route");
    world.get("/v1/segments/none").await.problem(404, "not_found");
    for path in
        ["/v1/profiles/prf_00000000000000000000000000000000", "/v1/profiles/x", "/v1/jobs/x", "/v1/exports/x"]
    {
        world.get(path).await.problem(404, "not_found");
    }
    world.get("/v1/profiles/%ff").await.problem(400, "invalid_parameter");
    let answered = world.send(Method::PATCH, "/v1/events", &world.admin, &Value::Null).await;
    let allowed = answered.headers[header::ALLOW].to_str().unwrap().to_owned();
    assert!(allowed.contains("POST") && allowed.contains("GET"), "{allowed}");
    answered.problem(405, "method_not_allowed");
    world.raw("/v1/events", "application/xml", "<a/>").await.problem(415, "unsupported_media_type");
    world.raw("/v1/keys", "text/plain", "{}").await.problem(415, "unsupported_media_type");
    let request =
        Request::post("/v1/events").header(header::AUTHORIZATION, format!("Bearer {}", world.admin));
    let request = request.header(header::CONTENT_ENCODING, "br").body(Body::from("{}")).unwrap();
    world.request(request).await.problem(415, "unsupported_media_type");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_says_what_an_address_takes_and_a_waiting_client_is_not_told_to_go_on() {
    let world = World::new().await;
    let answered = world.request(Request::options("/v1/events").body(Body::empty()).unwrap()).await;
    assert_eq!(
        (answered.status, answered.headers[header::ALLOW].to_str().unwrap()),
        (204, "OPTIONS, POST, GET, HEAD")
    );
    world
        .request(Request::options("/v1/none").body(Body::empty()).unwrap())
        .await
        .problem(404, "unknown_route");
    // A body that fails when it is touched.
    let never = Body::from_stream(tokio_util::io::ReaderStream::new(tokio::io::empty()));
    let request = Request::post("/v1/events").header(header::EXPECT, "100-continue").body(never).unwrap();
    world.request(request).await.problem(401, "missing_key");
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_taken_up_to_their_limits_and_refused_beyond() {
    let world = World::new().await;
    let http = crate::HttpOptions::default();
    let with = |count: usize, bytes: usize, uri: usize| {
        let mut request = Request::get(format!("/healthz?{}", "x".repeat(uri - "/healthz?".len())));
        let mut left = bytes;
        for n in 0..count {
            let name = format!("x-{n:03}");
            let value = if n + 1 == count { left - name.len() - 4 } else { 10 };
            left -= name.len() + value + 4;
            request = request.header(name, "v".repeat(value));
        }
        world.request(request.body(Body::empty()).unwrap())
    };
    let (count, bytes, uri) = (http.headers_max, http.header_bytes_max, http.uri_bytes_max);
    with(count, bytes, uri).await.expect(200);
    with(count + 1, bytes, uri).await.problem(431, "headers_too_large");
    with(count, bytes + 1, uri).await.problem(431, "headers_too_large");
    with(count, bytes, uri + 1).await.problem(414, "uri_too_long");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_sends_more_than_it_may_is_told_which_budget_and_how_long() {
    let rates = crate::Rates {
        requests_per_second: 3,
        events_per_second: 10,
        burst_seconds: 1,
        ..crate::Rates::NONE
    };
    let world = World::with(crate::HttpOptions { rates, ..Default::default() }).await;
    let slow = world.key(&["ingest"]).await;
    let many = |n: usize| Value::Array((0..n).map(|n| event(&n.to_string())).collect());
    assert_eq!(world.send(Method::POST, "/v1/events", &slow, &many(10)).await.expect(202)["accepted"], 10);
    let answered = world.send(Method::POST, "/v1/events", &slow, &many(10)).await;
    assert_eq!(answered.headers[header::RETRY_AFTER], "1");
    let problem = answered.problem(429, "rate_limited");
    assert_eq!((problem["budget"].as_str(), problem["retryable"].as_bool()), (Some("events"), Some(true)));
    assert_eq!(problem["limit_per_second"], 10);
    world.send(Method::POST, "/v1/events", &slow, &json!([])).await.expect(202);
    let answered = world.send(Method::POST, "/v1/events", &slow, &json!([])).await;
    assert_eq!(answered.problem(429, "rate_limited")["budget"], "requests");
    let other = world.key(&["ingest"]).await;
    world.send(Method::POST, "/v1/events", &other, &json!([])).await.expect(202);
    let by_body = json!({"batch": [], "writeKey": slow});
    world.send(Method::POST, "/v1/batch", "", &by_body).await.problem(429, "rate_limited");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_is_changed_more_often_than_it_may_is_told_so_whichever_key_is_used() {
    const BURST: u64 = 5;
    let rates = crate::Rates { changes_per_second: 1, burst_seconds: BURST, ..crate::Rates::NONE };
    let world = World::with(crate::HttpOptions { rates, ..Default::default() }).await;
    let began = std::time::Instant::now();
    // The key is a change itself.
    let second = world.key(&["admin", "read", "ingest"]).await;
    let put = async |name: &str, key: &str| {
        let definition = json!({"kind": "count", "event": "purchase"});
        world.send(Method::PUT, &format!("/v1/attributes/{name}"), key, &definition).await
    };
    let mut made = 1;
    let refused = loop {
        let key = if made % 2 == 0 { &second } else { &world.admin };
        let answered = put(&format!("a{made}"), key).await;
        if answered.status == 429 {
            break answered;
        }
        answered.expect(201);
        made += 1;
        assert!(
            made <= BURST + 1 + began.elapsed().as_secs(),
            "{made} changes: more than the burst and the rate"
        );
    };
    assert!(made >= BURST, "{made} changes: the burst passes");
    assert!(refused.headers.contains_key(header::RETRY_AFTER));
    let problem = refused.problem(429, "rate_limited");
    assert_eq!(
        (problem["budget"].as_str(), problem["limit_per_second"].as_u64()),
        (Some("changes"), Some(1))
    );
    // Neither reading nor events are changes, and nobody else is held up.
    world.send(Method::GET, "/v1/attributes", &second, &Value::Null).await.expect(200);
    world.send(Method::POST, "/v1/events", &second, &json!([event("1")])).await.expect(202);
    let other = json!({"slug": "other", "name": "Other"});
    let other = world.send(Method::POST, "/v1/tenants", super::OPERATOR, &other).await.expect(201);
    put("theirs", other["admin_key"].as_str().unwrap()).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_json_is_refused_with_the_reason_and_nothing_is_taken() {
    let world = World::new().await;
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let wide = |n: usize| format!("[{}]", vec!["0"; n].join(","));
    let in_event = |value: &str| {
        format!(
            r#"{{"id":"1","type":"t","identifiers":[{{"type":"u","value":"a"}}],"properties":{{"p":{value}}}}}"#
        )
    };
    for (body, reason) in [
        (nested(BODY_DEPTH_MAX as usize + 1), "nested deeper"),
        (nested(100_000), "nested deeper"),
        (wide(BODY_WIDTH_MAX + 1), "more than 10000 items"),
        (in_event(r#""\ud800""#), "surrogate"),
        (in_event("\"\u{0}\""), "control character"),
        (in_event("1e1000000000000"), "exponent"),
        (in_event("NaN"), "expected"),
        (in_event("01"), "number"),
        (r#"{"id":"1","id":"2"}"#.to_owned(), "stands twice"),
        ("\u{feff}{}".to_owned(), "byte order mark"),
    ] {
        let problem = world.raw("/v1/events", "application/json", body).await.problem(400, "malformed_json");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(reason) && detail.contains("line 1, column"), "{reason}: {detail}");
    }
    world.get("/v1/events/1").await.problem(404, "not_found");
    let huge = "-123456789012345678901234567890.000000000000000000000000000000000001";
    let exact = in_event(&format!(r#"[{huge},1e400,"\u0000"]"#));
    world.raw("/v1/events?wait=applied", "application/json", exact).await.expect(202);
    let who = json!({"identifier": {"type": "u", "value": "a"}});
    let profile = world.post("/v1/profiles/lookup", &who).await.expect(200);
    let events = world.get(&format!("/v1/profiles/{}/events", profile["id"].as_str().unwrap())).await;
    // The same number, in the one spelling that all of its spellings have.
    let canonical = "[-123456789012345678901234567890000000000000000000000000000000000001e-36,1e400,";
    assert!(events.text.contains(canonical), "digit for digit: {}", events.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_and_cursors_are_checked() {
    let world = World::new().await;
    for path in [
        "/v1/segments?limit=0",
        "/v1/events",
        "/v1/segments?min_position=x",
        "/v1/events?status=dead_letter&limit=1001",
    ] {
        world.get(path).await.problem(400, "invalid_parameter");
    }
    world.post("/v1/events?strict=maybe", &event("1")).await.problem(400, "invalid_parameter");
    for name in ["a", "b"] {
        world
            .put(
                &format!("/v1/purposes/{name}"),
                &json!({"title": name, "legal_basis": "consent", "channels": []}),
            )
            .await;
    }
    let first = world.get("/v1/purposes?limit=1").await.expect(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = world.get(&format!("/v1/purposes?limit=1&cursor={cursor}")).await.expect(200);
    assert_eq!(
        (first["items"][0]["name"].as_str(), second["items"][0]["name"].as_str()),
        (Some("a"), Some("b"))
    );
    assert_eq!(second["next_cursor"], Value::Null);
    world.get(&format!("/v1/segments?cursor={cursor}")).await.problem(400, "invalid_cursor");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_is_not_applied_is_a_503_with_a_wait() {
    let world = World::new().await;
    let answered = world.get("/v1/segments?min_position=99999999999").await;
    assert_eq!(answered.headers[header::RETRY_AFTER], "1");
    answered.problem(503, "not_applied_yet");
}

#[tokio::test]
async fn a_panic_is_a_500_that_says_nothing_of_it() {
    use axum::middleware::from_fn_with_state;
    use tower::ServiceExt as _;
    use tower_http::catch_panic::CatchPanicLayer;
    async fn panics() {
        panic!("secret")
    }
    let router = axum::Router::new()
        .route("/", axum::routing::get(panics))
        .layer(CatchPanicLayer::custom(crate::finish::panicked))
        .layer(from_fn_with_state(crate::HttpOptions::default(), crate::finish::finish));
    let response = router.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.into_response();
    assert_eq!(response.status().as_u16(), 500);
    let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(text.contains("\"internal\"") && !text.contains("secret"), "{text}");
}
