//! Whether strangers reach us, and what our address is from outside.
//!
//! Our contacts reach us, for we wrote to them first and a NAT lets their answers in. So a contact
//! is asked to have a third node, to which we never wrote, ping us with a nonce (libp2p's AutoNAT
//! asks the contact itself, which shows less). A node on a public network is a client until that
//! ping comes; on loopback and private networks it is a server from the start.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::Node;
use super::operation::Purpose;
use super::queries::Asker;
use crate::config::Role;
use crate::contact::{Contact, Family, Path, Prefix, Scope};
use crate::event::Event;
use crate::limit::Cost;
use crate::table::Filter;
use crate::time::Instant;
use crate::wire::{Method, Query};

/// So many voters, and most of all, must name the same address before it is believed. With a vote
/// for each address, one owner of an IPv6 prefix would choose our id.
const VOTES: usize = 3;

/// Voters remembered: enough for a majority to show, few enough to forget an old address soon.
const VOTERS: usize = 16;

/// How long a ping by a third node may take: two legs and a hard timeout.
const PATIENCE: Duration = Duration::from_secs(15);

/// Asked this often in vain, we take it that strangers do not reach us.
const TRIES: u32 = 3;

/// How often it is looked into again: NAT mappings and firewalls change.
const AGAIN: Duration = Duration::from_secs(15 * 60);

/// Seconds for which a NAT lets in whom we wrote to, at most (RFC 4787, section 4.3: two minutes at
/// least, and five by default).
const MAPPING: u32 = 300;

/// So many of those are remembered: what a few lookups and pings write to. 4 kB.
const WRITTEN: usize = 512;

/// What is known of our own reachability.
#[derive(Clone, Debug, Default)]
pub(super) struct Reach {
    public: bool,
    reachable: Option<bool>,
    /// Whether that has been said; it names an address, and needs one that is believed.
    told: bool,
    /// By family: who said we have which address, the latest last.
    votes: [Vec<Vote>; 2],
    /// By family: the address last believed.
    seen: [Option<SocketAddr>; 2],
    /// The nonce of the ping that we wait for.
    waiting: Option<u64>,
    /// Whether the contact was asked once more, with the cookie that it wanted.
    repeated: bool,
    /// When somebody last asked us whom we had not asked.
    stranger: Option<Instant>,
    tries: u32,
    due: Option<Instant>,
    /// Machines that we wrote to of late, oldest first, with the second: a NAT lets them in, whether or
    /// not they answered.
    written: VecDeque<(u32, u32)>,
}

/// What one owner of addresses says, or in local networks one host: its latest word counts.
#[derive(Clone, Copy, Debug)]
struct Vote {
    voter: IpAddr,
    observed: SocketAddr,
}

impl Reach {
    pub(super) fn on_public_network(&mut self) {
        self.public = true;
        if self.reachable.is_none() && self.due.is_none() {
            self.due = Some(Instant::EPOCH);
        }
    }

    /// Whether the node is, or was when it last ran, on a public network.
    pub(super) const fn is_public(&self) -> bool {
        self.public
    }

    pub(super) const fn reachable(&self) -> Option<bool> {
        self.reachable
    }

    pub(super) fn advises_client(&self) -> bool {
        self.public && self.reachable != Some(true)
    }

    /// Our address of this family, as others agree to see it.
    pub(super) const fn seen_from_outside(&self, family: Family) -> Option<SocketAddr> {
        let [v4, v6] = self.seen;
        match family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }

    /// `voter` says that we have the address `observed`. Gives it once it is newly believed.
    fn seen_as(&mut self, observed: SocketAddr, voter: SocketAddr) -> Option<SocketAddr> {
        let scope = Scope::of(observed.ip())?;
        // A loopback neighbour sees our loopback address: no news for the world.
        if Scope::of(voter.ip()) != Some(scope) {
            return None;
        }
        let [v4, v6] = &mut self.votes;
        let [seen_v4, seen_v6] = &mut self.seen;
        let (votes, seen) = match Family::of(&observed) {
            Family::V4 => (v4, seen_v4),
            Family::V6 => (v6, seen_v6),
        };
        let voter = voter.ip();
        let at_large = scope == Scope::Public;
        let before = votes.iter().position(|vote| match at_large {
            true => Prefix::of(vote.voter) == Prefix::of(voter),
            false => vote.voter == voter,
        });
        if before.is_some() || votes.len() >= VOTERS {
            votes.remove(before.unwrap_or(0));
        }
        votes.push(Vote { voter, observed });
        if *seen == Some(observed) {
            return None;
        }
        let agreeing = votes.iter().filter(|vote| vote.observed == observed).count();
        if agreeing < VOTES || agreeing * 2 <= votes.len() {
            return None;
        }
        *seen = Some(observed);
        if at_large {
            self.on_public_network();
        }
        Some(observed)
    }

    /// We write to `to`.
    pub(super) fn wrote(&mut self, now: Instant, to: SocketAddr) {
        if !self.advises_client() {
            return;
        }
        if self.written.len() >= WRITTEN {
            self.written.pop_front();
        }
        self.written.push_back((now.as_secs(), shortened(to)));
    }

    /// Whether a NAT may let it in because we wrote to it.
    fn has_written(&self, now: Instant, to: SocketAddr) -> bool {
        let machine = shortened(to);
        let late = now.as_secs().saturating_sub(MAPPING);
        self.written.iter().any(|(at, it)| *it == machine && *at >= late)
    }

    /// When something is to be done here.
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }
}

impl Node {
    /// Asks a contact to have somebody ping us, if it is time.
    pub(super) fn check_reachability(&mut self, now: Instant) {
        if self.reach.due.is_none_or(|due| now < due) || self.config.role != Role::Auto {
            return;
        }
        if !self.wire.dials_back() {
            self.reach.due = None;
            return;
        }
        if self.reach.waiting.take().is_some() && self.reach.tries >= TRIES {
            let lately = self.reach.stranger.is_some_and(|at| now.since(at) < AGAIN);
            // Three that could not help show less than one that came unasked.
            self.set_reachable(now, self.reach.reachable == Some(true) && lately);
            return;
        }
        let Some(contact) = self.random_contact(|entry| entry.live) else {
            self.reach.due = Some(now + PATIENCE);
            return;
        };
        let nonce = self.rng.next_u64();
        self.reach.waiting = Some(nonce);
        self.reach.repeated = false;
        self.reach.tries += 1;
        self.reach.due = Some(now + PATIENCE);
        let query = Query::new(Method::DialBack { nonce });
        self.ask(now, contact.path, Some(contact.id), query, Purpose::DialBack);
    }

    /// The contact that was asked for a ping by somebody else answered. If it wanted to be shown first
    /// that our address is ours, it did nothing, and is asked again.
    pub(super) fn dial_back_answered(&mut self, now: Instant, contact: Contact, wanted: bool) {
        let Some(nonce) = self.reach.waiting.filter(|_| wanted && !self.reach.repeated) else {
            return;
        };
        self.reach.repeated = true;
        let query = Query::new(Method::DialBack { nonce });
        self.ask(now, contact.path, Some(contact.id), query, Purpose::DialBack);
    }

    /// Whether it matters that an address has shown that it receives our datagrams. In local networks
    /// nothing is held against one that has not.
    pub(super) fn minds_proof(&self, ip: IpAddr) -> bool {
        self.reach.public
            || Scope::of(ip) == Some(Scope::Public)
            || self.config.amplification.holds_for(ip)
            || self.config.limits.enforce.holds_for(ip)
    }

    /// A ping with a nonce came: from a stranger, and with our nonce, it shows that we are reached.
    pub(super) fn handle_reach_ping(&mut self, now: Instant, nonce: u64, from: Path) {
        if self.reach.waiting == Some(nonce)
            && !self.proofs.is_proven(now, &from.remote)
            && !self.reach.has_written(now, from.remote)
        {
            self.reach.waiting = None;
            self.set_reachable(now, true);
        }
    }

    /// Somebody asked us. Where no contact can be asked for a ping by a third node, a question from
    /// an address that we never heard an answer from shows as much: it came through unasked.
    pub(super) fn note_stranger(&mut self, now: Instant, from: Path) {
        // That of a while ago will do.
        let lately = self.reach.stranger.is_some_and(|at| now.since(at) < AGAIN / 2);
        if !self.reach.public
            || self.reach.reachable == Some(true) && (lately || !self.wire.dials_back())
            || self.proofs.is_proven(now, &from.remote)
            || self.requests.paths().any(|asked| asked.remote == from.remote)
            || self.reach.has_written(now, from.remote)
        {
            return;
        }
        self.reach.stranger = Some(now);
        if !self.wire.dials_back() {
            self.set_reachable(now, true);
        }
    }

    fn set_reachable(&mut self, now: Instant, reachable: bool) {
        self.reach.tries = 0;
        self.reach.due = Some(now + AGAIN);
        if self.reach.reachable == Some(reachable) {
            return;
        }
        self.reach.reachable = Some(reachable);
        self.reach.told = false;
        if reachable {
            // It is not asked for until this is taken back, and an idle node is to be small.
            self.reach.written = VecDeque::new();
        }
        if let Some(address) = self.reach.seen.into_iter().flatten().next() {
            self.tell_reachable(address);
        }
    }

    /// Says whether strangers reach us, if that is known and has not been said.
    fn tell_reachable(&mut self, address: SocketAddr) {
        if let Some(reachable) = self.reach.reachable
            && !core::mem::replace(&mut self.reach.told, true)
        {
            self.push_event(Event::Reachable { address, reachable });
        }
    }

    /// `voter` answered and says that we have the address `observed`.
    pub(super) fn note_observed(&mut self, now: Instant, observed: SocketAddr, voter: SocketAddr) {
        let Some(address) = self.reach.seen_as(observed, voter) else { return };
        self.push_event(Event::AddressSeen { address });
        self.tell_reachable(address);
        #[cfg(feature = "mainline")]
        self.take_id_for(now, address);
        #[cfg(not(feature = "mainline"))]
        let _ = now;
    }

    /// The asker wants a stranger to ping it: some contact of ours, of another prefix than the
    /// asker's, is to do it.
    pub(super) fn pass_dial_back(&mut self, now: Instant, asker: Asker, nonce: u64) {
        let address = asker.path.remote;
        if !asker.proven || !self.limits.allow(now, Cost::Query, address) {
            return;
        }
        // Only those who have us in their tables do us this favour: our neighbours do.
        let table = self.table(asker.path.family());
        let neighbours = table.closest(self.own_id(asker.path.family()), Filter::default());
        let neighbours: Vec<Contact> = neighbours
            .take(self.config.table.k)
            .filter(|contact| contact.addr().ip() != address.ip())
            .collect();
        let drawn = self.rng.below(neighbours.len() as u64);
        // Below a count of contacts, so it fits.
        let Some(stranger) = neighbours.get(drawn as usize).copied() else { return };
        let query = Query::new(Method::Probe { address, nonce });
        self.ask(now, stranger.path, Some(stranger.id), query, Purpose::Forward);
    }

    /// A contact of ours asks us to ping somebody: one small ping for one question, and only for
    /// those who are in our table, so that a stranger cannot make us knock at doors.
    pub(super) fn probe(&mut self, now: Instant, asker: Asker, address: SocketAddr, nonce: u64) {
        let known = self
            .table(asker.path.family())
            .get(asker.id)
            .is_some_and(|entry| entry.contact.path == asker.path);
        let cost = Cost::Candidate { named_by: asker.path.remote };
        if !known
            || !super::within_scope(address, asker.path.remote)
            || !self.limits.allow(now, cost, address)
        {
            return;
        }
        let path =
            Path { link: self.link_for(asker.path.link, Family::of(&address)), remote: address };
        self.ask(now, path, None, Query::new(Method::Ping { nonce: Some(nonce) }), Purpose::Probe);
    }
}

/// A machine in 32 bits: the address of IPv4, and the two halves of an IPv6 network laid on one another.
/// One that is taken for another is no stranger for five minutes, and the next one is.
fn shortened(addr: SocketAddr) -> u32 {
    match addr.ip() {
        IpAddr::V4(ip) => ip.to_bits(),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            u32::from(a ^ c) << 16 | u32::from(b ^ d)
        }
    }
}
