//! Components of other toolchains: what they import, and that they load and describe themselves.
//!
//! `CDP_FOREIGN_GUESTS` names a directory with components; without it there is nothing to do.

#![expect(clippy::unwrap_used, reason = "this whole target is tests")]

use std::time::{Duration, Instant};

use cdp_runtime::{CacheUse, Digest, Options, Plugin, Runtime};

#[test]
fn components_of_other_toolchains_load_and_describe_themselves() {
    let Some(dir) = std::env::var_os("CDP_FOREIGN_GUESTS") else {
        eprintln!("CDP_FOREIGN_GUESTS is not set: no components of other toolchains");
        return;
    };
    let cache = tempfile::tempdir().unwrap();
    let options = || Options { cache_dir: Some(cache.path().to_owned()), ..Options::default() };
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "wasm") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let runtime = Runtime::new(options()).unwrap();
        let inspection = match runtime.inspect(&bytes) {
            Ok(inspection) => inspection,
            Err(refusals) => {
                eprintln!("{name}: refused: {refusals:?}");
                continue;
            }
        };
        let started = Instant::now();
        let cold = runtime.load_file(&path, Digest::of(&bytes)).unwrap();
        let cold_took = started.elapsed();
        drop(cold);
        let runtime = Runtime::new(options()).unwrap();
        let without = resident();
        let started = Instant::now();
        let warm = runtime.load_file(&path, Digest::of(&bytes)).unwrap();
        let warm_took = started.elapsed();
        let loaded = resident();
        // What coming back from the cache takes when nothing is to be found out any more.
        assert_eq!(runtime.rest(Duration::ZERO), 1);
        let idle = resident();
        let started = Instant::now();
        _ = warm.check_config("{}").unwrap();
        let again = started.elapsed();
        let started = Instant::now();
        _ = warm.check_config("{}").unwrap();
        let fresh = started.elapsed();
        let (world, cache_use, kept) = match &warm {
            Plugin::Transformer(plugin) => {
                ("transformer", Some(plugin.cache_use()), Some(plugin.keeps_instances()))
            }
            Plugin::Deriver(plugin) => ("deriver", Some(plugin.cache_use()), None),
            other => (other.world().name(), None, None),
        };
        assert!(cache_use.is_none_or(|cache_use| cache_use == CacheUse::Loaded), "{name}: {cache_use:?}");
        eprintln!(
            "{name}: {world} {:?}, {} bytes, {} functions, {} types; imports {:?}; cold {cold_took:?}, from the \
             cache with describing {warm_took:?}, back from the cache with one call {again:?}, one call in a fresh \
             instance {fresh:?}, kept: {kept:?}; resident KiB without {without}, loaded {loaded}, idle {idle}",
            warm.descriptor().name,
            inspection.bytes,
            inspection.functions,
            inspection.types,
            inspection.imports,
        );
    }
}

/// Memory of this process that is in use, in KiB.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
