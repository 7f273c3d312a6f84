//! Files: serving them piece by piece, and fetching them from several at once.
//!
//! What a piece is, who is asked for it and whether it is right is the core's business
//! ([`kadlet_core::content`]); here are HTTP, disks and the clock. The paths are those of
//! docs/content.md: `GET /blake3/<hex>` with `Range` for bytes, `GET /blake3/<hex>/hashes` for the
//! list.

#[cfg(feature = "webrtc")]
pub(crate) mod channel;
mod client;
mod fetch;
mod listeners;
mod partial;
mod server;
mod shares;

pub use fetch::{FetchFailure, FetchOptions, FetchProgress, Fetched, fetch};
pub(crate) use server::open_to_pages;
pub use shares::{Content, ShareError, SharedFile, Shares};
