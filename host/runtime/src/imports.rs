//! What our own package offers a guest: a log it cannot read and tables it cannot write.

use wasmtime::component::Linker;

use crate::bindings::cdp::plugin::{log, lookup};
use crate::bindings::{Presence, TextList};
use crate::logs::Level;
use crate::outcome::texts;
use crate::state::{State, charge};

/// Offers `log` and `lookup` of the contract.
///
/// # Errors
/// When a name is defined twice, which would be a mistake of ours.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    link_log(linker)?;
    link_lookup(linker)
}

/// Offers `log` alone.
///
/// # Errors
/// As [`link`].
pub(crate) fn link_log(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.instance("cdp:plugin/log@1.0.0")?.func_wrap(
        "write",
        |mut store, (level, message): (log::Level, String)| {
            charge(&mut store, message.len())?;
            let level = match level {
                log::Level::Trace => Level::Trace,
                log::Level::Debug => Level::Debug,
                log::Level::Info => Level::Info,
                log::Level::Warn => Level::Warn,
                log::Level::Error => Level::Error,
            };
            store.data_mut().log.write(level, &message);
            Ok(())
        },
    )?;
    Ok(())
}

fn link_lookup(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.instance("cdp:plugin/lookup@1.0.0")?.func_wrap(
        "get-many",
        |mut store, (table, keys): (String, TextList)| {
            charge(&mut store, keys.data.len().saturating_add(keys.ends.len() * 64))?;
            let (found, bytes) = get_many(store.data(), &table, &keys);
            charge(&mut store, bytes)?;
            Ok((found,))
        },
    )?;
    Ok(())
}

fn get_many(state: &State, table: &str, keys: &TextList) -> (Result<lookup::Found, String>, usize) {
    let keys = match texts(keys, "keys") {
        Ok(keys) => keys,
        Err(problem) => return (Err(problem), 0),
    };
    let mut found = lookup::Found {
        presence: Vec::with_capacity(keys.len()),
        values: TextList { ends: Vec::with_capacity(keys.len()), data: Vec::new() },
    };
    let Some(tables) = &state.tables else { return (Err(format!("there is no table {table}")), 0) };
    for key in keys {
        let Some(value) = tables.get(table, key) else {
            return (Err(format!("there is no table {table}")), 0);
        };
        found.presence.push(if value.is_some() { Presence::Present } else { Presence::Absent });
        found.values.data.extend_from_slice(value.unwrap_or_default().as_bytes());
        let Ok(end) = u32::try_from(found.values.data.len()) else {
            return (Err("the values are too large".to_owned()), 0);
        };
        found.values.ends.push(end);
    }
    let bytes = found.values.data.len();
    (Ok(found), bytes)
}
