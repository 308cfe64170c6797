//! What is no plugin at all, or asks for what no plugin gets: refused while nothing runs.

use crate::build::{Parts, core};
use crate::{Hostile, harmless, refused, row};

pub(crate) fn all() -> Vec<Hostile> {
    let mut all = vec![
        row("nothing", Vec::new(), refused("not_a_component")),
        row("text", b"(component)".to_vec(), refused("not_a_component")),
        row("zip", b"PK\x03\x04 a zip".to_vec(), refused("not_a_component")),
        row("core-module", core("(module)"), refused("not_a_component")),
        row("native-elf", b"\x7fELF\x02\x01\x01 compiled for us".to_vec(), refused("native")),
        row("native-windows", b"MZ\x90\0 compiled for others".to_vec(), refused("native")),
        row("native-mac", b"\xcf\xfa\xed\xfe compiled for others".to_vec(), refused("native")),
        row("cut-off", half(harmless()), refused("invalid")),
        row("other-version", other_version(harmless()), refused("invalid")),
        row("bit-rot", rotten(harmless()), refused("invalid")),
    ];
    let texts = [
        ("shared-memory", "(core module (memory 1 2 shared))", "feature"),
        ("wide-memory", "(core module (memory i64 1))", "feature"),
        ("garbage-collected", "(core module (type (struct (field i32))))", "feature"),
        ("exceptions", "(core module (tag (param i32)))", "feature"),
        ("atomics", "(core module (memory 1) (func (drop (i32.atomic.load (i32.const 0)))))", "feature"),
        (
            "relaxed-vectors",
            "(core module (func (param v128) (drop (i8x16.relaxed_swizzle (local.get 0) (local.get 0)))))",
            "feature",
        ),
        ("ill-typed", "(core module (func (result i32) i64.const 0))", "invalid"),
        ("sockets", r#"(import "wasi:sockets/tcp@0.2.6" (instance))"#, "import"),
        ("outgoing-http", r#"(import "wasi:http/outgoing-handler@0.2.6" (instance))"#, "import"),
        ("key-value", r#"(import "cdp:plugin/kv@1.0.0" (instance))"#, "import"),
        ("sending", r#"(import "cdp:plugin/http@1.0.0" (instance))"#, "import"),
        ("back-door", r#"(import "evil:host/back-door@1.0.0" (instance))"#, "import"),
        ("bare-import", r#"(import "system" (func))"#, "import"),
        ("no-world", "", "no_world"),
    ];
    all.extend(
        texts.map(|(name, text, code)| row(name, core(&format!("(component {text})")), refused(code))),
    );
    for (name, version) in [("newer-contract", "1.3.0"), ("other-contract", "2.0.0")] {
        all.push(row(name, worlds(&["metadata", "transform"], version), refused("version")));
    }
    all.push(row(
        "two-worlds",
        worlds(&["metadata", "transform", "derivation"], "1.0.0"),
        refused("no_world"),
    ));
    all.push(row("half-a-world", worlds(&["transform"], "1.0.0"), refused("no_world")));
    all
}

/// A component that exports empty instances under names of the contract.
fn worlds(interfaces: &[&str], version: &str) -> Vec<u8> {
    let exports: String = interfaces
        .iter()
        .map(|name| format!(r#"(export "cdp:plugin/{name}@{version}" (instance $i))"#))
        .collect();
    core(&format!("(component (instance $i) {exports})"))
}

fn half(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() / 2);
    bytes
}

fn other_version(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[4] = 0x0c;
    bytes
}

/// One that reads like a component until its code is looked at.
fn rotten(bytes: Vec<u8>) -> Vec<u8> {
    let marked = Parts { apply: "(drop (i64.const 0x1122334455)) i32.const 2048", ..Parts::default() };
    let mut marked = marked.component();
    debug_assert!(marked.len() > bytes.len());
    let at = marked.windows(6).position(|part| part == i64_const()).expect("the constant is there");
    // From a constant of 64 bits to one of 32.
    marked[at] = 0x41;
    marked
}

/// `i64.const 0x1122334455`, its first six bytes.
fn i64_const() -> [u8; 6] {
    let mut out = [0x42, 0, 0, 0, 0, 0];
    let mut rest: i64 = 0x11_2233_4455;
    for byte in &mut out[1..] {
        *byte = 0x80 | u8::try_from(rest & 0x7f).unwrap_or(0);
        rest >>= 7;
    }
    out
}
