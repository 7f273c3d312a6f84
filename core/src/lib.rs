//! Kadlet's core: Kademlia as a deterministic state machine.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::float_arithmetic)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod config;
mod contact;
pub mod content;
mod id;
mod lookup;
mod rng;
mod time;
pub mod wire;

pub use contact::{
    Capabilities, Contact, Families, Family, LinkId, Path, Prefix, Scope, is_usable,
};
pub use id::{Distance, Id, ParseIdError};
pub use lookup::{Found, Lookup, Progress, Step};
pub use rng::Rng;
pub use time::Instant;
