//! Reference tables, of which one snapshot is pinned for the whole call.

use crate::Presence;
use crate::bindings::cdp::plugin::types::TextList;

/// Asks a declared table for many keys at once: one answer per key, same order.
///
/// A call costs fuel, so gather keys instead of asking one by one.
///
/// # Errors
/// When the table was not declared, not granted or does not exist.
pub fn get_many(table: &str, keys: &[&str]) -> Result<Vec<Option<String>>, String> {
    let mut list = TextList { ends: Vec::with_capacity(keys.len()), data: Vec::new() };
    for key in keys {
        list.data.extend_from_slice(key.as_bytes());
        list.ends.push(u32::try_from(list.data.len()).map_err(|_| "the keys are too large".to_owned())?);
    }
    let (presence, values) = ask(table, &list)?;
    let mut start = 0;
    let value = |(at, &end): (usize, &u32)| {
        let item = values.data.get(start as usize..end as usize).unwrap_or_default();
        start = end;
        let present = presence.get(at).is_none_or(|&presence| presence == Presence::Present);
        present.then(|| String::from_utf8_lossy(item).into_owned())
    };
    Ok(values.ends.iter().enumerate().map(value).collect())
}

fn ask(table: &str, keys: &TextList) -> Result<(Vec<Presence>, TextList), String> {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::cdp::plugin::lookup::get_many(table, keys)
        .map(|found| (found.presence, found.values));
    #[cfg(not(target_arch = "wasm32"))]
    return crate::testing::look_up(table, keys);
}
