//! One iterative lookup (Maymounkov and Mazières 2002, section 2.3; Baumgart and Mies 2007, 4.4).
//!
//! A pure object: it is told what was heard, answered and failed, and says whom to ask next. It
//! sends nothing, knows no time, and decides nothing by chance.
//!
//! Rules:
//! - The closest known are asked first, α in flight per path, without rounds: every answer may open
//!   the next question (mistake 3).
//! - When α answers in a row bring nothing closer, or one does and the nearest of all has answered,
//!   all of the k closest not yet asked are asked.
//! - α and k count answers that are expected: where contacts are silent, more are asked at once
//!   (`pace`).
//! - A path is done when the k closest *seen and not failed* have all *answered*, per family
//!   (mistakes 1 and 2). Who failed is replaced by the next one known.
//! - A slow contact frees its slot and takes no place among the k: who would follow is asked in
//!   case it is dead. The lookup still waits for it, until it answers, fails, or is silent for longer
//!   than answers take: then it waits no more, and takes the answer if it comes all the same.
//! - Whoever names contacts that are silent, or somebody else, loses its credit, and whom only such
//!   ones name is asked when nobody else is left, until k of them on a path were silent. Inventing
//!   contacts next to the target holds no lookup up.
//! - d paths share no contact once it is asked, so a liar misleads the path that asked it and no
//!   other; but one that is silent at an address another path may ask at another, which may be the
//!   true one. The lookup is done when all paths are; what they found is united.
//! - An id counts once, at the first address that answers; an address is asked under one id at a
//!   time, and under none any more once it answered.

mod candidates;
mod gaps;
mod pace;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::config::{LookupConfig, Shared};
use crate::contact::{Capabilities, Contact, Families, Family, Scope};
use crate::id::{Distance, Id};
use crate::sort::sort_by_key;
use candidates::{Admission, Candidates, Group, PathNumber, Standing, State};
use pace::WHOLE;

/// What a lookup wants next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a contact that is to be asked holds a slot from now on"]
pub enum Step {
    /// Ask this contact for the closest it knows; report [`Lookup::answered`] or [`Lookup::failed`].
    Ask(Contact),
    /// Nothing until something in flight answers, turns slow or fails.
    Wait,
    /// The lookup is over; [`Lookup::closest`] is its result.
    Done,
}

/// A contact that answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Found {
    /// The contact, with the capabilities it declared itself.
    pub contact: Contact,
    /// How many questions it took to reach it, its own included: 1 for start contacts.
    pub hop: u32,
}

/// How far a lookup is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// Questions asked.
    pub asked: u32,
    /// Questions answered, late answers included.
    pub answered: u32,
    /// Questions that failed.
    pub failed: u32,
    /// Questions neither answered nor failed yet.
    pub in_flight: u32,
    /// The hop of the closest contact that answered; 0 before any did.
    pub hops: u32,
    /// Whether a path stopped at [`LookupConfig::questions`], or at contacts named by those alone whose
    /// word had proved worthless: the result may not be the k closest.
    pub cut_short: bool,
}

/// One iterative lookup.
///
/// ```
/// use kadlet_core::{Capabilities, Contact, Families, Id, Lookup, Step, config::LookupConfig};
///
/// let (own, target) = (Id::new([1; 20]), Id::new([9; 20]));
/// let far = Contact::new(Id::new([2; 20]), ([127, 0, 0, 1], 2).into());
/// let near = Contact::new(Id::new([8; 20]), ([127, 0, 0, 1], 8).into());
///
/// let mut lookup = Lookup::new(target, own, Families::V4, LookupConfig::default());
/// lookup.start([far]);
/// while let Step::Ask(contact) = lookup.next() {
///     // A host would send a question here; `far` knows `near`, and `near` knows nobody closer.
///     let known = (contact == far).then_some(near);
///     lookup.answered(contact.id, contact.addr(), Capabilities::NONE, known);
/// }
/// assert!(lookup.is_done());
/// assert!(lookup.closest().map(|found| found.contact.id).eq([near.id, far.id]));
/// ```
#[derive(Clone, Debug)]
pub struct Lookup {
    target: Id,
    own: Id,
    families: Families,
    mask: Capabilities,
    bound: Option<Distance>,
    /// See [`Lookup::around`].
    crowded: Option<Id>,
    config: Shared<LookupConfig>,
    candidates: Candidates,
    paths: Vec<Progression>,
    /// The path whose turn it is to ask.
    turn: usize,
    /// Start contacts dealt out so far, by family.
    dealt: [usize; 2],
    progress: Progress,
    /// Contacts asked that are slow, silent, or failed.
    overdue: u32,
    /// Late answers that the lookup stood still for and that named somebody nearer.
    delays: u32,
    /// Of [`WHOLE`] contacts so many were dead of late.
    presumed_dead: usize,
    state: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Running,
    Done,
    /// By the caller: what was looked for is found.
    Ended,
}

/// One path's counts.
#[derive(Clone, Copy, Default, Debug)]
struct Progression {
    /// Questions that hold a slot.
    busy: usize,
    asked: usize,
    /// Answers in a row that brought nothing closer.
    barren: usize,
    /// Contacts asked that nobody with credit named, less several for each such that answered.
    unsound: usize,
}

/// What one path wants next.
enum Want {
    Ask(usize),
    Wait,
    Nothing,
}

/// The index of an entry that is never to be asked: the view is to be read again without it.
struct Barred(usize);

/// Contacts of one family counted so far towards the k closest.
#[derive(Clone, Copy, Default)]
struct Tally {
    seen: usize,
    capable: usize,
}

/// What has been read of a path's view.
#[derive(Default)]
struct View {
    tallies: [Tally; 2],
    /// The families of which nobody farther is wanted.
    full: Families,
    /// Whether somebody to be relied on is waited for.
    waits: bool,
    /// Whether somebody else is.
    lingers: bool,
    /// The nearest of these others that can be asked.
    doubtful: Option<usize>,
    /// How many of them were weighed.
    weighed: usize,
    /// Whether somebody could have been asked but for the number of questions.
    cut_short: bool,
}

/// How often a lookup stands still for somebody who is slow and then names the next nearer one, before it
/// waits for the slow no more. A chain of them could else hold it until its deadline, each answering just
/// before it is given up. 3: more than misfortune.
const DELAYS: u32 = 3;

/// What becomes of an id's place among the k.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It is the id's, and nobody waits.
    Held,
    /// It is the id's, who is waited for.
    Awaited,
    /// Whoever is farther may have it, though the id is waited for.
    Free,
}

impl Lookup {
    /// A lookup for the contacts closest to `target` by the node `own`, which is never asked, over
    /// the address families that node reaches. Numbers in `config` that make no sense (k = 0) are
    /// taken as the nearest that do.
    #[must_use]
    pub fn new(
        target: Id,
        own: Id,
        families: Families,
        config: impl Into<Shared<LookupConfig>>,
    ) -> Self {
        let config = config.into().corrected(|config| {
            config.k = config.k.max(1);
            config.alpha = config.alpha.max(1);
            config.paths = config.paths.clamp(1, candidates::MAX_PATHS);
            config.addresses_per_id = config.addresses_per_id.max(1);
            let least = config.k.saturating_mul(config.addresses_per_id);
            config.candidates = config.candidates.max(least);
        });
        Self {
            target,
            own,
            families,
            mask: Capabilities::NONE,
            bound: None,
            crowded: None,
            candidates: Candidates::new(target, &config),
            paths: alloc::vec![Progression::default(); config.paths],
            turn: 0,
            dealt: [0; 2],
            progress: Progress::default(),
            overdue: 0,
            delays: 0,
            presumed_dead: 0,
            state: Phase::Running,
            config,
        }
    }

    /// Lets only contacts count as found that declared these capabilities when they answered. The
    /// way still leads through all: both the k closest and the k closest capable must have answered.
    /// Who is capable beyond the k closest is known from hearsay, every bit of which is only a hint.
    #[must_use]
    pub fn with_mask(mut self, mask: Capabilities) -> Self {
        self.mask = mask;
        self
    }

    /// Asks nobody who shares more bits with `key` than the target does. Where a crowd sits at `key`,
    /// whoever is nearer to it than the target belongs to the crowd or is known to those that do not;
    /// and the crowd, which stands between, would name only itself.
    #[must_use]
    pub(crate) const fn around(mut self, key: Id) -> Self {
        self.crowded = Some(key);
        self
    }

    /// Asks, after the k closest, also what lies within `bound` of the target, up to
    /// [`LookupConfig::region`] contacts: what is stored under attack is stored in the whole region
    /// where k honest nodes are expected. A lookup that was done goes on.
    pub fn widen(&mut self, bound: Distance) {
        self.bound = Some(bound);
        if self.state == Phase::Done {
            self.state = Phase::Running;
        }
    }

    /// Deals contacts out to the paths, nearest first, one each in turn.
    pub fn start(&mut self, contacts: impl IntoIterator<Item = Contact>) {
        let mut contacts: Vec<_> =
            contacts.into_iter().filter(|contact| self.admits(contact, None)).collect();
        // Somebody new may know closer ones than those who had answered.
        if self.state == Phase::Done && !contacts.is_empty() {
            self.state = Phase::Running;
        }
        sort_by_key(&mut contacts, |contact| self.target.distance(contact.id));
        self.candidates.reserve(contacts.len());
        for contact in contacts {
            if self.candidates.knows(contact.id, contact.addr()) {
                continue;
            }
            let dealt = family_mut(&mut self.dealt, contact.path.family());
            // Below 16 by the clamp in `new`.
            let path = (*dealt % self.paths.len().max(1)) as PathNumber;
            if self.candidates.hear(&contact, path, 1, candidates::UNNAMED) {
                *dealt += 1;
            }
        }
    }

    /// Takes note of contacts outside of an answer: of `from`, who was asked and not failed (a
    /// further page of its answer), or without `from` of contacts to be dealt out to the paths.
    pub fn heard(
        &mut self,
        from: Option<(Id, SocketAddr)>,
        candidates: impl IntoIterator<Item = Contact>,
    ) {
        let Some((id, address)) = from else { return self.start(candidates) };
        let entry = self.candidates.find(id, address).and_then(|i| self.candidates.entry(i));
        let Some(entry) = entry else { return };
        let hop = entry.hop.saturating_add(1);
        if let State::Asked(path)
        | State::Slow(path)
        | State::Silent(path)
        | State::Answered(path) = entry.state
        {
            let before = self.candidates.nearest(path, self.families);
            self.learn(path, address, hop, candidates, before);
        }
    }

    /// What to do next; to be called until it says something else than [`Step::Ask`], and again
    /// after every report.
    #[expect(clippy::should_implement_trait, reason = "no iterator: Wait is not an end")]
    pub fn next(&mut self) -> Step {
        if self.state != Phase::Running {
            return Step::Done;
        }
        let mut waits = false;
        for _ in 0..self.paths.len() {
            // Below 16 by the clamp in `new`.
            let path = self.turn as PathNumber;
            self.turn = (self.turn + 1) % self.paths.len();
            match self.want(path) {
                Want::Ask(index) => {
                    if let Some(contact) = self.ask(index, path) {
                        return Step::Ask(contact);
                    }
                }
                Want::Wait => waits = true,
                Want::Nothing => {}
            }
        }
        if waits {
            return Step::Wait;
        }
        self.state = Phase::Done;
        Step::Done
    }

    /// Reports an answer: the capabilities the contact declared and the contacts it named (none, if
    /// it answered with an error because it does not know the question: it lives, mistake 25).
    ///
    /// False, and nothing changes, if the contact was not asked, had answered or had failed.
    pub fn answered(
        &mut self,
        id: Id,
        address: SocketAddr,
        capabilities: Capabilities,
        closer: impl IntoIterator<Item = Contact>,
    ) -> bool {
        // Nobody else could be asked or answer in time: the lookup stood still for this one.
        let held_up = self.overdue > 0 && self.progress.in_flight <= self.overdue;
        let Some((index, path, hop)) = self.take_in_flight(id, address) else { return false };
        self.progress.answered += 1;
        let before = self.candidates.nearest(path, self.families);
        if !self.candidates.is_sound(index)
            && let Some(counts) = self.paths.get_mut(usize::from(path))
        {
            counts.unsound = counts.unsound.saturating_sub(candidates::REWARD as usize + 1);
        }
        self.candidates.settle(index, path, capabilities);
        let brought_closer = self.learn(path, address, hop.saturating_add(1), closer, before);
        self.delays += u32::from(held_up && brought_closer);
        let at_end = !brought_closer && self.candidates.nearest_answered(path);
        if let Some(counts) = self.paths.get_mut(usize::from(path)) {
            counts.barren = match (brought_closer, at_end) {
                (true, _) => 0,
                (false, true) => self.config.alpha.max(counts.barren),
                (false, false) => counts.barren.saturating_add(1),
            };
        }
        true
    }

    /// A contact that answered turns out to be a client, or not to store what is to be stored: what it
    /// named counts, but it has no place among the closest. Unless it is the very one looked for.
    pub(crate) fn leave_out(&mut self, id: Id, address: SocketAddr) {
        if id != self.target
            && let Some(index) = self.candidates.find(id, address)
        {
            self.candidates.leave_out(index);
        }
    }

    /// Reports that the short timeout passed: the slot is free, the answer still welcome. False, and
    /// nothing changes, if the contact holds no slot.
    pub fn slow(&mut self, id: Id, address: SocketAddr) -> bool {
        let Some(index) = self.candidates.find(id, address) else { return false };
        let Some(State::Asked(path)) = self.candidates.entry(index).map(|entry| entry.state) else {
            return false;
        };
        self.overdue += 1;
        self.free_slot(path);
        self.candidates.set_state(index, State::Slow(path));
        true
    }

    /// Reports that the contact was asked as often as it will be and that answers do not take so
    /// long: the lookup goes on as if it had failed, but its answer is still welcome. False, and
    /// nothing changes, if the contact was not asked, had answered or had failed.
    pub fn silent(&mut self, id: Id, address: SocketAddr) -> bool {
        let Some(index) = self.candidates.find(id, address) else { return false };
        let path = match self.candidates.entry(index).map(|entry| entry.state) {
            Some(State::Asked(path)) => {
                self.free_slot(path);
                self.overdue += 1;
                path
            }
            Some(State::Slow(path)) => path,
            _ => return false,
        };
        self.candidates.set_state(index, State::Silent(path));
        true
    }

    /// Whether a contact is one of those whose answers nobody waits for any more.
    pub(crate) fn is_silent(&self, id: Id, address: SocketAddr) -> bool {
        let index = self.candidates.find(id, address);
        let entry = index.and_then(|index| self.candidates.entry(index));
        entry.is_some_and(|entry| matches!(entry.state, State::Silent(_)))
    }

    /// Reports that the hard timeout passed, that the contact cannot be reached, or that somebody
    /// else answered there. It does not come back, whoever names it (mistake 4). False, and nothing
    /// changes, if the contact was not asked, had answered or had failed.
    pub fn failed(&mut self, id: Id, address: SocketAddr) -> bool {
        let Some((index, ..)) = self.take_in_flight(id, address) else { return false };
        self.progress.failed += 1;
        self.overdue += 1;
        self.candidates.set_state(index, State::Out);
        true
    }

    /// At an address that was asked nobody is, or `who` and nobody else: it is not asked under
    /// another id again.
    pub(crate) fn settle_address(&mut self, address: SocketAddr, who: Option<Id>) {
        self.candidates.settle_address(address, who);
    }

    /// Ends the lookup: what it was for is found. Late answers are still taken note of.
    pub fn finish_early(&mut self) {
        self.state = Phase::Ended;
    }

    /// Whether it was ended by [`Lookup::finish_early`].
    pub(crate) fn ended_early(&self) -> bool {
        self.state == Phase::Ended
    }

    /// Whether the lookup is over: since [`Lookup::next`] said so, or [`Lookup::finish_early`].
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state != Phase::Running
    }

    /// The addresses heard of that may still be asked.
    pub fn waiting(&self) -> impl Iterator<Item = SocketAddr> {
        let heard = |entry: &&candidates::Candidate| entry.state == State::Heard;
        self.candidates.iter().filter(heard).map(|entry| entry.contact.addr())
    }

    /// What is looked for.
    #[must_use]
    pub fn target(&self) -> Id {
        self.target
    }

    /// The counts so far.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let hops = self.closest().next().map_or(0, |found| found.hop);
        Progress { hops, ..self.progress }
    }

    /// All contacts that answered and have the capabilities asked for, nearest first, each id and
    /// each address once per family; changes with every answer.
    pub fn closest(&self) -> impl Iterator<Item = Found> {
        self.candidates.iter().filter_map(|entry| {
            let counts = matches!(entry.state, State::Answered(_))
                && entry.contact.capabilities.include(self.mask);
            counts.then(|| Found { contact: entry.contact, hop: entry.hop.into() })
        })
    }

    /// The part of [`Lookup::closest`] to store with or to read from: the k closest of a family and,
    /// once widened, who else lies within the bound.
    pub fn closest_of(&self, family: Family) -> impl Iterator<Item = Found> {
        let found = self.closest().filter(move |found| found.contact.path.family() == family);
        let region = move |(rank, found): &(usize, Found)| {
            self.is_wanted(*rank, self.target.distance(found.contact.id))
        };
        found.enumerate().take_while(region).map(|(_, found)| found)
    }

    /// Whether the contact at `distance`, with `nearer` ones before it, is one of those looked for.
    fn is_wanted(&self, nearer: usize, distance: Distance) -> bool {
        let in_region = self.bound.is_some_and(|bound| distance <= bound);
        nearer < self.config.k
            || in_region && nearer < self.config.k.saturating_add(self.config.region)
    }

    /// Whether a contact at `distance` has a place after those counted in `tally`.
    fn wants(&self, tally: Tally, distance: Distance, capable: bool) -> bool {
        let nearer = pace::answers(tally.seen);
        nearer < self.config.k || capable && self.is_wanted(pace::answers(tally.capable), distance)
    }

    /// What a path wants next.
    fn want(&mut self, path: PathNumber) -> Want {
        loop {
            match self.read(path) {
                Ok(want) => return want,
                // Another address of the same id may do, or the next id moves up.
                Err(Barred(index)) => self.candidates.remove(index),
            }
        }
    }

    /// Reads a path's view from the nearest outwards until nothing more is wanted.
    fn read(&mut self, path: PathNumber) -> Result<Want, Barred> {
        let counts = self.paths.get(usize::from(path)).copied().unwrap_or_default();
        let (mut view, living) = (View::default(), self.living());
        for group in self.candidates.groups() {
            let (distance, family) = (group.distance(), group.family());
            let tally = *family_mut(&mut view.tallies, family);
            if !self.wants(tally, distance, true) {
                view.full = view.full.union(Families::only(family));
                if view.full == self.families {
                    break;
                }
                continue;
            }
            let (standing, capabilities) = group.standing(path);
            let capable = capabilities.include(self.mask);
            if standing == Standing::Absent || !self.wants(tally, distance, capable) {
                continue;
            }
            let (open, sound) = self.choose(&group, standing, path);
            if !sound {
                // Whoever is farther takes its place.
                view.lingers |= standing != Standing::Open;
                self.doubt(&mut view, &counts, open)?;
                continue;
            }
            if standing == Standing::Slow && self.delays >= DELAYS {
                continue;
            }
            let place = match open {
                Some(_) if counts.asked >= self.config.questions => {
                    view.cut_short = true;
                    Place::Held
                }
                Some(index) => match self.admission(index, &counts) {
                    Admission::Now => return Ok(Want::Ask(index)),
                    Admission::Later => Place::Awaited,
                    Admission::Taken(true) => Place::Free,
                    Admission::Taken(false) => continue,
                    Admission::Never => return Err(Barred(index)),
                },
                // It may answer, and is waited for; but should it be dead, whoever would take its
                // place has been asked meanwhile.
                None if standing == Standing::Slow => Place::Free,
                None if standing == Standing::Asked => Place::Awaited,
                None => Place::Held,
            };
            view.waits |= place != Place::Held;
            if place == Place::Free {
                continue;
            }
            if view.waits && counts.busy >= self.slots(&counts) {
                // Nobody can be asked: that somebody is waited for is all there is to know.
                break;
            }
            // So many are asked that k of them are expected to answer.
            let counts_for = if standing == Standing::Asked { living } else { WHOLE };
            let tally = family_mut(&mut view.tallies, family);
            tally.seen += counts_for;
            tally.capable += if capable { counts_for } else { 0 };
        }
        self.progress.cut_short |= view.cut_short;
        Ok(match view.doubtful {
            _ if view.waits => Want::Wait,
            // Whom liars named is asked last, as long as there is somebody among them.
            Some(index) if counts.unsound < self.config.k => Want::Ask(index),
            _ => {
                self.progress.cut_short |= view.doubtful.is_some();
                if view.lingers { Want::Wait } else { Want::Nothing }
            }
        })
    }

    /// Which entry of an id the path would ask: one that somebody with credit named rather than the
    /// first, and none but while the id is open. And whether the id is to be relied on: it answered,
    /// or that is so.
    fn choose(
        &self,
        group: &Group<'_>,
        standing: Standing,
        path: PathNumber,
    ) -> (Option<usize>, bool) {
        let is_sound = |index: usize| self.candidates.is_sound(index);
        let mut open = group.open(path).filter(|_| standing == Standing::Open);
        let first = open.next();
        let chosen = first.filter(|it| !is_sound(*it)).and_then(|_| open.find(|it| is_sound(*it)));
        let chosen = chosen.or(first);
        let named_soundly = || chosen.map_or_else(|| group.indices().any(is_sound), is_sound);
        (chosen, standing == Standing::Answered || named_soundly())
    }

    /// Takes note of an id that only liars named. One to be asked is enough, and it is looked for among
    /// k: a thousand of a liar's would all be weighed at every step.
    fn doubt(
        &self,
        view: &mut View,
        counts: &Progression,
        open: Option<usize>,
    ) -> Result<(), Barred> {
        view.weighed += 1;
        let Some(index) = open.filter(|_| view.doubtful.is_none() && view.weighed <= self.config.k)
        else {
            return Ok(());
        };
        if counts.asked >= self.config.questions {
            view.cut_short = true;
            return Ok(());
        }
        match self.admission(index, counts) {
            Admission::Now => view.doubtful = Some(index),
            Admission::Later | Admission::Taken(_) => {}
            Admission::Never => return Err(Barred(index)),
        }
        Ok(())
    }

    /// Whether a path with these counts may ask the entry now.
    fn admission(&self, index: usize, path: &Progression) -> Admission {
        if path.busy >= self.slots(path) {
            return Admission::Later;
        }
        let Some(entry) = self.candidates.entry(index) else { return Admission::Never };
        self.candidates.admission(index, self.limit(entry.contact.addr()))
    }

    /// How many contacts of the prefix of this address a path may ask, if that is limited.
    fn limit(&self, address: SocketAddr) -> Option<usize> {
        let is_local = Scope::of(address.ip()) != Some(Scope::Public);
        let limit = self.config.per_prefix;
        (limit > 0 && !(is_local && self.config.spare_local)).then_some(limit)
    }

    fn ask(&mut self, index: usize, path: PathNumber) -> Option<Contact> {
        let contact = self.candidates.entry(index)?.contact;
        let sound = self.candidates.is_sound(index);
        let counts = self.paths.get_mut(usize::from(path))?;
        counts.busy += 1;
        counts.unsound += usize::from(!sound);
        counts.asked += 1;
        self.progress.asked += 1;
        self.progress.in_flight += 1;
        self.candidates.set_state(index, State::Asked(path));
        Some(contact)
    }

    /// Ends a question: the entry, the path that asked, and the entry's hop.
    fn take_in_flight(&mut self, id: Id, address: SocketAddr) -> Option<(usize, PathNumber, u16)> {
        let index = self.candidates.find(id, address)?;
        let entry = self.candidates.entry(index)?;
        let (state, hop) = (entry.state, entry.hop);
        let path = match state {
            State::Asked(path) => {
                self.free_slot(path);
                path
            }
            State::Slow(path) | State::Silent(path) => {
                self.overdue = self.overdue.saturating_sub(1);
                path
            }
            State::Heard | State::Answered(_) | State::Out => return None,
        };
        self.progress.in_flight = self.progress.in_flight.saturating_sub(1);
        Some((index, path, hop))
    }

    fn free_slot(&mut self, path: PathNumber) {
        if let Some(path) = self.paths.get_mut(usize::from(path)) {
            path.busy = path.busy.saturating_sub(1);
        }
    }

    /// What `namer` told `path`. True if one of the contacts is closer than all the path had heard of
    /// in that family and not seen fail.
    fn learn(
        &mut self,
        path: PathNumber,
        namer: SocketAddr,
        hop: u16,
        contacts: impl IntoIterator<Item = Contact>,
        mut before: [Option<Distance>; 2],
    ) -> bool {
        let scope = Scope::of(namer.ip());
        let place = self.candidates.place_of(namer);
        let mut brought_closer = false;
        let paths = self.paths.len();
        let mut room = match self.limit(namer) {
            Some(_) => self.candidates.room_for(namer, paths),
            None => usize::MAX,
        };
        // A host may hand over more than fits a datagram, but not work without end.
        for contact in contacts.into_iter().take(self.config.candidates) {
            if room == 0 {
                break;
            }
            if !self.admits(&contact, scope) || !self.candidates.hear(&contact, path, hop, place) {
                continue;
            }
            let distance = self.target.distance(contact.id);
            room -= 1;
            let nearest = *family_mut(&mut before, contact.path.family());
            brought_closer |= nearest.is_none_or(|nearest| distance < nearest);
        }
        brought_closer
    }

    /// Whether a contact may be asked at all: not ourselves (mistake 6), not of the crowd that we look
    /// around, of a family we reach, at an address that is one, and that somebody in `namer`'s place
    /// can speak of.
    fn admits(&self, contact: &Contact, namer: Option<Scope>) -> bool {
        let scope = Scope::of(contact.addr().ip());
        let apart = |key: Id| key.common_prefix(contact.id) <= key.common_prefix(self.target);
        contact.id != self.own
            && self.families.contains(contact.path.family())
            && contact.addr().port() != 0
            && self.crowded.is_none_or(apart)
            && scope.is_some_and(|scope| namer.is_none_or(|namer| scope.may_be_named_by(namer)))
    }

    /// Who named a contact first: it answers for what asking that costs. None for what comes out of
    /// our own table.
    pub(crate) fn namer(&self, contact: &Contact) -> Option<SocketAddr> {
        self.candidates.namer(contact.id, contact.addr())
    }
}

fn family_mut<T>(of: &mut [T; 2], family: Family) -> &mut T {
    let [v4, v6] = of;
    match family {
        Family::V4 => v4,
        Family::V6 => v6,
    }
}
