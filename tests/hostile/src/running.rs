//! What is taken, and misbehaves when it is asked about events.

use crate::build::{BUMP, Parts};
use crate::{Expected, Hostile, fault, row};

/// Imports the log's `write`.
const LOG: &str = r#"(import "cdp:plugin/log@1.0.0" "write" (func $log (param i32 i32 i32)))"#;

/// A list of so many reasons at 65,536, each the same megabyte, in an outcome at 2,048.
const SAME_MEGABYTE: &str = "
    (local $at i32)
    (i32.store (i32.const 2056) (i32.const 65536)) (i32.store (i32.const 2060) (i32.const 1000))
    (local.set $at (i32.const 65536))
    (loop $next
        (i32.store offset=4 (local.get $at) (i32.const 131072))
        (i32.store offset=8 (local.get $at) (i32.const 1048576))
        (local.set $at (i32.add (local.get $at) (i32.const 12)))
        (br_if $next (i32.lt_u (local.get $at) (i32.const 77536))))
    i32.const 2048";

pub(crate) fn all() -> Vec<Hostile> {
    let mut all = applying();
    all.extend(allocating());
    all.extend(growing());
    all
}

/// Misdeeds of `apply`.
fn applying() -> Vec<Hostile> {
    let apply = |name: &str, apply: &str, expected: Expected| {
        row(name, Parts { apply, ..Parts::default() }.component(), expected)
    };
    let logging = |name: &str, apply: &str, expected: Expected| {
        row(name, Parts { imports: LOG, apply, ..Parts::default() }.component(), expected)
    };
    vec![
        apply("loops", "(loop $again (br $again)) unreachable", fault("fuel")),
        apply("traps", "unreachable", fault("trapped")),
        apply("divides-by-zero", "(i32.div_u (i32.const 1) (i32.const 0))", fault("trapped")),
        apply("reads-beyond-memory", "(i32.load (i32.const 0x7ffffff0))", fault("trapped")),
        apply("answers-out-of-bounds", "i32.const 0x7ffffff0", fault("contract")),
        apply("answers-askew", "i32.const 2050", fault("contract")),
        apply(
            "answers-a-list-of-four-billion",
            "(i32.store (i32.const 2056) (i32.const 8)) (i32.store (i32.const 2060) (i32.const -1)) i32.const 2048",
            fault("contract"),
        ),
        apply(
            "answers-an-unknown-decision",
            "(i32.store (i32.const 2048) (i32.const 4096)) (i32.store (i32.const 2052) (i32.const 1))
             (i32.store8 (i32.const 4096) (i32.const 9)) i32.const 2048",
            fault("contract"),
        ),
        row(
            "answers-the-same-megabyte-a-thousand-times",
            Parts {
                memories: r#"(memory (export "memory") 32)"#,
                apply: SAME_MEGABYTE,
                ..Parts::default()
            }
            .component(),
            fault("output"),
        ),
        row(
            "recurses",
            Parts {
                more: "(func $deep (param i64) (result i64) (i64.add (local.get 0) (call $deep (i64.add (local.get 0) (i64.const 1)))))",
                apply: "(drop (call $deep (i64.const 0))) i32.const 2048",
                ..Parts::default()
            }
            .component(),
            fault("trapped"),
        ),
        row(
            "calls-nobody",
            Parts {
                more: "(table $t 1 funcref) (type $f (func))",
                apply: "(call_indirect $t (type $f) (i32.const 0)) i32.const 2048",
                ..Parts::default()
            }
            .component(),
            fault("trapped"),
        ),
        row(
            "remembers",
            Parts {
                more: "(global $calls (mut i32) (i32.const 0))",
                apply: "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
                    (if (i32.gt_u (global.get $calls) (i32.const 1)) (then unreachable)) i32.const 2048",
                ..Parts::default()
            }
            .component(),
            Expected::Harmless,
        ),
        logging(
            "logs-for-ever",
            "(loop $again (call $log (i32.const 2) (i32.const 512) (i32.const 4)) (br $again)) unreachable",
            fault("fuel"),
        ),
        logging(
            "logs-in-no-encoding",
            "(call $log (i32.const 2) (i32.const 529) (i32.const 1)) i32.const 2048",
            fault("contract"),
        ),
        logging(
            "logs-beyond-memory",
            "(call $log (i32.const 2) (i32.const 0) (i32.const 0x7fffffff)) i32.const 2048",
            fault("contract"),
        ),
        logging(
            "logs-at-no-level",
            "(call $log (i32.const 77) (i32.const 512) (i32.const 4)) i32.const 2048",
            fault("contract"),
        ),
        row(
            "takes-handles",
            Parts {
                imports: r#"(import "wasi:cli/stdout@0.2.6" "get-stdout" (func $stdout (result i32)))"#,
                apply: "(loop $again (drop (call $stdout)) (br $again)) unreachable",
                ..Parts::default()
            }
            .with_wasi(),
            fault("trapped"),
        ),
    ]
}

/// Misdeeds of `cabi_realloc`, which the host calls while it hands rows over.
fn allocating() -> Vec<Hostile> {
    let realloc = |name: &str, realloc: &str, expected: Expected| {
        row(name, Parts { realloc, ..Parts::default() }.component(), expected)
    };
    let logs = format!("(call $log (i32.const 2) (i32.const 512) (i32.const 4)) {BUMP}");
    // Locals come first.
    let logs = logs.replacen("(local $at i32)", "", 1);
    let logs = format!("(local $at i32) {logs}");
    vec![
        realloc("allocates-by-trapping", "unreachable", fault("trapped")),
        realloc("allocates-for-ever", "(loop $again (br $again)) unreachable", fault("fuel")),
        realloc("allocates-beyond-memory", "i32.const 0x7ffffff0", fault("contract")),
        realloc("allocates-askew", "i32.const 8193", fault("contract")),
        row(
            "allocates-and-calls-back",
            Parts { imports: LOG, realloc: &logs, ..Parts::default() }.component(),
            fault("trapped"),
        ),
    ]
}

/// Memory and tables.
fn growing() -> Vec<Hostile> {
    let seven = "(memory 1)".repeat(7);
    let memories = format!(r#"(memory (export "memory") 2) {seven}"#);
    let each: String = (1..8).map(|n| format!("(drop (memory.grow {n} (i32.const 200)))")).collect();
    vec![
        row(
            "grows-one-memory",
            Parts {
                apply: "(loop $again (drop (memory.grow (i32.const 1))) (br $again)) unreachable",
                ..Parts::default()
            }
            .component(),
            fault("memory"),
        ),
        row(
            "grows-many-memories",
            Parts {
                memories: &memories,
                apply: &format!("(loop $again {each} (br $again)) unreachable"),
                ..Parts::default()
            }
            .component(),
            fault("memory"),
        ),
        row(
            "grows-a-table",
            Parts {
                more: "(table $t 1 funcref)",
                apply: "(loop $again (drop (table.grow $t (ref.null func) (i32.const 100))) (br $again)) unreachable",
                ..Parts::default()
            }
            .component(),
            fault("memory"),
        ),
        row(
            "fills-memory-again-and-again",
            Parts {
                memories: r#"(memory (export "memory") 160)"#,
                apply: "(loop $again (memory.fill (i32.const 65536) (i32.const 1) (i32.const 10000000)) (br $again)) unreachable",
                ..Parts::default()
            }
            .component(),
            fault("fuel"),
        ),
    ]
}
