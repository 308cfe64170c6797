//! The functions of the contract that the host calls, world by world.

use crate::inspect::World;

/// A function that a guest exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Export {
    Describe,
    CheckConfig,
    Apply,
    Shape,
    Fold,
    Combine,
    Read,
    Retract,
    Migrate,
    Plan,
    Settle,
    Deliver,
}

impl Export {
    /// Its interface and its name there, both without the version.
    pub(crate) fn path(self) -> (&'static str, &'static str) {
        match self {
            Self::Describe => ("metadata", "describe"),
            Self::CheckConfig => ("metadata", "check-config"),
            Self::Apply => ("transform", "apply"),
            Self::Shape => ("derivation", "shape"),
            Self::Fold => ("derivation", "fold"),
            Self::Combine => ("derivation", "combine"),
            Self::Read => ("derivation", "read"),
            Self::Retract => ("retraction", "retract"),
            Self::Migrate => ("migration", "migrate"),
            Self::Plan => ("connector", "plan"),
            Self::Settle => ("connector", "settle"),
            Self::Deliver => ("session-connector", "deliver"),
        }
    }

    /// What a component of this world must export.
    pub(crate) fn required(world: World) -> &'static [Self] {
        match world {
            World::Transformer => &[Self::Describe, Self::CheckConfig, Self::Apply],
            World::Deriver => {
                &[Self::Describe, Self::CheckConfig, Self::Shape, Self::Fold, Self::Combine, Self::Read]
            }
            World::ConnectorPlan => &[Self::Describe, Self::CheckConfig, Self::Plan, Self::Settle],
            World::ConnectorIo => &[Self::Describe, Self::CheckConfig, Self::Deliver],
        }
    }

    /// What it may export besides.
    pub(crate) fn optional(world: World) -> &'static [Self] {
        match world {
            World::Deriver => &[Self::Retract, Self::Migrate],
            World::Transformer | World::ConnectorPlan | World::ConnectorIo => &[],
        }
    }
}
