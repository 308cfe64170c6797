//! The committed subset of Online Retail against a plain loop over the same file, so that no outside data is needed.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::harness::http::{attribute, plain};
use crate::harness::{Server, define_lifetime, root, send_all, unpack};

/// The events of one file in `examples/retail`.
pub(crate) fn events(file: &str) -> Vec<Value> {
    let text = String::from_utf8(unpack(&root().join("examples/retail").join(file))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a plain loop says of one customer.
#[derive(Default)]
pub(crate) struct Customer {
    pub(crate) orders: u64,
    pub(crate) spend: Decimal,
    pub(crate) first: Option<String>,
    pub(crate) last: Option<String>,
}

/// Every customer, by id.
pub(crate) fn customers(orders: &[Value]) -> BTreeMap<String, Customer> {
    let mut customers: BTreeMap<String, Customer> = BTreeMap::new();
    for event in orders {
        let id = event["identifiers"][0]["value"].as_str().unwrap();
        let customer = customers.entry(id.to_owned()).or_default();
        if event["type"] == "Order Completed" {
            let time = event["time"].as_str().unwrap().to_owned();
            customer.orders += 1;
            customer.spend += event["properties"]["revenue"].as_str().unwrap().parse::<Decimal>().unwrap();
            customer.first =
                Some(customer.first.take().map_or(time.clone(), |first| first.min(time.clone())));
            customer.last = Some(customer.last.take().map_or(time.clone(), |last| last.max(time)));
        }
    }
    customers
}

#[test]
fn the_committed_subset_has_the_answers_of_a_plain_loop() {
    let orders = events("orders.ndjson.gz");
    let customers = customers(&orders);
    let server = Server::fresh();
    let tenant = server.tenant("shop");
    define_lifetime(&tenant);
    let thousand =
        json!({"title": "Big", "rule": {"attribute": "total_spend", "op": "gte", "value": "1000"}});
    tenant.define("/v1/segments/big_spenders", &thousand);
    send_all(&tenant, &orders);
    for (id, customer) in &customers {
        let profile = tenant.profile("customer_id", id);
        assert_eq!(attribute(&profile, "order_count"), customer.orders.to_string(), "{id}");
        assert_eq!(attribute(&profile, "total_spend"), customer.spend.normalize().to_string(), "{id}");
        assert_eq!(
            attribute(&profile, "first_order_at"),
            plain(customer.first.as_deref().unwrap_or("")),
            "{id}"
        );
        assert_eq!(
            attribute(&profile, "last_order_at"),
            plain(customer.last.as_deref().unwrap_or("")),
            "{id}"
        );
    }
    let big = customers.values().filter(|customer| customer.spend >= Decimal::from(1000)).count();
    assert_eq!(tenant.segment_size("big_spenders"), big as u64);
    server.finish();
}

#[test]
fn the_export_of_the_committed_subset_holds_exactly_the_consented_big_spenders() {
    let (orders, contacts) = (events("orders.ndjson.gz"), events("contacts.ndjson.gz"));
    let mut spend: BTreeMap<String, Decimal> = BTreeMap::new();
    for event in orders.iter().filter(|event| event["type"] == "Order Completed") {
        let id = event["identifiers"][0]["value"].as_str().unwrap().to_owned();
        *spend.entry(id).or_default() +=
            event["properties"]["revenue"].as_str().unwrap().parse::<Decimal>().unwrap();
    }
    // The file is sorted by time, so the last decision that stands is the newest.
    let mut status: BTreeMap<String, String> = BTreeMap::new();
    for event in &contacts {
        let id = event["identifiers"][0]["value"].as_str().unwrap().to_owned();
        if let Some(consent) = event["consents"].as_array().and_then(|consents| consents.last()) {
            status.insert(id, consent["status"].as_str().unwrap().to_owned());
        }
    }
    let big: Vec<&String> =
        spend.iter().filter(|(_, sum)| **sum >= Decimal::from(1000)).map(|(id, _)| id).collect();
    let wanted: BTreeSet<(String, String)> = big
        .iter()
        .filter(|id| status.get(**id).is_some_and(|status| status == "granted"))
        .map(|id| (format!("customer-{id}@example.com"), spend[*id].normalize().to_string()))
        .collect();

    let server = Server::fresh();
    let tenant = server.tenant("shop");
    define_lifetime(&tenant);
    tenant.define(
        "/v1/purposes/marketing",
        &json!({"title": "News", "legal_basis": "consent", "channels": ["email"]}),
    );
    let rule = json!({"attribute": "total_spend", "op": "gte", "value": "1000"});
    tenant.define("/v1/segments/big_spenders", &json!({"title": "Big", "rule": rule}));
    send_all(&tenant, &orders);
    send_all(&tenant, &contacts);
    let (done, file) = tenant.export(&json!({
        "segment": "big_spenders", "format": "csv", "mode": "full",
        "fields": [{"name": "email", "from": "channel.email"}, {"name": "spend", "from": "attribute.total_spend"}],
        "consent": {"channel": "email", "purpose": "marketing"},
    }));
    let mut reader = csv::Reader::from_reader(file.as_bytes());
    assert_eq!(reader.headers().unwrap(), vec!["email", "spend"]);
    let rows: Vec<(String, String)> =
        reader.records().map(|row| row.map(|row| (row[0].to_owned(), plain(&row[1]))).unwrap()).collect();
    assert_eq!(rows.len(), wanted.len(), "no row twice, none missing");
    assert_eq!(rows.into_iter().collect::<BTreeSet<_>>(), wanted);
    let withheld: u64 = done["withheld"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(
        done["rows"].as_u64().unwrap() + withheld,
        big.len() as u64,
        "rows and withheld are the members"
    );
    server.finish();
}
