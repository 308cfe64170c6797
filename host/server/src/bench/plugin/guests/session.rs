//! A connector of the bench that never comes to an end.

use cdp_plugin_sdk::connector::{Delivery, Verdict};
use cdp_plugin_sdk::session::{Outside, SessionConnector};
use cdp_plugin_sdk::{Descriptor, Problem, export_session_connector};

struct Plugin;

impl SessionConnector for Plugin {
    type Config = ();

    const DESCRIPTOR: Descriptor =
        Descriptor { name: "bench", version: "1.0.0", summary: "Never comes to an end.", ..Descriptor::EMPTY };

    fn configure(_: &str) -> Result<(), Vec<Problem>> {
        Ok(())
    }

    fn deliver(_: &[Delivery], _: i64, (): &(), _: &mut impl Outside) -> Result<Vec<Verdict>, String> {
        loop {
            core::hint::black_box(());
        }
    }
}

export_session_connector!(Plugin);
