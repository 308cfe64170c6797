//! Lifetime attributes of every customer of two public data sets equal answers that were worked out elsewhere.

use std::path::Path;

use serde_json::Value;

use crate::harness::http::attribute;
use crate::harness::random::Random;
use crate::harness::sets::{self, Expected, LIFETIME};
use crate::harness::{Server, Tenant, define_lifetime, send_all};

struct Set {
    name: &'static str,
    /// The folder of the instant at which everything has happened.
    at: &'static str,
    events: fn(&Path) -> Vec<Value>,
    customers: usize,
}

const SETS: [Set; 2] = [
    Set { name: "online_retail", at: "2011-12-10T000000Z", events: sets::online_retail, customers: 4_372 },
    Set { name: "cdnow", at: "1998-06-30T235959.999Z", events: sets::cdnow, customers: 2_357 },
];

#[test]
fn all_customers_of_the_public_sets_have_the_expected_lifetime_attributes() {
    let Some(dir) = sets::shared("expected answers") else { return };
    for set in SETS {
        let events = (set.events)(&dir);
        let server = Server::fresh();
        let tenant = server.tenant("shop");
        define_lifetime(&tenant);
        let sent = send_all(&tenant, &events);
        assert_eq!((sent.accepted, sent.duplicates), (events.len() as u64, 0));
        compare(&tenant, &set, &sets::expected(&dir, set.name, set.at));
        server.finish();
    }
}

#[test]
fn duplicates_and_shuffled_delivery_change_no_answer() {
    let Some(dir) = sets::shared("expected answers, disturbed") else { return };
    let mut random = Random::seeded(7);
    for set in SETS {
        let mut events = (set.events)(&dir);
        let unique = events.len();
        let again: Vec<Value> = (0..unique / 10).map(|_| events[random.below(unique)].clone()).collect();
        events.extend(again);
        random.shuffle(&mut events);
        let server = Server::fresh();
        let tenant = server.tenant("shop");
        // Defined in the middle: half of the answers come from a backfill, half live.
        let (before, after) = events.split_at(events.len() / 2);
        let first = send_all(&tenant, before);
        define_lifetime(&tenant);
        let second = send_all(&tenant, after);
        assert_eq!(first.accepted + second.accepted, unique as u64, "each event counts once");
        assert_eq!(first.duplicates + second.duplicates, (events.len() - unique) as u64);
        compare(&tenant, &set, &sets::expected(&dir, set.name, set.at));
        server.finish();
    }
}

fn compare(tenant: &Tenant, set: &Set, expected: &Expected) {
    assert_eq!(expected.len(), set.customers, "{}", set.name);
    let mut differences = Vec::new();
    for (customer, cells) in expected {
        let profile = tenant.profile("customer_id", customer);
        for name in LIFETIME {
            let is = attribute(&profile, name);
            if is != cells[name] {
                differences.push(format!("{customer} {name}: is {is:?}, expected {:?}", cells[name]));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{}: {} differences, such as\n{}",
        set.name,
        differences.len(),
        differences[..differences.len().min(10)].join("\n")
    );
    eprintln!("{}: {} customers, no difference", set.name, expected.len());
}
