//! What happens at the server and its users, in order of time.

use core::time::Duration;

use kadlet_core::Instant;

use super::{ADDRESS, HEADER, Napster, nick};
use crate::classics::{Cost, Host, KEEPALIVE, TCP_HEADERS};
use crate::distribution::mix;
use crate::host::NodeIndex;

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A user's login and what it shares arrive.
    Login { user: Host },
    /// A search arrives.
    Search { number: usize, asker: Host, cost: Cost },
    /// Its results arrive.
    Results { number: usize, asker: Host, found: Vec<(u32, Host)> },
    /// It is time to ask for the next address.
    Next { number: usize, asker: Host },
    /// The request to download from somebody arrives.
    Download { number: usize, asker: Host, from: Host, cost: Cost },
    /// The address to download from arrives.
    Address { number: usize, asker: Host, from: Host },
    /// A look whether a user is still there.
    Tick { user: Host },
}

impl Napster {
    /// Lets time pass.
    pub fn run_until(&mut self, end: Instant) {
        while let Some((at, step)) = self.agenda.pop_until(end) {
            self.now = at;
            match step {
                Step::Login { user } => self.log_in(user),
                Step::Search { number, asker, cost } => self.look_up(number, asker, cost),
                Step::Results { number, asker, found } => self.show(number, asker, &found),
                Step::Next { number, asker } => self.ask_for_address(number, asker),
                Step::Download { number, asker, from, cost } => {
                    self.give_address(number, asker, from, cost);
                }
                Step::Address { number, asker, from } => self.fetch(number, asker, from),
                Step::Tick { user } => self.tick(user),
            }
        }
        self.now = self.now.max(end);
    }

    /// The server's work on so many messages that arrive now: when it is done with them.
    fn work(&mut self, messages: u64) -> Instant {
        let each = 1_000_000 / u64::from(self.capacity.messages.max(1));
        let time = Duration::from_micros(messages * each);
        self.worked += time;
        self.busy = self.busy.max(self.now) + time;
        self.busy
    }

    /// When bytes that the server has ready at some time are on their way.
    fn over_the_line(&mut self, ready: Instant, bytes: u64) -> Instant {
        let micros = (bytes * 1_000_000).div_ceil(u64::from(self.capacity.bytes.max(1)));
        self.line = self.line.max(ready) + Duration::from_micros(micros);
        self.line
    }

    fn log_in(&mut self, user: Host) {
        if !self.up || !self.ground.runs(user) {
            return;
        }
        // `<nick> <password> <port> "<client>" <speed>` and the acknowledgement with an address.
        let login = HEADER + nick(user.machine) + " secret00 6699 \"v2.0 BETA 7\" 8".len() as u64;
        let content = alloc::sync::Arc::clone(&self.content);
        let shelf = content.shelf(user.place);
        let files = shelf.iter().map(|file| content.file(*file));
        let shared: u64 = files.map(|file| self.shared_bytes(&file.name, file.size)).sum();
        self.charge(Cost::tcp(login));
        self.charge(Cost::tcp(HEADER + nick(user.machine) + "@napster.com".len() as u64));
        if shared > 0 {
            self.charge(Cost::tcp(shared));
        }
        self.work(1 + shelf.len() as u64);
        if let Some(machines) = self.registered.get_mut(user.place as usize) {
            machines.push(user.machine);
        }
        self.look_after(user);
    }

    fn look_up(&mut self, number: usize, asker: Host, asked: Cost) {
        if !self.up {
            return;
        }
        self.load(asked);
        let content = alloc::sync::Arc::clone(&self.content);
        let query = &self.searches[number].query;
        let mut found: Vec<(u64, u32, Host)> = Vec::new();
        for file in content.matching(&query.words) {
            for place in &content.file(file).holders {
                for machine in &self.registered[*place as usize] {
                    // Whose files come first depends on when they came into the index; any order
                    // that has nothing to do with the query will do.
                    let order = mix(self.seed ^ mix(u64::from(file)) ^ u64::from(machine.0));
                    found.push((order, file, Host { place: *place, machine: *machine }));
                }
            }
        }
        found.sort_unstable();
        found.truncate(self.capacity.results);
        let done = self.work(1 + found.len() as u64);
        let results: u64 = found
            .iter()
            .map(|(_, file, host)| {
                let file = content.file(*file);
                self.result_bytes(&file.name, file.size, host.machine)
            })
            .sum();
        // The end of the results is a message of its own, in the last segment.
        let (delay, cost) = self.dispatch(asker.machine, results + HEADER);
        self.load(cost);
        let at = self.over_the_line(done, cost.bytes) + delay;
        self.searches[number].answer.cost.add(cost);
        self.searches[number].answer.reached = 1;
        let found = found.into_iter().map(|(_, file, host)| (file, host)).collect();
        self.agenda.push(at, Step::Results { number, asker, found });
    }

    /// The user looks at the results.
    fn show(&mut self, number: usize, asker: Host, found: &[(u32, Host)]) {
        let runs = |host: Host| self.ground.runs(host);
        if !runs(asker) {
            return;
        }
        let stale = found.iter().filter(|(_, host)| !runs(*host)).count();
        let search = &mut self.searches[number];
        search.answer.results = found.len() as u32;
        search.answer.stale = stale as u32;
        if !found.is_empty() {
            search.answer.last = Some(self.now);
        }
        let meant = search.query.file;
        let named = found.iter().filter(|(file, _)| *file == meant).map(|(_, host)| *host);
        search.untried = named.collect();
        self.ask_for_address(number, asker);
    }

    /// The user asks for the file it meant, of the next who is named as having it.
    fn ask_for_address(&mut self, number: usize, asker: Host) {
        if !self.ground.runs(asker) {
            return;
        }
        let search = &mut self.searches[number];
        let Some(from) = search.untried.pop_front() else { return };
        let name = self.content.file(search.query.file).name.len() as u64;
        let payload = HEADER + nick(from.machine) + 3 + name;
        let (delay, cost) = self.ground.send(asker, self.server, payload);
        self.searches[number].answer.cost.add(cost);
        self.agenda.push(self.now + delay, Step::Download { number, asker, from, cost });
    }

    fn give_address(&mut self, number: usize, asker: Host, from: Host, asked: Cost) {
        if !self.up {
            return;
        }
        self.load(asked);
        let file = self.content.file(self.searches[number].query.file);
        let (name, size) = (file.name.len() as u64, file.size);
        // `<nick> <address> <port> "<name>" <md5>-<size> <speed>`
        let payload = HEADER
            + nick(from.machine)
            + 1
            + ADDRESS
            + " 6699 ".len() as u64
            + 2
            + name
            + 1
            + 32
            + 1
            + super::decimal(size)
            + 2;
        let done = self.work(1);
        let (delay, cost) = self.dispatch(asker.machine, payload);
        self.load(cost);
        let at = self.over_the_line(done, cost.bytes) + delay;
        self.searches[number].answer.cost.add(cost);
        self.agenda.push(at, Step::Address { number, asker, from });
    }

    fn fetch(&mut self, number: usize, asker: Host, from: Host) {
        if !self.ground.runs(asker) {
            return;
        }
        let round_trip = || self.ground.round_trip(asker.machine, from.machine);
        let round_trip = self.ground.runs(from).then(round_trip);
        let answer = &mut self.searches[number].answer;
        answer.try_address(self.now, round_trip);
        answer.last = Some(self.now);
        if answer.first.is_none() {
            self.agenda.push(answer.tried, Step::Next { number, asker });
        }
    }

    fn tick(&mut self, user: Host) {
        if !self.up {
            return;
        }
        if self.ground.runs(user) {
            // A probe that carries nothing, and its acknowledgement.
            self.charge(Cost { messages: 2, bytes: 2 * TCP_HEADERS });
            self.agenda.push(self.now + KEEPALIVE, Step::Tick { user });
        } else if let Some(machines) = self.registered.get_mut(user.place as usize) {
            machines.retain(|machine| *machine != user.machine);
        }
    }

    /// A message of the server's on its way.
    fn dispatch(&mut self, to: NodeIndex, payload: u64) -> (Duration, Cost) {
        // The server has no place.
        let server = Host { place: u32::MAX, machine: self.server };
        self.ground.send(server, to, payload)
    }
}
