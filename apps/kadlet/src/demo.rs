//! The main job in front of a person's eyes: what the parts of `kadlet demo` do.
//!
//! What to expect comes from the demo's own list of files, never from the network; every step is
//! checked against it.

pub(crate) mod files;
pub(crate) mod network;
pub(crate) mod report;
