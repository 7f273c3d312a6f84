//! Gnutella 0.4: a random graph of TCP connections, over which everybody asks everybody.
//!
//! * A descriptor is a header of 23 bytes (GUID 16, type 1, time to live 1, hops 1, length 4) and a
//!   payload: PING 0; PONG 14 (port 2, address 4, files 4, kilobytes 4); QUERY 2 for the least speed
//!   and the text with a zero; QUERYHIT 11, 8 for each result with its name and two zeros, and 16
//!   for the servent's id.
//! * PING and QUERY go to all neighbours but the one they came from, with one less to live, and a
//!   servent that has seen a GUID drops it. PONG and QUERYHIT go back the way their question came.
//! * A newcomer knows a few addresses, connects, floods a PING and learns more from the PONGs, as do
//!   all that pass them on. A connection that is lost is replaced from what was learnt.
//! * PUSH is for those behind a firewall, of which there are none here.
//!
//! As measured, servents have 3.4 connections on average and most of the traffic is PING and PONG
//! (Ripeanu, Foster and Iamnitchi 2002). The number of servents a question reaches is at most
//! d·((d-1)^TTL - 1)/(d - 2) with d connections each (Ritter 2001).

mod degree;
mod flood;
mod run;
mod servent;

use alloc::sync::Arc;

use kadlet_core::{Instant, Rng};

use super::agenda::Agenda;
use super::{Answer, Cost, Ground};
use crate::content::{self, Content, Query};
use crate::host::NodeIndex;
pub use degree::{Degree, random_regular};
use flood::{Floods, Purpose};
use run::Step;
use servent::Servent;

/// Header of every descriptor.
const HEADER: u64 = 23;
const PONG: u64 = HEADER + 14;
/// `GNUTELLA CONNECT/0.4` and two line ends.
const CONNECT: u64 = 22;
/// `GNUTELLA OK` and two line ends.
const OK: u64 = 13;

/// How servents behave.
#[derive(Clone, PartialEq, Debug)]
pub struct GnutellaConfig {
    /// How many connections they keep.
    pub degree: Degree,
    /// Hops a PING or QUERY goes: 7.
    pub ttl: u8,
    /// Addresses of others a servent remembers: 20.
    pub cache: usize,
    /// Connections a servent takes from others beyond twice those it opens itself: 8.
    pub room: usize,
}

impl Default for GnutellaConfig {
    fn default() -> Self {
        Self { degree: Degree::MEASURED, ttl: 7, cache: 20, room: 8 }
    }
}

/// A network of servents.
#[derive(Clone, Debug)]
pub struct Gnutella {
    config: GnutellaConfig,
    content: Arc<Content>,
    ground: Ground,
    now: Instant,
    agenda: Agenda<Step>,
    servents: Vec<Servent>,
    floods: Floods,
    searches: Vec<Search>,
    upkeep: Cost,
    /// Most bytes since the counters were reset of a machine that left.
    busiest: u64,
    rng: Rng,
}

#[derive(Clone, Debug)]
struct Search {
    answer: Answer,
    /// QUERY with its header.
    bytes: u64,
    matches: Vec<Match>,
}

/// What one place answers.
#[derive(Clone, Copy, Debug)]
struct Match {
    place: u32,
    results: u16,
    /// Whether the file meant is among them.
    meant: bool,
    /// QUERYHIT with its header.
    bytes: u32,
}

impl Gnutella {
    /// A network that has been running: everybody has opened its connections to others drawn at
    /// random, and remembers some more.
    #[must_use]
    pub fn new(
        config: GnutellaConfig,
        content: Arc<Content>,
        ground: Ground,
        now: Instant,
        seed: u64,
    ) -> Self {
        let mut rng = content::rng(seed, 0x676e_7574);
        let places = ground.places() as u64;
        let mut edges = Vec::new();
        for place in 0..places as u32 {
            for _ in 0..config.degree.draw(&mut rng).min(places as usize - 1) {
                edges.push((place, rng.below(places) as u32));
            }
        }
        Self::with_graph(config, content, ground, now, (&edges, seed))
    }

    /// A network with these connections, each opened by the first of the pair; what is no pair, or
    /// one already, is left out.
    #[must_use]
    pub fn with_graph(
        config: GnutellaConfig,
        content: Arc<Content>,
        ground: Ground,
        now: Instant,
        (edges, seed): (&[(u32, u32)], u64),
    ) -> Self {
        let places = ground.places();
        let mut network = Self {
            servents: vec![Servent::default(); places],
            floods: Floods::new(places),
            rng: content::rng(seed, 0x7365_7276),
            agenda: Agenda::new(),
            searches: Vec::new(),
            upkeep: Cost::default(),
            busiest: 0,
            config,
            content,
            ground,
            now,
        };
        for (a, b) in edges {
            let (Some(opener), Some(other)) = (network.ground.at(*a), network.ground.at(*b)) else {
                continue;
            };
            network.servent(*a).wanted += 1;
            if a != b && !network.servent(*a).knows(*b) {
                network.servent(*a).connect(other, true);
                network.servent(*b).connect(opener, false);
            }
        }
        for place in 0..places as u32 {
            for _ in 0..network.config.cache {
                let other = network.rng.below(places as u64) as u32;
                network.learn(place, other);
            }
            network.servent(place).pinged = true;
            network.start_ticking(place);
        }
        network
    }

    /// The machine at a place vanishes without goodbye.
    pub fn leave(&mut self, place: u32) {
        self.ground.set(place, None);
        self.busiest = self.busiest.max(self.servent(place).traffic);
        *self.servent(place) = Servent::default();
        self.floods.forget(place);
    }

    /// A newcomer at a place, who was told of these others.
    pub fn join(&mut self, place: u32, machine: NodeIndex, told: &[u32]) {
        self.leave(place);
        self.ground.set(place, Some(machine));
        let wanted = self.config.degree.draw(&mut self.rng);
        *self.servent(place) = Servent { wanted, ..Servent::default() };
        for other in told {
            self.learn(place, *other);
        }
        self.start_ticking(place);
        self.maintain(place);
    }

    /// Asks; what comes of it is in [`Self::answer`] under the number returned.
    pub fn search(&mut self, query: &Query) -> usize {
        let number = self.searches.len();
        let text = self.content.text(&query.words).len() as u64;
        self.searches.push(Search {
            answer: Answer { asked: self.now, ..Answer::default() },
            bytes: HEADER + 2 + text + 1,
            matches: self.matches(query),
        });
        if let Some(asker) = self.ground.at(query.asker) {
            self.flood(asker, Purpose::Query(number as u32));
        }
        number
    }

    /// What each place has that fits, in ascending order of places.
    fn matches(&self, query: &Query) -> Vec<Match> {
        let mut found: Vec<Match> = Vec::new();
        for file in self.content.matching(&query.words) {
            let bytes = 8 + self.content.file(file).name.len() as u32 + 2;
            let meant = file == query.file;
            let one = |place: &u32| Match { place: *place, results: 1, meant, bytes };
            found.extend(self.content.file(file).holders.iter().map(one));
        }
        found.sort_unstable_by_key(|one| one.place);
        let mut matches: Vec<Match> = Vec::new();
        for one in found {
            match matches.last_mut() {
                Some(last) if last.place == one.place => {
                    last.results += 1;
                    last.meant |= one.meant;
                    last.bytes += one.bytes;
                }
                _ => {
                    // The hit's own fields and the servent's id.
                    let bytes = HEADER as u32 + 11 + 16 + one.bytes;
                    matches.push(Match { bytes, ..one });
                }
            }
        }
        matches
    }

    /// What came of a search so far.
    ///
    /// # Panics
    /// If there was none with this number.
    #[must_use]
    pub fn answer(&self, search: usize) -> &Answer {
        &self.searches[search].answer
    }

    /// What everything but searching has cost since [`Self::reset`].
    #[must_use]
    pub const fn upkeep(&self) -> Cost {
        self.upkeep
    }

    /// Bytes sent and received by the machine at each place since [`Self::reset`].
    pub fn traffic(&self) -> impl Iterator<Item = u64> {
        self.servents.iter().map(|servent| servent.traffic)
    }

    /// Bytes sent and received since then by the machine that had most, whether it is still there
    /// or not.
    #[must_use]
    pub fn busiest(&self) -> u64 {
        self.traffic().fold(self.busiest, u64::max)
    }

    /// Descriptors whose GUID each place has remembered since [`Self::reset_descriptors`].
    pub fn descriptors(&self) -> impl Iterator<Item = u64> {
        self.servents.iter().map(|servent| servent.descriptors)
    }

    /// Begins to count upkeep and traffic anew.
    pub fn reset(&mut self) {
        (self.upkeep, self.busiest) = (Cost::default(), 0);
        for servent in &mut self.servents {
            servent.traffic = 0;
        }
    }

    /// Begins to count descriptors anew.
    pub fn reset_descriptors(&mut self) {
        for servent in &mut self.servents {
            servent.descriptors = 0;
        }
    }

    /// Connections at each place.
    pub fn degrees(&self) -> impl Iterator<Item = usize> {
        self.servents.iter().map(|servent| servent.links.len())
    }

    /// Addresses each place remembers.
    pub fn caches(&self) -> impl Iterator<Item = usize> {
        self.servents.iter().map(|servent| servent.cache.len())
    }

    /// Who runs.
    #[must_use]
    pub const fn ground(&self) -> &Ground {
        &self.ground
    }

    /// Whether nothing of any PING, QUERY or what came back of them is under way.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.floods.is_empty()
    }

    fn servent(&mut self, place: u32) -> &mut Servent {
        // Places come from the ground, which has as many.
        &mut self.servents[place as usize]
    }

    /// A servent learns the address of whoever is at another place.
    fn learn(&mut self, place: u32, other: u32) {
        let limit = self.config.cache;
        if let Some(host) = self.ground.at(other).filter(|_| other != place) {
            self.servent(place).learn(host, limit);
        }
    }
}

#[cfg(test)]
mod tests;
