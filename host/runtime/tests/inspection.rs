//! What is no acceptable component is refused before anything of it runs, with every reason.

#![expect(clippy::unwrap_used, reason = "this whole target is tests")]

mod support;

use cdp_runtime::{Error, Refusal, World};
use support::{guest, runtime};

fn codes(bytes: &[u8]) -> Vec<&'static str> {
    let refusals = runtime().inspect(bytes).expect_err("it must be refused");
    assert!(matches!(runtime().prepare(bytes), Err(Error::Refused(again)) if again == refusals));
    refusals.iter().map(Refusal::code).collect()
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[test]
fn a_good_component_is_described() {
    let found = runtime().inspect(&guest("country_code")).unwrap();
    assert_eq!(found.world, World::Transformer);
    assert!(found.exports.iter().any(|name| name == "cdp:plugin/transform@1.0.0"), "{found:?}");
    assert!(found.functions > 10 && found.modules >= 1 && found.memories >= 1, "{found:?}");
}

#[test]
fn a_core_module_is_refused() {
    assert_eq!(codes(&wat("(module)")), ["not_a_component"]);
}

#[test]
fn text_and_garbage_are_refused() {
    assert_eq!(codes(b""), ["not_a_component"]);
    assert_eq!(codes(b"(component)"), ["not_a_component"]);
    assert_eq!(codes(b"PK\x03\x04 a zip"), ["not_a_component"]);
}

#[test]
fn machine_code_is_refused() {
    assert_eq!(codes(b"\x7fELF\x02\x01\x01 whatever"), ["native"]);
}

#[test]
fn a_truncated_component_is_refused() {
    let whole = guest("country_code");
    for end in [8, 9, 100, whole.len() / 2, whole.len() - 1] {
        let refusals = runtime().inspect(&whole[..end]).unwrap_err();
        assert!(!refusals.is_empty(), "{end}");
    }
}

#[test]
fn no_flipped_byte_makes_inspection_panic() {
    let whole = guest("country_code");
    for at in (0..whole.len()).step_by(whole.len() / 60) {
        let mut bad = whole.clone();
        bad[at] ^= 0x41;
        _ = runtime().inspect(&bad);
    }
}

#[test]
fn a_component_that_is_too_large_is_refused() {
    assert_eq!(codes(&vec![0; (32 << 20) + 1]), ["too_large"]);
}

#[test]
fn imports_beyond_the_world_are_refused_each() {
    let bytes = wat(r#"(component
        (import "wasi:sockets/tcp@0.2.6" (instance))
        (import "wasi:http/outgoing-handler@0.2.6" (instance))
        (import "cdp:plugin/kv@1.0.0" (instance))
        (import "wasi:cli/environment@0.2.6" (instance)))"#);
    assert_eq!(codes(&bytes), ["no_world", "import", "import", "import"]);
}

#[test]
fn threads_and_shared_memory_are_refused() {
    let shared = wat("(component (core module (memory 1 2 shared)))");
    assert_eq!(codes(&shared), ["feature", "no_world"]);
    let wide = wat("(component (core module (memory i64 1)))");
    assert_eq!(codes(&wide), ["feature", "no_world"]);
    let collected = wat("(component (core module (type (struct (field i32)))))");
    assert_eq!(codes(&collected), ["feature", "no_world"]);
}

#[test]
fn other_worlds_and_newer_contracts_are_refused_as_such() {
    let bytes = wat(r#"(component
        (instance $i) (export "cdp:plugin/metadata@1.0.0" (instance $i)) (export "cdp:plugin/connector@1.0.0" (instance $i)))"#);
    assert_eq!(runtime().inspect(&bytes).unwrap().world, World::ConnectorPlan);
    let refused = runtime().prepare_deriver(&guest("country_code"));
    assert!(matches!(refused, Err(Error::World { found: "transformer", wanted: "deriver" })), "{refused:?}");
    let bytes = wat(r#"(component
        (instance $i) (export "cdp:plugin/metadata@1.3.0" (instance $i)) (export "cdp:plugin/transform@1.3.0" (instance $i)))"#);
    assert_eq!(codes(&bytes), ["version", "version"]);
}

#[test]
fn too_many_memories_are_refused() {
    let memories = "(memory 1)".repeat(9);
    assert_eq!(codes(&wat(&format!("(component (core module {memories}))"))), ["too_many"]);
}

#[test]
fn an_export_of_another_type_does_not_link() {
    let bytes = wat(r#"(component
        (core module $m (func (export "f")))
        (core instance $c (instantiate $m))
        (func $f (canon lift (core func $c "f")))
        (instance $meta (export "describe" (func $f)) (export "check-config" (func $f)))
        (instance $transform (export "apply" (func $f)))
        (export "cdp:plugin/metadata@1.0.0" (instance $meta))
        (export "cdp:plugin/transform@1.0.0" (instance $transform)))"#);
    runtime().inspect(&bytes).unwrap();
    assert!(matches!(runtime().prepare(&bytes), Err(Error::Link(_))), "{:?}", runtime().prepare(&bytes));
}
