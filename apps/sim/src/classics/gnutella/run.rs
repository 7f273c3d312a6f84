//! What happens to servents, in order of time.

use core::time::Duration;

use kadlet_core::Instant;

use super::flood::Purpose;
use super::{CONNECT, Gnutella, HEADER, OK, PONG};
use crate::classics::ground::in_order;
use crate::classics::{Cost, Host, KEEPALIVE, NO_CONNECTION};

/// How long one waits before the host cache is asked.
const LOST: Duration = Duration::from_secs(5);
/// Addresses the host cache gives.
const INTRODUCTIONS: usize = 3;

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A message arrives over a connection.
    Deliver { from: u32, to: Host, body: Body },
    /// A connection is asked for.
    Connect { from: Host, to: Host },
    /// And the answer.
    Connected { from: Host, to: Host, accepted: bool },
    /// Time to look after one's connections.
    Tick { host: Host },
    /// The host cache answers.
    Introduce { host: Host },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    /// PING or QUERY with so many hops to live.
    Flooded {
        flood: u32,
        ttl: u8,
    },
    /// PONG on its way back, or a QUERYHIT.
    Back {
        flood: u32,
        about: Host,
        results: u16,
        meant: bool,
        bytes: u32,
    },
    /// A PING that goes one hop, and its PONG.
    Look,
    Here,
}

impl Gnutella {
    /// Lets time pass.
    pub fn run_until(&mut self, end: Instant) {
        while let Some((at, step)) = self.agenda.pop_until(end) {
            self.now = at;
            match step {
                Step::Deliver { from, to, body } => self.deliver(from, to, body),
                Step::Connect { from, to } => self.asked_to_connect(from, to),
                Step::Connected { from, to, accepted } => self.connected(from, to, accepted),
                Step::Tick { host } => self.tick(host),
                Step::Introduce { host } => self.introduce(host),
            }
        }
        self.now = self.now.max(end);
    }

    /// Sends a message over a connection, if there is one.
    fn send(&mut self, from: Host, to: u32, body: Body) {
        let (payload, search) = match body {
            Body::Flooded { flood, .. } => match self.floods.flood(flood).purpose {
                Purpose::Ping => (HEADER, None),
                Purpose::Query(number) => {
                    let number = number as usize;
                    (self.searches[number].bytes, Some(number))
                }
            },
            Body::Back { flood, bytes, .. } => match self.floods.flood(flood).purpose {
                Purpose::Ping => (bytes.into(), None),
                Purpose::Query(number) => (bytes.into(), Some(number as usize)),
            },
            Body::Look => (HEADER, None),
            Body::Here => (PONG, None),
        };
        let now = self.now;
        let Some(link) = self.servents[from.place as usize].link(to) else { return };
        let (delay, cost) = self.ground.send(from, link.to.machine, payload);
        let (at, to) = (in_order(&mut link.clear, now + delay), link.to);
        self.servent(from.place).traffic += cost.bytes;
        if self.ground.runs(to) {
            self.servent(to.place).traffic += cost.bytes;
        }
        match search {
            Some(number) => self.searches[number].answer.cost.add(cost),
            None => self.upkeep.add(cost),
        }
        if let Body::Flooded { flood, .. } | Body::Back { flood, .. } = body {
            self.floods.sent(flood);
        }
        self.agenda.push(at, Step::Deliver { from: from.place, to, body });
    }

    /// Starts a PING or QUERY.
    pub(super) fn flood(&mut self, origin: Host, purpose: Purpose) {
        let flood = self.floods.start(origin, purpose);
        self.servent(origin.place).descriptors += 1;
        self.pass_on(origin, origin.place, Body::Flooded { flood, ttl: self.config.ttl });
        self.floods.end_if_idle(flood);
    }

    /// To all neighbours but one.
    fn pass_on(&mut self, host: Host, except: u32, body: Body) {
        for number in 0..self.servents[host.place as usize].links.len() {
            let to = self.servents[host.place as usize].links[number].to.place;
            if to != except {
                self.send(host, to, body);
            }
        }
    }

    fn deliver(&mut self, from: u32, to: Host, body: Body) {
        let is_there = self.ground.runs(to);
        let link = self.servents[to.place as usize].link(from).filter(|_| is_there);
        if let Some(link) = link {
            link.silent = false;
            match body {
                Body::Flooded { flood, ttl } => self.flooded(from, to, flood, ttl),
                Body::Back { .. } => self.came_back(to, body),
                Body::Look => self.send(to, from, Body::Here),
                Body::Here => {}
            }
        }
        if let Body::Flooded { flood, .. } | Body::Back { flood, .. } = body {
            self.floods.settled(flood);
        }
    }

    fn flooded(&mut self, from: u32, to: Host, flood: u32, ttl: u8) {
        let (purpose, is_new) = {
            let flood = self.floods.flood(flood);
            (flood.purpose, flood.visit(to.place, from))
        };
        let mut back = None;
        match purpose {
            Purpose::Ping => back = Some((0, false, PONG as u32)),
            Purpose::Query(number) => {
                let search = &mut self.searches[number as usize];
                if is_new {
                    search.answer.reached += 1;
                    let at = search.matches.binary_search_by_key(&to.place, |one| one.place);
                    let found = at.ok().and_then(|at| search.matches.get(at));
                    back = found.map(|one| (one.results, one.meant, one.bytes));
                } else {
                    search.answer.duplicates += 1;
                }
            }
        }
        if !is_new {
            return;
        }
        self.servent(to.place).descriptors += 1;
        if let Some((results, meant, bytes)) = back {
            self.send(to, from, Body::Back { flood, about: to, results, meant, bytes });
        }
        if ttl > 1 {
            self.pass_on(to, from, Body::Flooded { flood, ttl: ttl - 1 });
        }
    }

    /// A PONG or QUERYHIT: passed on to where the question came from.
    fn came_back(&mut self, at: Host, body: Body) {
        let Body::Back { flood: number, about, results, meant, .. } = body else { return };
        let flood = self.floods.flood(number);
        let (origin, purpose, next) = (flood.origin, flood.purpose, flood.came_from(at.place));
        if purpose == Purpose::Ping && about != at {
            let limit = self.config.cache;
            self.servent(at.place).learn(about, limit);
        }
        if origin != at {
            if let Some(next) = next {
                self.send(at, next, body);
            }
            return;
        }
        match purpose {
            Purpose::Ping => self.maintain(at.place),
            Purpose::Query(number) => {
                let runs = self.ground.runs(about);
                let round_trip = runs.then(|| self.ground.round_trip(at.machine, about.machine));
                let answer = &mut self.searches[number as usize].answer;
                if meant {
                    answer.try_address(self.now, round_trip);
                }
                answer.last = Some(self.now);
                answer.results += u32::from(results);
                answer.stale += if runs { 0 } else { u32::from(results) };
            }
        }
    }

    /// Opens connections until there are as many as wanted.
    pub(super) fn maintain(&mut self, place: u32) {
        let Some(host) = self.ground.at(place) else { return };
        loop {
            let known = self.servents[place as usize].cache.len() as u64;
            let servent = &self.servents[place as usize];
            if servent.opened() + servent.opening >= servent.wanted {
                return;
            }
            if known == 0 {
                return self.ask_host_cache(host);
            }
            let chosen = self.rng.below(known) as usize;
            let to = self.servent(place).cache.swap_remove(chosen);
            if to.place != place && !self.servents[place as usize].knows(to.place) {
                self.open(host, to);
            }
        }
    }

    fn open(&mut self, from: Host, to: Host) {
        self.servent(from.place).opening += 1;
        if self.ground.runs(to) && self.ground.can_connect(from.machine, to.machine) {
            // SYN, SYN and ACK, and the request with the third segment or right behind it.
            let wait = self.ground.round_trip(from.machine, to.machine) * 3 / 2;
            self.charge(from, Cost::HANDSHAKE);
            self.charge(from, Cost::tcp(CONNECT));
            self.agenda.push(self.now + wait, Step::Connect { from, to });
        } else {
            // A SYN and its repetition.
            self.charge(from, Cost::tcp(0).times(2));
            let step = Step::Connected { from, to, accepted: false };
            self.agenda.push(self.now + NO_CONNECTION, step);
        }
    }

    fn asked_to_connect(&mut self, from: Host, to: Host) {
        let runs = self.ground.runs(to);
        let limit = self.config.room;
        let servent = self.servent(to.place);
        let has_room = servent.links.len() < 2 * servent.wanted + limit;
        let accepted = runs && has_room && servent.link(from.place).is_none_or(|l| l.to != from);
        if accepted {
            servent.connect(from, false);
        }
        if runs {
            self.charge(to, Cost::tcp(OK));
        }
        let wait = self.ground.round_trip(from.machine, to.machine) / 2;
        let wait = if runs { wait } else { NO_CONNECTION };
        self.agenda.push(self.now + wait, Step::Connected { from, to, accepted });
    }

    fn connected(&mut self, from: Host, to: Host, accepted: bool) {
        if !self.ground.runs(from) {
            return;
        }
        let servent = self.servent(from.place);
        servent.opening = servent.opening.saturating_sub(1);
        if accepted {
            servent.connect(to, true);
            let first = !core::mem::replace(&mut servent.pinged, true);
            if first {
                self.flood(from, Purpose::Ping);
            }
        }
        self.maintain(from.place);
    }

    fn ask_host_cache(&mut self, host: Host) {
        if !core::mem::replace(&mut self.servent(host.place).asking, true) {
            // A connection, a request and a few addresses in text.
            self.charge(host, Cost::HANDSHAKE);
            self.charge(host, Cost::tcp(CONNECT));
            self.charge(host, Cost::tcp(22 * INTRODUCTIONS as u64));
            self.agenda.push(self.now + LOST, Step::Introduce { host });
        }
    }

    fn introduce(&mut self, host: Host) {
        if !self.ground.runs(host) {
            return;
        }
        self.servent(host.place).asking = false;
        for _ in 0..INTRODUCTIONS {
            let other = self.rng.below(self.ground.places() as u64) as u32;
            self.learn(host.place, other);
        }
        self.maintain(host.place);
    }

    /// Looks after connections from now on, each servent at its own moment.
    pub(super) fn start_ticking(&mut self, place: u32) {
        let Some(host) = self.ground.at(place) else { return };
        let micros = self.rng.below(KEEPALIVE.as_micros() as u64);
        self.agenda.push(self.now + Duration::from_micros(micros), Step::Tick { host });
    }

    fn tick(&mut self, host: Host) {
        if !self.ground.runs(host) {
            return;
        }
        let servent = self.servent(host.place);
        servent.links.retain(|link| !link.silent);
        for link in &mut servent.links {
            link.silent = true;
        }
        self.pass_on(host, host.place, Body::Look);
        self.maintain(host.place);
        self.agenda.push(self.now + KEEPALIVE, Step::Tick { host });
    }

    /// Something of the upkeep, seen from one end.
    fn charge(&mut self, host: Host, cost: Cost) {
        self.upkeep.add(cost);
        self.servent(host.place).traffic += cost.bytes;
    }
}
