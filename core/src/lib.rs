//! Kadlet's core: Kademlia as a deterministic state machine.
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
