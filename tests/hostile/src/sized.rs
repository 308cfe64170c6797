//! Too much of something: refused by a parse, before a compiler sees it.

use std::fmt::Write as _;

use crate::build::core;
use crate::{Hostile, refused, row};

pub(crate) fn all() -> Vec<Hostile> {
    let inside = |text: String| core(&format!("(component (core module {text}))"));
    let many = |item: &str, count: usize| inside(item.repeat(count));
    let too_many = |name: &str, component: Vec<u8>| row(name, component, refused("too_many"));
    let numbered = |count: usize, item: fn(usize) -> String| {
        let mut text = String::new();
        for n in 0..count {
            let _ = write!(text, "{}", item(n));
        }
        inside(text)
    };
    vec![
        row("huge-upload", vec![0; (32 << 20) + 1], refused("too_large")),
        too_many("many-functions", many("(func)", 100_000)),
        too_many("huge-function", inside(format!("(func {})", "nop ".repeat((2 << 20) + 16)))),
        too_many(
            "deep-blocks",
            inside(format!("(func {}{})", "block ".repeat(10_000), "end ".repeat(10_000))),
        ),
        too_many("many-memories", many("(memory 1)", 9)),
        too_many("many-tables", many("(table 1 funcref)", 65)),
        too_many("many-types", many("(type (func))", 60_000)),
        too_many("many-globals", many("(global i32 (i32.const 0))", 20_001)),
        too_many(
            "many-segments",
            inside(format!("(memory 1){}", r#"(data (i32.const 0) "x")"#.repeat(50_001))),
        ),
        too_many("many-exports", numbered(50_001, |n| format!(r#"(func (export "{n}"))"#))),
        too_many("many-imports", numbered(20_001, |n| format!(r#"(import "evil" "{n}" (func))"#))),
        too_many("many-modules", core(&format!("(component {})", "(core module)".repeat(65)))),
        too_many("many-custom-sections", many(r#"(@custom "x" "y")"#, 1_001)),
        too_many("many-components", core(&format!("(component {})", "(component)".repeat(65)))),
        too_many("deep-components", core(&format!("{}{}", "(component ".repeat(40), ")".repeat(40)))),
    ]
}
