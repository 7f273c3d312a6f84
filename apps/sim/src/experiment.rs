//! Experiments.

pub mod sybil;
