//! Data channels in the loop: their packets share the node's sockets, their signals are operations
//! of the node.

use std::collections::HashMap;

use super::{Context, Driver, Instant, Parts};
use crate::webrtc::{Channels, Out, Wish};
use core::net::SocketAddr;
use core::time::Duration;
use kadlet_core::{Event, Id, LinkId, OperationId, Outcome, Transmit};

/// Longest datagram of the native wire, bytes.
const LONGEST: usize = 1232;

/// The channels, in the core's time, and the signals that are on their way.
pub(super) struct Held {
    channels: Channels,
    epoch: std::time::Instant,
    signals: HashMap<OperationId, (Id, String)>,
}

impl Held {
    pub(super) fn new(parts: &Parts) -> Self {
        let links = parts.links.iter().map(|link| (link.id, link.reached_at()));
        Self {
            channels: Channels::new(parts.node.id(), parts.channels, LONGEST, links),
            epoch: parts.clock.epoch(),
            signals: HashMap::new(),
        }
    }

    fn at(&self, now: Instant) -> std::time::Instant {
        self.epoch + Duration::from_micros(now.as_micros())
    }

    pub(super) fn wish(&mut self, wish: Wish, now: Instant) {
        self.channels.wish(wish, self.at(now));
    }

    pub(super) fn takes(
        &mut self,
        link: LinkId,
        remote: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> bool {
        self.channels.takes(link, remote, datagram, self.at(now))
    }

    pub(super) fn send(&mut self, transmit: &Transmit) -> bool {
        self.channels.send(transmit)
    }

    /// In the core's time, rounded up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let wait = self.channels.deadline()?.saturating_duration_since(self.epoch);
        Some(Instant::from_micros(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX) + 1))
    }

    /// An event that may be about channels; true if it is about nothing else.
    pub(super) fn heard(&mut self, event: &Event, now: Instant) -> bool {
        match event {
            Event::Signal { from, payload } => {
                self.channels.signalled(*from, payload, self.at(now));
            }
            Event::AddressSeen { address } => self.channels.seen_as(*address),
            Event::Done { operation, outcome, .. } => {
                let Some((id, session)) = self.signals.remove(operation) else { return false };
                if *outcome != Outcome::Success {
                    self.channels.unheard(id, &session);
                }
                return true;
            }
            _ => {}
        }
        false
    }
}

impl Driver {
    /// Does what the channels want. Whether that may have changed something for the node.
    pub(super) fn poll_channels(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let at = self.channels.at(now);
        self.channels.channels.poll(cx, at);
        let mut worked = false;
        while let Some(out) = self.channels.channels.next() {
            worked = true;
            match out {
                Out::Transmit(transmit) => self.outbox.send(transmit),
                Out::Datagram(path, datagram) => {
                    // Counted by the node, by reason: there is nothing else to do about it.
                    let _ = self.node.handle_datagram(now, path, &datagram);
                }
                // Handed on it could be read: the password in it is for that address alone.
                Out::Signal { to, at, session, payload } => {
                    match self.node.signal_at(now, to, at, &payload) {
                        Ok(operation) => _ = self.channels.signals.insert(operation, (to, session)),
                        Err(_) => self.channels.channels.unheard(to, &session),
                    }
                }
            }
        }
        worked
    }

    /// Says farewell, as far as the sockets take it at once.
    pub(super) fn close_channels(&mut self, now: Instant) {
        let at = self.channels.at(now);
        self.channels.channels.close(at);
        while let Some(out) = self.channels.channels.next() {
            if let Out::Transmit(transmit) = out {
                self.outbox.send(transmit);
            }
        }
    }
}
