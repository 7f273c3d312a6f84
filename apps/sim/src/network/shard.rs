//! Some of the machines of a network, and all that happens at them: what one thread runs.
//!
//! The loop of every host is the same: hand the node what happened, drain what it sends and says,
//! ask for its deadline, and put a wake-up into the queue if that is earlier than the one which
//! lies there. A wake-up that has become too early asks again instead of waking (lazy deletion):
//! there is rarely more than one of a node in the queue.

use kadlet_core::{Event, Instant, LinkId, Path, Rng, Transmit};

use super::Counters;
use super::passage::{Fate, Ground, admit, depart};
use crate::draw::Draw;
use crate::host::{Extras, Host, Interface, Machine, NodeIndex};
use crate::hostile::Reaction;
use crate::queue::{Arrival, Happening, Order, Queue};
use crate::trace::Trace;

/// Wake-ups in a row that change nothing before a node counts as broken.
const MAX_SPINS: u32 = 1_000;
/// Notices kept of a node: tests look at the first few.
const MAX_NOTICES: usize = 64;

/// A datagram for a machine of another shard.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) at: Instant,
    pub(super) order: Order,
    pub(super) arrival: Arrival,
}

/// Machine i is in shard i mod n, at place i / n.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    pub(super) hosts: Vec<Host>,
    pub(super) queue: Queue,
    pub(super) out: Outbox,
    pub(super) counters: Counters,
    pub(super) trace: Trace,
}

/// For each shard what is to be handed to it before it may go on.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    own: usize,
    pub(super) letters: Vec<Vec<Letter>>,
}

impl Shard {
    pub(super) fn new(number: usize, shards: usize) -> Self {
        let letters = core::iter::repeat_with(Vec::new).take(shards).collect();
        Self {
            hosts: Vec::new(),
            queue: Queue::default(),
            out: Outbox { own: number, letters },
            counters: Counters::default(),
            trace: Trace::default(),
        }
    }

    pub(super) fn receive(&mut self, letter: Letter) {
        self.queue.push_arrival(letter.at, letter.order, letter.arrival);
    }

    /// Lets everything happen that happens before `end`.
    pub(super) fn run_before(&mut self, ground: &Ground<'_>, end: Instant) {
        while self.step_before(ground, end).is_some() {}
    }

    /// Lets the next thing happen, if it does before `end`: when that was.
    pub(super) fn step_before(&mut self, ground: &Ground<'_>, end: Instant) -> Option<Instant> {
        let (at, what) = self.queue.pop_before(end)?;
        match what {
            Happening::Arrive(arrival) => self.arrive(ground, at, arrival),
            Happening::Wake(node) => self.wake(ground, at, node),
        }
        Some(at)
    }

    fn arrive(&mut self, ground: &Ground<'_>, now: Instant, mut arrival: Arrival) {
        let to = arrival.to;
        let found = self.hosts.get_mut((to.0 / ground.shards) as usize);
        let Some(host) = found.filter(|host| {
            !matches!(host.machine, Machine::Gone) && admit(ground, now, &host.interface, &arrival)
        }) else {
            self.counters.undeliverable += 1;
            return;
        };
        if let Some(line) = ground.config.link.bandwidth.filter(|_| !arrival.is_through) {
            match host.interface.lines.enter(&line, now, arrival.payload.len()) {
                Some(at) => {
                    arrival.is_through = true;
                    self.queue.push_arrival(at, host.interface.next_order(), arrival);
                }
                None => self.counters.lost += 1,
            }
            return;
        }
        host.interface.traffic.datagrams_in += 1;
        host.interface.traffic.bytes_in += arrival.payload.len() as u64;
        self.counters.delivered += 1;
        let path = Path { link: LinkId(0), remote: arrival.source };
        if host.conspiracy.is_some() {
            match host.react(ground.config.addresses, &path, &arrival.payload) {
                Reaction::Pass => {}
                Reaction::Silence => return,
                Reaction::Say(payload) => {
                    return self.send(ground, now, to, Transmit { path, payload });
                }
            }
        }
        match &mut host.machine {
            Machine::Node(node) => {
                if let Err(reason) = node.handle_datagram(now, path, &arrival.payload) {
                    *self.counters.rejected.entry(reason).or_insert(0) += 1;
                }
                drop(arrival.payload);
                self.attend(ground, now, to);
            }
            Machine::Listener(heard) => heard.push((path, arrival.payload)),
            Machine::Gone => {}
        }
    }

    /// # Panics
    /// If the node asks for the same deadline again and again: a host would spin.
    fn wake(&mut self, ground: &Ground<'_>, now: Instant, index: NodeIndex) {
        let Some(host) = self.hosts.get_mut((index.0 / ground.shards) as usize) else { return };
        if host.armed != Some(now) {
            return; // An earlier wake-up has been put in its place.
        }
        host.armed = None;
        let Machine::Node(node) = &mut host.machine else { return };
        if node.poll_timeout().is_some_and(|deadline| deadline <= now) {
            node.handle_timeout(now);
            let again = node.poll_timeout().is_some_and(|deadline| deadline <= now);
            host.spins = if again { host.spins + 1 } else { 0 };
            assert!(host.spins < MAX_SPINS, "{index} asks to be woken at {now:?} for ever");
        }
        self.attend(ground, now, index);
    }

    /// Drains a node after it was called, and arms its next wake-up.
    pub(super) fn attend(&mut self, ground: &Ground<'_>, now: Instant, index: NodeIndex) {
        let Self { hosts, queue, out, counters, trace } = self;
        let Some(host) = hosts.get_mut((index.0 / ground.shards) as usize) else { return };
        let Machine::Node(node) = &mut host.machine else { return };
        let rewrite = host.extras.as_ref().and_then(|extras| extras.rewrite);
        let mut post = Post { ground, now, queue, out, counters, trace };
        while let Some(transmit) = node.poll_transmit() {
            match rewrite {
                None => post.transmit(&mut host.interface, transmit),
                Some(rewrite) => {
                    let sent = host.interface.traffic.datagrams_out;
                    let mut draw = Draw::new(!ground.config.seed, index, sent);
                    let mut rng = Rng::from_seed(draw.bytes());
                    for transmit in rewrite(&mut rng, transmit) {
                        post.transmit(&mut host.interface, transmit);
                    }
                }
            }
        }
        while let Some(event) = node.poll_event() {
            if ground.config.trace {
                host.said += 1;
                post.trace.event(now, (index, host.said), &event);
            }
            note(&mut host.extras, now, event);
        }
        while node.poll_change().is_some() {}
        let Some(deadline) = node.poll_timeout() else { return };
        let deadline = deadline.max(now);
        if host.armed.is_none_or(|armed| deadline < armed) {
            host.armed = Some(deadline);
            post.queue.push_wake(deadline, host.interface.next_order());
        }
    }

    /// Sends a datagram as if from any machine.
    pub(super) fn send(
        &mut self,
        ground: &Ground<'_>,
        now: Instant,
        from: NodeIndex,
        transmit: Transmit,
    ) {
        let Self { hosts, queue, out, counters, trace } = self;
        if let Some(host) = hosts.get_mut((from.0 / ground.shards) as usize) {
            let mut post = Post { ground, now, queue, out, counters, trace };
            post.transmit(&mut host.interface, transmit);
        }
    }
}

/// Where datagrams go that leave a machine.
struct Post<'a> {
    ground: &'a Ground<'a>,
    now: Instant,
    queue: &'a mut Queue,
    out: &'a mut Outbox,
    counters: &'a mut Counters,
    trace: &'a mut Trace,
}

impl Post<'_> {
    fn transmit(&mut self, sender: &mut Interface, transmit: Transmit) {
        let Transmit { path, payload } = transmit;
        self.counters.sent += 1;
        sender.traffic.datagrams_out += 1;
        sender.traffic.bytes_out += payload.len() as u64;
        let number = sender.traffic.datagrams_out;
        if self.ground.config.trace {
            self.trace.datagram(self.now, (sender.index, number), &path, &payload);
        }
        let mut draw = Draw::new(self.ground.config.seed, sender.index, number);
        let what = (path.remote, payload.len());
        match depart(self.ground, self.now, sender, what, &mut draw) {
            Fate::Undeliverable => self.counters.undeliverable += 1,
            Fate::Lost => self.counters.lost += 1,
            Fate::Arrives { to, source, delay, again } => {
                let (from, port, is_through) = (sender.index, path.remote.port(), false);
                if let Some(again) = again {
                    let payload = payload.clone();
                    let arrival = Arrival { from, to, source, port, is_through, payload };
                    self.put(self.now + again, sender.next_order(), arrival);
                }
                let arrival = Arrival { from, to, source, port, is_through, payload };
                self.put(self.now + delay, sender.next_order(), arrival);
            }
        }
    }

    fn put(&mut self, at: Instant, order: Order, arrival: Arrival) {
        let shard = (arrival.to.0 % self.ground.shards) as usize;
        if shard == self.out.own {
            self.queue.push_arrival(at, order, arrival);
        } else {
            self.out.letters[shard].push(Letter { at, order, arrival });
        }
    }
}

fn note(extras: &mut Option<Box<Extras>>, now: Instant, event: Event) {
    if let Some(id) = event.operation() {
        if let Some(watched) = extras.as_mut().and_then(|extras| extras.watched_mut(id)) {
            watched.note(now, event);
        }
        return;
    }
    let notices = &mut extras.get_or_insert_default().notices;
    if notices.len() < MAX_NOTICES {
        // Most nodes say one such thing in their life.
        notices.reserve_exact(1);
        notices.push(event);
    }
}
