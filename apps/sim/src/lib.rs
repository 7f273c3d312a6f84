//! A network of unmodified [`kadlet_core::Node`]s under a virtual clock.
//!
//! Real nodes exchange real datagrams; only time and the network between them are simulated. Time
//! jumps from event to event, so an hour takes as long as its datagrams take to handle. One seed
//! gives one run, on every machine: randomness comes from [`kadlet_core::Rng`], floating point
//! goes through `libm`, and nothing reads a clock or iterates over a hash map.
//! [`Network::trace_hash`] shows it: a number over every datagram and event, in order.
//!
//! ```
//! use kadlet_core::{Config, Outcome};
//! use kadlet_sim::{Network, SimConfig};
//!
//! let mut net = Network::new(SimConfig::with_seed(1));
//! net.grow(30, &Config::default())?;
//! let (asker, target) = (net.random_live(), net.random_id());
//! let lookup = net.command(asker, |node, now| node.find_node(now, target));
//! let report = net.wait(lookup)?;
//! assert_eq!(report.outcome(), Outcome::Success);
//! assert_eq!(report.closest_ids(), net.closest_live(target, 20, asker));
//! # Ok::<(), kadlet_sim::NotAtRest>(())
//! ```

extern crate alloc;

mod address;
mod churn;
pub mod classics;
pub mod compare;
pub mod content;
mod distribution;
mod draw;
pub mod experiment;
pub mod golden;
mod host;
pub mod hostile;
mod link;
pub mod memory;
mod nat;
mod network;
mod oracle;
mod page;
pub mod plot;
pub mod quality;
mod queue;
mod report;
pub mod results;
pub mod scenario;
pub mod snapshot;
mod trace;
pub mod unit;
mod watch;

pub use address::AddressPlan;
pub use churn::Sessions;
pub use distribution::Weibull;
pub use host::{NodeIndex, Rewrite, Traffic};
pub use link::{Bandwidth, Coordinates, LinkModel, Pairs, Rtt};
pub use memory::estimate_memory;
pub use nat::{Nat, NatModel};
pub use network::{Counters, Network, NodeOptions, SimConfig};
pub use oracle::{Learnt, Picture, Policy, Tables, Timing};
pub use page::Page;
pub use report::{NotAtRest, Operation, Report};
pub use scenario::{Scenario, ScenarioError};
pub use watch::Watch;

/// The Rust blocks of the README, as doctests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
