//! The routing table: whom we know, most of them near us, some at every distance (Maymounkov and
//! Mazières 2002, sections 2.2, 2.4, 4.1 and 4.2).
//!
//! The space is cut into buckets of at most `k` contacts, by distance from the own id. A full
//! bucket splits where the rules allow, else a newcomer waits among its replacements:
//!
//! 1. The bucket whose range holds the own id splits.
//! 2. *Relaxed*: so does one in the smallest subtree around the own id that holds at least `k`
//!    contacts, so that every live node there is kept however unbalanced the tree is.
//! 3. *Accelerated*: with `b` > 1, so does one whose depth is no multiple of `b`.
//!
//! Who is in stays until he fails: only a contact that answered us enters; a live one never gives
//! way; what others say or what arrives unasked changes no address and displaces nobody. An id has
//! one address and an address one id.

mod addresses;
mod closest;
mod entry;
mod maintenance;
mod outcome;
mod tree;

use alloc::vec::Vec;
#[cfg(feature = "mainline")]
use core::net::IpAddr;
use core::net::SocketAddr;
use core::time::Duration;

pub use closest::{Closest, Diverse, Filter};
pub use entry::{BucketView, Entry, SavedContact};
pub use outcome::{Admission, Failure, Heard, Refusal};

use crate::bucket::{Bucket, Clock, Packed, high_bits, pause_secs};
use crate::config::{Shared, TableConfig};
use crate::contact::{Capabilities, Contact, Path};
use crate::id::Id;
use crate::time::Instant;
use addresses::Addresses;

/// The most contacts in a bucket that a configuration can ask for.
const MAX_K: usize = 64;

/// What part of [`TableConfig::questionable_after`] a table waits at least before it doubts a contact,
/// and a new table does. Under measured churn lookups take a quarter less time than with all of it,
/// for half as many datagrams more; where nobody dies a few rounds of answers are enough to wait for all.
const LEAST_PATIENCE: u32 = 3;

/// Numbers of leading zeros among the 64 most significant bits of a distance.
const ROWS: usize = 65;

/// The routing table of one address family.
///
/// The caller says what happened (`verified`, `heard`, `failed`, `touched`), asks for whom to write
/// to (`closest`), and does the upkeep the table asks for whenever `poll_timeout` is due:
/// `next_ping` and `next_refresh` until they return none.
///
/// ```
/// use core::time::Duration;
/// use kadlet_core::config::TableConfig;
/// use kadlet_core::{Admission, Contact, Filter, Id, Instant, RoutingTable};
///
/// let now = Instant::from_secs(1);
/// let mut table = RoutingTable::new(Id::ZERO, TableConfig::default());
///
/// // A node answered our ping after 20 ms: it enters.
/// let node = Contact::new(Id::new([7; 20]), "127.0.0.1:4000".parse()?);
/// assert_eq!(table.verified(now, node, Some(Duration::from_millis(20))), Admission::Inserted);
///
/// // Whom do we know close to a key?
/// let key = Id::new([5; 20]);
/// assert_eq!(table.closest(key, Filter::default()).take(20).next(), Some(node));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RoutingTable {
    own: Id,
    config: Shared<TableConfig>,
    /// By range; together they cover the whole space, so there is always one.
    buckets: Vec<Bucket>,
    /// Where in `buckets` a row ends, the distances with as many leading zeros as the index. It
    /// begins where the next one ends, and most rows are one bucket: finding that takes no search.
    rows: [u16; ROWS + 1],
    /// The addresses of all contacts in `buckets`.
    addresses: Addresses,
    /// Nodes that spoke to us unasked, oldest first.
    candidates: Vec<Candidate>,
    clock: Clock,
    frozen: bool,
    /// For how long nobody need hear of a contact to take it for alive.
    patience: Duration,
    /// The same before the last contact was silent.
    patience_before: Duration,
    /// Nobody is to be pinged before; none while there is nobody.
    ping_at: Option<Instant>,
    /// Nothing is to be refreshed before.
    refresh_at: Instant,
}

/// A node that spoke to us unasked.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    contact: Packed,
    /// Whether its address has shown that it is not forged.
    shown: bool,
}

impl RoutingTable {
    /// An empty table around `own`. Numbers of `config` beyond their limits count as the limits.
    #[must_use]
    pub fn new(own: Id, config: impl Into<Shared<TableConfig>>) -> Self {
        let config = config.into().corrected(|config| {
            config.k = config.k.clamp(1, MAX_K);
            config.b = config.b.clamp(1, 8);
            config.max_depth = config.max_depth.min(u64::BITS);
            config.stale_after = config.stale_after.clamp(1, 15);
            config.doubtful_after = config.doubtful_after.clamp(1, 15);
        });
        let patience = config.questionable_after / LEAST_PATIENCE;
        let mut table = Self {
            own,
            config,
            buckets: Vec::new(),
            rows: [0; ROWS + 1],
            addresses: Addresses::default(),
            candidates: Vec::new(),
            clock: Clock::new(),
            frozen: false,
            patience,
            patience_before: patience,
            ping_at: None,
            refresh_at: Instant::EPOCH,
        };
        table.clear(Instant::EPOCH);
        table
    }

    /// Forgets everybody.
    fn clear(&mut self, now: Instant) {
        let mut whole = Bucket::whole(now);
        whole.early = self.own.as_bytes()[0];
        self.refresh_at = whole.refresh_due(self.config.refresh_after);
        // A table of a family that nobody uses stays at one bucket.
        self.buckets = Vec::with_capacity(1);
        self.buckets.push(whole);
        self.index_rows();
        self.addresses = Addresses::default();
    }

    /// The id the table is built around.
    #[must_use]
    pub const fn own(&self) -> Id {
        self.own
    }

    /// The numbers in use.
    #[must_use]
    pub fn config(&self) -> &TableConfig {
        &self.config
    }

    /// Contacts in the table, replacements and candidates not counted.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Whether there is no contact.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A contact answered: a response with the id of a transaction of ours, from the address we
    /// asked, by the node we meant. `rtt` is the time that took, if it is known.
    ///
    /// This is the only way into the table (mistake 9). Who is in stays until he fails: neither a
    /// second address of an id nor a second id of an address gets in before that.
    pub fn verified(&mut self, now: Instant, contact: Contact, rtt: Option<Duration>) -> Admission {
        if contact.id == self.own {
            return Admission::Refused(Refusal::OwnId);
        }
        let tick = self.tick(now);
        let at = self.locate(contact.id);
        self.end_ping(at, contact.id, now, Instant::EPOCH);
        let bucket = &mut self.buckets[at];
        let Some(position) = bucket.position(contact.id) else {
            return self.admit(now, at, Packed::new(&contact, tick, rtt));
        };
        let known = &mut bucket.contacts[position];
        let sound = known.is_sound();
        if known.is_on(contact.path) || (sound && known.is_at(contact.addr())) {
            let (unheard, failures) = (tick.saturating_sub(known.stamp), known.failures());
            known.answered(tick, contact.capabilities, rtt);
            bucket.move_to_back(position);
            if sound {
                self.lived(unheard);
            } else {
                bucket.recount(self.config.stale_after);
                if failures == 1 {
                    self.was_alive();
                }
                self.ping_no_later_than(now + self.patience);
            }
            return Admission::Updated;
        }
        if sound {
            return Admission::Refused(Refusal::IdTaken);
        }
        self.take(at, position);
        self.admit(now, at, Packed::new(&contact, tick, rtt))
    }

    /// A node that is not in the table answered.
    fn admit(&mut self, now: Instant, at: usize, answer: Packed) -> Admission {
        // It waits no more, whatever comes of it: one refused would be pinged for ever.
        self.forget_waiting(at, answer.id);
        if self.is_empty() {
            self.start_refreshing(now);
        }
        let mut around = self.addresses.around(&answer);
        if around.same
            && let Some((at, position)) = self.find_holder(&answer)
        {
            if self.buckets[at].contacts[position].is_sound() {
                return Admission::Refused(Refusal::AddressTaken);
            }
            self.take(at, position);
            self.fill(now, at);
            around = self.addresses.around(&answer);
        }
        let admission = self.place(now, answer, around.kin);
        if admission == Admission::Inserted {
            self.ping_no_later_than(now + self.patience);
        }
        admission
    }

    /// Puts a contact whose id and address are not in the table where the rules have it; at most
    /// `kin` of its prefix are there.
    fn place(&mut self, now: Instant, contact: Packed, mut kin: usize) -> Admission {
        let mut at = self.locate(contact.id);
        while self.buckets[at].contacts.len() >= self.config.k && self.may_split(at) {
            self.split(now, at);
            at = self.locate(contact.id);
            kin = self.addresses.around(&contact).kin;
        }
        let stale_after = self.config.stale_after;
        let limited = self.is_limited(contact.ip());
        let crowded = if limited { self.crowded(at, &contact, kin) } else { None };
        let victim = if crowded.is_some() {
            // Its own kind is many: only the place of one of them is open to it.
            let prefix = contact.prefix();
            let kin = |other: &Packed| other.prefix() == prefix && other.is_stale(stale_after);
            self.buckets[at].contacts.iter().position(kin)
        } else if self.has_room(at) {
            return self.enter(at, contact);
        } else {
            self.buckets[at].stalest(stale_after)
        };
        if let Some(victim) = victim {
            self.take(at, victim);
            return self.enter(at, contact);
        }
        if let Some(refusal) = crowded {
            return Admission::Refused(refusal);
        }
        if self.config.replacements == 0 {
            return Admission::Refused(Refusal::Full);
        }
        if limited && self.is_crowded_with_waiting(at, &contact, kin) {
            return Admission::Refused(Refusal::PrefixInBucket);
        }
        // The parts of a bucket together have about as many as it would.
        let most = (self.config.replacements >> self.levels_as_part(at).min(8)).max(1);
        self.buckets[at].wait(contact, most);
        Admission::Replacement
    }

    /// Removes whoever has this id from those that are in no bucket yet.
    fn forget_waiting(&mut self, at: usize, id: Id) {
        self.candidates.retain(|candidate| candidate.contact.id != id);
        self.buckets[at].remove_replacement(id);
    }

    /// Adds a contact to a bucket that has a place for it.
    fn enter(&mut self, at: usize, contact: Packed) -> Admission {
        self.addresses.insert(&contact);
        let bucket = &mut self.buckets[at];
        bucket.insert(contact, self.config.k);
        bucket.doubt_at = Instant::EPOCH;
        if !contact.is_sound() {
            bucket.recount(self.config.stale_after);
        }
        Admission::Inserted
    }

    /// A node that is no client spoke to us unasked: a query, or anything else that proves nothing,
    /// as its sender address can be forged.
    ///
    /// A live contact at its address counts as seen. A stranger is only noted, if there is a place
    /// for it, to be offered by `next_ping`; full buckets cost it nothing and us neither (mistake
    /// 10).
    pub fn heard(&mut self, now: Instant, id: Id, path: Path) -> Heard {
        self.heard_from(now, id, path, false)
    }

    /// The same; `shown`: the address has shown that it is not forged.
    pub(crate) fn heard_from(&mut self, now: Instant, id: Id, path: Path, shown: bool) -> Heard {
        if id == self.own {
            return Heard::Ignored;
        }
        let tick = self.tick(now);
        let at = self.locate(id);
        let bucket = &mut self.buckets[at];
        let Some(position) = bucket.position(id) else {
            let capabilities = Capabilities::NONE;
            let heard = Packed::new(&Contact { id, path, capabilities }, tick, None);
            return self.note(now, at, Candidate { contact: heard, shown });
        };
        let known = &mut bucket.contacts[position];
        if !known.is_sound() || !known.is_at(path.remote) {
            return Heard::Ignored;
        }
        known.stamp = tick;
        bucket.move_to_back(position);
        Heard::Touched
    }

    /// Notes a stranger as a candidate, if it could enter its bucket now. When as many wait as may, one
    /// whose address may be forged gives way to one whose address is not.
    fn note(&mut self, now: Instant, at: usize, candidate: Candidate) -> Heard {
        let heard = candidate.contact;
        let same = |it: &Candidate| it.contact.id == heard.id || it.contact.same_path(&heard);
        let is_full = self.candidates.len() >= self.config.candidates;
        let forged = self.candidates.iter().position(|it| is_full && candidate.shown && !it.shown);
        if self.candidates.iter().any(same)
            || self.buckets[at].replacements.iter().any(|waiting| waiting.id == heard.id)
            || is_full && forged.is_none()
            || !self.has_place(at)
            || self.holder(&heard).is_some()
            || self.is_crowded(at, &heard)
        {
            return Heard::Ignored;
        }
        if self.is_limited(heard.ip()) {
            let prefix = heard.prefix();
            let kin = self.candidates.iter().filter(|it| it.contact.prefix() == prefix).count();
            if kin >= self.config.per_prefix_in_bucket {
                return Heard::Ignored;
            }
        }
        if let Some(forged) = forged {
            self.candidates.remove(forged);
        }
        self.candidates.push(candidate);
        self.ping_no_later_than(now);
        Heard::Candidate
    }

    /// A contact did not answer in time, at this address.
    ///
    /// Failures count once per back-off, so that questions that were on their way together are one
    /// failure. A stale contact gives way to the newest replacement that answered before contacts are
    /// doubted; where all are older, `next_ping` offers one, and it enters by its
    /// answer (mistake 11).
    pub fn failed(&mut self, now: Instant, id: Id, addr: SocketAddr) -> Failure {
        let tick = self.tick(now);
        let at = self.locate(id);
        // Offline, everybody would be pinged over and over.
        let quiet_until = if self.frozen { now + self.config.backoff } else { Instant::EPOCH };
        self.end_ping(at, id, now, quiet_until);
        if self.frozen {
            return Failure::Ignored;
        }
        let Some(position) = self.buckets[at].position(id) else {
            return self.failed_waiting(at, id, addr);
        };
        let pause = self.config.pause_after_failures_of(&self.buckets[at].contacts[position]);
        self.buckets[at].doubt_at = Instant::EPOCH;
        let known = &mut self.buckets[at].contacts[position];
        if !known.is_at(addr) || (known.failures() > 0 && tick.saturating_sub(known.stamp) <= pause)
        {
            return Failure::Ignored;
        }
        let unheard = if known.is_sound() { tick.saturating_sub(known.stamp) } else { 0 };
        known.fail(tick);
        let (failures, stale) = (known.failures(), known.is_stale(self.config.stale_after));
        self.ping_no_later_than(now + self.config.backoff);
        self.died(now, unheard);
        if !stale {
            return Failure::Counted(failures);
        }
        self.buckets[at].recount(self.config.stale_after);
        let Some(waiting) = self.promotable(at, tick) else {
            if !self.buckets[at].replacements.is_empty() {
                self.ping_no_later_than(now);
            }
            return Failure::Stale;
        };
        self.take(at, position);
        let promoted = self.buckets[at].replacements.remove(waiting);
        self.enter(at, promoted);
        Failure::Replaced(promoted.contact())
    }

    fn failed_waiting(&mut self, at: usize, id: Id, addr: SocketAddr) -> Failure {
        let bucket = &mut self.buckets[at];
        if bucket.replacements.iter().any(|waiting| waiting.id == id && waiting.is_at(addr)) {
            bucket.remove_replacement(id);
            return Failure::Dropped;
        }
        Failure::Ignored
    }

    /// Whether the contact failed so recently that it is to be left alone.
    #[must_use]
    pub fn is_backing_off(&self, now: Instant, id: Id) -> bool {
        let bucket = &self.buckets[self.locate(id)];
        bucket.position(id).is_some_and(|position| {
            let contact = &bucket.contacts[position];
            let age = self.clock.stamp(now).saturating_sub(contact.stamp);
            contact.failures() > 0 && age <= self.config.pause_after_failures_of(contact)
        })
    }

    /// While nothing answers at all, it is we who are offline: a frozen table counts no failures
    /// and evicts nobody (mistake 12). Answers count as ever.
    pub const fn set_frozen(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    /// Whether the table is frozen.
    #[must_use]
    pub const fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Forgets a contact, wherever it is, and lets a replacement that answered lately have its
    /// place. True if it was in the table.
    pub fn remove(&mut self, now: Instant, id: Id) -> bool {
        self.tick(now);
        let at = self.locate(id);
        self.forget_waiting(at, id);
        let Some(position) = self.buckets[at].position(id) else {
            return false;
        };
        self.take(at, position);
        self.fill(now, at);
        true
    }

    /// Lets a contact that has just become a replacement have the place of one that `gives_way` to
    /// it. False if there is none.
    #[cfg(feature = "mainline")]
    pub(crate) fn displace(
        &mut self,
        now: Instant,
        newcomer: Id,
        gives_way: impl Fn(Id, IpAddr) -> bool,
    ) -> bool {
        let at = self.locate(newcomer);
        let other = self.buckets[at].contacts.iter().find(|it| gives_way(it.id, it.ip()));
        other.map(|it| it.id).is_some_and(|other| self.remove(now, other))
    }

    /// Sorts the table anew around another id; contacts that find no place there are forgotten.
    pub fn set_own(&mut self, now: Instant, own: Id) {
        self.tick(now);
        self.own = own;
        let buckets = core::mem::take(&mut self.buckets);
        self.clear(now);
        // Replacements come last: they only get what is left.
        let contacts = buckets.iter().flat_map(|bucket| &bucket.contacts);
        let waiting = buckets.iter().flat_map(|bucket| bucket.replacements.iter().rev());
        for contact in contacts.chain(waiting).filter(|contact| contact.id != own) {
            if self.holder(contact).is_none() {
                let kin = self.addresses.around(contact).kin;
                self.place(now, *contact, kin);
            }
        }
        self.candidates.retain(|candidate| candidate.contact.id != own);
        self.ping_no_later_than(now);
    }

    /// The stamp of `now`.
    #[inline]
    fn tick(&mut self, now: Instant) -> u16 {
        if let Some(lag) = self.clock.lag(now) {
            let contacts = self.buckets.iter_mut();
            let contacts = contacts.flat_map(|b| b.contacts.iter_mut().chain(&mut b.replacements));
            let heard = self.candidates.iter_mut().map(|candidate| &mut candidate.contact);
            for contact in contacts.chain(heard) {
                contact.stamp = contact.stamp.saturating_sub(lag);
            }
            self.clock.advance(now);
        }
        self.clock.stamp(now)
    }
}

impl TableConfig {
    /// Seconds a contact with so many failures is left alone.
    fn pause_after_failures_of(&self, contact: &Packed) -> u16 {
        let doublings = u32::from(contact.failures().saturating_sub(1));
        pause_secs(self.backoff.saturating_mul(1 << doublings).min(self.max_backoff))
    }
}

#[cfg(test)]
mod tests;
