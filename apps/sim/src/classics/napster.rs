//! Napster: one server knows who has what; the files themselves go from user to user.
//!
//! A message is a header of 4 bytes (length 2, type 2) and fields as text, with the types of the
//! OpenNap description (Scholl 2001): login (2) and its acknowledgement (3), one 100 for each file
//! shared, search (200) with its results (201) and their end (202), and the request for a download
//! (203), which the server answers with the address to fetch from (204). The hash in 100 and 201 is
//! MD5 in hexadecimal with the size behind it; bit rate, frequency and length are what an MP3 has.
//!
//! The server works off what arrives one message after the other ([`Capacity`]) and sends over one
//! line. It notices that a user is gone when their connection is silent for [`super::KEEPALIVE`].
//! Firewalls (500 to 604) play no part: there are none here.

mod run;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::time::Duration;

use kadlet_core::Instant;

use super::agenda::Agenda;
use super::{Answer, Cost, Ground, Host, KEEPALIVE};
use crate::content::{Content, Query};
use crate::distribution::mix;
use crate::host::NodeIndex;
use run::Step;

/// Header of every message.
const HEADER: u64 = 4;

/// What the server can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capacity {
    /// Messages taken in a second: 10,000.
    pub messages: u32,
    /// Bytes sent in a second: 12,500,000, which is 100 Mbit/s.
    pub bytes: u32,
    /// Results a search gives at most: 100, the limit users' programs asked for.
    pub results: usize,
}

impl Default for Capacity {
    fn default() -> Self {
        Self { messages: 10_000, bytes: 12_500_000, results: 100 }
    }
}

/// A server and its users.
#[derive(Clone, Debug)]
pub struct Napster {
    capacity: Capacity,
    content: Arc<Content>,
    ground: Ground,
    /// The server: its place is behind those of the users.
    server: NodeIndex,
    up: bool,
    seed: u64,
    now: Instant,
    agenda: Agenda<Step>,
    /// The machines that the index names at each place: the one that runs, and those of which the
    /// server has not noticed that they do not.
    registered: Vec<Vec<NodeIndex>>,
    /// Until when the server's work and line are taken.
    busy: Instant,
    line: Instant,
    /// Time the server worked since the counters were reset.
    worked: Duration,
    searches: Vec<Search>,
    upkeep: Cost,
    server_messages: u64,
    server_bytes: u64,
}

#[derive(Clone, Debug)]
struct Search {
    query: Query,
    answer: Answer,
    /// Who is named as having the file meant and has not been tried.
    untried: VecDeque<Host>,
}

impl Napster {
    /// A server with everybody logged in.
    #[must_use]
    pub fn new(
        capacity: Capacity,
        content: Arc<Content>,
        ground: Ground,
        (now, seed): (Instant, u64),
        server: NodeIndex,
    ) -> Self {
        let places = ground.places() as u32;
        let registered = (0..places).map(|p| ground.at(p).map(|h| h.machine).into_iter().collect());
        let mut napster = Self {
            registered: registered.collect(),
            agenda: Agenda::new(),
            up: true,
            busy: now,
            line: now,
            worked: Duration::ZERO,
            searches: Vec::new(),
            upkeep: Cost::default(),
            server_messages: 0,
            server_bytes: 0,
            capacity,
            content,
            ground,
            server,
            seed,
            now,
        };
        for place in 0..places {
            if let Some(user) = napster.ground.at(place) {
                napster.look_after(user);
            }
        }
        napster
    }

    /// A user vanishes without goodbye.
    pub fn leave(&mut self, place: u32) {
        self.ground.set(place, None);
    }

    /// A newcomer logs in and says what it shares.
    pub fn join(&mut self, place: u32, machine: NodeIndex) {
        let user = Host { place, machine };
        self.ground.set(place, Some(machine));
        let round_trip = self.ground.round_trip(machine, self.server);
        self.charge(Cost::HANDSHAKE);
        if self.up {
            self.agenda.push(self.now + round_trip, Step::Login { user });
        }
    }

    /// The server is gone for good.
    pub const fn stop_server(&mut self) {
        self.up = false;
    }

    /// Asks; what comes of it is in [`Self::answer`] under the number returned.
    pub fn search(&mut self, query: &Query) -> usize {
        let number = self.searches.len();
        let answer = Answer { asked: self.now, ..Answer::default() };
        self.searches.push(Search { query: query.clone(), answer, untried: VecDeque::new() });
        if let Some(asker) = self.ground.at(query.asker) {
            let text = self.content.text(&query.words).len();
            let limit = self.capacity.results;
            let payload = HEADER
                + format!("FILENAME CONTAINS \"\" MAX_RESULTS {limit}").len() as u64
                + text as u64;
            let (delay, cost) = self.ground.send(asker, self.server, payload);
            self.searches[number].answer.cost.add(cost);
            self.agenda.push(self.now + delay, Step::Search { number, asker, cost });
        }
        number
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

    /// What the server sent and received since [`Self::reset`], searches among it.
    #[must_use]
    pub const fn server_load(&self) -> Cost {
        Cost { messages: self.server_messages, bytes: self.server_bytes }
    }

    /// How long the server was at work since [`Self::reset`].
    #[must_use]
    pub const fn server_work(&self) -> Duration {
        self.worked
    }

    /// Bytes of the index: for each user name, address, port, line speed and the connection (64
    /// bytes), for each file what message 100 says of it and who has it (4 bytes), for each of its
    /// words an entry (8 bytes).
    #[must_use]
    pub fn server_state(&self) -> u64 {
        let of_file = |file: &u32| {
            let file = self.content.file(*file);
            self.shared_bytes(&file.name, file.size) - HEADER + 4 + 8 * file.words.len() as u64
        };
        let of_place = |(place, machines): (u32, &Vec<NodeIndex>)| {
            let files: u64 = self.content.shelf(place).iter().map(of_file).sum();
            machines.len() as u64 * (64 + files)
        };
        (0..).zip(&self.registered).map(of_place).sum()
    }

    /// Begins to count anew.
    pub const fn reset(&mut self) {
        self.upkeep = Cost { messages: 0, bytes: 0 };
        self.worked = Duration::ZERO;
        (self.server_messages, self.server_bytes) = (0, 0);
    }

    /// Who runs.
    #[must_use]
    pub const fn ground(&self) -> &Ground {
        &self.ground
    }

    /// Upkeep, all of which the server sees.
    const fn charge(&mut self, cost: Cost) {
        self.upkeep.add(cost);
        self.load(cost);
    }

    const fn load(&mut self, cost: Cost) {
        self.server_messages += cost.messages;
        self.server_bytes += cost.bytes;
    }

    /// Message 100: `"<name>" <md5>-<size> <size> <bitrate> <frequency> <seconds>`.
    fn shared_bytes(&self, name: &str, size: u64) -> u64 {
        let digits = decimal(size);
        let length = seconds(size);
        HEADER
            + 2
            + name.len() as u64
            + 1
            + 32
            + 1
            + digits
            + 1
            + digits
            + " 128 44100 ".len() as u64
            + decimal(length)
    }

    /// Message 201: the fields of 100, then `<nick> <address> <speed>`.
    fn result_bytes(&self, name: &str, size: u64, machine: NodeIndex) -> u64 {
        self.shared_bytes(name, size) + 1 + nick(machine) + 1 + ADDRESS + " 8".len() as u64
    }

    fn look_after(&mut self, user: Host) {
        let micros = mix(self.seed ^ u64::from(user.machine.0)) % KEEPALIVE.as_micros() as u64;
        self.agenda.push(self.now + Duration::from_micros(micros), Step::Tick { user });
    }
}

/// An IPv4 address as the decimal number of 32 bits that the protocol has.
const ADDRESS: u64 = 10;

/// A user's name: `user` and the number of the machine.
const fn nick(machine: NodeIndex) -> u64 {
    4 + decimal(machine.0 as u64)
}

/// Seconds of music in so many bytes at 128 kbit/s.
const fn seconds(size: u64) -> u64 {
    size / 16_000
}

const fn decimal(number: u64) -> u64 {
    match number.checked_ilog10() {
        Some(digits) => digits as u64 + 1,
        None => 1,
    }
}

#[cfg(test)]
mod tests;
