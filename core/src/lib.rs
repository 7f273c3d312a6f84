//! Kadlet's core: Kademlia as a deterministic state machine.
//!
//! # The contract
//!
//! Give it time, bytes and a seed; it gives back bytes, events and a deadline. Time never goes back:
//! an earlier `now` counts as the latest. After any call, drain transmits and events and read the
//! deadline again. The same calls give the same answers.
//!
//! # The loop
//!
//! A host owns the sockets and the clock, and does this for as long as the [`Node`] lives:
//!
//! 1. Wait for a datagram, a command of the user, or the deadline of [`Node::poll_timeout`],
//!    whichever comes first. `None` waits for the other two.
//! 2. Tell the node: [`Node::handle_datagram`], one of its commands, or [`Node::handle_timeout`].
//!    Early or twice does no harm, and a refused datagram needs no action: it has been counted.
//! 3. Send what [`Node::poll_transmit`] gives until it gives none. What cannot be sent is told by
//!    [`Node::handle_path_failed`].
//! 4. Hand on what [`Node::poll_event`] gives until it gives none. A host that keeps state safe
//!    does the same with [`Node::poll_change`], before it sends.
//! 5. Begin again: the deadline is another now.
//!
//! The same in code, with a socket that is a queue in memory:
//!
//! ```
//! use std::collections::VecDeque;
//!
//! use kadlet_core::{Config, Event, Id, Instant, Node, Outcome, Path, Transmit};
//!
//! /// Where all sockets of this world end: who sent, and what.
//! type Network = VecDeque<(Path, Transmit)>;
//!
//! /// Steps 3 and 4 for the node at `path`: the outcome of the operation that has ended.
//! fn drain(node: &mut Node, path: Path, network: &mut Network) -> Option<Outcome> {
//!     while let Some(transmit) = node.poll_transmit() {
//!         network.push_back((path, transmit));
//!     }
//!     let mut ended = None;
//!     while let Some(event) = node.poll_event() {
//!         if let Event::Done { outcome, .. } = event {
//!             ended = Some(outcome);
//!         }
//!     }
//!     ended
//! }
//!
//! let mut now = Instant::EPOCH;
//! let mut network = Network::new();
//! let paths = [Path::direct("127.0.0.1:1".parse()?), Path::direct("127.0.0.1:2".parse()?)];
//! // Real nodes have an id and a seed from the system's entropy.
//! let mut nodes = [1, 2].map(|n| Node::new(Config::default(), Id::new([n; 20]), [n; 32], now));
//!
//! let operation = nodes[0].bootstrap(now, &[paths[1]]);
//! let mut outcome = None;
//! while outcome.is_none() {
//!     for (node, path) in nodes.iter_mut().zip(paths) {
//!         outcome = outcome.or(drain(node, path, &mut network));
//!     }
//!     // Steps 1 and 2. Nothing here takes time but waiting for a deadline.
//!     if let Some((from, Transmit { path, payload, .. })) = network.pop_front() {
//!         let to = paths.iter().position(|known| *known == path).expect("one of the two");
//!         nodes[to].handle_datagram(now, from, &payload)?;
//!     } else if let Some(deadline) = nodes.iter().filter_map(Node::poll_timeout).min() {
//!         now = now.max(deadline);
//!         nodes.iter_mut().for_each(|node| node.handle_timeout(now));
//!     }
//! }
//! assert_eq!(outcome, Some(Outcome::Success));
//! assert!(nodes[0].operation(operation).is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Without a node
//!
//! The parts know neither the node nor each other's insides. These are of use alone, each with an
//! example:
//!
//! - [`Id`], [`Distance`]: points of the space, their order around a target.
//! - [`RoutingTable`]: contacts, who enters and who gives way, whom to ping and what to refresh.
//! - [`Lookup`]: one iterative lookup over d paths; whom to ask next, and when it is over.
//! - [`Requests`]: outstanding questions, which answer belongs to which, timeouts that adapt.
//! - [`Tokens`], [`Limits`], [`Estimate`]: write tokens and cookies; what one source may cost; how
//!   large the network is.
//! - [`Store`] and [`record`]: what others keep here, and what a record is.
//! - [`wire`]: messages, as the native wire and as BitTorrent's KRPC.
//! - [`content`]: links, hash lists, which piece from whom next, and who lied.
//!
//! Every number is in [`config`], with its unit and its reason.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::float_arithmetic)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod bucket;
pub mod config;
mod contact;
pub mod content;
mod estimate;
mod event;
mod id;
mod limit;
mod lookup;
mod names;
mod node;
pub mod record;
mod requests;
mod rng;
mod sort;
mod sorted;
mod store;
mod table;
mod time;
mod token;
pub mod wire;

pub use config::{Config, Network, Role};
pub use contact::{
    Capabilities, Contact, Families, Family, LinkId, Path, Prefix, Scope, is_usable,
};
pub use estimate::Estimate;
pub use event::{
    Asked, Change, Event, OperationId, Outcome, PeerFailure, Rejected, Totals, Transmit,
};
pub use id::{Distance, Id, ParseIdError};
pub use limit::{Cost, Dropped, Limits};
pub use lookup::{Found, Lookup, Progress, Step};
pub use node::{
    Announcement, CommandError, GetQuery, Health, Node, OperationProgress, PutOptions, StateError,
    Stats,
};
pub use requests::{Answered, Expired, Mismatch, Request, Requests, Timeouts};
pub use rng::Rng;
pub use store::{
    BadRecord, Certified, Due, Handover, HeldValue, Imported, NewerVersion, Origin, RecordName,
    Refused, Store, StoreChange, StoreStats, Stored,
};
pub use table::{
    Admission, BucketView, Closest, Diverse, Entry, Failure, Filter, Heard, Refusal, RoutingTable,
    SavedContact,
};
pub use time::Instant;
pub use token::{Token, Tokens};
