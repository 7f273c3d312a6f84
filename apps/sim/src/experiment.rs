//! Experiments.

pub mod crowd;
pub mod figures;
pub mod flood;
pub mod half_dead;
mod harm;
pub mod nat;
pub mod offline;
pub mod partition;
mod publish;
pub mod republish;
pub mod setting;
pub mod sybil;
pub mod versions;
