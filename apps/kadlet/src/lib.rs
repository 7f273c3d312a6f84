//! A Kademlia node for tokio: the host around [`kadlet_core`].
//!
//! The core decides everything about the protocol; this crate gives it sockets, time, randomness
//! and a place to keep its state, and offers its operations as futures and streams on [`Dht`].
//! The program `kadlet` is a thin layer on top of it.

extern crate alloc;

mod builder;
mod by_source;
mod clock;
mod data;
mod dht;
mod driver;
mod error;
mod files;
mod lan;
mod operation;
mod patient;
pub mod relay;
mod resolve;
mod sockets;
mod tcp;
#[cfg(feature = "webrtc")]
mod webrtc;

pub use builder::{Builder, DEFAULT_NETWORK, MAINLINE};
pub use data::KeptShares;
pub use dht::{Dht, HostStats, Joined, Publication, Stored};
pub use error::{BootstrapError, DataError, Error, StartError, out_of_descriptors};
pub use files::{
    Content, FetchFailure, FetchOptions, FetchProgress, Fetched, ShareError, SharedFile, Shares,
    fetch,
};
pub use kadlet_core as core;
pub use operation::{Hit, Operation, Provider, Results, Sample, Summary};
pub use resolve::{Attempt, AttemptResult, HostPort, HostPortError};
#[cfg(feature = "webrtc")]
pub use webrtc::ChannelStats;

/// The process that works with a state folder at present, if one does; its id as far as it said.
#[must_use]
pub fn folder_in_use(dir: &std::path::Path) -> Option<Option<u32>> {
    data::in_use_by(dir)
}
