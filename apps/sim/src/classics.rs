//! The two systems that came before, on the same ground: the same links, machines, files and
//! queries as the real nodes.
//!
//! * [`napster`]: one index server, as the OpenNap description of the protocol has it (Scholl 2001).
//! * [`gnutella`]: everybody asks everybody, version 0.4 (Clip2 2001).
//!
//! Both run over TCP. What that costs is counted as bytes on the wire: 40 bytes of headers (IPv4 and
//! TCP) with every segment, three segments and one round trip to connect, in order, and a lost
//! segment comes a second later (the least retransmission timeout of RFC 6298). Acknowledgements
//! that carry nothing else are not counted, which errs to the side of the two.

mod agenda;
pub mod gnutella;
mod ground;
pub mod napster;

use core::time::Duration;

use kadlet_core::Instant;

pub use ground::{Ground, Host};

/// IPv4 and UDP.
pub const UDP_HEADERS: u64 = 28;
/// IPv4 and TCP without options.
pub const TCP_HEADERS: u64 = 40;
/// What fits into one segment of 1,500 bytes.
pub const SEGMENT: u64 = 1_460;
/// How often both sides of an idle connection see whether the other is still there, and how long
/// it takes at most to notice that it is not. A minute: what the clients of the time had.
pub const KEEPALIVE: Duration = Duration::from_secs(60);
/// How long one waits for a connection to somebody who is not there.
pub const NO_CONNECTION: Duration = Duration::from_secs(3);

/// What something cost.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Cost {
    /// Messages, or segments where a message takes several.
    pub messages: u64,
    /// Their bytes on the wire, headers of IP and TCP or UDP among them.
    pub bytes: u64,
}

impl Cost {
    /// A message of so many bytes over a TCP connection.
    #[must_use]
    pub const fn tcp(payload: u64) -> Self {
        let segments = if payload == 0 { 1 } else { payload.div_ceil(SEGMENT) };
        Self { messages: segments, bytes: payload + segments * TCP_HEADERS }
    }

    /// Setting up a TCP connection.
    pub const HANDSHAKE: Self = Self { messages: 3, bytes: 3 * TCP_HEADERS };

    /// Adds another cost.
    pub const fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }

    /// Without a part of it; nothing if there is no more than that.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_sub(other.messages),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    /// So many times as much.
    #[must_use]
    pub const fn times(self, count: u64) -> Self {
        Self { messages: self.messages * count, bytes: self.bytes * count }
    }
}

/// What a user got to see.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Answer {
    /// When it was asked.
    pub asked: Instant,
    /// When a connection to a running node that has the file meant stood.
    pub first: Option<Instant>,
    /// Until when connections to others that are named as having it were waited for in vain.
    pub tried: Instant,
    /// When the last result came, whatever it was.
    pub last: Option<Instant>,
    /// Results: a node with a file that fits. Hits of a search that name a file alone are none.
    pub results: u32,
    /// Results that name a node which runs no more.
    pub stale: u32,
    /// What it cost, all nodes together.
    pub cost: Cost,
    /// Nodes that looked whether they have something.
    pub reached: u32,
    /// Copies of the question that came to a node which had it already.
    pub duplicates: u32,
}

impl Answer {
    /// The address of somebody who is said to have the file meant came. One at a time and in the
    /// order in which they come, they are tried until one is there, to whom the round trip is known.
    pub fn try_address(&mut self, came: Instant, round_trip: Option<Duration>) {
        let begun = self.tried.max(came);
        match round_trip {
            _ if self.first.is_some() => {}
            Some(round_trip) => self.first = Some(begun + round_trip),
            None => self.tried = begun + NO_CONNECTION,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_tried_one_after_the_other_until_one_is_there() {
        let at = |ms| Instant::EPOCH + Duration::from_millis(ms);
        let there = Some(Duration::from_millis(100));
        let mut answer = Answer::default();
        answer.try_address(at(200), None);
        // While the one before is waited for, and when nobody is.
        answer.try_address(at(300), None);
        assert_eq!((answer.first, answer.tried), (None, at(6_200)));
        let mut later = answer.clone();
        answer.try_address(at(400), there);
        later.try_address(at(7_000), there);
        assert_eq!((answer.first, later.first), (Some(at(6_300)), Some(at(7_100))));
        answer.try_address(at(500), None);
        assert_eq!(answer.first, Some(at(6_300)));
    }
}
