//! The node: tables, lookups, requests, tokens and store joined into one machine.
//!
//! What arrives is handled in `node/queries.rs` (questions; what others want kept in `node/keep.rs`,
//! Mainline's scrapes and samples in `node/swarm.rs`) and `node/answers.rs` (answers and silence); operations are begun in `node/commands.rs` and carried on in `node/drive.rs`; what
//! happens of its own accord at a deadline stands in `node/upkeep.rs`, `node/renewal.rs` and
//! `node/offline.rs`. This file holds the state, the doors to the world and the polls.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::config::{Config, Network};
use crate::contact::{Contact, Families, Family, LinkId, Path, Scope, is_usable};
use crate::estimate::Estimate;
use crate::event::{Change, Event, OperationId, Rejected, Transmit};
use crate::id::Id;
use crate::limit::{Cost, Dropped, Limits};
use crate::requests::Requests;
use crate::rng::Rng;
use crate::sorted::{Map, Set};
use crate::store::{Handover, Store, StoreStats};
use crate::table::{Filter, RoutingTable};
use crate::time::Instant;
use crate::token::Tokens;
#[cfg(feature = "mainline")]
use crate::wire::mainline::Mainline;
use crate::wire::native::Native;
use crate::wire::{Body, ErrorCode, Failure, Malformed, Message, Wire};

mod answers;
mod commands;
mod crowd;
mod drive;
mod gaps;
mod identity;
mod keep;
mod offline;
mod operation;
mod proofs;
mod queries;
mod reach;
mod renewal;
mod results;
mod state;
mod stats;
#[cfg(feature = "mainline")]
mod swarm;
mod upkeep;

use offline::Offline;
use operation::{Operation, Purpose};
use proofs::Proofs;
use reach::Reach;
use renewal::Publication;

pub use commands::{CommandError, GetQuery, PutOptions};
pub use operation::Announcement;
pub use state::StateError;
pub use stats::{Health, OperationProgress, Stats};

/// A Kademlia node without sockets, clock, threads or entropy.
///
/// Give it time, bytes and a seed; it gives back bytes, events and a deadline. Its methods are of
/// four classes:
///
/// 1. *From the world*: [`handle_datagram`](Self::handle_datagram),
///    [`handle_path_failed`](Self::handle_path_failed), [`handle_timeout`](Self::handle_timeout),
///    [`link_up`](Self::link_up), [`link_down`](Self::link_down).
/// 2. *Commands*: [`bootstrap`](Self::bootstrap), [`get`](Self::get), [`put`](Self::put) and so
///    on. Each gives the id of an operation at once; what becomes of it comes as events.
/// 3. *Polls*: [`poll_transmit`](Self::poll_transmit), [`poll_event`](Self::poll_event),
///    [`poll_change`](Self::poll_change), [`poll_timeout`](Self::poll_timeout). Pure: they change
///    nothing but the queue they pop from, in any order. After any call of the first two classes
///    drain them and read the deadline again.
/// 4. *Reads*: everything else that takes `&self`.
///
/// Time never goes back: an earlier `now` counts as the latest. The same calls with the same
/// arguments give the same bytes, on every platform.
///
/// A clone draws the same transaction ids and tokens as its original: it is for simulations that
/// follow one network into several futures, and no two of them belong on a real one.
///
/// ```
/// use kadlet_core::{Config, Event, Id, Instant, Node, Path};
///
/// let mut now = Instant::EPOCH;
/// let (a_addr, b_addr) = (Path::direct("127.0.0.1:1".parse()?), Path::direct("127.0.0.1:2".parse()?));
/// let mut a = Node::new(Config::default(), Id::new([1; 20]), [1; 32], now);
/// let mut b = Node::new(Config::default(), Id::new([2; 20]), [2; 32], now);
/// a.bootstrap(now, &[b_addr]);
/// // The network between the two: whatever one transmits, the other is handed.
/// loop {
///     if let Some(datagram) = a.poll_transmit() {
///         b.handle_datagram(now, a_addr, &datagram.payload)?;
///     } else if let Some(datagram) = b.poll_transmit() {
///         a.handle_datagram(now, b_addr, &datagram.payload)?;
///     } else {
///         break;
///     }
///     now = now + core::time::Duration::from_millis(1);
/// }
/// assert!(core::iter::from_fn(|| a.poll_event()).any(|event| matches!(event, Event::Done { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Node {
    config: Config,
    wire: Wire,
    ids: [Id; 2],
    rng: Rng,
    now: Instant,
    links: Map<LinkId, Link>,
    tables: [RoutingTable; 2],
    requests: Requests<Purpose>,
    tokens: Tokens,
    store: Store,
    limits: Limits,
    estimate: Estimate,
    proofs: Proofs,
    /// Newcomers that are being looked at for records of ours that are now theirs.
    handovers: VecDeque<(Handover, Contact)>,
    /// No record is handed over before.
    next_handover: Instant,
    reach: Reach,
    /// Families that addresses we were given belong to, for a host that never names its links.
    used: Families,
    /// In boxes: a map keeps room for eleven, whether or not it has one.
    operations: Map<u64, Box<Operation>>,
    alarms: Set<(Instant, u64)>,
    /// Operations that wait for one of the outstanding requests to end before they may ask on.
    starved: Set<u64>,
    /// How many operations the node runs for itself.
    background: usize,
    next_operation: u64,
    publications: Map<u64, Publication>,
    renewals: Set<(Instant, u64)>,
    /// Publications at whose last try nobody answered at all: tried again when somebody does.
    unheard: Set<u64>,
    /// What we provide ourselves, and how: whoever asks us need not ask a holder.
    provided: Map<Id, (u64, Announcement)>,
    /// Who signalled us last, newest first: a client is in nobody's table, and what answers its
    /// signal finds it here.
    signallers: VecDeque<(Id, Path)>,
    #[cfg(feature = "mainline")]
    sampling: swarm::Sampling,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    contacts_changed: bool,
    offline: Offline,
    closed: bool,
    stats: Stats,
}

/// One of the host's sockets.
#[derive(Clone, Copy, Debug)]
struct Link {
    families: Families,
    mtu: usize,
    local: SocketAddr,
}

/// Construction and the world.
impl Node {
    /// A node without contacts. `seed` must be 32 bytes of entropy that no node ever had before:
    /// transaction ids and tokens follow from it.
    #[must_use]
    pub fn new(config: Config, id: Id, seed: [u8; 32], now: Instant) -> Self {
        let mut rng = Rng::from_seed(seed);
        let wire = match &config.network {
            Network::Native(name) => Wire::Native(Native::new(name)),
            #[cfg(feature = "mainline")]
            Network::Mainline => Wire::Mainline(Mainline),
        };
        let table = |_| RoutingTable::new(id, config.table.clone());
        let requests = config.requests.clone().corrected(|requests| {
            requests.transaction_bytes = wire.transaction_bytes() as u8;
            requests.repeats = if wire.repeats() { requests.repeats } else { 0 };
        });
        Self {
            tables: Family::ALL.map(table),
            requests: Requests::new(requests),
            tokens: Tokens::new(&config.tokens, rng.bytes()),
            store: Store::new(config.store.clone(), id, rng.fork()).with_form(wire.form()),
            limits: Limits::new(config.limits.clone()),
            estimate: Estimate::new(config.estimate.clone()),
            proofs: Proofs::new(config.max_proven, config.proof_lifetime),
            handovers: VecDeque::new(),
            next_handover: now,
            reach: Reach::default(),
            ids: [id; 2],
            wire,
            now,
            links: Map::new(),
            used: Families::NONE,
            operations: Map::new(),
            alarms: Set::new(),
            starved: Set::new(),
            background: 0,
            next_operation: 0,
            publications: Map::new(),
            renewals: Set::new(),
            unheard: Set::new(),
            provided: Map::new(),
            signallers: VecDeque::new(),
            #[cfg(feature = "mainline")]
            sampling: swarm::Sampling::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            contacts_changed: false,
            offline: Offline::default(),
            closed: false,
            stats: Stats::default(),
            config,
            rng,
        }
    }

    /// A datagram came by `path`.
    ///
    /// # Errors
    /// Says why it was dropped: the sender's fault, counted in [`Stats::rejected`], and nothing
    /// else has changed.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
    ) -> Result<(), Rejected> {
        let now = self.advance(now);
        self.stats.datagrams_in += 1;
        self.stats.bytes_in += datagram.len() as u64;
        let result = self.receive(now, path, datagram);
        match result {
            Ok(()) => self.feed_starved(now),
            // Nothing comes of it; what waits for room has a deadline that has come.
            Err(reason) => self.stats.count_rejected(reason),
        }
        result
    }

    fn receive(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Result<(), Rejected> {
        if self.closed {
            return Err(Rejected::Closed);
        }
        if !is_usable(path.remote) {
            return Err(Rejected::BadSource);
        }
        // The wire is borrowed by the message, the rest of the node is not: a cheap clone.
        let wire = self.wire.clone();
        let message = match wire.decode(datagram) {
            Ok(message) => message,
            Err(why) => {
                if matches!(why, Malformed::OtherNetwork | Malformed::OtherVersion) {
                    self.handle_foreign(now, path, datagram);
                } else if let Some(transaction) = wire.waiting(datagram)
                    && self.answers_questions()
                    && self.limits.allow(now, Cost::Query, path.remote)
                {
                    let failure = Body::Error(Failure::new(ErrorCode::Protocol));
                    self.send(
                        path,
                        &Message::new(transaction, self.own_id(path.family()), failure),
                    );
                }
                return Err(Rejected::Malformed(why));
            }
        };
        if message.sender.is_some_and(|id| self.ids.contains(&id)) {
            return self.handle_own_id(now, path, &message);
        }
        match &message.body {
            Body::Query(query) => self.handle_query(now, path, &message, query, datagram.len()),
            Body::Response(response) => {
                self.handle_response(now, path, &message, response, datagram.len())
            }
            Body::Error(failure) => self.handle_failure(now, path, &message, failure),
        }
    }

    /// The host found that nothing can be sent by `path`: connection refused, no route, closed.
    /// Whoever was asked there counts as failed at once.
    pub fn handle_path_failed(&mut self, now: Instant, path: Path) {
        let now = self.advance(now);
        self.requests.path_failed(now, path);
        self.expire_requests(now, Some(path));
        self.feed_starved(now);
    }

    /// The deadline of [`poll_timeout`](Self::poll_timeout) has come. Early or twice does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        if !self.closed {
            self.keep_up(now);
        }
    }

    /// A socket is open (or its address has changed): the families it reaches and the longest
    /// datagram it carries, at least 1232 bytes. What we provide is announced anew, for holders
    /// have the address of before.
    pub fn link_up(
        &mut self,
        now: Instant,
        link: LinkId,
        local: SocketAddr,
        families: Families,
        mtu: u16,
    ) {
        self.advance(now);
        if Scope::of(local.ip()) == Some(Scope::Public) {
            self.reach.on_public_network();
        }
        let mtu = usize::from(mtu).max(MIN_MTU);
        let before = self.links.insert(link, Link { families, mtu, local });
        if before.is_none_or(|before| before.local != local) {
            self.announce_anew();
        }
    }

    /// A socket is closed: who was asked over it counts as failed.
    pub fn link_down(&mut self, now: Instant, link: LinkId) {
        let now = self.advance(now);
        self.links.remove(&link);
        let paths: Set<Path> = self.requests.paths().filter(|path| path.link == link).collect();
        for &path in paths.iter() {
            self.requests.path_failed(now, path);
            self.expire_requests(now, Some(path));
        }
        self.feed_starved(now);
    }
}

/// Polls: pure pops.
impl Node {
    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        take_next(&mut self.transmits)
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        take_next(&mut self.events)
    }

    /// The next change worth keeping, for a host that keeps state safe.
    pub fn poll_change(&mut self) -> Option<Change> {
        if core::mem::take(&mut self.contacts_changed) {
            return Some(Change::Contacts);
        }
        self.store.poll_change().map(Change::Record)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next; `None` means never.
    /// Changes with every call that is not a poll or a read.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.closed { None } else { self.next_deadline() }
    }
}

/// Reads.
impl Node {
    /// Our id (that of the IPv4 table, where BEP 42 made the two differ).
    #[must_use]
    pub const fn id(&self) -> Id {
        self.ids[0]
    }

    /// The settings the node was made with.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The routing table of a family.
    #[must_use]
    pub const fn table(&self, family: Family) -> &RoutingTable {
        let [v4, v6] = &self.tables;
        match family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }

    /// The k contacts of our table that are closest to `target`, nearest first.
    #[must_use]
    pub fn closest(&self, target: Id, family: Family) -> Vec<Contact> {
        self.table(family).closest(target, Filter::default()).take(self.config.table.k).collect()
    }

    /// How far an operation is; none if it has ended.
    #[must_use]
    pub fn operation(&self, id: OperationId) -> Option<OperationProgress> {
        let operation = self.operations.get(&id.0)?;
        Some(OperationProgress {
            totals: operation.totals,
            in_flight: operation.lookup.progress().in_flight + operation.pending,
            remaining: operation.deadline.since(self.now),
        })
    }

    /// What happened so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What limits per source made us drop.
    #[must_use]
    pub const fn dropped(&self) -> Dropped {
        self.limits.dropped()
    }

    /// What is kept for others, and what became of what was to be kept.
    #[must_use]
    pub fn store_stats(&self) -> StoreStats {
        self.store.stats()
    }

    /// How the node is.
    #[must_use]
    pub fn health(&self) -> Health {
        let held = self.store.stats();
        Health {
            contacts: Family::ALL.map(|family| (family, self.table(family).len())),
            offline: self.offline.is(),
            server: !self.is_client(),
            reachable: self.reach.reachable(),
            network_size: self.estimate(),
            records: held.values + held.signed + held.providers + held.entries,
            publications: self.publications.len(),
            operations: self.operations.len(),
        }
    }

    /// How many nodes the network is estimated to have; none before enough lookups.
    #[must_use]
    pub fn estimate(&self) -> Option<u64> {
        self.estimate.size()
    }
}

/// What the parts of the node share.
impl Node {
    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    fn own_id(&self, family: Family) -> Id {
        let [v4, v6] = self.ids;
        match family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }

    const fn table_mut(&mut self, family: Family) -> &mut RoutingTable {
        let [v4, v6] = &mut self.tables;
        match family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }

    /// The families we reach: what the links say, or, of a host that never named a link, those of
    /// which we have contacts.
    fn families(&self) -> Families {
        if self.links.is_empty() {
            return Family::ALL
                .into_iter()
                .filter(|family| !self.table(*family).is_empty())
                .fold(self.used, |all, family| all.union(Families::only(family)));
        }
        self.links.values().fold(Families::NONE, |all, link| all.union(link.families))
    }

    /// The link to reach an address of `family` by, heard of on link `heard`: that one if it reaches
    /// the family.
    fn link_for(&self, heard: LinkId, family: Family) -> LinkId {
        let reaches =
            |link: &LinkId| self.links.get(link).is_some_and(|link| link.families.contains(family));
        if self.links.is_empty() || reaches(&heard) {
            return heard;
        }
        self.links.keys().copied().find(reaches).unwrap_or(heard)
    }

    /// The longest datagram that may leave by this path.
    fn max_datagram(&self, path: Path) -> usize {
        let most = self.wire.max_datagram();
        self.links.get(&path.link).map_or(most, |link| link.mtu.min(most))
    }

    fn push_event(&mut self, event: Event) {
        if self.events.len() < self.config.max_events || matches!(event, Event::Done { .. }) {
            self.events.push_back(event);
        } else {
            self.stats.events_lost += 1;
        }
    }
}

/// The first of a queue. An empty one that was long gives its room back: between bursts a node is
/// idle. Room for 4 datagrams stays; for events, which few nodes have any of, none does.
fn take_next<T>(queue: &mut VecDeque<T>) -> Option<T> {
    const KEPT: usize = 4 * size_of::<Transmit>();
    let next = queue.pop_front()?;
    if queue.is_empty() {
        if queue.capacity() * size_of::<T>() > KEPT {
            *queue = VecDeque::new();
        } else {
            // The next one goes where this one was, which is in the cache.
            queue.clear();
        }
    }
    Some(next)
}

/// Whether one who is at `other` may be told of `named`, or be believed about it: a narrower
/// address means another machine to everybody else.
fn within_scope(named: SocketAddr, other: SocketAddr) -> bool {
    match (Scope::of(named.ip()), Scope::of(other.ip())) {
        (Some(named), Some(other)) => named.may_be_named_by(other),
        _ => false,
    }
}

/// Every link carries datagrams of this length: IPv6's minimum less its headers.
const MIN_MTU: usize = 1232;
