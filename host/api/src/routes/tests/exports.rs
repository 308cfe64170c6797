//! What is asked of exports, destinations and schedules, and what is refused.

use cdp_engine::exports::{DESTINATIONS_MAX, SCHEDULES_MAX};
use cdp_export::destination::{SECRETS_MAX, URL_BYTES_MAX};
use cdp_export::{BATCH_ROWS_MAX, FIELDS_MAX, PREVIEW_ROWS_MAX, SCALE_MAX};
use http::Method;
use serde_json::{Value, json};

use super::World;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn world() -> World {
    let world = World::new().await;
    let purpose = json!({"title": "News", "legal_basis": "consent", "channels": ["email"]});
    put(&world, "/v1/purposes/marketing", &purpose).await.expect(201);
    let rule = json!({"trait": "member", "op": "eq", "value": true});
    let made =
        put(&world, "/v1/segments/members", &json!({"title": "Members", "rule": rule})).await.expect(201);
    let path = format!("/v1/jobs/{}", made["backfill_job"].as_str().unwrap());
    while world.send(Method::GET, &path, &world.admin, &Value::Null).await.body["status"] != "done" {
        tokio::task::yield_now().await;
    }
    world
}

async fn put(world: &World, path: &str, body: &Value) -> super::Answered {
    world.send(Method::PUT, path, &world.admin, body).await
}

async fn post(world: &World, path: &str, body: &Value) -> super::Answered {
    world.send(Method::POST, path, &world.admin, body).await
}

fn asked() -> Value {
    json!({
        "segment": "members", "format": "csv",
        "fields": [{"name": "email", "from": "channel.email"}],
        "consent": {"channel": "email", "purpose": "marketing"},
    })
}

/// The pointers that a request is refused for, as a preview: it reads the same.
async fn refused(world: &World, change: impl Fn(&mut Value)) -> Vec<String> {
    let mut request = asked();
    change(&mut request);
    let answered = post(world, "/v1/exports/preview", &request).await;
    if answered.status == 200 {
        return Vec::new();
    }
    assert_eq!(answered.status, 422, "{}", answered.text);
    let errors = answered.body["errors"].as_array().unwrap();
    errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_export_cannot_be_is_refused_by_its_place() {
    let world = world().await;
    let none: [&str; 0] = [];
    assert_eq!(refused(&world, |_| {}).await, none);
    for (name, value, pointer) in [
        ("format", json!("xlsx"), "/format"),
        ("mode", json!("upsert"), "/mode"),
        ("compression", json!("brotli"), "/compression"),
        ("destination", json!("nowhere"), "/destination"),
        ("destination", json!(5), "/destination"),
        ("csv", json!({"delimiter": "x"}), "/csv/delimiter"),
        ("csv", json!({"formulas": "yes"}), "/csv/formulas"),
        ("csv", json!({"header": 1}), "/csv/header"),
        ("csv", json!({"quote": "'"}), "/csv/quote"),
        ("csv", json!(5), "/csv"),
        ("key", json!([]), "/key"),
        ("key", json!(["nobody"]), "/key/0"),
        ("key", json!(["email", "email"]), "/key/1"),
        ("batch", json!(0), "/batch"),
        ("batch", json!(BATCH_ROWS_MAX + 1), "/batch"),
        ("batch", json!("many"), "/batch"),
        ("unheard", json!(1), "/unheard"),
        ("segment", json!(""), "/segment"),
    ] {
        assert_eq!(refused(&world, |request| request[name] = value.clone()).await, [pointer], "{name}");
    }
    assert_eq!(refused(&world, |request| request["batch"] = json!(BATCH_ROWS_MAX)).await, none);
    for (name, value, pointer) in [
        ("hash", json!("md5"), "/fields/0/hash"),
        ("type", json!("float"), "/fields/0/type"),
        ("scale", json!(2), "/fields/0/scale"),
        ("from", json!("trait."), "/fields/0/from"),
        ("from", json!("attribute.unknown"), "/fields/0/from"),
        ("name", json!(""), "/fields/0/name"),
        ("default", json!("x"), "/fields/0/default"),
    ] {
        assert_eq!(refused(&world, |request| request["fields"][0][name] = value.clone()).await, [pointer]);
    }
    let decimal = |scale: u64| {
        move |request: &mut Value| {
            request["fields"][0]["type"] = json!("decimal");
            request["fields"][0]["scale"] = json!(scale);
        }
    };
    assert_eq!(refused(&world, decimal(SCALE_MAX.into())).await, none);
    assert_eq!(refused(&world, decimal(u64::from(SCALE_MAX) + 1)).await, ["/fields/0/scale"]);
    let fields = |count: usize| {
        move |request: &mut Value| {
            let field = |n: usize| json!({"name": format!("f{n}"), "from": "channel.email"});
            request["fields"] = (0..count).map(field).collect();
        }
    };
    assert_eq!(refused(&world, fields(FIELDS_MAX)).await, none);
    assert_eq!(refused(&world, fields(FIELDS_MAX + 1)).await, ["/fields"]);
    let incremental = |field: Value| {
        move |request: &mut Value| {
            request["mode"] = json!("incremental");
            request["fields"] = json!([field]);
        }
    };
    assert_eq!(
        refused(&world, incremental(json!({"name": "city", "from": "trait.city"}))).await,
        ["/fields"]
    );
    let taken = json!({"name": "change", "from": "channel.email"});
    assert_eq!(refused(&world, incremental(taken)).await, ["/fields/0/name"]);
    let packed = |request: &mut Value| {
        request["format"] = json!("parquet");
        request["compression"] = json!("gzip");
    };
    assert_eq!(refused(&world, packed).await, ["/compression"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_shows_the_first_rows_and_writes_nothing_down() {
    let world = world().await;
    let event = |n: usize| {
        let address = format!("p{n}@example.com");
        let consent = json!({"channel": "email", "address": address, "purpose": "marketing", "status": "granted",
            "method": "form", "policy_version": "1", "expires_at": null});
        json!({"id": format!("e{n}"), "type": "identify", "time": "2026-01-01T00:00:00Z", "traits": {"member": true},
            "identifiers": [{"type": "email", "value": address}],
            "channels": [{"channel": "email", "address": address}],
            "consents": if n == 0 { json!([]) } else { json!([consent]) }})
    };
    for (upto, rows) in [(PREVIEW_ROWS_MAX, PREVIEW_ROWS_MAX), (PREVIEW_ROWS_MAX + 1, PREVIEW_ROWS_MAX)] {
        let events: Vec<_> = (0..=upto).map(event).collect();
        post(&world, "/v1/events?wait=applied", &json!({"events": events})).await.expect(202);
        let seen = post(&world, "/v1/exports/preview", &asked()).await.expect(200);
        assert_eq!(seen["rows"].as_array().unwrap().len(), rows, "{seen}");
        assert_eq!(seen["withheld"]["consent_unknown"], 1, "{seen}");
    }
    let runs = world.send(Method::GET, "/v1/exports", &world.admin, &Value::Null).await.expect(200);
    assert_eq!(runs["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_is_checked_and_keeps_its_secrets_to_itself() {
    let world = world().await;
    let hook = |url: &str| json!({"kind": "webhook", "url": url, "secret": SECRET});
    let pointers = async |body: Value| {
        let answered = put(&world, "/v1/destinations/x", &body).await.expect(422);
        let errors = answered["errors"].as_array().unwrap();
        errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(pointers(json!({"kind": "carrier-pigeon"})).await, ["/kind"]);
    assert_eq!(pointers(json!({"kind": "file", "path": "../../etc"})).await, ["/path"]);
    assert_eq!(pointers(hook("http://169.254.169.254/")).await, ["/url"]);
    assert_eq!(pointers(json!({"kind": "webhook", "url": "https://crm.example.com"})).await, ["/secret"]);
    let bad = json!({"kind": "webhook", "url": "https://crm.example.com", "secret": "guessed"});
    assert_eq!(pointers(bad).await, ["/secret"]);
    let secrets = |count: usize| {
        let secrets = vec![SECRET; count];
        json!({"kind": "webhook", "url": "https://crm.example.com", "secrets": secrets})
    };
    assert_eq!(pointers(secrets(SECRETS_MAX + 1)).await, ["/secrets"]);
    let store = |url: &str| json!({"kind": "object_store", "url": url});
    assert_eq!(pointers(store("ftp://bucket")).await, ["/url"]);
    assert_eq!(pointers(store("s3://bucket/x")).await, ["/secret_access_key", "/access_key_id"]);
    let table = |url: &str, table: &str| json!({"kind": "postgres", "url": url, "table": table});
    assert_eq!(pointers(table("postgres://u:p@127.0.0.1/db", "t")).await, ["/url"]);
    let made = put(&world, "/v1/destinations/pg", &table("postgres://u:hush@db.example.com/x", "t"))
        .await
        .expect(201);
    assert!(made["url"] == "postgres://db.example.com/x" && !made.to_string().contains("hush"), "{made}");
    let bucket = json!({"kind": "object_store", "url": "s3://bucket/x", "access_key_id": "AKIA",
        "secret_access_key": "hush", "region": "eu-central-1"});
    let made = put(&world, "/v1/destinations/bucket", &bucket).await.expect(201);
    assert!(made["access_key_id"] == "AKIA" && !made.to_string().contains("hush"), "{made}");
    let long = |bytes: usize| {
        let begin = "https://crm.example.com/";
        hook(&format!("{begin}{}", "x".repeat(bytes - begin.len())))
    };
    assert_eq!(pointers(long(URL_BYTES_MAX + 1)).await, ["/url"]);
    put(&world, "/v1/destinations/..%2Fx", &json!({"kind": "file"})).await.expect(422);

    let made = put(&world, "/v1/destinations/crm", &long(URL_BYTES_MAX)).await.expect(201);
    assert_eq!((made["version"].as_u64(), made["secrets"].as_u64()), (Some(1), Some(1)), "{made}");
    let same = put(&world, "/v1/destinations/crm", &long(URL_BYTES_MAX)).await.expect(200);
    assert_eq!(same["version"], 1, "{same}");
    let rotated = put(&world, "/v1/destinations/crm", &secrets(SECRETS_MAX)).await.expect(200);
    assert_eq!(
        (rotated["version"].as_u64(), rotated["secrets"].as_u64()),
        (Some(2), Some(SECRETS_MAX as u64))
    );
    for path in ["/v1/destinations", "/v1/destinations/crm", "/v1/audit"] {
        let seen = world.send(Method::GET, path, &world.admin, &Value::Null).await;
        assert!(seen.status == 200 && !seen.text.contains("MfKQ9r8"), "{path}: {}", seen.text);
    }
    put(&world, "/v1/destinations/crm", &json!({"kind": "file"})).await.expect(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn destinations_and_schedules_are_so_many_and_no_more() {
    let world = world().await;
    for n in 0..DESTINATIONS_MAX {
        put(&world, &format!("/v1/destinations/d{n}"), &json!({"kind": "file"})).await.expect(201);
    }
    put(&world, "/v1/destinations/more", &json!({"kind": "file"})).await.expect(409);
    put(&world, "/v1/destinations/d0", &json!({"kind": "file"})).await.expect(200);
    let mut export = asked();
    export["destination"] = json!("d0");
    let schedule = json!({"cron": "0 3 1 1 *", "time_zone": "Europe/Riga", "export": export});
    for n in 0..SCHEDULES_MAX {
        put(&world, &format!("/v1/schedules/s{n}"), &schedule).await.expect(201);
    }
    put(&world, "/v1/schedules/more", &schedule).await.expect(409);
    let seen = put(&world, "/v1/schedules/s0", &schedule).await.expect(200);
    assert!(seen["next_at"].as_str().unwrap().contains("-01-01T01:00:00"), "{seen}");
    let mut other = schedule.clone();
    other["cron"] = json!("every day");
    other["export"]["fields"] = json!([]);
    let answered = put(&world, "/v1/schedules/s0", &other).await.expect(422);
    let errors = answered["errors"].as_array().unwrap();
    let pointers: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/cron", "/export/fields"]);
    let gone = world.send(Method::DELETE, "/v1/destinations/d0", &world.admin, &Value::Null).await;
    assert_eq!(gone.status, 409, "a schedule names it");
    let gone = world.send(Method::DELETE, "/v1/destinations/d1", &world.admin, &Value::Null).await;
    assert_eq!(gone.status, 204);
}
