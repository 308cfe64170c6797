//! Other hosts doing the work of `cdp bench plugin`, on the same orders.
//!
//! `peers FILE ROUNDS SLICE_MS`: FILE has an order as JSON a line. Prints the figures as JSON, in the form that the bench reads.
//! Each host gets and gives whole orders, as it does in its own documentation: Extism JSON text, QuickJS objects made from the
//! parsed event. Neither runs under a limit of memory or time, which flatters them.

#[cfg(feature = "extism")]
mod extism_host;
mod quickjs;

use std::error::Error;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// One way, and what does the n-th batch of it.
struct Case {
    way: String,
    batch: usize,
    go: Box<dyn FnMut(usize)>,
    rounds: Vec<f64>,
}

impl Case {
    fn new(way: &str, batch: usize, go: impl FnMut(usize) + 'static) -> Self {
        Self { way: way.to_owned(), batch, go: Box::new(go), rounds: Vec::new() }
    }
}

/// What an order comes to: None drops it. The same as in the bench.
fn expected(order: &Value) -> Option<&'static str> {
    let properties = &order["properties"];
    if properties["lines"] == 0 {
        return None;
    }
    let rate = match properties["currency"].as_str() {
        Some("GBP") => 1.17,
        Some("USD") => 0.92,
        _ => 1.0,
    };
    let home = if properties["country"] == "United Kingdom" { 1.0 } else { 0.9 };
    let worth = properties["total"].as_f64()? * rate * home;
    Some(if worth >= 200.0 { "high" } else if worth >= 50.0 { "mid" } else { "low" })
}

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, rounds, slice_ms] = arguments.as_slice() else { return Err("usage: peers FILE ROUNDS SLICE_MS".into()) };
    let (rounds, slice) = (rounds.parse::<u32>()?, Duration::from_millis(slice_ms.parse()?));
    let texts: Vec<String> = std::fs::read_to_string(file)?.lines().map(str::to_owned).collect();
    let orders: Vec<Value> = texts.iter().map(|text| serde_json::from_str(text)).collect::<Result<_, _>>()?;
    let mut cases = quickjs::cases(&texts, &orders)?;
    #[cfg(feature = "extism")]
    cases.extend(extism_host::cases(&texts, &orders)?);
    for round in 0..=rounds {
        for case in &mut cases {
            let (mut calls, started) = (0, Instant::now());
            while started.elapsed() < slice {
                (case.go)(calls);
                calls += 1;
            }
            let ns = started.elapsed().as_secs_f64() * 1e9 / (calls * case.batch) as f64;
            if round > 0 {
                case.rounds.push(ns);
            }
        }
    }
    let figures: Vec<Value> = cases
        .iter_mut()
        .map(|case| {
            case.rounds.sort_by(f64::total_cmp);
            let median = case.rounds[case.rounds.len() / 2];
            json!({"way": case.way, "batch": case.batch, "ns_per_event": median,
                "ns_min": case.rounds.first(), "ns_max": case.rounds.last()})
        })
        .collect();
    println!("{}", Value::from(figures));
    Ok(())
}
