//! A relay: a UDP socket at a distance, for nodes in browsers.
//!
//! A client opens a WebSocket and gets a UDP port of its own; each binary frame is a datagram with
//! the address of the other end before it. What stands in the datagram is the client's business:
//! the relay looks at its shape (`shape`) and at nothing else. It is no open proxy: destinations,
//! rates and unanswered datagrams are limited (`limits`, `destinations`), and a client can
//! send nothing that is larger on the way out than it was on the way in. docs/relay.md says what
//! goes over the wire.
//!
//! The same port answers HTTP: the page (`web`), files of native providers (`fetch`) and the
//! relay's own numbers (`counters`). On UDP it answers STUN (`stun`).

mod client;
mod connections;
mod counters;
mod destinations;
mod error;
mod fetch;
mod frame;
mod http;
mod limits;
mod metered;
mod ports;
mod sessions;
mod settings;
mod shape;
mod stun;
mod text;
mod tls;
mod upgrade;
mod web;

pub use counters::{Counters, Drops};
pub use error::RelayError;
pub use http::Relay;
pub use limits::Limits;
pub use settings::{InvalidOrigin, Origin, Settings};
