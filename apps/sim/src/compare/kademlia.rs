//! Kademlia under the script: real nodes with real datagrams.
//!
//! Who shares a file announces it under its key and publishes its name under each of its words. By
//! key is one lookup; by words is a search, and then a lookup of the providers of the file meant as
//! soon as its name is among the hits: the time of the first result is that of both.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::time::Duration;

use kadlet_core::record::{SearchEntry, SearchQuery};
use kadlet_core::{Announcement, Config, Event, Family, Instant, Path};

use super::figures::{Answers, Upkeep};
use super::script::{Asked, Group, Publication, Script};
use crate::classics::{Answer, Cost, UDP_HEADERS};
use crate::content::By;
use crate::host::{NodeIndex, Traffic};
use crate::network::{Network, NodeOptions, SimConfig};
use crate::report::{NotAtRest, Operation, Report};

/// What is scheduled for the same tenth of a second is done together.
const TICK: Duration = Duration::from_millis(100);
/// How long after the last query was asked answers are waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(70);

#[derive(Clone)]
pub(super) struct Kademlia {
    net: Network,
    options: NodeOptions,
    script: Arc<Script>,
    /// When the network had grown.
    zero: Instant,
    /// Who is at each place.
    machines: Vec<NodeIndex>,
    /// The next change and publication.
    changes: usize,
    publications: usize,
    /// What the machine at each place had sent and received when the count began.
    base: Vec<Cost>,
    /// Most bytes since then of a machine that left.
    busiest: u64,
    /// What machines sent that left since the reset, and what all had sent before it.
    total: Cost,
    debt: Cost,
    asking: Vec<Asking>,
}

/// A query under way.
#[derive(Clone)]
struct Asking {
    group: Group,
    file: u32,
    operation: Operation,
    answer: Answer,
    /// Time until the file's name was found, if that is what was asked for first.
    before: Option<Duration>,
    is_search: bool,
}

impl Kademlia {
    /// A network that has grown, and nothing else.
    pub(super) fn new(
        sim: SimConfig,
        config: &Config,
        script: Arc<Script>,
    ) -> Result<Self, NotAtRest> {
        let places = script.content.plan().nodes as usize;
        let mut net = Network::new(sim);
        let machines = net.grow(places, config)?;
        let zero = net.now();
        Ok(Self {
            options: NodeOptions::new(config.clone()),
            changes: 0,
            publications: 0,
            base: vec![Cost::default(); places],
            busiest: 0,
            total: Cost::default(),
            debt: Cost::default(),
            asking: Vec::new(),
            net,
            script,
            zero,
            machines,
        })
    }

    /// Lives through the script: publication, warm-up, the measured window and its queries, until
    /// the last answer is in.
    pub(super) fn live(&mut self, answers: &mut Answers) -> Upkeep {
        let script = Arc::clone(&self.script);
        let timeline = script.timeline;
        // Two misfortunes follow.
        self.net.expect(timeline.end() + 2 * timeline.aftermath + 3 * PATIENCE);
        self.advance(timeline.warm_up);
        self.reset();
        self.advance(timeline.first_query());
        let (total, busiest) = self.traffic();
        let (nodes, state) = (script.content.plan().nodes, self.state());
        let upkeep = Upkeep::new(total, busiest, (nodes, timeline.quiet()), &state);
        for asked in &script.steady {
            self.advance_answering(asked.at, answers);
            self.ask(asked);
        }
        let end = timeline.end();
        self.advance_answering(end, answers);
        self.settle(end, answers);
        upkeep
    }

    /// These places lose their machines at once, and then queries are asked.
    pub(super) fn suffer(&mut self, lost: &[u32], answers: &mut Answers) {
        let (script, start) = (Arc::clone(&self.script), self.elapsed());
        for place in lost {
            self.net.kill(self.machines[*place as usize]);
        }
        for asked in &script.aftermath {
            self.advance_answering(start + asked.at, answers);
            let runs = |place: u32| self.runs(self.machines[place as usize]);
            if script.is_fair(&asked.query, runs) {
                self.ask(asked);
            }
        }
        self.settle(start + script.timeline.aftermath, answers);
    }

    /// The place of the node that is closest to the key of a file.
    pub(super) fn closest_to(&self, file: u32) -> Vec<u32> {
        let key = self.script.content.file(file).key();
        let distance = |(_, node): &(u32, NodeIndex)| self.net.node(*node).id().distance(key);
        let closest = self.places().min_by_key(distance);
        closest.into_iter().map(|(place, _)| place).collect()
    }

    /// Places, those first whose nodes are in most routing tables.
    pub(super) fn best_known(&self) -> Vec<u32> {
        let mut known: BTreeMap<NodeIndex, u32> = BTreeMap::new();
        for (_, node) in self.places() {
            for entry in self.net.node(node).table(Family::V4).iter() {
                if let Some(other) = self.net.at(entry.contact.path.remote) {
                    *known.entry(other).or_default() += 1;
                }
            }
        }
        let mut places: Vec<(u32, u32)> = self
            .places()
            .map(|(place, node)| (u32::MAX - known.get(&node).copied().unwrap_or(0), place))
            .collect();
        places.sort_unstable();
        places.into_iter().map(|(_, place)| place).collect()
    }

    /// The places whose nodes run.
    fn places(&self) -> impl Iterator<Item = (u32, NodeIndex)> {
        (0..).zip(self.machines.iter().copied()).filter(|(_, node)| self.runs(*node))
    }

    fn runs(&self, node: NodeIndex) -> bool {
        !self.net.has_left(node)
    }

    fn elapsed(&self) -> Duration {
        self.net.now().since(self.zero)
    }

    /// Lets time pass, with everything the script has for it but queries.
    fn advance(&mut self, to: Duration) {
        let script = Arc::clone(&self.script);
        loop {
            let change = script.changes.get(self.changes).map(|change| change.at);
            let publication = script.publications.get(self.publications).map(|it| it.at);
            let Some(at) = change.into_iter().chain(publication).min().filter(|at| *at <= to)
            else {
                return self.run_to(to);
            };
            // Rounded up: it all happens at the end of its tick.
            let ticks = at.as_micros().div_ceil(TICK.as_micros()) as u32;
            self.run_to((TICK * ticks).min(to));
            if change == Some(at) {
                self.replace(self.changes);
                self.changes += 1;
            } else {
                self.publish(&script.publications[self.publications]);
                self.publications += 1;
            }
        }
    }

    fn run_to(&mut self, to: Duration) {
        if let Some(time) = to.checked_sub(self.elapsed()).filter(|time| !time.is_zero()) {
            self.net.run_for(time);
        }
    }

    /// The same while queries are under way.
    fn advance_answering(&mut self, to: Duration, answers: &mut Answers) {
        while !self.asking.is_empty() && self.elapsed() < to {
            let next = (self.elapsed() + TICK).min(to);
            self.advance(next);
            self.take_answers(answers);
        }
        self.advance(to);
    }

    /// Until everybody has their answer.
    fn settle(&mut self, since: Duration, answers: &mut Answers) {
        self.advance_answering(since + PATIENCE, answers);
        for asking in core::mem::take(&mut self.asking) {
            answers.add(asking.group, &asking.answer);
        }
    }

    fn replace(&mut self, number: usize) {
        let script = Arc::clone(&self.script);
        let change = &script.changes[number];
        let place = change.place as usize;
        let old = self.machines[place];
        let spent = cost(self.net.traffic(old)).less(self.base[place]);
        self.busiest = self.busiest.max(spent.bytes);
        self.total.add(sent(self.net.traffic(old)));
        self.net.kill(old);
        let node = self.net.add_node(self.options.clone());
        debug_assert_eq!(node, change.newcomer);
        (self.machines[place], self.base[place]) = (node, Cost::default());
        let through =
            change.told.map(|other| self.net.address(self.machines[other as usize], Family::V4));
        let paths = through.map(Path::direct);
        self.net.with(node, |node, now| node.bootstrap(now, &paths));
    }

    fn publish(&mut self, publication: &Publication) {
        let Publication { machine, file, .. } = *publication;
        if !self.runs(machine) {
            return;
        }
        let file = self.script.content.file(file);
        // Fetched from the port of the datagrams, so that the address tells who it is.
        let port = self.net.address(machine, Family::V4).port();
        let (key, announcement) = (file.key(), Announcement::http(port));
        self.net.with(machine, |node, now| node.announce(now, key, announcement));
        if let Ok(entry) = SearchEntry::new(&file.name, file.size, file.content) {
            // A name has words, so this starts.
            let _ = self.net.with(machine, |node, now| node.publish(now, entry, true));
        }
    }

    fn ask(&mut self, asked: &Asked) {
        let Asked { group, query, .. } = asked;
        let node = self.machines[query.asker as usize];
        let answer = Answer { asked: self.net.now(), ..Answer::default() };
        let search = SearchQuery::parse(&self.script.content.text(&query.words));
        let key = self.script.content.file(query.file).key();
        let is_search = query.by == By::Words;
        let operation = match search {
            Ok(search) if is_search => self.net.command(node, |node, now| node.search(now, search)),
            _ => self.net.command(node, |node, now| node.providers(now, key)),
        };
        let (group, file) = (*group, query.file);
        self.asking.push(Asking { group, file, operation, answer, before: None, is_search });
    }

    fn take_answers(&mut self, answers: &mut Answers) {
        let (mut under_way, asking) = (Vec::new(), core::mem::take(&mut self.asking));
        for mut asking in asking {
            if !self.net.is_done(asking.operation) {
                under_way.push(asking);
                continue;
            }
            // It is done, so this gives its report at once; a machine that left has none.
            let Ok(report) = self.net.wait(asking.operation) else {
                answers.add(asking.group, &asking.answer);
                continue;
            };
            let totals = report.totals();
            let messages = u64::from(totals.datagrams) + u64::from(totals.answered);
            let bytes = totals.bytes_sent + totals.bytes_received + UDP_HEADERS * messages;
            asking.answer.cost.add(Cost { messages, bytes });
            asking.answer.reached += totals.answered;
            if asking.is_search {
                self.note_hits(&mut asking, &report);
                if asking.before.is_some() {
                    asking.is_search = false;
                    let key = self.script.content.file(asking.file).key();
                    let node = asking.operation.node;
                    asking.operation = self.net.command(node, |node, now| node.providers(now, key));
                    under_way.push(asking);
                    continue;
                }
            } else {
                self.note_providers(&mut asking, &report);
            }
            answers.add(asking.group, &asking.answer);
        }
        self.asking = under_way;
    }

    fn note_hits(&self, asking: &mut Asking, report: &Report) {
        let meant = &self.script.content.file(asking.file).content;
        let answer = &mut asking.answer;
        for (at, event) in report.events() {
            if let Event::Hit { entry, .. } = event {
                // It names no machine, so it is none of the results.
                answer.last = Some(*at);
                if entry.content() == meant {
                    asking.before.get_or_insert(at.since(answer.asked));
                }
            }
        }
    }

    fn note_providers(&self, asking: &mut Asking, report: &Report) {
        // The lookup of providers began when the name was seen, as far as time is counted.
        let Some((start, _)) = report.events().first() else { return };
        let answer = &mut asking.answer;
        let shown = answer.asked + asking.before.unwrap_or_default();
        for (at, event) in report.events() {
            if let Event::Provider { address, .. } = event {
                let at = shown + at.since(*start);
                let there = self.net.at(*address).filter(|node| self.runs(*node));
                let asker = asking.operation.node;
                answer.try_address(at, there.map(|node| self.net.round_trip(asker, node)));
                answer.last = answer.last.max(Some(at));
                answer.results += 1;
                answer.stale += u32::from(there.is_none());
            }
        }
    }

    /// Begins to count traffic anew.
    fn reset(&mut self) {
        (self.total, self.busiest) = (Cost::default(), 0);
        for (place, node) in self.machines.iter().enumerate() {
            let traffic = self.net.traffic(*node);
            self.base[place] = cost(traffic);
            // Taken off again when the machine's whole traffic is added.
            self.debt.add(sent(traffic));
        }
    }

    /// What all sent since then, and the bytes in and out of the machine that had most, whether it
    /// is still there or not.
    fn traffic(&self) -> (Cost, u64) {
        let (mut total, mut busiest) = (self.total, self.busiest);
        for (place, node) in self.machines.iter().enumerate() {
            let traffic = self.net.traffic(*node);
            total.add(sent(traffic));
            busiest = busiest.max(cost(traffic).less(self.base[place]).bytes);
        }
        (total.less(self.debt), busiest)
    }

    /// What each node remembers, in bytes: 48 for a contact, and records as they are.
    fn state(&self) -> Vec<u64> {
        let of = |node: NodeIndex| {
            let node = self.net.node(node);
            let store = node.store_stats();
            let records = u64::from(store.providers + store.entries);
            // Without the bookkeeping that it counts for each.
            48 * node.table(Family::V4).len() as u64 + store.bytes - 400 * records
        };
        self.places().map(|(_, node)| of(node)).collect()
    }
}

/// What a machine sent.
const fn sent(traffic: Traffic) -> Cost {
    let messages = traffic.datagrams_out;
    Cost { messages, bytes: traffic.bytes_out + messages * UDP_HEADERS }
}

/// What it sent and received.
const fn cost(traffic: Traffic) -> Cost {
    let messages = traffic.datagrams_out + traffic.datagrams_in;
    let bytes = traffic.bytes_out + traffic.bytes_in + messages * UDP_HEADERS;
    Cost { messages, bytes }
}

#[cfg(test)]
mod tests {
    use super::super::script::Timeline;
    use super::*;
    use crate::churn::Sessions;
    use crate::content::ContentPlan;
    use crate::distribution::Weibull;

    /// Where several follow each other, none of them bears what all did.
    #[test]
    fn the_busiest_is_one_machine() {
        let sessions = Sessions(Weibull { shape: 1.0, scale: 120.0 });
        let script = Script::new(ContentPlan::new(100), (1, sessions), Timeline::SHORT, 1);
        let (sim, config) = (SimConfig::with_seed(1), Config::default());
        let mut network = Kademlia::new(sim, &config, Arc::new(script)).expect("growth");
        network.advance(Timeline::SHORT.warm_up);
        network.reset();
        let came = 100 + network.changes as u32;
        network.advance(Timeline::SHORT.first_query());
        let bytes = |machine: u32| cost(network.net.traffic(NodeIndex(machine))).bytes;
        let mut places = vec![0; 100];
        for change in &network.script.changes[..network.changes] {
            if change.newcomer.0 >= came {
                places[change.place as usize] += bytes(change.newcomer.0);
            }
        }
        let (_, busiest) = network.traffic();
        // Those that came since have all of theirs in it, and those before at most that.
        let least = (came..100 + network.changes as u32).map(bytes).max();
        let most = (0..100 + network.changes as u32).map(bytes).max();
        assert!(least <= Some(busiest) && Some(busiest) <= most);
        assert!(places.into_iter().max() > Some(busiest), "a place bears more");
    }
}
