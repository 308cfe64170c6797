//! What passes inspection and fails when it is prepared.

use crate::build::{Parts, core};
use crate::{Hostile, row, unfit};

/// A descriptor at this address: name, version, and (field pointer and length of) reads and writes.
const LONG_LIST: &str = "
    (i32.store (i32.const 1024) (i32.const 512)) (i32.store (i32.const 1028) (i32.const 4))
    (i32.store (i32.const 1048) (i32.const 65536)) (i32.store (i32.const 1052) (i32.const 1000))
    (local.set $at (i32.const 65536))
    (loop $next
        (i32.store (local.get $at) (i32.const 131072))
        (i32.store offset=4 (local.get $at) (i32.const 1048576))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $next (i32.lt_u (local.get $at) (i32.const 73536))))
    i32.const 1024";

pub(crate) fn all() -> Vec<Hostile> {
    let describe = |name: &str, body: &str, how: &str| {
        row(name, Parts { describe: body, ..Parts::default() }.component(), unfit(how))
    };
    let more = |name: &str, more: &str, how: &str| {
        row(name, Parts { more, ..Parts::default() }.component(), unfit(how))
    };
    let memories = |name: &str, memories: &str, how: &str| {
        row(name, Parts { memories, ..Parts::default() }.component(), unfit(how))
    };
    vec![
        describe("describes-by-trapping", "unreachable", "describe:trapped"),
        describe("describes-for-ever", "(loop $again (br $again)) unreachable", "describe:fuel"),
        describe("describes-out-of-bounds", "i32.const 0x7ffffff0", "describe:contract"),
        describe("describes-askew", "i32.const 1026", "describe:contract"),
        describe(
            "describes-without-bytes",
            "(i32.store (i32.const 1028) (i32.const 0x7fffffff)) i32.const 1024",
            "describe:contract",
        ),
        describe(
            "describes-in-no-encoding",
            "(i32.store (i32.const 1024) (i32.const 529)) (i32.store (i32.const 1028) (i32.const 1)) i32.const 1024",
            "describe:contract",
        ),
        describe(
            "describes-with-a-bad-name",
            "(i32.store (i32.const 1024) (i32.const 521)) (i32.store (i32.const 1028) (i32.const 8)) i32.const 1024",
            "descriptor",
        ),
        describe(
            "wants-to-write-the-id",
            "(i32.store (i32.const 1064) (i32.const 4096)) (i32.store (i32.const 1068) (i32.const 1))
             (i32.store (i32.const 4096) (i32.const 530)) (i32.store (i32.const 4100) (i32.const 3)) i32.const 1024",
            "descriptor",
        ),
        row(
            "says-the-same-megabyte-a-thousand-times",
            Parts {
                memories: r#"(memory (export "memory") 32)"#,
                describe: &format!("(local $at i32) {LONG_LIST}"),
                ..Parts::default()
            }
            .component(),
            unfit("describe:output"),
        ),
        more("start-traps", "(func $start unreachable) (start $start)", "describe:trapped"),
        more("start-loops", "(func $start (loop $again (br $again))) (start $start)", "describe:fuel"),
        more(
            "start-grows",
            "(func $start (loop $again (drop (memory.grow (i32.const 16))) (br $again))) (start $start)",
            "describe:memory",
        ),
        more("data-out-of-bounds", r#"(data (i32.const 0x7ffffff0) "x")"#, "describe:trapped"),
        more("starts-with-a-huge-table", "(table 3000000 funcref)", "compile"),
        memories("starts-with-a-huge-memory", r#"(memory (export "memory") 20000)"#, "compile"),
        memories(
            "starts-with-many-memories",
            &format!(r#"(memory (export "memory") 2) {}"#, "(memory 200)".repeat(7)),
            "describe:memory",
        ),
        row("other-types", other_types(), unfit("link")),
        row("asks-the-log-to-read", reads_the_log(), unfit("link")),
    ]
}

/// Exports the names of the contract with other types.
fn other_types() -> Vec<u8> {
    core(
        r#"(component
        (core module $m (func (export "f")))
        (core instance $c (instantiate $m))
        (func $f (canon lift (core func $c "f")))
        (instance $meta (export "describe" (func $f)) (export "check-config" (func $f)))
        (instance $transform (export "apply" (func $f)))
        (export "cdp:plugin/metadata@1.0.0" (instance $meta))
        (export "cdp:plugin/transform@1.0.0" (instance $transform)))"#,
    )
}

/// Imports a function that the host does not have, from an interface that it has.
fn reads_the_log() -> Vec<u8> {
    core(
        r#"(component
        (import "cdp:plugin/log@1.0.0" (instance $log (export "read" (func (result string)))))
        (core module $m (func (export "f")))
        (core instance $c (instantiate $m))
        (func $f (canon lift (core func $c "f")))
        (instance $meta (export "describe" (func $f)) (export "check-config" (func $f)))
        (instance $transform (export "apply" (func $f)))
        (export "cdp:plugin/metadata@1.0.0" (instance $meta))
        (export "cdp:plugin/transform@1.0.0" (instance $transform)))"#,
    )
}
