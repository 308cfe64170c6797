//! Looks at an upload without running or compiling any of it, and names every reason against it at once.

use serde::{Deserialize, Serialize};
use wasmparser::{BinaryReaderError, Encoding, Parser, Payload, Validator, WasmFeatures};

use crate::digest::Digest;
use crate::inert;
use crate::refusal::Refusal;

/// Bytes of a component, at most.
pub(crate) const COMPONENT_BYTES_MAX: usize = 32 << 20;
/// Core functions of a component, at most.
const FUNCTIONS_MAX: usize = 120_000;
/// Core modules of a component, at most.
const MODULES_MAX: usize = 64;
/// Linear memories of a component, at most.
pub(crate) const MEMORIES_MAX: usize = 8;
/// Tables of a component, at most.
pub(crate) const TABLES_MAX: usize = 64;
/// Core instances of a component, at most.
pub(crate) const CORE_INSTANCES_MAX: usize = 64;
/// Types of a component, at most.
const TYPES_MAX: usize = 50_000;

/// The version of the contract this host knows.
const CONTRACT: &str = "1.0.0";

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
    let mut refusals = Vec::new();
    let read = survey.read(bytes);
    if let Err(error) = Validator::new_with_features(features()).validate_all(bytes) {
        refusals.push(why_invalid(&error, bytes));
    } else if let Err(error) = read {
        refusals.push(invalid(&error));
    }
    refusals.extend(survey.too_many());
    for name in &survey.imports {
        let ours = matches!(
            name.as_str(),
            "cdp:plugin/log@1.0.0" | "cdp:plugin/lookup@1.0.0" | "cdp:plugin/types@1.0.0"
        );
        if !ours && !inert::offers(name) {
            refusals.push(Refusal::Import { name: name.clone() });
        }
    }
    let world = survey.world(&mut refusals);
    match world {
        Some(world) if refusals.is_empty() => Ok(Inspection {
            digest: Digest::of(bytes),
            world,
            bytes: bytes.len(),
            imports: survey.imports,
            exports: survey.exports,
            functions: survey.functions,
            modules: survey.modules,
            memories: survey.memories,
            types: survey.types,
        }),
        _ => Err(refusals),
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

#[derive(Default)]
struct Survey {
    imports: Vec<String>,
    exports: Vec<String>,
    functions: usize,
    modules: usize,
    memories: usize,
    tables: usize,
    instances: usize,
    types: usize,
}

impl Survey {
    /// Reads as far as the bytes make sense.
    fn read(&mut self, bytes: &[u8]) -> Result<(), BinaryReaderError> {
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::Version { encoding, .. } => {
                    depth += 1;
                    self.modules += usize::from(encoding == Encoding::Module);
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::TypeSection(types) => self.types += types.count() as usize,
                Payload::CoreTypeSection(types) => self.types += types.count() as usize,
                Payload::ComponentTypeSection(types) => self.types += types.count() as usize,
                Payload::FunctionSection(functions) => self.functions += functions.count() as usize,
                Payload::MemorySection(memories) => self.memories += memories.count() as usize,
                Payload::TableSection(tables) => self.tables += tables.count() as usize,
                Payload::InstanceSection(instances) => self.instances += instances.count() as usize,
                Payload::ComponentImportSection(imports) if depth == 1 => {
                    for import in imports {
                        self.imports.push(import?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(exports) if depth == 1 => {
                    for export in exports {
                        self.exports.push(export?.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn too_many(&self) -> Vec<Refusal> {
        let counts = [
            ("functions", self.functions, FUNCTIONS_MAX),
            ("core modules", self.modules, MODULES_MAX),
            ("memories", self.memories, MEMORIES_MAX),
            ("tables", self.tables, TABLES_MAX),
            ("core instances", self.instances, CORE_INSTANCES_MAX),
            ("types", self.types, TYPES_MAX),
        ];
        counts
            .into_iter()
            .filter(|(_, count, max)| count > max)
            .map(|(what, count, count_max)| Refusal::TooMany { what: what.to_owned(), count, count_max })
            .collect()
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
            (Some(world @ (World::Transformer | World::Deriver)), None) if exports("metadata") => Some(world),
            (Some(world), None) if exports("metadata") => {
                refusals.push(Refusal::WorldNotRun { world: world.name().to_owned() });
                None
            }
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
