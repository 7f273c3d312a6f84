//! Napster and Gnutella under the script. Both begin as networks that have been running for long, and
//! have nothing that needs hours to settle: they come to rest for as long as queries are asked, and
//! then what they cost is measured in the same hour as Kademlia's.

use alloc::sync::Arc;
use core::time::Duration;

use kadlet_core::Instant;

use super::figures::{Answers, Upkeep};
use super::kademlia::PATIENCE;
use super::script::{Asked, Change, Group, Script};
use crate::classics::gnutella::{Gnutella, GnutellaConfig};
use crate::classics::napster::{Capacity, Napster};
use crate::classics::{Answer, Ground};
use crate::content::Query;
use crate::host::NodeIndex;
use crate::link::LinkModel;

/// What the two have in common.
trait Classic: Clone {
    fn run_until(&mut self, end: Instant);
    fn change(&mut self, change: &Change);
    fn leave(&mut self, place: u32);
    fn search(&mut self, query: &Query) -> usize;
    fn answer(&self, search: usize) -> &Answer;
    fn ground(&self) -> &Ground;
}

impl Classic for Napster {
    fn run_until(&mut self, end: Instant) {
        self.run_until(end);
    }
    fn change(&mut self, change: &Change) {
        self.leave(change.place);
        self.join(change.place, change.newcomer);
    }
    fn leave(&mut self, place: u32) {
        self.leave(place);
    }
    fn search(&mut self, query: &Query) -> usize {
        self.search(query)
    }
    fn answer(&self, search: usize) -> &Answer {
        self.answer(search)
    }
    fn ground(&self) -> &Ground {
        self.ground()
    }
}

impl Classic for Gnutella {
    fn run_until(&mut self, end: Instant) {
        self.run_until(end);
    }
    fn change(&mut self, change: &Change) {
        self.join(change.place, change.newcomer, &change.told);
    }
    fn leave(&mut self, place: u32) {
        self.leave(place);
    }
    fn search(&mut self, query: &Query) -> usize {
        self.search(query)
    }
    fn answer(&self, search: usize) -> &Answer {
        self.answer(search)
    }
    fn ground(&self) -> &Ground {
        self.ground()
    }
}

fn at(time: Duration) -> Instant {
    Instant::EPOCH + time
}

/// When the classics begin.
fn beginning(script: &Script) -> Duration {
    script.timeline.warm_up.saturating_sub(script.timeline.asking)
}

fn ground(script: &Script, seed: u64, link: &LinkModel) -> Ground {
    let nodes = script.content.plan().nodes;
    let mut machines: Vec<NodeIndex> = (0..nodes).map(NodeIndex).collect();
    let start = beginning(script);
    for change in script.changes.iter().take_while(|change| change.at <= start) {
        machines[change.place as usize] = change.newcomer;
    }
    Ground::new(seed, link.clone(), &machines)
}

/// From the beginning to the first query: `reset` is called when the measurement begins, `late` as
/// long before the first query as queries are asked.
fn live<C: Classic>(
    network: &mut C,
    script: &Script,
    reset: impl FnOnce(&mut C),
    late: impl FnOnce(&mut C),
) {
    let (start, first) = (script.timeline.warm_up, script.timeline.first_query());
    let last = first.saturating_sub(script.timeline.asking).max(start);
    pass(network, script, (beginning(script), start), &mut Vec::new());
    reset(network);
    pass(network, script, (start, last), &mut Vec::new());
    late(network);
    pass(network, script, (last, first), &mut Vec::new());
}

/// From the first query to the end, and until all answers are in.
fn ask<C: Classic>(network: &mut C, script: &Script) -> Answers {
    let (first, end) = (script.timeline.first_query(), script.timeline.end());
    let mut searches = Vec::new();
    pass(network, script, (first, end), &mut searches);
    network.run_until(at(end + PATIENCE));
    collect(network, &searches)
}

/// A part of the script: behind `start`, up to and with `end`.
fn pass<C: Classic>(
    network: &mut C,
    script: &Script,
    (start, end): (Duration, Duration),
    searches: &mut Vec<(Group, usize)>,
) {
    let within = |at: Duration| at > start && at <= end;
    let mut queries = script.steady.iter().filter(|it| within(it.at)).peekable();
    let changes = script.changes.iter().filter(|it| within(it.at));
    for change in changes.map(Some).chain([None]) {
        let until = change.map_or(end, |change| change.at);
        while let Some(Asked { at: time, group, query }) = queries.next_if(|it| it.at <= until) {
            network.run_until(at(*time));
            searches.push((*group, network.search(query)));
        }
        network.run_until(at(until));
        if let Some(change) = change {
            network.change(change);
        }
    }
}

fn collect<C: Classic>(network: &C, searches: &[(Group, usize)]) -> Answers {
    let mut answers = Answers::default();
    for (group, search) in searches {
        answers.add(*group, network.answer(*search));
    }
    answers
}

/// These places lose their machines at once, and then queries are asked.
fn suffer<C: Classic>(network: &C, script: &Script, lost: &[u32]) -> Answers {
    let mut network = network.clone();
    let start = script.timeline.end() + PATIENCE;
    for place in lost {
        network.leave(*place);
    }
    let mut searches = Vec::new();
    for asked in &script.aftermath {
        network.run_until(at(start + asked.at));
        if script.is_fair(&asked.query, |place| network.ground().at(place).is_some()) {
            searches.push((asked.group, network.search(&asked.query)));
        }
    }
    network.run_until(at(start + script.timeline.aftermath + PATIENCE));
    collect(&network, &searches)
}

/// What came of it all.
pub(super) struct Outcome {
    pub(super) steady: Answers,
    pub(super) upkeep: Upkeep,
    /// Nobody lost.
    pub(super) unharmed: Answers,
    /// One machine of the attacker's choice; so many at random; the best connected.
    pub(super) one: Answers,
    pub(super) random: Answers,
    pub(super) best: Answers,
    /// The share of its time the server works.
    pub(super) server_busy: Option<f64>,
}

pub(super) fn napster(
    script: &Arc<Script>,
    capacity: Capacity,
    (seed, link): (u64, &LinkModel),
    lost: usize,
) -> Outcome {
    let start = (at(beginning(script)), seed);
    let (content, ground) = (Arc::clone(&script.content), ground(script, seed, link));
    // Behind every machine that ever comes.
    let server = NodeIndex(u32::MAX);
    let mut network = Napster::new(capacity, content, ground, start, server);
    live(&mut network, script, Napster::reset, |_| {});
    let quiet = script.timeline.quiet();
    let (upkeep, load, work) = (network.upkeep(), network.server_load(), network.server_work());
    let nodes = script.content.plan().nodes;
    // A user remembers the server's address; the index is the server's.
    let mut upkeep = Upkeep::new(upkeep, load.bytes, (nodes, quiet), &[6]);
    upkeep.state_most = network.server_state() as f64;
    let steady = ask(&mut network, script);
    let unharmed = suffer(&network, script, &[]);
    let without = {
        let mut network = network.clone();
        network.stop_server();
        suffer(&network, script, &[])
    };
    let random = suffer(&network, script, &script.unlucky[..lost]);
    let best = without.clone();
    let server_busy = Some(work.as_secs_f64() / quiet.as_secs_f64());
    Outcome { steady, upkeep, unharmed, one: without, random, best, server_busy }
}

/// Bytes of a connection (address, when it was last heard, what is owed), of an address in the host
/// cache, and of a GUID with where it came from and when.
const STATE: [u64; 3] = [16, 6, 22];
/// How long a servent remembers a GUID.
const MEMORY: Duration = Duration::from_secs(600);

pub(super) fn gnutella(
    script: &Arc<Script>,
    config: &GnutellaConfig,
    (seed, link): (u64, &LinkModel),
    lost: usize,
) -> Outcome {
    let start = at(beginning(script));
    let (content, ground) = (Arc::clone(&script.content), ground(script, seed, link));
    let mut network = Gnutella::new(config.clone(), content, ground, start, seed);
    // A GUID that is remembered no more is no state: only the last minutes count.
    live(&mut network, script, Gnutella::reset, Gnutella::reset_descriptors);
    let (asking, quiet) = (script.timeline.asking, script.timeline.quiet());
    let [connection, address, guid] = STATE;
    let remembered = |seen: u64| seen * MEMORY.as_secs() / asking.as_secs().max(1);
    let state: Vec<u64> = network
        .degrees()
        .zip(network.caches())
        .zip(network.descriptors())
        .map(|((links, cache), seen)| {
            links as u64 * connection + cache as u64 * address + remembered(seen) * guid
        })
        .collect();
    let nodes = script.content.plan().nodes;
    let mut upkeep = Upkeep::new(network.upkeep(), network.busiest(), (nodes, quiet), &state);
    let steady = ask(&mut network, script);
    // With one query an hour from everybody, a servent sees as many as a query reaches.
    let queries = steady.of(Group::Mixed).reach() * MEMORY.as_secs_f64() / 3_600.0;
    upkeep.state += queries * guid as f64;
    upkeep.state_most += queries * guid as f64;
    let mut best: Vec<(usize, u32)> = network.degrees().zip(0..).collect();
    best.sort_unstable_by(|a, b| b.cmp(a));
    let best: Vec<u32> = best.into_iter().map(|(_, place)| place).collect();
    Outcome {
        unharmed: suffer(&network, script, &[]),
        one: suffer(&network, script, &best[..1]),
        random: suffer(&network, script, &script.unlucky[..lost]),
        best: suffer(&network, script, &best[..lost]),
        steady,
        upkeep,
        server_busy: None,
    }
}
