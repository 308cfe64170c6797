//! Looks at an upload without running or compiling any of it, and names every reason against it at once.

use serde::{Deserialize, Serialize};
use wasmparser::{
    BinaryReaderError, Encoding, FunctionBody, Instance, Operator, Parser, Payload, Validator, WasmFeatures,
};

use crate::admission::{
    BLOCKS_DEEP_MAX, COMPONENT_BYTES_MAX, COMPONENTS_MAX, CORE_INSTANCES_MAX, CUSTOM_SECTIONS_MAX,
    EXPORTS_MAX, FUNCTION_BYTES_MAX, FUNCTIONS_MAX, GLOBALS_MAX, IMPORTS_MAX, MEMORIES_MAX, MODULES_MAX,
    NESTING_MAX, SEGMENTS_MAX, TABLES_MAX, TYPES_MAX,
};
use crate::digest::Digest;
use crate::inert;
use crate::refusal::Refusal;

/// The version of the contract this host knows.
pub(crate) const CONTRACT: &str = "1.0.0";

/// A way in which plugins serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum World {
    /// Changes, drops or multiplies events on their way in.
    Transformer,
    /// Derives attributes by folding events.
    Deriver,
    /// Plans deliveries; the host sends.
    ConnectorPlan,
    /// Delivers by itself.
    ConnectorIo,
}

impl World {
    /// The world's name in the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Transformer => "transformer",
            Self::Deriver => "deriver",
            Self::ConnectorPlan => "connector-plan",
            Self::ConnectorIo => "connector-io",
        }
    }
}

/// What inspection found in an acceptable component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// Names the component.
    pub digest: Digest,
    /// What it serves as.
    pub world: World,
    /// Its size.
    pub bytes: usize,
    /// Everything it imports, as it spells it.
    pub imports: Vec<String>,
    /// Everything it exports, as it spells it.
    pub exports: Vec<String>,
    /// Core functions, in all its modules.
    pub functions: usize,
    /// Core modules.
    pub modules: usize,
    /// Linear memories it defines.
    pub memories: usize,
    /// Types, of the component and of its modules.
    pub types: usize,
}

/// What plugins may use of WebAssembly: what the engine is told too.
pub(crate) fn features() -> WasmFeatures {
    WasmFeatures::WASM2
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::COMPONENT_MODEL
}

/// See [`crate::Runtime::inspect`].
pub(crate) fn inspect(bytes: &[u8]) -> Result<Inspection, Vec<Refusal>> {
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(vec![Refusal::TooLarge { bytes: bytes.len(), bytes_max: COMPONENT_BYTES_MAX }]);
    }
    if let Some(refusal) = wrong_kind(bytes) {
        return Err(vec![refusal]);
    }
    let mut survey = Survey::default();
    let read = survey.read(bytes);
    // What has too much of something is not looked at any further.
    if let Some(refusal) = survey.too_many() {
        return Err(vec![refusal]);
    }
    let mut refusals = Vec::new();
    if let Err(error) = Validator::new_with_features(features()).validate_all(bytes) {
        refusals.push(why_invalid(&error, bytes));
    } else if let Err(error) = read {
        refusals.push(invalid(&error));
    }
    let world = survey.world(&mut refusals);
    for name in &survey.imports {
        if !offers(name, world) && !inert::offers(name) {
            refusals.push(Refusal::Import { name: name.clone() });
        }
    }
    match world {
        Some(world) if refusals.is_empty() => Ok(survey.into_inspection(world, bytes)),
        _ => Err(refusals),
    }
}

/// Whether a component of this world may import this of our own package.
fn offers(import: &str, world: Option<World>) -> bool {
    match import {
        "cdp:plugin/log@1.0.0" | "cdp:plugin/types@1.0.0" => true,
        "cdp:plugin/lookup@1.0.0" => !matches!(world, Some(World::ConnectorPlan | World::ConnectorIo)),
        "cdp:plugin/http-types@1.0.0" | "cdp:plugin/delivery-types@1.0.0" => {
            matches!(world, Some(World::ConnectorPlan | World::ConnectorIo))
        }
        "cdp:plugin/http@1.0.0" | "cdp:plugin/kv@1.0.0" => world == Some(World::ConnectorIo),
        _ => false,
    }
}

fn wrong_kind(bytes: &[u8]) -> Option<Refusal> {
    let found = match bytes {
        [] => "nothing at all",
        [0x7f, b'E', b'L', b'F', ..] | [b'M', b'Z', ..] | [0xcf, 0xfa, 0xed, 0xfe, ..] => {
            return Some(Refusal::Native);
        }
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            "it is a core module; turn it into a component (wasm-tools component new)"
        }
        [0, b'a', b's', b'm', ..] => return None,
        _ if std::str::from_utf8(&bytes[..bytes.len().min(64)])
            .is_ok_and(|text| text.trim_start().starts_with('(')) =>
        {
            "it is the text form; upload the binary"
        }
        _ => "it does not start as WebAssembly does",
    };
    Some(Refusal::NotAComponent { found: found.to_owned() })
}

/// Tells damage from a feature that is only not allowed.
fn why_invalid(error: &BinaryReaderError, bytes: &[u8]) -> Refusal {
    match Validator::new_with_features(WasmFeatures::all()).validate_all(bytes) {
        Ok(_) => Refusal::Feature { detail: error.message().to_owned(), offset: error.offset() },
        Err(error) => invalid(&error),
    }
}

fn invalid(error: &BinaryReaderError) -> Refusal {
    Refusal::Invalid { detail: error.message().to_owned(), offset: error.offset() }
}

/// What is counted, and how much of it there may be.
const BOUNDS: [(&str, usize); 15] = [
    ("functions", FUNCTIONS_MAX),
    ("core modules", MODULES_MAX),
    ("components inside", COMPONENTS_MAX),
    ("components and modules inside each other", NESTING_MAX),
    ("memories", MEMORIES_MAX),
    ("tables", TABLES_MAX),
    ("core instances", CORE_INSTANCES_MAX),
    ("types", TYPES_MAX),
    ("globals", GLOBALS_MAX),
    ("imports", IMPORTS_MAX),
    ("exports", EXPORTS_MAX),
    ("segments", SEGMENTS_MAX),
    ("custom sections", CUSTOM_SECTIONS_MAX),
    ("bytes in one function", FUNCTION_BYTES_MAX),
    ("blocks inside each other", BLOCKS_DEEP_MAX),
];
const FUNCTIONS: usize = 0;
const MODULES: usize = 1;
const COMPONENTS: usize = 2;
const NESTING: usize = 3;
const MEMORIES: usize = 4;
const TABLES: usize = 5;
const INSTANCES: usize = 6;
const TYPES: usize = 7;
const GLOBALS: usize = 8;
const IMPORTS: usize = 9;
const EXPORTS: usize = 10;
const SEGMENTS: usize = 11;
const CUSTOM_SECTIONS: usize = 12;
const FUNCTION_BYTES: usize = 13;
const BLOCKS_DEEP: usize = 14;

#[derive(Default)]
struct Survey {
    imports: Vec<String>,
    exports: Vec<String>,
    /// In the order of [`BOUNDS`].
    counts: [usize; BOUNDS.len()],
}

impl Survey {
    fn into_inspection(self, world: World, bytes: &[u8]) -> Inspection {
        Inspection {
            digest: Digest::of(bytes),
            world,
            bytes: bytes.len(),
            imports: self.imports,
            exports: self.exports,
            functions: self.counts[FUNCTIONS],
            modules: self.counts[MODULES],
            memories: self.counts[MEMORIES],
            types: self.counts[TYPES],
        }
    }

    /// Reads as far as the bytes make sense and nothing is too much.
    fn read(&mut self, bytes: &[u8]) -> Result<(), BinaryReaderError> {
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            self.count(payload?, &mut depth)?;
            if self.too_many().is_some() {
                break;
            }
        }
        Ok(())
    }

    fn count(&mut self, payload: Payload<'_>, depth: &mut usize) -> Result<(), BinaryReaderError> {
        let mut add = |what: usize, count: u32| self.counts[what] += count as usize;
        match payload {
            Payload::Version { encoding, .. } => {
                *depth += 1;
                add(MODULES, u32::from(encoding == Encoding::Module));
                add(COMPONENTS, u32::from(encoding == Encoding::Component && *depth > 1));
                self.counts[NESTING] = self.counts[NESTING].max(*depth);
            }
            Payload::End(_) => *depth = depth.saturating_sub(1),
            Payload::TypeSection(types) => add(TYPES, types.count()),
            Payload::CoreTypeSection(types) => add(TYPES, types.count()),
            Payload::ComponentTypeSection(types) => add(TYPES, types.count()),
            Payload::FunctionSection(functions) => add(FUNCTIONS, functions.count()),
            Payload::MemorySection(memories) => add(MEMORIES, memories.count()),
            Payload::TableSection(tables) => add(TABLES, tables.count()),
            Payload::InstanceSection(instances) => {
                // Those that only gather exports under names take no place.
                for instance in instances {
                    add(INSTANCES, u32::from(matches!(instance?, Instance::Instantiate { .. })));
                }
            }
            Payload::GlobalSection(globals) => add(GLOBALS, globals.count()),
            Payload::ImportSection(imports) => add(IMPORTS, imports.count()),
            Payload::ExportSection(exports) => add(EXPORTS, exports.count()),
            Payload::ElementSection(segments) => add(SEGMENTS, segments.count()),
            Payload::DataSection(segments) => add(SEGMENTS, segments.count()),
            Payload::CustomSection(_) => add(CUSTOM_SECTIONS, 1),
            Payload::CodeSectionEntry(body) => {
                let bytes = body.range().len();
                self.counts[FUNCTION_BYTES] = self.counts[FUNCTION_BYTES].max(bytes);
                // A block takes three bytes, so that most functions need no look.
                if bytes > 3 * BLOCKS_DEEP_MAX && bytes <= FUNCTION_BYTES_MAX {
                    self.counts[BLOCKS_DEEP] = self.counts[BLOCKS_DEEP].max(blocks_deep(&body)?);
                }
            }
            Payload::ComponentImportSection(imports) => {
                add(IMPORTS, imports.count());
                if *depth == 1 && self.counts[IMPORTS] <= IMPORTS_MAX {
                    for import in imports {
                        self.imports.push(import?.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(exports) => {
                add(EXPORTS, exports.count());
                if *depth == 1 && self.counts[EXPORTS] <= EXPORTS_MAX {
                    for export in exports {
                        self.exports.push(export?.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The first thing there is too much of.
    fn too_many(&self) -> Option<Refusal> {
        self.counts
            .iter()
            .zip(BOUNDS)
            .find(|(count, (_, max))| *count > max)
            .map(|(&count, (what, count_max))| Refusal::TooMany { what: what.to_owned(), count, count_max })
    }

    fn world(&self, refusals: &mut Vec<Refusal>) -> Option<World> {
        let mut ours = Vec::new();
        for name in &self.exports {
            let Some(rest) = name.strip_prefix("cdp:plugin/") else { continue };
            match rest.split_once('@') {
                Some((interface, CONTRACT)) => ours.push(interface),
                _ => refusals.push(Refusal::Version { name: name.clone(), known: CONTRACT.to_owned() }),
            }
        }
        let exports = |interface: &str| ours.contains(&interface);
        let worlds = [
            ("transform", World::Transformer),
            ("derivation", World::Deriver),
            ("connector", World::ConnectorPlan),
            ("session-connector", World::ConnectorIo),
        ];
        let mut found =
            worlds.into_iter().filter(|(interface, _)| exports(interface)).map(|(_, world)| world);
        match (found.next(), found.next()) {
            (Some(world), None) if exports("metadata") => Some(world),
            _ => {
                if !refusals
                    .iter()
                    .any(|refusal| matches!(refusal, Refusal::Version { .. } | Refusal::Invalid { .. }))
                {
                    refusals.push(Refusal::NoWorld);
                }
                None
            }
        }
    }
}

/// How deep blocks stand inside each other.
fn blocks_deep(body: &FunctionBody<'_>) -> Result<usize, BinaryReaderError> {
    let (mut depth, mut deepest) = (0_usize, 0);
    for operator in body.get_operators_reader()? {
        match operator? {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::TryTable { .. }
            | Operator::Try { .. } => {
                depth += 1;
                deepest = deepest.max(depth);
                if deepest > BLOCKS_DEEP_MAX {
                    break;
                }
            }
            Operator::End => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(deepest)
}
