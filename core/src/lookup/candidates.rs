//! What one lookup has heard of: a bounded list, nearest first.
//!
//! Rules:
//! - An entry is an id *at an address*. One id may be named with several addresses and one address
//!   with several ids; hearsay must not be able to overwrite what is true (mistake 20).
//! - Who failed stays in the list, so that nobody's later reply brings it back (mistake 4).
//! - Each path has its own view. Entries that wait are shared by the paths that heard of them; an
//!   entry is taken by the path that asks it. (Were it taken by the path that *hears* of it first, a
//!   liar could name all honest nodes and let them rot behind its own.)
//! - What waits is bounded per path and family, so one path's flood displaces nothing of another's.
//! - Whoever names contacts stands for them: each that is silent or somebody else costs its credit,
//!   each that answers adds to it. What is named by nobody with credit is not sound: it is asked
//!   when there is nobody else. An entry has two who name it, so that a liar who was quicker
//!   takes no contact along.

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::net::SocketAddr;
use core::ops::Range;

use crate::config::LookupConfig;
use crate::contact::{Capabilities, Contact, Families, Family, Prefix};
use crate::id::{Distance, Id};

/// Number of a path, below 16.
pub(super) type PathNumber = u8;

/// What became of an entry; with the path that asked it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Not asked yet.
    Heard,
    /// Asked; holds one of the path's slots.
    Asked(PathNumber),
    /// Asked and silent for the short timeout; holds no slot, but may still answer.
    Slow(PathNumber),
    /// Asked as often as it will be, and silent for longer than answers take: nobody waits for it any
    /// more, though should it answer, that counts.
    Silent(PathNumber),
    /// Answered.
    Answered(PathNumber),
    /// Failed, or answered after its id had answered from elsewhere. It never comes back.
    Out,
}

impl State {
    /// What it means to the credit of who named it.
    const fn credit(self) -> i32 {
        match self {
            Self::Heard | Self::Asked(_) => 0,
            Self::Slow(_) | Self::Silent(_) | Self::Out => -1,
            Self::Answered(_) => REWARD,
        }
    }

    const fn path(self) -> Option<PathNumber> {
        match self {
            Self::Asked(path) | Self::Slow(path) | Self::Silent(path) | Self::Answered(path) => {
                Some(path)
            }
            Self::Heard | Self::Out => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) distance: Distance,
    pub(super) contact: Contact,
    /// Questions between us and it: 1 for start contacts.
    pub(super) hop: u16,
    pub(super) state: State,
    /// Bit p: path p heard of it.
    heard: u16,
    /// Who named it first, and somebody else who did: their places among those who named anybody, or
    /// [`UNNAMED`]. Twice the same, as long as nobody else did.
    namers: [u16; 2],
}

/// Named by nobody: out of our own table.
pub(super) const UNNAMED: u16 = u16::MAX;

/// What part of the list those of one prefix may fill. 3: of 128, more than an answer names.
const SHARE: usize = 3;

/// How many more of those somebody names may be silent for each that answers. 3: where half of all
/// contacts are dead, credit grows.
pub(super) const REWARD: i32 = 3;

impl Candidate {
    pub(super) fn family(&self) -> Family {
        self.contact.path.family()
    }

    /// Where it stands in the list, compared with an entry of that distance and family. 64 bits
    /// nearly always decide, without a call to compare 160.
    fn order(&self, distance: Distance, family: Family) -> Ordering {
        let high = self.distance.high_bits().cmp(&distance.high_bits());
        high.then_with(|| self.distance.cmp(&distance)).then_with(|| self.family().cmp(&family))
    }

    fn is_heard_by(&self, path: PathNumber) -> bool {
        self.heard & bit(path) != 0
    }

    fn waits_for(&self, path: PathNumber) -> bool {
        self.state == State::Heard && self.is_heard_by(path)
    }
}

/// Paths of a lookup at most: the bits of [`Candidate::heard`].
pub(super) const MAX_PATHS: usize = u16::BITS as usize;

const fn bit(path: PathNumber) -> u16 {
    1_u16.wrapping_shl(path as u32)
}

/// How a path stands to an id; of several addresses the greatest counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Standing {
    /// Not this path's: failed, never heard of, or another path's.
    Absent,
    /// Asked, and silent for the short timeout.
    Slow,
    /// Could be asked, at [`Group::open`]: while no other address is within its short timeout.
    Open,
    /// Asked.
    Asked,
    /// Answered.
    Answered,
}

/// The entries of one id and family; never none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group<'a> {
    /// Index of the first.
    start: usize,
    first: &'a Candidate,
    entries: &'a [Candidate],
}

impl Group<'_> {
    pub(super) fn distance(&self) -> Distance {
        self.first.distance
    }

    pub(super) fn family(&self) -> Family {
        self.first.family()
    }

    /// How `path` stands to the id, and what the id says, or is said, to be capable of.
    pub(super) fn standing(&self, path: PathNumber) -> (Standing, Capabilities) {
        // Two paths may have asked an id at two addresses: what one was answered is its own.
        let own = self.entries.iter().find(|entry| entry.state == State::Answered(path));
        if let Some(own) = own {
            return (Standing::Answered, own.contact.capabilities);
        }
        let mut best = (Standing::Absent, Capabilities::NONE);
        for entry in self.entries {
            let capabilities = entry.contact.capabilities;
            let standing = match entry.state {
                State::Answered(_) => return (Standing::Absent, Capabilities::NONE),
                // Somebody silent may be whom a liar put there: that takes the id from nobody.
                State::Asked(owner) | State::Slow(owner) if owner != path => {
                    return (Standing::Absent, Capabilities::NONE);
                }
                State::Asked(_) => Standing::Asked,
                State::Slow(_) => Standing::Slow,
                State::Heard if entry.is_heard_by(path) => Standing::Open,
                State::Heard | State::Silent(_) | State::Out => continue,
            };
            best = (best.0.max(standing), best.1.union(capabilities));
        }
        best
    }

    /// Indices of the entries that `path` could ask.
    pub(super) fn open(&self, path: PathNumber) -> impl Iterator<Item = usize> {
        self.indices()
            .zip(self.entries)
            .filter(move |(_, entry)| entry.waits_for(path))
            .map(|it| it.0)
    }

    pub(super) fn indices(&self) -> Range<usize> {
        self.start..self.start + self.entries.len()
    }
}

/// Whether an entry may be asked now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Admission {
    Now,
    /// Something in flight decides.
    Later,
    /// Its address is being asked under another id: it takes no place among the k. Whether that is
    /// waited for.
    Taken(bool),
    Never,
}

/// Somebody who named contacts.
#[derive(Clone, Copy, Debug)]
struct Namer {
    address: SocketAddr,
    /// What its word is still worth.
    credit: i32,
    /// Entries that wait and that it named first.
    waiting: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Candidates {
    target: Id,
    /// By distance, then family, then age.
    list: Vec<Candidate>,
    /// The 64 most significant bits of each one's distance: what an answer names is searched for
    /// in a tenth of the memory that the list itself takes.
    high: Vec<u64>,
    /// Waiting entries per path and family.
    waiting: usize,
    /// Waiting addresses per id and path.
    addresses: usize,
    /// How many wait, of either family for each path.
    waits: [[u32; MAX_PATHS]; 2],
    /// What everybody has at first who names contacts; at 0 nobody is judged.
    credit: i32,
    /// Who named anybody: one for each answer at most.
    namers: Vec<Namer>,
    /// Addresses where nobody is, or somebody else than was said.
    settled: Vec<(SocketAddr, Option<Id>)>,
    /// Addresses asked that neither answered nor failed, and whether that is waited for. A liar may
    /// name one under hundreds of ids, which the list is not to be searched for one by one.
    in_flight: Vec<(SocketAddr, bool)>,
}

impl Candidates {
    pub(super) fn new(target: Id, config: &LookupConfig) -> Self {
        let (list, high, namers) = (Vec::new(), Vec::new(), Vec::new());
        let (settled, in_flight) = (Vec::new(), Vec::new());
        let (waiting, addresses) = (config.candidates, config.addresses_per_id);
        let waits = [[0; MAX_PATHS]; 2];
        let credit = i32::try_from(config.credit).unwrap_or(i32::MAX);
        Self { target, list, high, waiting, addresses, waits, credit, namers, settled, in_flight }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Candidate> {
        self.list.iter()
    }

    pub(super) fn entry(&self, index: usize) -> Option<&Candidate> {
        self.list.get(index)
    }

    /// So many are about to be heard of.
    pub(super) fn reserve(&mut self, count: usize) {
        self.list.reserve_exact(count);
        self.high.reserve_exact(count);
    }

    /// The entry of `id` at `address`.
    pub(super) fn find(&self, id: Id, address: SocketAddr) -> Option<usize> {
        self.at(self.group(&self.target.distance(id), Family::of(&address)), address)
    }

    /// The entry of a group at `address`.
    fn at(&self, group: Range<usize>, address: SocketAddr) -> Option<usize> {
        let entries = self.list.get(group.clone())?;
        let offset = entries.iter().position(|entry| entry.contact.addr() == address)?;
        Some(group.start + offset)
    }

    pub(super) fn set_state(&mut self, index: usize, state: State) {
        let Some(entry) = self.list.get_mut(index) else { return };
        let change = state.credit() - entry.state.credit();
        let (heard, family, before) = (entry.heard, entry.family(), entry.state);
        let address = entry.contact.addr();
        entry.state = state;
        if matches!(before, State::Asked(_) | State::Slow(_) | State::Silent(_)) {
            self.in_flight.retain(|(other, _)| *other != address);
        }
        match state {
            State::Asked(_) | State::Slow(_) => self.in_flight.push((address, true)),
            State::Silent(_) => self.in_flight.push((address, false)),
            State::Heard | State::Answered(_) | State::Out => {}
        }
        let [first, second] = entry.namers;
        if before == State::Heard && state != State::Heard {
            self.wait_no_more(heard, family);
            self.named_by(first, |waiting| waiting.saturating_sub(1));
        }
        for namer in [Some(first), (second != first).then_some(second)].into_iter().flatten() {
            if let Some(namer) = self.namers.get_mut(usize::from(namer)) {
                namer.credit = namer.credit.saturating_add(change);
            }
        }
    }

    /// Whether somebody whose word is worth anything named the entry.
    pub(super) fn is_sound(&self, index: usize) -> bool {
        let Some(entry) = self.list.get(index) else { return false };
        entry.namers.iter().any(|namer| self.has_credit(*namer))
    }

    fn has_credit(&self, namer: u16) -> bool {
        self.credit_of(namer) > 0
    }

    /// At this address is `who`, or nobody: whoever else is said to be there is not asked.
    pub(super) fn settle_address(&mut self, address: SocketAddr, who: Option<Id>) {
        self.settled.push((address, who));
        for index in (0..self.list.len()).rev() {
            let moot = self.list.get(index).is_some_and(|entry| {
                entry.state == State::Heard
                    && entry.contact.addr() == address
                    && Some(entry.contact.id) != who
            });
            if moot {
                self.set_state(index, State::Out);
            }
        }
    }

    /// It answered and has no place all the same. Whoever named it is not to blame.
    pub(super) fn leave_out(&mut self, index: usize) {
        if let Some(entry) = self.list.get_mut(index) {
            entry.state = State::Out;
        }
    }

    pub(super) fn remove(&mut self, index: usize) {
        if index < self.list.len() {
            let entry = self.list.remove(index);
            self.high.remove(index);
            if entry.state == State::Heard {
                self.wait_no_more(entry.heard, entry.family());
                self.named_by(entry.namers[0], |waiting| waiting.saturating_sub(1));
            }
        }
    }

    /// Takes note of an answer. True if the id had not answered from another address; its waiting
    /// addresses go then, for the first address that answers wins.
    pub(super) fn settle(
        &mut self,
        index: usize,
        path: PathNumber,
        capabilities: Capabilities,
    ) -> bool {
        let Some(entry) = self.list.get(index) else { return false };
        let group = self.group(&entry.distance, entry.family());
        let entries = self.list.get_mut(group.clone()).unwrap_or_default();
        let first = !entries.iter().any(|entry| matches!(entry.state, State::Answered(_)));
        if let Some(entry) = entries.get_mut(index - group.start) {
            entry.contact.capabilities = capabilities;
        }
        self.set_state(index, if first { State::Answered(path) } else { State::Out });
        for other in group.rev() {
            if self.list.get(other).is_some_and(|entry| entry.state == State::Heard) {
                self.remove(other);
            }
        }
        first
    }

    /// The nearest contact of each of `families` in the path's view, in the order of
    /// [`Family::ALL`].
    pub(super) fn nearest(&self, path: PathNumber, families: Families) -> [Option<Distance>; 2] {
        Family::ALL.map(|family| {
            // Of a family that nobody is of, all would be looked at.
            let mut seen = self.list.iter().filter(|entry| {
                entry.family() == family
                    && !matches!(entry.state, State::Out | State::Silent(_))
                    && entry.state.path().map_or(entry.is_heard_by(path), |owner| owner == path)
            });
            let nearest = if families.contains(family) { seen.next() } else { None };
            nearest.map(|entry| entry.distance)
        })
    }

    /// Whether the nearest in the path's view has answered.
    pub(super) fn nearest_answered(&self, path: PathNumber) -> bool {
        let mut seen = self.list.iter().filter(|entry| {
            !matches!(entry.state, State::Out | State::Silent(_) | State::Slow(_))
                && entry.state.path().map_or(entry.is_heard_by(path), |owner| owner == path)
        });
        seen.next().is_some_and(|it| matches!(it.state, State::Answered(_)))
    }

    /// Whether any path has heard of `id` at `address`.
    pub(super) fn knows(&self, id: Id, address: SocketAddr) -> bool {
        self.find(id, address).is_some()
    }

    /// Who named `id` at `address` first; none for what comes out of our own table.
    pub(super) fn namer(&self, id: Id, address: SocketAddr) -> Option<SocketAddr> {
        let entry = self.list.get(self.find(id, address)?)?;
        self.namers.get(usize::from(entry.namers[0])).map(|namer| namer.address)
    }

    /// Adds what `path` heard of, from the namer at that place or out of our own table
    /// ([`UNNAMED`]); true if that is news to it.
    pub(super) fn hear(
        &mut self,
        contact: &Contact,
        path: PathNumber,
        hop: u16,
        namer: u16,
    ) -> bool {
        let (address, family) = (contact.addr(), contact.path.family());
        let distance = self.target.distance(contact.id);
        let group = self.group(&distance, family);
        let known = self.at(group.clone(), address);
        if let Some(index) = known {
            let Some(entry) = self.list.get(index) else { return false };
            if entry.state != State::Heard || entry.is_heard_by(path) {
                self.vouch(index, contact.capabilities, namer);
                return false;
            }
        } else if self.is_somebody_else(address, contact.id) {
            return false;
        }
        let Some(place) = self.make_room(group, known, path, namer) else { return false };
        if known.is_some() {
            // Found anew: one before it may have gone.
            let Some(index) = self.find(contact.id, address) else { return false };
            self.vouch(index, contact.capabilities, namer);
            if let Some(entry) = self.list.get_mut(index) {
                entry.heard |= bit(path);
                self.waits[family as usize][usize::from(path) % MAX_PATHS] += 1;
            }
            self.trim(path, family);
            return true;
        }
        if self.count_waiting(path, family) >= self.waiting
            && self.farthest(path, family) < Some(place)
        {
            // It is the farthest now, and gives way at once.
            return true;
        }
        let (contact, state, heard) = (*contact, State::Heard, bit(path));
        let entry = Candidate { distance, contact, hop, state, heard, namers: [namer; 2] };
        if self.list.len() == self.list.capacity() {
            // Not by doubling: room for half as many again is seldom more than is heard of.
            let more = (self.list.len() / 2).max(32);
            self.list.reserve_exact(more);
            self.high.reserve_exact(more);
        }
        self.list.insert(place, entry);
        self.high.insert(place, distance.high_bits());
        self.waits[family as usize][usize::from(path) % MAX_PATHS] += 1;
        self.named_by(namer, |waiting| waiting + 1);
        self.trim(path, family);
        true
    }

    /// Somebody else names an entry that waits.
    fn vouch(&mut self, index: usize, capabilities: Capabilities, namer: u16) {
        let Some(entry) = self.list.get_mut(index).filter(|it| it.state == State::Heard) else {
            return;
        };
        let [first, second] = &mut entry.namers;
        let is_poor = |namer| {
            let known = self.namers.get(usize::from(namer));
            known.is_some_and(|namer| namer.credit <= 0)
        };
        if *second == *first || is_poor(*second) {
            *second = namer;
        }
        // Each bit somebody vouches for is a hint; none can be taken back by another.
        entry.contact.capabilities = entry.contact.capabilities.union(capabilities);
    }

    /// Where in the list another address of an id goes, or one that is `known` by other paths, that
    /// `namer` gives `path`, if that takes it in. Where it has as many as it may, one gives way that is
    /// given by those of whom nothing good has come, to one who named somebody that answered: or else
    /// liars that give a true id false addresses could keep the true one out, or drive it out.
    fn make_room(
        &mut self,
        group: Range<usize>,
        known: Option<usize>,
        path: PathNumber,
        namer: u16,
    ) -> Option<usize> {
        let entries = self.list.get(group.clone())?;
        let bars = |(index, entry): (usize, &Candidate)| {
            // An honest table has one address for an id: what is given beside that is a lie or old.
            let is_second = namer != UNNAMED && entry.namers.contains(&namer);
            is_second && Some(index) != known || matches!(entry.state, State::Answered(_))
        };
        if group.clone().zip(entries).any(bars) {
            return None;
        }
        let end = group.end;
        let waiting = group.zip(entries).filter(|(_, entry)| entry.waits_for(path));
        if waiting.clone().count() < self.addresses {
            return Some(end);
        }
        let worth =
            |entry: &Candidate| entry.namers.map(|namer| self.credit_of(namer)).into_iter().max();
        let (index, poorest) = waiting.min_by_key(|(_, entry)| worth(entry))?;
        let is_better = worth(poorest) <= Some(self.credit) && self.credit_of(namer) > self.credit;
        if !is_better {
            return None;
        }
        let is_gone = self.forget(index, path);
        Some(end - usize::from(is_gone))
    }

    /// What the word of a namer is worth.
    fn credit_of(&self, namer: u16) -> i32 {
        let judged = self.namers.get(usize::from(namer)).filter(|_| self.credit > 0);
        judged.map_or(i32::MAX, |namer| namer.credit)
    }

    /// Whether nobody is at an address, or somebody else than `id`.
    fn is_somebody_else(&self, address: SocketAddr, id: Id) -> bool {
        self.settled.iter().any(|(settled, who)| *settled == address && *who != Some(id))
    }

    /// Its place among the namers: new, but for further pages.
    pub(super) fn place_of(&mut self, namer: SocketAddr) -> u16 {
        let known = self.namers.iter().rposition(|known| known.address == namer);
        let place = known.unwrap_or_else(|| {
            self.namers.push(Namer { address: namer, credit: self.credit, waiting: 0 });
            self.namers.len() - 1
        });
        // Lookups end long before: each question has one answer, and those are counted.
        u16::try_from(place).unwrap_or(UNNAMED)
    }

    /// How many more contacts of a namer are listened to, for a lookup of so many paths. The list is
    /// bounded, and names cost nothing: an owner of public addresses that fills it with ids next to the
    /// target would drive everybody else out, those of our own table too. Where prefixes are limited.
    pub(super) fn room_for(&self, namer: SocketAddr, paths: usize) -> usize {
        let prefix = Prefix::of(namer.ip());
        let same = self.namers.iter().filter(|it| Prefix::of(it.address.ip()) == prefix);
        let named: usize = same.map(|it| it.waiting).sum();
        (self.waiting / SHARE).saturating_mul(paths).saturating_sub(named)
    }

    fn named_by(&mut self, namer: u16, change: impl FnOnce(usize) -> usize) {
        if let Some(namer) = self.namers.get_mut(usize::from(namer)) {
            namer.waiting = change(namer.waiting);
        }
    }

    /// The path forgets the farthest waiting entry of a family beyond its bound.
    fn trim(&mut self, path: PathNumber, family: Family) {
        if self.count_waiting(path, family) <= self.waiting {
            return;
        }
        if let Some(index) = self.farthest(path, family) {
            self.forget(index, path);
        }
    }

    /// The entry waits for the path no more; true if it waits for none and has gone.
    fn forget(&mut self, index: usize, path: PathNumber) -> bool {
        let Some(entry) = self.list.get_mut(index) else { return false };
        entry.heard &= !bit(path);
        let (family, forgotten) = (entry.family(), entry.heard == 0);
        self.wait_no_more(bit(path), family);
        if forgotten {
            self.remove(index);
        }
        forgotten
    }

    /// How many entries of a family wait for the path.
    fn count_waiting(&self, path: PathNumber, family: Family) -> usize {
        self.waits[family as usize][usize::from(path) % MAX_PATHS] as usize
    }

    /// The farthest of them.
    fn farthest(&self, path: PathNumber, family: Family) -> Option<usize> {
        self.list.iter().rposition(|entry| entry.waits_for(path) && entry.family() == family)
    }

    /// An entry of a family that waited for these paths does so no more.
    fn wait_no_more(&mut self, mut heard: u16, family: Family) {
        while heard != 0 {
            self.waits[family as usize][heard.trailing_zeros() as usize % MAX_PATHS] -= 1;
            heard &= heard - 1;
        }
    }

    /// The entries of one id and family.
    fn group(&self, distance: &Distance, family: Family) -> Range<usize> {
        // Searched by the 64 bits that nearly always decide; those with the same are walked over.
        let high = distance.high_bits();
        let first = self.high.partition_point(|other| *other < high);
        let rest = self.high.get(first..).unwrap_or_default();
        let alike = rest.iter().take_while(|other| **other == high).count();
        if alike == 0 {
            return first..first;
        }
        let alike = self.list.get(first..first + alike).unwrap_or_default();
        let is_same = |it: &Candidate| it.distance == *distance && it.family() == family;
        // The first of them, unless somebody made up ids that agree so far.
        let before = alike.iter().position(is_same).unwrap_or_else(|| {
            alike.iter().take_while(|it| it.order(*distance, family).is_lt()).count()
        });
        let same = alike.get(before..).unwrap_or_default();
        let start = first + before;
        start..start + same.iter().take_while(|it| is_same(it)).count()
    }

    /// All ids, nearest first.
    pub(super) fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        let same = |a: &Candidate, b: &Candidate| a.order(b.distance, b.family()).is_eq();
        let mut end = 0;
        self.list.chunk_by(same).filter_map(move |entries| {
            let start = end;
            end += entries.len();
            entries.first().map(|first| Group { start, first, entries })
        })
    }

    /// Whether the entry may be asked, given what was asked before: an address under one id at a
    /// time, and `limit` contacts of its address group.
    pub(super) fn admission(&self, index: usize, limit: Option<usize>) -> Admission {
        let Some(entry) = self.list.get(index) else { return Admission::Never };
        let (address, prefix) = (entry.contact.addr(), Prefix::of(entry.contact.addr().ip()));
        if let Some((_, waited_for)) = self.in_flight.iter().find(|(other, _)| *other == address) {
            return Admission::Taken(*waited_for);
        }
        let (mut answered, mut in_flight) = (0, 0);
        for other in &self.list {
            // Most of them.
            if matches!(other.state, State::Heard | State::Out) {
                continue;
            }
            let other_address = other.contact.addr();
            let same_group = limit.is_some() && Prefix::of(other_address.ip()) == prefix;
            match other.state {
                State::Answered(_) if other_address == address => return Admission::Never,
                State::Answered(_) if same_group => answered += 1,
                State::Asked(_) | State::Slow(_) if same_group => in_flight += 1,
                _ => {}
            }
        }
        let limit = limit.unwrap_or(usize::MAX);
        if answered >= limit {
            Admission::Never
        } else if answered + in_flight >= limit {
            Admission::Later
        } else {
            Admission::Now
        }
    }
}
