//! From a core module to a component, for languages whose compilers stop at the former.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Stands in for WASI preview 1.
const ADAPTER: &str = include_str!("preview1.wat");

/// Makes a component that serves `world`, as the project's contract describes it.
///
/// # Errors
/// A sentence: the contract cannot be read, or the module does not export what the world asks for.
pub(super) fn encode(module: Vec<u8>, contract: &Path, world: &str) -> Result<Vec<u8>, String> {
    let mut module = module;
    let made = || -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_path(contract)?;
        let world = resolve.select_world(&[package], Some(world))?;
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
        let adapter = wat::parse_str(ADAPTER)?;
        let encoder = ComponentEncoder::default().validate(true).module(&module)?;
        Ok(encoder.adapter("wasi_snapshot_preview1", &adapter)?.encode()?)
    };
    let mut made = made;
    made().map_err(|error| format!("{error:?}"))
}
