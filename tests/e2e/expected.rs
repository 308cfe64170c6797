//! Every attribute and every segment of two public data sets, at every instant for which answers were worked out
//! elsewhere: by time travel, and live with all times shifted so that the last instant is now.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::http::{attribute, plain};
use crate::harness::sets::{self, Rows};
use crate::harness::{Server, Tenant, send_all, unpack, until};

const ORDER: &str = "Order Completed";
const REFUND: &str = "Order Refunded";
const PRODUCT: &str = "Product Purchased";

/// The attributes of the answers, as definitions; what others refer to comes first.
fn attributes() -> Vec<(String, Value)> {
    let mut all = vec![
        ("order_count".to_owned(), json!({"kind": "count", "event": ORDER})),
        ("total_spend".to_owned(), json!({"kind": "sum", "event": ORDER, "property": "/revenue"})),
        ("avg_order_value".to_owned(), json!({"kind": "avg", "event": ORDER, "property": "/revenue"})),
        ("refund_count".to_owned(), json!({"kind": "count", "event": REFUND})),
        ("refund_total".to_owned(), json!({"kind": "sum", "event": REFUND, "property": "/revenue"})),
        ("first_order_at".to_owned(), json!({"kind": "first", "event": ORDER})),
        ("last_order_at".to_owned(), json!({"kind": "last", "event": ORDER})),
        (
            "days_since_last_order".to_owned(),
            json!({"kind": "time_since_last", "event": ORDER, "unit": "days"}),
        ),
        (
            "products".to_owned(),
            json!({"kind": "distinct_count", "event": PRODUCT, "property": "/product_id"}),
        ),
        (
            "favourite_product".to_owned(),
            json!({"kind": "most_frequent", "event": PRODUCT, "property": "/product_id", "weight": "/quantity"}),
        ),
        ("country".to_owned(), json!({"kind": "last", "event": "*", "property": "/country"})),
    ];
    for days in [30, 90, 365] {
        let window = json!({"days": days});
        all.push((format!("orders_{days}d"), json!({"kind": "count", "event": ORDER, "window": window})));
        let spend = json!({"kind": "sum", "event": ORDER, "property": "/revenue", "window": window});
        all.push((format!("spend_{days}d"), spend));
    }
    let of = |name: &str| json!({ "attribute": name });
    all.push(("distinct_products".to_owned(), json!({"expr": {"coalesce": [of("products"), 0]}})));
    all.push(("net_spend".to_owned(), json!({"expr": {"sub": [of("total_spend"), of("refund_total")]}})));
    for (name, by) in [("rfm_r", "last_order_at"), ("rfm_f", "order_count"), ("rfm_m", "total_spend")] {
        let buyers =
            json!({"and": [{"exists": {"identifier": "customer_id"}}, {"gt": [of("order_count"), 0]}]});
        let ranked = json!({"if": [buyers, of(by)]});
        all.push((name.to_owned(), json!({"expr": {"rank": {"of": ranked, "buckets": 5}}})));
    }
    for (a, b) in [("orders_30d", "order_count"), ("refund_total", "total_spend")] {
        all.push((format!("{a}_per_{b}"), json!({"expr": {"div": [of(a), of(b)]}})));
    }
    all
}

/// A rule of the answers as ours.
fn rule(theirs: &Value) -> Value {
    for several in ["all", "any"] {
        if let Some(parts) = theirs[several].as_array() {
            return json!({ several: parts.iter().map(rule).collect::<Vec<_>>() });
        }
    }
    if !theirs["not"].is_null() {
        return json!({"not": rule(&theirs["not"])});
    }
    if !theirs["bought"].is_null() {
        let condition = json!({"property": "/product_id", "op": "eq", "value": theirs["bought"]});
        let least = theirs["at_least"].as_u64().unwrap_or(1);
        let mut did = json!({"event": PRODUCT, "where": [condition], "count": {"op": "gte", "value": least}});
        if !theirs["within_days"].is_null() {
            did["within"] = json!({"days": theirs["within_days"]});
        }
        return json!({ "did": did });
    }
    let op = match theirs["op"].as_str().unwrap() {
        ">" => "gt",
        ">=" => "gte",
        "<" => "lt",
        "<=" => "lte",
        "==" => "eq",
        other => panic!("no operator for {other}"),
    };
    let name = match theirs["ratio"].as_array() {
        Some(pair) => format!("{}_per_{}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()),
        None => theirs["attribute"].as_str().unwrap().to_owned(),
    };
    json!({"attribute": name, "op": op, "value": theirs["value"]})
}

/// Defines everything; gives the names of the segments.
fn define(tenant: &Tenant, dir: &Path, set: &str) -> Vec<String> {
    for (name, definition) in attributes() {
        tenant.define(&format!("/v1/attributes/{name}"), &definition);
    }
    let rules = std::fs::read(dir.join("rules").join(format!("{set}.json"))).unwrap();
    let rules: Vec<Value> = serde_json::from_slice(&rules).unwrap();
    let mut names = Vec::new();
    for theirs in &rules {
        let name = theirs["name"].as_str().unwrap();
        // The answers are about customers; tills without one are profiles too.
        let customers = json!({"identifier": "customer_id", "op": "exists"});
        let ours = json!({"rule": {"all": [rule(&theirs["rule"]), customers]}});
        tenant.define(&format!("/v1/segments/{name}"), &ours);
        names.push(name.to_owned());
    }
    names
}

/// The members of each segment, as the answers list them.
fn members(dir: &Path, set: &str, at: &str) -> HashMap<String, BTreeSet<String>> {
    let bytes = unpack(&dir.join("expected").join(set).join(at).join("segments.tar.gz"));
    let mut found = HashMap::new();
    let mut rest = bytes.as_slice();
    // A tar of plain files: a head of 512 bytes with the name and, in octal, the size.
    while rest.len() >= 512 && rest[0] != 0 {
        let text = |bytes: &[u8]| {
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
        };
        let (name, size) = (text(&rest[..100]), usize::from_str_radix(&text(&rest[124..136]), 8).unwrap());
        let mut body = String::new();
        (&rest[512..512 + size]).read_to_string(&mut body).unwrap();
        if let Some(name) = Path::new(&name).file_name().and_then(|name| name.to_str()?.strip_suffix(".txt"))
        {
            found.insert(name.to_owned(), body.lines().map(str::to_owned).collect());
        }
        rest = &rest[512 + size.div_ceil(512) * 512..];
    }
    found
}

/// All pages of a segment's members.
fn all_members(tenant: &Tenant, name: &str, as_of: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/segments/{name}/members?limit=1000{as_of}{cursor}");
        let page = tenant.get(&path).expect_status(200);
        for item in page["items"].as_array().unwrap() {
            assert!(all.insert(item["profile_id"].as_str().unwrap().to_owned()), "{name}: somebody twice");
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// Compares everything at an instant; `as_of` is empty for now. `shifted` says by how many milliseconds times are later.
fn compare(tenant: &Tenant, dir: &Path, (set, folder): (&str, &str), as_of: &str, shifted: i64) {
    let rows: Rows = sets::expected_rows(dir, set, folder);
    let mut differences = Vec::new();
    let mut customer_of: BTreeMap<String, String> = BTreeMap::new();
    let query = as_of.trim_start_matches('&');
    for (customer, cells) in &rows {
        let body = json!({"identifier": {"type": "customer_id", "value": customer}});
        let profile = tenant.post(&format!("/v1/profiles/lookup?{query}"), &body).expect_status(200);
        customer_of.insert(profile["id"].as_str().unwrap().to_owned(), customer.clone());
        for (name, cell) in cells {
            let wanted = match name.ends_with("_at") && !cell.is_empty() {
                true => plain(&later(cell, shifted)),
                false => plain(cell),
            };
            let is = attribute(&profile, name);
            if is != wanted {
                differences.push(format!("{customer} {name}: is {is:?}, expected {wanted:?}"));
            }
        }
    }
    for (name, wanted) in members(dir, set, folder) {
        let found = all_members(tenant, &name, as_of);
        let is: BTreeSet<String> = found
            .iter()
            .map(|id| customer_of.get(id).cloned().unwrap_or_else(|| format!("not a customer: {id}")))
            .collect();
        for (who, what) in is
            .difference(&wanted)
            .map(|who| (who, "too many"))
            .chain(wanted.difference(&is).map(|who| (who, "missing")))
        {
            differences.push(format!("{name}: {who} is {what}"));
        }
        let size = tenant.get(&format!("/v1/segments/{name}?{query}")).expect_status(200)["size"].clone();
        assert_eq!(size, wanted.len(), "{name}");
    }
    assert!(
        differences.is_empty(),
        "{set} {folder}: {} differences, such as\n{}",
        differences.len(),
        differences[..differences.len().min(10)].join("\n")
    );
    eprintln!("{set} {folder}{as_of}: {} customers, every attribute and segment, no difference", rows.len());
}

fn later(time: &str, ms: i64) -> String {
    let at: jiff::Timestamp = time.parse().unwrap();
    jiff::Timestamp::from_millisecond(at.as_millisecond() + ms).unwrap().to_string()
}

#[test]
fn time_travel_gives_the_expected_answers_at_every_instant() {
    let Some(dir) = sets::shared("expected answers at every instant") else { return };
    for (set, instants) in [
        (
            "cdnow",
            &["1997-02-15T120000Z", "1997-04-01T120000Z", "1997-10-01T120000Z", "1998-06-30T235959.999Z"][..],
        ),
        ("online_retail", &["2011-03-01T000000Z", "2011-09-01T000000Z", "2011-12-10T000000Z"]),
    ] {
        let server = Server::fresh();
        let tenant = server.tenant("shop");
        define(&tenant, &dir, set);
        send_all(&tenant, &events(&dir, set));
        for folder in instants {
            let at = format!("{}:{}:{}", &folder[..13], &folder[13..15], &folder[15..]);
            compare(&tenant, &dir, (set, folder), &format!("&as_of={at}"), 0);
        }
        server.finish();
    }
}

#[test]
fn the_last_instant_shifted_to_now_gives_the_expected_answers_live() {
    let Some(dir) = sets::shared("expected answers, live") else { return };
    // Both instants lie hours from the next edge of any window, so that the time the comparison takes does not matter.
    for (set, folder, at) in [
        ("cdnow", "1998-06-30T235959.999Z", "1998-06-30T23:59:59.999Z"),
        ("online_retail", "2011-12-10T000000Z", "2011-12-10T00:00:00Z"),
    ] {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        let shifted = now - at.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let mut events = events(&dir, set);
        for event in &mut events {
            event["time"] = json!(later(event["time"].as_str().unwrap(), shifted));
        }
        let server = Server::fresh();
        let tenant = server.tenant("shop");
        // Half of it comes before the definitions, half after.
        let (before, after) = events.split_at(events.len() / 2);
        send_all(&tenant, before);
        define(&tenant, &dir, set);
        send_all(&tenant, after);
        let job = until(std::time::Duration::from_secs(60), || {
            let answer = tenant.post("/v1/attributes/rankings", &json!({}));
            (answer.status == 202).then(|| answer.json())
        });
        tenant.finish_job(&job.unwrap());
        compare(&tenant, &dir, (set, folder), "", shifted);
        server.finish();
    }
}

fn events(dir: &Path, set: &str) -> Vec<Value> {
    match set {
        "cdnow" => sets::cdnow(dir),
        _ => {
            let mut events = sets::online_retail(dir);
            events.extend(sets::online_retail_lines(dir));
            events
        }
    }
}
