//! The published contract parses and is the one that was published.

use wit_parser::Resolve;

/// BLAKE3 of `wit/cdp-plugin.wit`. Until 1.0 of the server is published, change it in the same commit as the file and
/// say why there; from then on neither changes again (see `wit/README.md`).
const CONTRACT: &str = "e061d68a8a48a49391798837b0a0e9020a88768b69851fd8d7ce18addf52ac61";

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/cdp-plugin.wit");

#[test]
fn the_contract_is_the_pinned_one() {
    let digest = cdp_runtime::Digest::of(&std::fs::read(PATH).unwrap());
    assert_eq!(digest.to_string(), CONTRACT, "wit/README.md says how the contract may change");
}

#[test]
fn the_contract_has_its_five_worlds() {
    let mut resolve = Resolve::default();
    let package = resolve.push_path(PATH).unwrap().0;
    let package = &resolve.packages[package];
    assert_eq!(package.name.to_string(), "cdp:plugin@1.0.0");
    let worlds: Vec<&str> = package.worlds.keys().map(String::as_str).collect();
    assert_eq!(worlds, ["transformer", "deriver", "deriver-plus", "connector-plan", "connector-io"]);
}
