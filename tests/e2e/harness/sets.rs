//! Public data sets as events, and the answers that were worked out for them elsewhere.
//!
//! They lie outside the repository: in `CDP_SHARED_DATA`, or in `../shared/data` beside it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{root, unpack};

/// Where the data sets are; None, with a line that says so, when they are not here.
pub(crate) fn shared(test: &str) -> Option<PathBuf> {
    let given = std::env::var_os("CDP_SHARED_DATA").map(PathBuf::from);
    let dir = given.unwrap_or_else(|| root().join("../shared/data"));
    if dir.join("expected").is_dir() {
        return Some(dir);
    }
    eprintln!("SKIPPED {test}: no data sets in CDP_SHARED_DATA or ../shared/data");
    None
}

/// A customer's expected row: the cells of the columns that are compared.
pub(crate) type Expected = BTreeMap<String, BTreeMap<&'static str, String>>;

/// The columns that are compared.
pub(crate) const LIFETIME: [&str; 4] = ["order_count", "total_spend", "first_order_at", "last_order_at"];

/// Reads `expected/SET/INSTANT/attributes.csv.gz`.
pub(crate) fn expected(dir: &Path, set: &str, instant: &str) -> Expected {
    let bytes = unpack(&dir.join("expected").join(set).join(instant).join("attributes.csv.gz"));
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let head = reader.headers().unwrap().clone();
    let place = |name: &str| head.iter().position(|column| column == name).unwrap();
    let places = LIFETIME.map(|name| (name, place(name)));
    let customer = place("customer");
    let rows = reader.records().map(|row| {
        let row = row.unwrap();
        let cells = places.iter().map(|&(name, at)| (name, super::http::plain(&row[at]))).collect();
        (row[customer].to_owned(), cells)
    });
    rows.collect()
}

/// Every cell of the expected rows, by customer and column.
pub(crate) type Rows = BTreeMap<String, BTreeMap<String, String>>;

/// Reads all of `expected/SET/INSTANT/attributes.csv.gz`.
pub(crate) fn expected_rows(dir: &Path, set: &str, instant: &str) -> Rows {
    let bytes = unpack(&dir.join("expected").join(set).join(instant).join("attributes.csv.gz"));
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let head = reader.headers().unwrap().clone();
    let rows = reader.records().map(|row| {
        let row = row.unwrap();
        let cells = head.iter().zip(&row).skip(1).map(|(name, cell)| (name.to_owned(), cell.to_owned()));
        (row[0].to_owned(), cells.collect())
    });
    rows.collect()
}

/// Online Retail: one event a line of an invoice: bought, returned, or the stock corrected.
pub(crate) fn online_retail_lines(dir: &Path) -> Vec<Value> {
    let bytes = unpack(&dir.join("online_retail/online_retail.csv.gz"));
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let head = reader.headers().unwrap().clone();
    let place = |name: &str| head.iter().position(|column| column == name).unwrap();
    let [invoice, product, quantity, time, customer] =
        ["invoice", "stock_code", "quantity", "invoice_date", "customer_id"].map(place);
    let mut events = Vec::new();
    for (n, row) in reader.records().enumerate() {
        let row = row.unwrap();
        let count: i64 = row[quantity].parse().unwrap();
        let back = row[invoice].starts_with('C');
        let kind = match (back, count > 0) {
            (true, _) => "Product Returned",
            (false, true) => "Product Purchased",
            (false, false) => "Stock Corrected",
        };
        let who = if row[customer].is_empty() {
            json!({"type": "anonymous_id", "value": format!("till-{}", &row[invoice])})
        } else {
            json!({"type": "customer_id", "value": row[customer]})
        };
        events.push(json!({
            "id": format!("line-{n}"), "source": "online-retail", "type": kind,
            "time": format!("{}.000Z", row[time].replace(' ', "T")), "identifiers": [who],
            "properties": {"product_id": row[product], "quantity": if back { count.abs() } else { count }},
        }));
    }
    events
}

/// CDNOW: one order a purchase, at noon UTC of its day; named by the line it stands on.
pub(crate) fn cdnow(dir: &Path) -> Vec<Value> {
    let text = String::from_utf8(unpack(&dir.join("cdnow/CDNOW_sample.txt.gz"))).unwrap();
    let mut events = Vec::new();
    for (n, line) in (1..).zip(text.lines()) {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [customer, .., day, cds, dollars] = columns.as_slice() else { continue };
        if !customer.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let time = format!("{}-{}-{}T12:00:00.000Z", &day[..4], &day[4..6], &day[6..]);
        let revenue: Decimal = dollars.parse().unwrap();
        events.push(json!({
            "id": format!("cdnow-{n}"), "source": "cdnow", "type": "Order Completed", "time": time,
            "identifiers": [{"type": "customer_id", "value": customer}],
            "properties": {"order_id": format!("cdnow-{n}"), "quantity": cds.parse::<i64>().unwrap(),
                           "revenue": revenue.normalize().to_string(), "currency": "USD"},
        }));
    }
    events
}

/// Online Retail: one event an invoice, at the time of its earliest line; bookkeeping and lines left out.
pub(crate) fn online_retail(dir: &Path) -> Vec<Value> {
    struct Line {
        time: String,
        customer: String,
        country: String,
        total: Decimal,
    }
    let bytes = unpack(&dir.join("online_retail/online_retail.csv.gz"));
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let head = reader.headers().unwrap().clone();
    let place = |name: &str| head.iter().position(|column| column == name).unwrap();
    let [invoice, quantity, time, price, customer, country] =
        ["invoice", "quantity", "invoice_date", "unit_price", "customer_id", "country"].map(place);
    let mut order = Vec::new();
    let mut invoices: HashMap<String, Vec<Line>> = HashMap::new();
    for row in reader.records() {
        let row = row.unwrap();
        let quantity: Decimal = row[quantity].parse().unwrap();
        let price: Decimal = row[price].parse().unwrap();
        let lines = invoices.entry(row[invoice].to_owned()).or_insert_with(|| {
            order.push(row[invoice].to_owned());
            Vec::new()
        });
        lines.push(Line {
            time: row[time].to_owned(),
            customer: row[customer].to_owned(),
            country: row[country].to_owned(),
            total: quantity * price,
        });
    }
    let mut events = Vec::new();
    for invoice in order {
        let mut lines = invoices.remove(&invoice).unwrap();
        lines.sort_by(|a, b| a.time.cmp(&b.time)); // stable: equal times stay in the file's order
        let kind = match invoice.as_bytes()[0] {
            b'A' => continue,
            b'C' => "Order Refunded",
            _ => "Order Completed",
        };
        let total: Decimal = lines.iter().map(|line| line.total).sum();
        let total = if kind == "Order Refunded" { total.abs() } else { total };
        let first = &lines[0];
        let who = if first.customer.is_empty() {
            json!({"type": "anonymous_id", "value": format!("till-{invoice}")})
        } else {
            json!({"type": "customer_id", "value": first.customer})
        };
        events.push(json!({
            "id": format!("or-{invoice}"), "source": "online-retail", "type": kind,
            "time": format!("{}.000Z", first.time.replace(' ', "T")), "identifiers": [who],
            "properties": {"order_id": invoice, "revenue": total.normalize().to_string(), "currency": "GBP",
                           "lines": lines.len(), "country": first.country},
        }));
    }
    events
}
