//! Compiled components are kept, and trusted only when they are genuine.

#![expect(clippy::unwrap_used, reason = "this whole target is tests")]

mod support;

use std::path::{Path, PathBuf};

use cdp_runtime::{CacheUse, Options, Runtime};
use support::{alone, guest};

fn prepare(dir: &Path, key: u8) -> CacheUse {
    let options = Options { cache_dir: Some(dir.to_owned()), cache_key: [key; 32], ..Options::default() };
    let plugin = Runtime::new(options).unwrap().prepare(&guest("misbehave")).unwrap();
    alone(&plugin, "ok").unwrap();
    plugin.cache_use()
}

fn only_file(dir: &Path) -> PathBuf {
    let files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn a_compiled_component_is_loaded_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(prepare(dir.path(), 1), CacheUse::Stored);
    assert_eq!(prepare(dir.path(), 1), CacheUse::Loaded);
}

#[test]
fn a_file_of_another_key_is_not_loaded() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(prepare(dir.path(), 1), CacheUse::Stored);
    assert_eq!(prepare(dir.path(), 2), CacheUse::Stored);
    assert_eq!(prepare(dir.path(), 2), CacheUse::Loaded);
}

#[test]
fn a_flipped_byte_or_a_cut_end_means_compiling_anew() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path(), 1);
    let file = only_file(dir.path());
    let genuine = std::fs::read(&file).unwrap();
    for at in [0, 10, 38, 1000, genuine.len() - 1] {
        let mut bad = genuine.clone();
        bad[at] ^= 1;
        std::fs::write(&file, bad).unwrap();
        assert_eq!(prepare(dir.path(), 1), CacheUse::Stored, "byte {at}");
    }
    std::fs::write(&file, &genuine[..20]).unwrap();
    assert_eq!(prepare(dir.path(), 1), CacheUse::Stored);
}

#[test]
fn a_cache_that_cannot_be_written_costs_only_time() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { cache_dir: Some(dir.path().to_owned()), ..Options::default() };
    let runtime = Runtime::new(options).unwrap();
    std::fs::remove_dir(dir.path()).unwrap();
    assert_eq!(runtime.prepare(&guest("misbehave")).unwrap().cache_use(), CacheUse::Compiled);
}

/// `CDP_FLIPS` random bits, or 1,000, each in a file of its own that is genuine but for that bit.
#[test]
fn of_a_thousand_flipped_bits_none_is_loaded() {
    let flips: u64 = std::env::var("CDP_FLIPS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
    let dir = tempfile::tempdir().unwrap();
    let component = cdp_hostile::harmless();
    let options = Options { cache_dir: Some(dir.path().to_owned()), ..Options::default() };
    let runtime = Runtime::new(options).unwrap();
    assert_eq!(runtime.prepare(&component).unwrap().cache_use(), CacheUse::Stored);
    assert_eq!(runtime.prepare(&component).unwrap().cache_use(), CacheUse::Loaded, "unless it is flipped");
    let file = only_file(dir.path());
    let genuine = std::fs::read(&file).unwrap();
    let bits = genuine.len() as u64 * 8;
    for flip in 0..flips {
        // Spread over the file, from its first bit to its last, with a step that hits every bit of a byte.
        let bit = flip * (bits - 1) / (flips - 1);
        let mut bad = genuine.clone();
        bad[usize::try_from(bit / 8).unwrap()] ^= 1 << (bit % 8);
        std::fs::write(&file, bad).unwrap();
        assert_eq!(runtime.prepare(&component).unwrap().cache_use(), CacheUse::Stored, "bit {bit}");
        assert_eq!(std::fs::read(&file).unwrap(), genuine, "bit {bit}: the same machine code was made anew");
    }
}

#[test]
fn machine_code_is_no_upload() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path(), 1);
    let file = std::fs::read(only_file(dir.path())).unwrap();
    let runtime = Runtime::new(Options::default()).unwrap();
    let refused = |bytes: &[u8]| runtime.inspect(bytes).unwrap_err().remove(0).code();
    assert_eq!(refused(&file[38..]), "native");
    assert_eq!(refused(&file), "not_a_component");
}
