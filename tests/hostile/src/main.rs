//! Writes the corpus to a directory: a file for each component that is made here, and `table.json`.

use std::path::PathBuf;

use cdp_hostile::{Component, Row, corpus};

fn main() -> std::io::Result<()> {
    let Some(dir) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err(std::io::Error::other("usage: cdp-hostile DIRECTORY"));
    };
    std::fs::create_dir_all(&dir)?;
    let mut rows = Vec::new();
    for hostile in corpus() {
        let file = match hostile.component {
            Component::Bytes(bytes) => {
                let file = format!("{}.wasm", hostile.name);
                std::fs::write(dir.join(&file), bytes)?;
                file
            }
            Component::Misbehave => "../misbehave.wasm".to_owned(),
        };
        rows.push(Row { name: hostile.name, file, config: hostile.config, expected: hostile.expected });
    }
    std::fs::write(dir.join("table.json"), serde_json::to_vec_pretty(&rows)?)
}
