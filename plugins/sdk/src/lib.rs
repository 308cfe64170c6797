//! Guest SDK: one trait per world, rows instead of columns, doubles for tests.
//!
//! A transformer is a type with a description and two functions; the SDK turns the batches of the contract into rows and back.
//!
//! ```
//! use cdp_plugin_sdk::{Decision, Descriptor, Kind, Patch, Problem, Row, Transformer, field};
//!
//! struct Shout;
//!
//! impl Transformer for Shout {
//!     type Config = ();
//!
//!     const DESCRIPTOR: Descriptor = Descriptor {
//!         name: "shout",
//!         version: "1.0.0",
//!         summary: "Writes the city in capitals.",
//!         reads: &[field("/properties/city", Kind::Text)],
//!         writes: &[field("/properties/city", Kind::Text)],
//!         ..Descriptor::EMPTY
//!     };
//!
//!     fn configure(_: &str) -> Result<(), Vec<Problem>> {
//!         Ok(())
//!     }
//!
//!     fn apply(row: Row<'_>, (): &(), patch: &mut Patch<'_>) -> Decision {
//!         match row.text(0) {
//!             Some(city) => patch.set_text(0, &city.to_uppercase()),
//!             None => return Decision::Drop("no city".into()),
//!         }
//!         Decision::Keep
//!     }
//! }
//!
//! cdp_plugin_sdk::export_transformer!(Shout);
//!
//! // Tested where it is written, without a server:
//! use cdp_plugin_sdk::testing::{Answer, TestRow, run};
//! let answers = run::<Shout>("", &[TestRow::new("purchase").with("/properties/city", "Ulm"), TestRow::new("visit")]);
//! assert_eq!(answers[0], Answer::kept([("/properties/city", "ULM")]));
//! assert_eq!(answers[1], Answer::Dropped("no city".into()));
//! ```
//!
//! A plugin is a `cdylib`, built for `wasm32-wasip2`. Its answers may depend on the row and the configuration only:
//! not on the rows beside it, on time, on chance or on what it saw before. The doubles of [`testing`] check the first.

mod adapter;
pub mod config;
pub mod connector;
pub mod decimal;
mod deriver;
mod deriver_adapter;
mod descriptor;
pub mod log;
pub mod lookup;
mod patch;
mod row;
pub mod session;
pub mod testing;
pub mod time;

/// Generated from the contract, an interface at a time, so that the shared types are made once; what the macros that
/// export refer to. Plugins use the types of this crate instead.
#[doc(hidden)]
#[allow(unsafe_code, missing_docs, clippy::all, reason = "generated from the contract")]
pub mod bindings {
    wit_bindgen::generate!({
        inline: "
            package cdp:sdk;
            world described {
                import cdp:plugin/log@1.0.0;
                import cdp:plugin/lookup@1.0.0;
                export cdp:plugin/metadata@1.0.0;
            }
        ",
        world: "cdp:sdk/described",
        path: "../../wit",
        pub_export_macro: true,
        generate_all,
    });
}

/// As [`bindings`], for transformers.
#[doc(hidden)]
#[allow(unsafe_code, missing_docs, clippy::all, reason = "generated from the contract")]
pub mod bindings_transform {
    wit_bindgen::generate!({
        inline: "package cdp:sdk; world transforming { export cdp:plugin/transform@1.0.0; }",
        world: "cdp:sdk/transforming",
        path: "../../wit",
        pub_export_macro: true,
        generate_all,
        with: { "cdp:plugin/types@1.0.0": crate::bindings::cdp::plugin::types },
    });
}

/// As [`bindings`], for derivers.
#[doc(hidden)]
#[allow(unsafe_code, missing_docs, clippy::all, reason = "generated from the contract")]
pub mod bindings_deriver {
    wit_bindgen::generate!({
        inline: "package cdp:sdk; world deriving { export cdp:plugin/derivation@1.0.0; }",
        world: "cdp:sdk/deriving",
        path: "../../wit",
        pub_export_macro: true,
        generate_all,
        with: { "cdp:plugin/types@1.0.0": crate::bindings::cdp::plugin::types },
    });
}

/// As [`bindings`], for connectors that plan.
#[doc(hidden)]
#[allow(unsafe_code, missing_docs, clippy::all, reason = "generated from the contract")]
pub mod bindings_connector {
    wit_bindgen::generate!({
        inline: "package cdp:sdk; world connecting { export cdp:plugin/connector@1.0.0; }",
        world: "cdp:sdk/connecting",
        path: "../../wit",
        pub_export_macro: true,
        generate_all,
        with: { "cdp:plugin/types@1.0.0": crate::bindings::cdp::plugin::types },
    });
}

/// As [`bindings`], for connectors that send.
#[doc(hidden)]
#[allow(unsafe_code, missing_docs, clippy::all, reason = "generated from the contract")]
pub mod bindings_session {
    wit_bindgen::generate!({
        inline: "
            package cdp:sdk;
            world delivering {
                import cdp:plugin/http@1.0.0;
                import cdp:plugin/kv@1.0.0;
                export cdp:plugin/session-connector@1.0.0;
            }
        ",
        world: "cdp:sdk/delivering",
        path: "../../wit",
        pub_export_macro: true,
        generate_all,
        with: {
            "cdp:plugin/types@1.0.0": crate::bindings::cdp::plugin::types,
            "cdp:plugin/http-types@1.0.0": crate::bindings_connector::cdp::plugin::http_types,
            "cdp:plugin/delivery-types@1.0.0": crate::bindings_connector::cdp::plugin::delivery_types,
        },
    });
}

/// As [`bindings`], for what a deriver may leave out.
#[doc(hidden)]
#[allow(unsafe_code, missing_docs, clippy::all, reason = "generated from the contract")]
pub mod bindings_retraction {
    wit_bindgen::generate!({
        inline: "package cdp:sdk; world retracting { export cdp:plugin/retraction@1.0.0; }",
        world: "cdp:sdk/retracting",
        path: "../../wit",
        pub_export_macro: true,
        generate_all,
        with: { "cdp:plugin/types@1.0.0": crate::bindings::cdp::plugin::types },
    });
}

/// As [`bindings`], for what a deriver may leave out.
#[doc(hidden)]
#[allow(unsafe_code, missing_docs, clippy::all, reason = "generated from the contract")]
pub mod bindings_migration {
    wit_bindgen::generate!({
        inline: "package cdp:sdk; world migrating { export cdp:plugin/migration@1.0.0; }",
        world: "cdp:sdk/migrating",
        path: "../../wit",
        pub_export_macro: true,
        generate_all,
        with: { "cdp:plugin/types@1.0.0": crate::bindings::cdp::plugin::types },
    });
}

#[doc(hidden)]
pub use adapter::Adapter;
pub use bindings::cdp::plugin::types::{Kind, Presence};
pub use config::Problem;
pub use deriver::{Deriver, Laws, Migrating, Output, Reading, Retracting, Shape, State, output};
#[doc(hidden)]
pub use deriver_adapter::DeriverAdapter;
pub use descriptor::{Descriptor, Field, field};
pub use patch::{Decision, Patch};
pub use row::Row;

/// Changes, drops or multiplies events on their way in.
pub trait Transformer {
    /// The configuration, read once for each batch.
    type Config;

    /// What the plugin is and needs. The positions of `reads` and `writes` are how rows and patches name fields.
    const DESCRIPTOR: Descriptor;

    /// Reads the tenant's configuration text, which is empty when there is none.
    ///
    /// # Errors
    /// Every problem. The host shows them before it activates the plugin; events that meet them fail as misconfigured.
    fn configure(text: &str) -> Result<Self::Config, Vec<Problem>>;

    /// Decides about one event; `patch` takes what is to be changed. What is set on a row that is not kept has no effect.
    fn apply(row: Row<'_>, config: &Self::Config, patch: &mut Patch<'_>) -> Decision;
}

/// Makes a [`Transformer`] the component's exports. Once in a crate; does nothing on targets other than WebAssembly.
#[macro_export]
macro_rules! export_transformer {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type CdpExports = $crate::Adapter<$plugin>;
    $crate::bindings::export!(CdpExports with_types_in $crate::bindings);
    $crate::bindings_transform::export!(CdpExports with_types_in $crate::bindings_transform);
        };
    };
}
