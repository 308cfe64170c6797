//! What calls cost, version beside version: time, its spread, fuel and memory.

use std::collections::BTreeMap;

use cdp_console::blocks::{Block, Section, Tone, Width};
use cdp_console::chart::{Bars, Stack, thousands};
use cdp_engine::derivations::Health;
use cdp_engine::plugins::PluginInfo;

use super::super::show;

/// Versions that are drawn, the newest that were called.
const DRAWN_MAX: usize = 6;

/// The versions that were called, newest first.
fn called(info: &PluginInfo) -> Vec<(u32, &Health)> {
    let called = info.health.iter().rev().filter(|(_, health)| health.calls > 0);
    called.take(DRAWN_MAX).map(|(version, health)| (*version, health)).collect()
}

/// Bars of a number of each version.
fn bars(
    info: &PluginInfo,
    called: &[(u32, &Health)],
    of: impl Fn(&Health) -> u64,
    words: impl Fn(u64) -> String,
) -> Block {
    let active = info.active.as_ref().map(|active| active.version);
    let items = called.iter().map(|(version, health)| {
        let tone = if active == Some(*version) { Tone::Accent } else { Tone::Plain };
        (format!("version {version}"), of(health), tone)
    });
    let mut bars = Bars::of("", None, items.collect());
    for (bar, (_, health)) in bars.items.iter_mut().zip(called) {
        bar.value = words(of(health));
    }
    Block::Bars(bars)
}

/// How calls of the version that runs and of the newest other one are spread over time.
fn spread(info: &PluginInfo, called: &[(u32, &Health)]) -> Option<Section> {
    let active = info.active.as_ref().map(|active| active.version);
    let runs = called.iter().find(|(version, _)| active == Some(*version));
    let other = called.iter().find(|(version, _)| active != Some(*version));
    let drawn: Vec<_> = [(runs, "the version that runs", "one"), (other, "the newest other version", "two")]
        .into_iter()
        .filter_map(|(found, name, class)| Some((found?, name, class)))
        .collect();
    let mut columns = BTreeMap::<u64, Vec<u64>>::new();
    for (n, ((_, health), ..)) in drawn.iter().enumerate() {
        for (bound, calls) in &health.call_us_counts {
            columns.entry(*bound).or_insert_with(|| vec![0; drawn.len()])[n] = *calls;
        }
    }
    if columns.is_empty() {
        return None;
    }
    let columns: Vec<_> =
        columns.into_iter().map(|(bound, calls)| (format!("≤ {} µs", thousands(bound)), calls)).collect();
    let names = drawn.iter().map(|(_, name, class)| (*name, *class)).collect();
    let stack = Stack::of("Calls by how long they took", names, &columns);
    let versions: Vec<_> =
        drawn.iter().map(|((version, _), name, _)| format!("{name}: version {version}")).collect();
    let section = Section::new("spread", "How long calls take", vec![Block::Stack(stack)]);
    Some(section.note(format!("of each its newest calls; {}", versions.join(", "))).width(Width::Half))
}

/// The drawings; none before anything was called.
pub(super) fn sections(info: &PluginInfo) -> Vec<Section> {
    let called = called(info);
    if called.is_empty() {
        return Vec::new();
    }
    let us = |us: u64| format!("{} µs", thousands(us));
    let each = |health: &Health| health.fuel / health.rows.max(1);
    let blocks = vec![
        Block::Text("A call, half of them within".to_owned()),
        bars(info, &called, |health| health.call_us_p50, us),
        Block::Text("99 of 100 calls within".to_owned()),
        bars(info, &called, |health| health.call_us_p99, us),
        Block::Text("Fuel for an event or state".to_owned()),
        bars(info, &called, each, thousands),
        Block::Text("Memory of a call, at most".to_owned()),
        bars(info, &called, |health| health.memory_bytes_peak as u64, show::bytes),
    ];
    let cost = Section::new("cost", "What versions cost", blocks);
    let mut sections = vec![cost.note("since the server started").width(Width::Half)];
    sections.extend(spread(info, &called));
    sections
}
