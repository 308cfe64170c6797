//! Lines for the plugin's owner. Write-only: the plugin cannot tell whether anybody reads them.
//!
//! Bounded and shortened by the host; each costs fuel, so log what is rare.

pub use crate::bindings::cdp::plugin::log::Level;

/// Writes a line.
pub fn write(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::cdp::plugin::log::write(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::note(level, message);
}

/// Writes a line for whoever looks for a mistake.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// Writes what happened.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Writes what should not have happened.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Writes what went wrong.
pub fn error(message: &str) {
    write(Level::Error, message);
}
