//! Transformers from the text of a core module: a small one that does its work, and whatever is put in its place.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const CONTRACT: &str = include_str!("../../../wit/cdp-plugin.wit");

/// A part of WASI, for guests that ask for it.
const WASI: &str = "
package evil:flood@1.0.0;
world all { include cdp:plugin/transformer@1.0.0; import wasi:cli/stdout@0.2.6; }
package wasi:io@0.2.6 { interface streams { resource output-stream; } }
package wasi:cli@0.2.6 { interface stdout { use wasi:io/streams@0.2.6.{output-stream}; get-stdout: func() -> output-stream; } }
";

/// The parts of a transformer's core module.
pub(crate) struct Parts<'a> {
    /// Imports.
    pub(crate) imports: &'a str,
    /// The memories; the first is the one that speaks with the host.
    pub(crate) memories: &'a str,
    /// Globals, tables, functions, data, a start function.
    pub(crate) more: &'a str,
    /// The body of `describe`, which leaves the address of a descriptor.
    pub(crate) describe: &'a str,
    /// The body of `apply`, which leaves the address of an outcome; locals 0 to 12 are its parameters.
    pub(crate) apply: &'a str,
    /// The body of `cabi_realloc`: (old, old size, alignment, size) to an address.
    pub(crate) realloc: &'a str,
}

impl Default for Parts<'_> {
    /// A transformer that leaves every event as it is.
    fn default() -> Self {
        Self {
            imports: "",
            memories: r#"(memory (export "memory") 2)"#,
            more: "",
            describe: "i32.const 1024",
            apply: "i32.const 2048",
            realloc: BUMP,
        }
    }
}

/// Gives out memory and takes none back.
pub(crate) const BUMP: &str = "
    (local $at i32)
    (local.set $at (i32.and
        (i32.add (global.get $heap) (i32.sub (local.get 2) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get 2))))
    (global.set $heap (i32.add (local.get $at) (local.get 3)))
    (block $enough
        (br_if $enough (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
        (br_if $enough (i32.ne (i32.const -1) (memory.grow
            (i32.add (i32.const 1) (i32.div_u
                (i32.sub (global.get $heap) (i32.mul (memory.size) (i32.const 65536)))
                (i32.const 65536))))))
        unreachable)
    local.get $at";

impl Parts<'_> {
    /// The text of the core module. At 512 lie texts, at 1,024 the descriptor, at 2,048 zeros.
    fn text(&self) -> String {
        let Self { imports, memories, more, describe, apply, realloc } = self;
        let params = "i32 ".repeat(13);
        format!(
            r#"(module
            {imports}
            {memories}
            (global $heap (mut i32) (i32.const 8192))
            (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})
            (func (export "cdp:plugin/metadata@1.0.0#describe") (result i32) {describe})
            (func (export "cdp:plugin/metadata@1.0.0#check-config") (param i32 i32) (result i32) i32.const 2048)
            (func (export "cdp:plugin/transform@1.0.0#apply") (param {params}) (result i32) {apply})
            (data (i32.const 512) "evil1.0.0Bad Name\ff/id")
            (data (i32.const 1024) "\00\02\00\00\04\00\00\00\04\02\00\00\05\00\00\00")
            {more})"#
        )
    }

    /// The component.
    pub(crate) fn component(&self) -> Vec<u8> {
        self.encode("cdp:plugin/transformer@1.0.0", &[])
    }

    /// The component, in a world that has WASI's standard output too.
    pub(crate) fn with_wasi(&self) -> Vec<u8> {
        self.encode("evil:flood/all@1.0.0", &[WASI])
    }

    fn encode(&self, world: &str, more: &[&str]) -> Vec<u8> {
        let mut resolve = Resolve::default();
        let mut packages = vec![resolve.push_str("cdp-plugin.wit", CONTRACT).expect("the contract parses")];
        for text in more {
            packages.push(resolve.push_str("more.wit", text).expect("our own text parses"));
        }
        let world = resolve.select_world(&packages, Some(world)).expect("the world is there");
        let mut module = core(&self.text());
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .expect("the module takes a section more");
        ComponentEncoder::default()
            .validate(false)
            .module(&module)
            .and_then(|mut encoder| encoder.encode())
            .expect("the module has what the world wants")
    }
}

/// Text to binary; the text is ours.
pub(crate) fn core(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// A transformer that leaves every event as it is: a few hundred bytes of work, for tests that need any.
#[must_use]
pub fn harmless() -> Vec<u8> {
    Parts::default().component()
}

/// Takes some milliseconds to start, as interpreters do.
const SLOW_START: &str = "
    (local $n i32)
    (loop $more
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if $more (i32.lt_u (local.get $n) (i32.const 2000000))))
    i32.const 1024";

/// A transformer that is dear to start and leaves every event as it is.
#[must_use]
pub fn dear() -> Vec<u8> {
    Parts { describe: SLOW_START, ..Parts::default() }.component()
}

/// A transformer that is dear to start, leaves events alone when it is asked for the first time, and drops them when an
/// instance of it is asked again.
#[must_use]
pub fn remembering() -> Vec<u8> {
    Parts {
        describe: SLOW_START,
        more: "(global $calls (mut i32) (i32.const 0))",
        apply: "
            (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
            (if (i32.gt_u (global.get $calls) (i32.const 1)) (then
                (i32.store (i32.const 2048) (i32.const 4096))
                (i32.store (i32.const 2052) (local.get 2))
                (memory.fill (i32.const 4096) (i32.const 1) (local.get 2))))
            i32.const 2048",
        ..Parts::default()
    }
    .component()
}
