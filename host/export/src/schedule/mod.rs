//! When audiences go by themselves.
//!
//! | file | decides |
//! | --- | --- |
//! | `cron` | which instants a pattern means in a time zone |
//! | `read` | what a schedule says |

mod cron;
mod read;

use std::time::Duration;

pub use cron::{CRON_BYTES_MAX, Pattern};
pub(crate) use read::{read, view};

/// How often schedules are looked at. An instant's run begins no later than this after it.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
