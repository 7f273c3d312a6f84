//! What a node tells of itself: counters, health, the progress of an operation.

use alloc::vec::Vec;
use core::time::Duration;

use crate::contact::Family;
use crate::event::{Rejected, Totals};

/// Counters since the node was made.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Datagrams given to `handle_datagram`.
    pub datagrams_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Datagrams given out by `poll_transmit`, or lost because they were not polled in time.
    pub datagrams_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Queries answered.
    pub queries_answered: u64,
    /// Answers that fitted a question of ours.
    pub answers: u64,
    /// Questions of ours that nobody answered in time.
    pub timeouts: u64,
    /// Dropped datagrams, by reason, in the reasons' order.
    pub rejected: Vec<(Rejected, u64)>,
    /// Answers that were shortened because their receiver had shown no cookie.
    pub shortened: u64,
    /// Datagrams lost because the host did not poll them in time.
    pub transmits_lost: u64,
    /// Events (never `Done`) lost because the host did not poll them in time.
    pub events_lost: u64,
    /// Operations begun, refreshes among them.
    pub operations: u64,
}

impl Stats {
    pub(super) fn count_rejected(&mut self, reason: Rejected) {
        match self.rejected.binary_search_by_key(&reason, |(known, _)| *known) {
            Ok(at) => self.rejected[at].1 += 1,
            Err(at) => self.rejected.insert(at, (reason, 1)),
        }
    }
}

/// How the node is.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Verified contacts by family: IPv4, IPv6.
    pub contacts: [(Family, usize); 2],
    /// Whether nothing answers any more.
    pub offline: bool,
    /// Whether others may rely on us at present.
    pub server: bool,
    /// Whether strangers reach us, where that has been found out.
    pub reachable: Option<bool>,
    /// Estimated number of nodes in the network.
    pub network_size: Option<u64>,
    /// Records kept for others.
    pub records: u32,
    /// Records of our own that are renewed.
    pub publications: usize,
    /// Operations running, refreshes among them.
    pub operations: usize,
}

/// How far an operation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct OperationProgress {
    /// What it cost so far.
    pub totals: Totals,
    /// Requests that wait for an answer.
    pub in_flight: u32,
    /// Time until its deadline.
    pub remaining: Duration,
}
