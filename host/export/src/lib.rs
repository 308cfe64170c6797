//! The only crate that turns a segment into an audience and hands it out.
