//! The corpus of every target holds.

use std::fs;
use std::path::Path;

#[test]
fn every_input_that_was_kept_holds() {
    for (name, target) in cdp_fuzz::TARGETS {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut inputs = 0;
        for entry in fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
            let path = entry.unwrap().path();
            let data = fs::read(&path).unwrap();
            let held = std::panic::catch_unwind(|| target(&data));
            assert!(held.is_ok(), "{} breaks {name}", path.display());
            inputs += 1;
        }
        assert!(inputs >= 20, "{name} has a corpus of {inputs} inputs");
    }
}
