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

/// The one file of a kind: `compiled` is the machine code, `told` what the component said of itself.
fn only(kind: &str, dir: &Path) -> PathBuf {
    let files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut of_kind = files.iter().filter(|file| file.extension().is_some_and(|ending| ending == kind));
    let found = of_kind.next().unwrap_or_else(|| panic!("no {kind} in {files:?}"));
    assert!(of_kind.next().is_none(), "{files:?}");
    found.clone()
}

/// Puts other bytes in a file's place, as whoever replaces it does: what is loaded from the old one keeps it.
fn replace(file: &Path, bytes: &[u8]) {
    let beside = file.with_extension("new");
    std::fs::write(&beside, bytes).unwrap();
    std::fs::rename(&beside, file).unwrap();
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
    let file = only("compiled", dir.path());
    let genuine = std::fs::read(&file).unwrap();
    for at in [0, 10, 1000, genuine.len() - 100, genuine.len() - 41, genuine.len() - 38, genuine.len() - 1] {
        let mut bad = genuine.clone();
        bad[at] ^= 1;
        replace(&file, &bad);
        assert_eq!(prepare(dir.path(), 1), CacheUse::Stored, "byte {at}");
    }
    for length in [0, 20, 41, genuine.len() - 1] {
        replace(&file, &genuine[..length]);
        assert_eq!(prepare(dir.path(), 1), CacheUse::Stored, "{length} bytes");
    }
}

#[test]
fn what_is_written_is_not_written_again() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path(), 1);
    for kind in ["compiled", "told"] {
        let mode = std::fs::metadata(only(kind, dir.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o400, "{kind}");
    }
}

/// A plugin that somebody replaces the machine code of runs on as it was.
#[test]
fn a_file_that_is_replaced_changes_nothing_that_runs() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path(), 1);
    let options =
        Options { cache_dir: Some(dir.path().to_owned()), cache_key: [1; 32], ..Options::default() };
    let plugin = Runtime::new(options).unwrap().prepare(&guest("misbehave")).unwrap();
    assert_eq!(plugin.cache_use(), CacheUse::Loaded);
    let file = only("compiled", dir.path());
    replace(&file, &vec![0xcc; std::fs::read(&file).unwrap().len()]);
    alone(&plugin, "ok").unwrap();
    std::fs::remove_file(&file).unwrap();
    alone(&plugin, "ok").unwrap();
}

/// What a component says of itself is asked again where what was kept is not genuine, and never believed.
#[test]
fn a_forged_descriptor_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let options = |key: u8| {
        let (cache_dir, cache_key) = (Some(dir.path().to_owned()), [key; 32]);
        Runtime::new(Options { cache_dir, cache_key, ..Options::default() }).unwrap()
    };
    let component = guest("misbehave");
    let told = options(1).prepare(&component).unwrap().descriptor().clone();
    let file = only("told", dir.path());
    let genuine = std::fs::read(&file).unwrap();
    assert_eq!(*options(1).prepare(&component).unwrap().descriptor(), told, "read back");
    // A name of another length at the same place would parse: only the digest speaks against it.
    let at = genuine.windows(told.name.len()).position(|some| some == told.name.as_bytes()).unwrap();
    let mut forged = genuine.clone();
    forged[at] ^= 1;
    for bad in [&forged[..], &genuine[..genuine.len() - 1], &genuine[..6], &[]] {
        replace(&file, bad);
        assert_eq!(*options(1).prepare(&component).unwrap().descriptor(), told);
        assert_eq!(std::fs::read(&file).unwrap(), genuine, "it is kept anew");
    }
    assert_eq!(*options(2).prepare(&component).unwrap().descriptor(), told, "of another key");
    assert_ne!(std::fs::read(&file).unwrap(), genuine);
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
    let file = only("compiled", dir.path());
    let genuine = std::fs::read(&file).unwrap();
    let bits = genuine.len() as u64 * 8;
    // Behind it stand 16 random bytes, 32 of the digest and the magic.
    let code = genuine.len() - 16 - 32 - 6;
    for flip in 0..flips {
        // Spread over the file, from its first bit to its last, with a step that hits every bit of a byte.
        let bit = flip * (bits - 1) / (flips - 1);
        let mut bad = genuine.clone();
        bad[usize::try_from(bit / 8).unwrap()] ^= 1 << (bit % 8);
        replace(&file, &bad);
        assert_eq!(runtime.prepare(&component).unwrap().cache_use(), CacheUse::Stored, "bit {bit}");
        let anew = std::fs::read(&file).unwrap();
        assert_eq!(anew.len(), genuine.len(), "bit {bit}");
        assert!(anew[..code] == genuine[..code], "bit {bit}: the same machine code was made anew");
        assert!(anew[code..] != genuine[code..], "bit {bit}: each file is signed with a key of its own");
    }
}

#[test]
fn machine_code_is_no_upload() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path(), 1);
    let file = std::fs::read(only("compiled", dir.path())).unwrap();
    let runtime = Runtime::new(Options::default()).unwrap();
    let refused = |bytes: &[u8]| runtime.inspect(bytes).unwrap_err().remove(0).code();
    assert_eq!(refused(&file), "native");
}
