//! One operation: what it was started for, how far it is, what it has found.
//!
//! An operation is one lookup after another (a search entry has one key for every word of its
//! name), each followed by a store where there is something to store. The state lives here; what
//! happens when an answer comes stands in `answers.rs`, what happens when nobody is left to ask
//! in `drive.rs`.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::queries::hit;
use crate::contact::{Capabilities, Contact, Family, Path};
use crate::event::{Outcome, Totals};
use crate::id::{Distance, Id};
use crate::lookup::Lookup;
use crate::record::{Item, SearchEntry, SearchQuery, Transports};
use crate::sorted::{Map, Set};
use crate::time::Instant;
use crate::wire::{ErrorCode, Item as WireItem, Method, SignedItem};

/// What an operation was started for.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Ask these addresses for contacts, then look up our own id.
    Bootstrap,
    /// Who is in a part of the region that a crowd hides from operation `of`?
    Part { of: u64, key: Id },
    /// The contacts closest to an id.
    FindNode,
    /// The same, to keep a bucket fresh.
    Refresh,
    /// Who has a content?
    Providers,
    /// How many have it (BEP 33)?
    #[cfg(feature = "mainline")]
    Scrape(Box<super::swarm::Swarm>),
    /// Which keys are held near the target (BEP 51)?
    #[cfg(feature = "mainline")]
    Sample,
    /// We have it.
    Announce(Announcement),
    /// The value under a key.
    Get { salt: Vec<u8>, newer_than: Option<u64> },
    /// Keep this value.
    Put { item: Item, cas: Option<u64>, age: Duration },
    /// Keep a value that we hold for somebody else: what holders do every hour.
    Republish { item: Item, age: Duration },
    /// Files whose names carry all the words.
    Search {
        query: SearchQuery,
        /// The further words, as they travel.
        filter: String,
    },
    /// A file with this name is to be found by each of its words.
    Publish(SearchEntry),
    /// A message for the node with the target as its id: wherever it is, or at this path alone.
    Signal { payload: Vec<u8>, at: Option<Box<Path>> },
}

/// That we have a content, and how it is fetched from us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Announcement {
    /// The port to fetch from; none, or 0: the port our datagrams come from.
    pub port: Option<u16>,
    /// How it is fetched.
    pub transports: Transports,
    /// Whether to announce it again before holders forget it, until the operation is cancelled.
    pub renew: bool,
}

impl Announcement {
    /// An announcement of a content served over HTTP on `port`, renewed until cancelled.
    #[must_use]
    pub const fn http(port: u16) -> Self {
        Self { port: Some(port), transports: Transports::HTTP, renew: true }
    }

    /// An announcement of a content served by data channels, which whoever wants it signals to the
    /// address that our datagrams come from; renewed until cancelled.
    #[must_use]
    pub const fn data_channel() -> Self {
        Self { port: None, transports: Transports::DATA_CHANNEL, renew: true }
    }

    /// An announcement of a torrent's peer on Mainline, renewed until cancelled: at `port`, or at
    /// that of our datagrams, and whether it has all of it.
    #[must_use]
    pub const fn torrent(port: Option<u16>, complete: bool) -> Self {
        let transports = if complete { Transports::COMPLETE } else { Transports::NONE };
        Self { port, transports, renew: true }
    }
}

impl Kind {
    /// Forgets whom an answer names where nobody else is to be asked.
    pub(super) fn leave_out(&self, named: &mut Vec<Contact>) {
        if matches!(self, Self::Signal { at: Some(_), .. }) {
            named.clear();
        }
    }

    /// Whether holders are to keep something after the lookup.
    pub(super) const fn stores(&self) -> bool {
        matches!(
            self,
            Self::Announce(_) | Self::Put { .. } | Self::Republish { .. } | Self::Publish(_)
        )
    }

    /// Whether records are kept or looked for: what is close to the key has to be covered whoever
    /// crowds there.
    pub(super) const fn covers_region(&self) -> bool {
        self.stores() || matches!(self, Self::Providers | Self::Get { .. } | Self::Search { .. })
    }

    /// Only nodes that declare these bits count towards the k closest, where nodes declare any.
    pub(super) const fn mask(&self) -> Capabilities {
        match self {
            Self::Bootstrap
            | Self::Part { .. }
            | Self::FindNode
            | Self::Refresh
            | Self::Signal { .. } => Capabilities::NONE,
            _ => Capabilities::STORE,
        }
    }

    /// The question of the lookup, for one page of the asked node's list.
    pub(super) fn method(&self, page: u32) -> Method<'_> {
        match self {
            Self::Bootstrap
            | Self::Part { .. }
            | Self::FindNode
            | Self::Refresh
            | Self::Signal { .. } => Method::FindNode,
            Self::Providers => Method::GetProviders { page, scrape: false, no_seeds: false },
            #[cfg(feature = "mainline")]
            Self::Scrape(_) => Method::GetProviders { page, scrape: true, no_seeds: false },
            #[cfg(feature = "mainline")]
            Self::Sample => Method::SampleKeys,
            // A publisher wants tokens and contacts, not the lists.
            Self::Announce(_) => {
                Method::GetProviders { page: NO_LIST, scrape: false, no_seeds: false }
            }
            Self::Get { newer_than, .. } => Method::Get { newer_than: *newer_than },
            Self::Put { .. } | Self::Republish { .. } => {
                Method::Get { newer_than: Some(ONLY_TOKEN) }
            }
            Self::Search { filter, .. } => Method::Search { words: filter, page },
            Self::Publish(_) => Method::Search { words: "", page: NO_LIST },
        }
    }
}

/// The page that asks for no list, only for contacts and a token.
pub(super) const NO_LIST: u32 = u32::MAX;

/// The sequence number that nothing is newer than: only contacts and a token are wanted.
pub(super) const ONLY_TOKEN: u64 = u64::MAX;

/// What one outstanding request is for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// An address to bootstrap from.
    Bootstrap { operation: u64 },
    /// A step of a lookup.
    Step { operation: u64, contact: Contact, with_cookie: bool },
    /// What lies beside a lookup's target, at this point.
    Beside { operation: u64, point: Id },
    /// A further page of a list.
    Page { operation: u64, page: u32 },
    /// A record handed to a holder.
    Store { operation: u64, contact: Contact },
    /// The last leg of a signal.
    Signal { operation: u64 },
    /// Is it alive, and who is it? For the table.
    Check,
    /// A ping for somebody who wants to know whether strangers reach it.
    Probe,
    /// A request of ours for such a ping.
    DialBack,
    /// A token, to hand a record over to a newcomer with.
    Offer { item: Box<Item>, age: Duration },
    /// A record handed over or copied, or a signal handed on: nobody waits for the answer.
    Forward,
}

impl Purpose {
    /// The operation it belongs to.
    pub(super) const fn operation(&self) -> Option<u64> {
        match self {
            Self::Bootstrap { operation }
            | Self::Step { operation, .. }
            | Self::Beside { operation, .. }
            | Self::Page { operation, .. }
            | Self::Store { operation, .. }
            | Self::Signal { operation } => Some(*operation),
            Self::Check | Self::Probe | Self::DialBack | Self::Offer { .. } | Self::Forward => None,
        }
    }
}

/// How far an operation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Bootstrap: nobody has answered yet.
    Contacting,
    /// The lookup is running.
    Looking,
    /// Records are on their way to holders.
    Storing,
}

/// On whose behalf an operation runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whose {
    /// The caller gave a command: every step is an event.
    Callers,
    /// The node keeps itself and the network going, without events.
    Upkeep,
    /// The node renews what the operation with this number published.
    Renewal(u64),
}

/// A question about a point beside a lookup's target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aside {
    pub(super) point: Id,
    pub(super) asked: SocketAddr,
    /// Whether its answer is waited for.
    pub(super) waits: bool,
}

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) kind: Kind,
    pub(super) whose: Whose,
    pub(super) stage: Stage,
    pub(super) started: Instant,
    pub(super) deadline: Instant,
    /// When its time is next looked at: at its deadline, or before it when its lookup is to end so
    /// that time is left to store.
    pub(super) alarm: Instant,
    /// Whether it is time to store with the first who can be.
    pub(super) hurries: bool,
    /// Records stored under the keys before the present one.
    pub(super) stored_before: u32,
    /// Whether the caller chose the deadline.
    pub(super) has_own_deadline: bool,
    /// The keys that are still to come after the present one.
    pub(super) targets: VecDeque<Id>,
    pub(super) lookup: Lookup,
    pub(super) target: Id,
    /// Requests outstanding besides the lookup's own: bootstrap addresses, pages, stores.
    pub(super) pending: u32,
    /// Bootstrap addresses that have neither answered nor failed, and whether they are slow.
    pub(super) entries: Map<Path, bool>,
    /// Holders that are to keep the record and have not been asked yet.
    pub(super) to_store: VecDeque<Contact>,
    /// Pages of holders' lists that have not been asked for yet.
    pub(super) to_read: VecDeque<(Contact, u32)>,
    pub(super) totals: Totals,
    /// Who was asked about which point beside the target.
    pub(super) beside: Vec<Aside>,
    /// From whom we may store with what.
    pub(super) tokens: Map<(Id, SocketAddr), Vec<u8>>,
    /// Lookups under way of the parts of the region that a crowd hides, and whether there were any.
    pub(super) parts: Vec<u64>,
    pub(super) looked_around: bool,
    /// How far from the key records are kept and looked for, beyond the k closest if need be.
    pub(super) region: Option<Distance>,
    /// Who named the target itself (signals).
    pub(super) namer: Option<Contact>,
    /// Whether the target itself was asked and is silent (signals).
    pub(super) target_silent: bool,
    pub(super) providers: Map<SocketAddr, u8>,
    pub(super) hits: Set<[u8; 32]>,
    /// Further pages asked for, of the one list that is read to its end and of all others.
    pub(super) pages: [u32; 2],
    /// Whose list is read to its end, whatever it brings.
    pub(super) reader: Option<Id>,
    /// Whether one holder's list has been read to its end.
    pub(super) list_read: bool,
    /// The best value so far.
    pub(super) best: Option<Item>,
    pub(super) refusals: Map<ErrorCode, u32>,
    pub(super) refused_seq: Option<u64>,
    /// The k closest of either family that answered, once the lookup is over.
    pub(super) closest: Vec<Contact>,
}

impl Operation {
    pub(super) fn new(
        kind: Kind,
        whose: Whose,
        target: Id,
        lookup: Lookup,
        now: Instant,
        deadline: Instant,
    ) -> Self {
        Self {
            kind,
            whose,
            stage: Stage::Looking,
            started: now,
            deadline,
            alarm: deadline,
            hurries: false,
            stored_before: 0,
            has_own_deadline: false,
            targets: VecDeque::new(),
            lookup,
            target,
            pending: 0,
            entries: Map::new(),
            to_store: VecDeque::new(),
            to_read: VecDeque::new(),
            totals: Totals::default(),
            beside: Vec::new(),
            tokens: Map::new(),
            parts: Vec::new(),
            looked_around: false,
            region: None,
            namer: None,
            target_silent: false,
            providers: Map::new(),
            hits: Set::new(),
            pages: [0; 2],
            reader: None,
            list_read: false,
            best: None,
            refusals: Map::new(),
            refused_seq: None,
            closest: Vec::new(),
        }
    }

    /// A signal's target is known to somebody and silent to us: it goes by way of that one now, and
    /// whether anybody else is alive is not waited for.
    pub(super) fn hasten_signal(&mut self) {
        if matches!(self.kind, Kind::Signal { .. }) && self.target_silent && self.namer.is_some() {
            self.lookup.finish_early();
        }
    }

    /// Counts a refusal, for the outcome.
    pub(super) fn refused(&mut self, code: ErrorCode, seq: Option<u64>) {
        *self.refusals.or_insert(code, 0) += 1;
        self.refused_seq = self.refused_seq.max(seq);
    }

    /// What is to be told of this provider, if it is news: that it is one, or how else it is reached, which
    /// one holder may leave out and another know. Of more than `most` none is told.
    pub(super) fn note_provider(
        &mut self,
        address: SocketAddr,
        transports: u8,
        most: usize,
    ) -> Option<u8> {
        if let Some(known) = self.providers.get_mut(&address) {
            let all = *known | transports;
            return (core::mem::replace(known, all) != all).then_some(all);
        }
        (self.providers.len() < most).then(|| {
            self.providers.insert(address, transports);
            transports
        })
    }

    /// Whether the next page of this holder's list is worth asking for: one list is read to its
    /// end, and others as long as they bring news, for holders of one key hold much the same, each
    /// in an order of its own.
    pub(super) fn turns_page(&mut self, holder: Id, news: bool, most: u32) -> bool {
        if self.reader.is_none() && !self.list_read {
            self.reader = Some(holder);
        }
        let reads = self.reader == Some(holder);
        let [read, others] = &mut self.pages;
        let pages = if reads { read } else { others };
        let turns = (reads || news) && *pages < most;
        *pages += u32::from(turns);
        turns
    }

    /// One holder has no further page.
    pub(super) fn list_ends(&mut self, holder: Id) {
        if self.reader == Some(holder) {
            self.reader = None;
            self.list_read = true;
        }
    }

    /// How it ended, going by what came of it.
    pub(super) fn outcome(&self) -> Outcome {
        let totals = &self.totals;
        let silent = if totals.asked == 0 { Outcome::NoPeers } else { Outcome::NoAnswer };
        match &self.kind {
            Kind::Bootstrap | Kind::Part { .. } | Kind::FindNode | Kind::Refresh => {
                if totals.answered > 0 { Outcome::Success } else { silent }
            }
            Kind::Providers | Kind::Search { .. } | Kind::Get { .. } => self.found(silent),
            #[cfg(feature = "mainline")]
            Kind::Scrape(_) | Kind::Sample => self.found(silent),
            Kind::Announce(_)
            | Kind::Put { .. }
            | Kind::Republish { .. }
            | Kind::Publish(_)
            | Kind::Signal { .. } => {
                if totals.stored > 0 {
                    return Outcome::Success;
                }
                let most = self.refusals.iter().max_by_key(|(_, count)| **count);
                match most {
                    Some((code, _)) => Outcome::Refused { code: *code, seq: self.refused_seq },
                    // A signal whose target nobody knows.
                    None if matches!(self.kind, Kind::Signal { .. })
                        && totals.answered > 0
                        && totals.store_attempts == 0 =>
                    {
                        Outcome::Absent
                    }
                    None if totals.answered > 0 => Outcome::NoAnswer,
                    None => silent,
                }
            }
        }
    }

    /// Gives it this much time: all of it for the present key, or if the caller chose it, for all keys
    /// that are left. What stores looks for holders in three quarters of a key's time: kept by those
    /// found so far a record is better kept than by nobody.
    pub(super) fn give_time(
        &mut self,
        id: u64,
        alarms: &mut Set<(Instant, u64)>,
        now: Instant,
        time: Duration,
    ) {
        alarms.remove(&(self.alarm, id));
        self.deadline = now + time;
        self.hurries = false;
        let keys = if self.has_own_deadline { 1 + self.targets.len() } else { 1 };
        // A name has some dozens of words at most.
        let share = time / u32::try_from(keys).unwrap_or(u32::MAX);
        self.alarm = if self.kind.stores() { now + share / 4 * 3 } else { self.deadline };
        alarms.insert((self.alarm, id));
    }

    /// Ends the lookup once it is time to store and somebody is known who can.
    pub(super) fn hasten_store(&mut self) {
        if self.hurries && self.stage == Stage::Looking && !self.tokens.is_empty() {
            self.lookup.finish_early();
        }
    }

    /// How it ended at its deadline: what is stored under its last key is stored, whoever else was
    /// still to store it.
    pub(super) fn overdue(&self) -> Outcome {
        let is_stored = self.kind.stores()
            && self.targets.is_empty()
            && self.totals.stored > self.stored_before;
        if is_stored { self.outcome() } else { Outcome::DeadlineExceeded }
    }

    const fn found(&self, silent: Outcome) -> Outcome {
        match self.totals.found {
            0 if self.totals.answered == 0 => silent,
            0 => Outcome::Absent,
            _ => Outcome::Success,
        }
    }

    /// Keeps the k closest of either family that answered, and all within the region; nearest first.
    pub(super) fn keep_closest(&mut self, k: usize) {
        let mut left = [k, k];
        self.closest = self
            .lookup
            .closest()
            .map(|found| found.contact)
            .filter(|contact| {
                let distance = contact.id.distance(self.target);
                if self.region.is_some_and(|bound| distance <= bound) {
                    return true;
                }
                let left = match (contact.path.family(), &mut left) {
                    (Family::V4, [v4, _]) => v4,
                    (Family::V6, [_, v6]) => v6,
                };
                let keep = *left > 0;
                *left = left.saturating_sub(1);
                keep
            })
            .collect();
    }

    /// Counts a question of so many bytes; false if there was none.
    pub(super) fn count_sent(&mut self, bytes: Option<usize>) -> bool {
        if let Some(bytes) = bytes {
            self.totals.datagrams += 1;
            self.totals.bytes_sent += bytes as u64;
        }
        bytes.is_some()
    }
}

impl Kind {
    /// How the record is handed to a holder, after so long a lookup: what is handed on gets no younger
    /// by it.
    /// `own_port` is named where an announcement leaves the port to that of its datagram and the wire
    /// wants one named all the same.
    pub(super) fn store_method<'a>(
        &'a self,
        token: &'a [u8],
        own_port: Option<u16>,
        lookup: Duration,
    ) -> Method<'a> {
        match self {
            Self::Announce(announcement) => Method::Announce {
                token,
                port: announcement.port.or(own_port),
                implied_port: announcement.port.is_none(),
                transports: announcement.transports.0,
                seed: announcement.transports.contains(Transports::COMPLETE),
            },
            Self::Put { item, cas, age } => Method::Put {
                token,
                item: travelling(item),
                cas: *cas,
                age: secs(*age),
                lifetime: None,
            },
            Self::Republish { item, age } => Method::Put {
                token,
                item: travelling(item),
                cas: None,
                age: secs(age.saturating_add(lookup)),
                lifetime: None,
            },
            Self::Publish(entry) => Method::Publish { token, entry: hit(entry) },
            _ => Method::FindNode,
        }
    }
}

/// A value as it travels.
pub(super) fn travelling(item: &Item) -> WireItem<'_> {
    match item {
        Item::Immutable(value) => WireItem::Immutable(value.as_bytes()),
        Item::Signed(signed) => {
            let mut item = SignedItem::new(
                signed.public_key(),
                signed.seq(),
                signed.value(),
                signed.signature(),
            );
            item.salt = signed.salt();
            item.extra = signed.extra();
            WireItem::Signed(item)
        }
    }
}

/// Whole seconds, as ages travel: rounded up, or a record would get younger on its way.
pub(super) fn secs(age: Duration) -> u32 {
    let secs = age.as_secs() + u64::from(age.subsec_nanos() > 0);
    u32::try_from(secs).unwrap_or(u32::MAX)
}
