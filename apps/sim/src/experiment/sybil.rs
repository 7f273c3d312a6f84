//! Hostile nodes in the network: at random places (`sybil-random`) or crowded next to a key
//! (`sybil-targeted`).
//!
//! What is measured, for the honest nodes alone:
//! - *found*: of the values that one honest node stored, how many another one could read;
//! - *held*: how many of them lie with at least one honest node, so that they could be read at all;
//! - *eclipsed*: reads that ended without an answer by a single honest node among the contacts they
//!   ended with;
//! - *reached*: lookups of an honest node's id that found that node (what S/Kademlia counts);
//! - *closest*: of the k honest nodes closest to a key, how many a lookup of it ended with or went
//!   past.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::net::SocketAddr;
use core::time::Duration;

use kadlet_core::record::{Item, Value};
use kadlet_core::{
    Announcement, Config, Event, Family, GetQuery, Id, Outcome, PutOptions, Rng, Role,
};

use crate::address::AddressPlan;
use crate::host::NodeIndex;
use crate::hostile::{Addresses, Conspiracy, Strategy, VICTIM, ids_beside};
use crate::network::{Network, NodeOptions, SimConfig};
use crate::report::{NotAtRest, Report};
use crate::watch::Watch;

/// Where an attacker's nodes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Anywhere: so many of all nodes, with random ids.
    Random,
    /// So many for each key in question, with ids next to it.
    Beside,
}

/// One experiment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sybil {
    /// Nodes, those of an attacker with random ids included.
    pub nodes: usize,
    /// The attacker's: of all nodes, or for each key.
    pub hostile: usize,
    /// Where they are.
    pub place: Place,
    /// What they do.
    pub strategy: Strategy,
    /// Which addresses they have.
    pub addresses: Addresses,
    /// The settings of everybody; only those who store and read look up by more than one path (how
    /// many paths its asker has does not matter to who is asked, and joining is cheap by one).
    pub config: Config,
    /// Honest nodes that store and read, of all nodes.
    pub askers: usize,
    /// Values stored and read.
    pub keys: usize,
    /// Honest readers of each value.
    pub readers: usize,
    /// Whether values are stored before the attack begins: then only reading is attacked.
    pub stored_before: bool,
}

impl Sybil {
    /// A network of `nodes`, of which `percent` are hostile, with the default settings.
    #[must_use]
    pub fn random(nodes: usize, percent: usize, strategy: Strategy) -> Self {
        let config = public();
        Self {
            nodes,
            hostile: nodes * percent / 100,
            place: Place::Random,
            strategy,
            addresses: Addresses::Spread,
            config,
            askers: 10,
            keys: 20,
            readers: 1,
            stored_before: false,
        }
    }

    /// A network of `nodes` with `hostile` more next to each key.
    #[must_use]
    pub fn targeted(nodes: usize, hostile: usize, strategy: Strategy) -> Self {
        let config = public();
        Self { hostile, place: Place::Beside, config, ..Self::random(nodes, 0, strategy) }
    }

    /// Takes the defences away: one path, the k closest alone, as many of one owner of addresses as
    /// there are, and everybody believed whomever it names.
    #[must_use]
    pub fn undefended(mut self) -> Self {
        undefend(&mut self.config);
        self
    }

    /// With this many disjoint paths.
    #[must_use]
    pub fn paths(mut self, paths: usize) -> Self {
        self.config.lookup.paths = paths;
        self
    }

    /// Runs it.
    ///
    /// # Errors
    /// If something does not end.
    pub fn run(&self, seed: u64) -> Result<Harm, NotAtRest> {
        self.run_watched(seed, &Watch::default())
    }

    /// Runs it, followed by somebody.
    ///
    /// # Errors
    /// If something does not end, or it was stopped.
    pub fn run_watched(&self, seed: u64, watch: &Watch) -> Result<Harm, NotAtRest> {
        Trial::new(self, seed, watch)?.run()
    }
}

/// The default settings on a public network whose nodes know that they can be reached.
#[must_use]
pub fn public() -> Config {
    let mut config = Config::default();
    config.role = Role::Server;
    config
}

/// Takes from settings what stands against crowds and liars.
pub fn undefend(config: &mut Config) {
    config.region = false;
    config.lookup.paths = 1;
    config.lookup.per_prefix = 0;
    config.lookup.credit = 0;
    config.table.per_prefix_in_bucket = usize::MAX;
    config.table.per_prefix_in_table = usize::MAX;
}

/// How many of how many.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Share {
    /// How many.
    pub count: u64,
    /// Of how many.
    pub of: u64,
}

impl Share {
    /// One more case, in which it was so or not.
    pub const fn note(&mut self, so: bool) {
        self.add(so as u64, 1);
    }

    /// More cases.
    pub const fn add(&mut self, count: u64, of: u64) {
        self.count += count;
        self.of += of;
    }

    /// The share, 0 to 1; 0 of none.
    #[must_use]
    pub fn value(self) -> f64 {
        // Counts of a simulation are far below 2^53.
        if self.of == 0 { 0.0 } else { self.count as f64 / self.of as f64 }
    }
}

/// What an attack did.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Harm {
    /// Values read, of those stored.
    pub found: Share,
    /// Values that lie with at least one honest node, of those stored.
    pub held: Share,
    /// Reads that ended among hostile nodes alone, of all reads.
    pub eclipsed: Share,
    /// Honest nodes found by their id, of those looked up.
    pub reached: Share,
    /// Of the k honest nodes closest to keys those that answered a lookup of it.
    pub closest: Share,
    /// Reads of providers that found the one who has the content.
    pub provided: Share,
    /// Providers found that have nothing, of all providers found.
    pub false_providers: Share,
    /// Datagrams that reached the victim of [`Strategy::Poison`].
    pub at_victim: u64,
    /// Datagrams of all reads.
    pub datagrams: u64,
    /// Milliseconds of all reads.
    pub millis: u64,
    /// Milliseconds of all stores, and of all lookups of providers that nobody has: both go on until
    /// all of the closest have answered.
    pub whole_millis: u64,
    /// Of these, those that ran into their deadline.
    pub overdue: Share,
}

/// A key, and the honest nodes that keep its value.
type Stored = (Id, BTreeSet<SocketAddr>);

struct Trial<'a> {
    plan: &'a Sybil,
    net: Network,
    honest: Vec<NodeIndex>,
    /// The last of the honest.
    askers: Vec<NodeIndex>,
    conspiracy: Arc<Conspiracy>,
    /// Members so far, for their addresses.
    members: u32,
    harm: Harm,
}

/// Joining leaves refreshes under way, and hearsay that is looked into.
const SETTLE: Duration = Duration::from_secs(120);

impl<'a> Trial<'a> {
    fn new(plan: &'a Sybil, seed: u64, watch: &Watch) -> Result<Self, NotAtRest> {
        let mut config = SimConfig::with_seed(seed);
        config.addresses = AddressPlan::Public;
        config.watch = Some(watch.clone());
        let mut net = Network::new(config);
        let secret = net.rng().bytes();
        let conspiracy = Conspiracy::new(plan.strategy, &plan.config, plan.nodes as u64, secret);
        let hostile = if plan.place == Place::Random { plan.hostile } else { 0 };
        let mut common = plan.config.clone();
        common.lookup.paths = 1;
        let others = plan.nodes - plan.askers;
        // The hostile are spread evenly over the time of growing.
        let hostile_before = |number: usize| number * hostile / others;
        let is_hostile = |number: usize| hostile_before(number + 1) > hostile_before(number);
        let nodes = net.grow_each((0..others).map(|number| {
            if is_hostile(number) {
                // No more than there are nodes, whose indices have 32 bits.
                member(plan, &conspiracy, hostile_before(number) as u32, None)
            } else {
                NodeOptions::new(common.clone())
            }
        }))?;
        let askers = net.grow(plan.askers, &plan.config)?;
        let numbered = nodes.into_iter().enumerate();
        let mut honest: Vec<_> =
            numbered.filter(|(number, _)| !is_hostile(*number)).map(|(_, node)| node).collect();
        honest.extend(askers.iter().copied());
        net.run_for(SETTLE);
        let (members, harm) = (hostile as u32, Harm::default());
        Ok(Self { plan, net, honest, askers, conspiracy, members, harm })
    }

    fn run(mut self) -> Result<Harm, NotAtRest> {
        let victim = self.net.add_listener_at(VICTIM);
        match self.plan.place {
            Place::Random => self.run_random()?,
            Place::Beside => self.run_beside()?,
        }
        self.harm.at_victim = self.net.heard(victim).len() as u64;
        Ok(self.harm)
    }

    fn run_random(&mut self) -> Result<(), NotAtRest> {
        let mut keys = Vec::new();
        if self.plan.stored_before {
            for number in 0..self.plan.keys {
                keys.push(self.store(number)?);
            }
        }
        self.conspiracy.wake();
        let began = self.net.now();
        for number in 0..self.plan.keys {
            self.net.expect_as_since(began, number, self.plan.keys);
            let stored = match keys.get(number) {
                Some(stored) => Stored::clone(stored),
                None => self.store(number)?,
            };
            self.examine(&stored)?;
            self.reach()?;
            self.provide()?;
        }
        Ok(())
    }

    fn run_beside(&mut self) -> Result<(), NotAtRest> {
        self.conspiracy.wake();
        let began = self.net.now();
        for number in 0..self.plan.keys {
            self.net.expect_as_since(began, number, self.plan.keys);
            let key = value(number).key();
            let nodes = self.plan.nodes;
            let ids = ids_beside(key, self.plan.hostile, nodes, 4, self.net.rng());
            let before = match self.plan.stored_before {
                true => Some(self.store(number)?),
                false => None,
            };
            let mut members = Vec::new();
            for id in ids {
                let options = member(self.plan, &self.conspiracy, self.members, Some(id));
                self.members += 1;
                members.extend(self.net.grow_with(1, &options)?);
            }
            self.net.run_for(SETTLE);
            let stored = match before {
                Some(stored) => stored,
                None => self.store(number)?,
            };
            self.examine(&stored)?;
            for member in members {
                self.net.kill(member);
            }
        }
        Ok(())
    }

    /// Stores a value; gives its key and the honest nodes that keep it.
    fn store(&mut self, number: usize) -> Result<Stored, NotAtRest> {
        let writer = self.asker();
        let item = value(number);
        let key = item.key();
        let operation = self.net.command(writer, |node, now| {
            match node.put(now, item, PutOptions::default()) {
                Ok(operation) => operation,
                Err(error) => unreachable!("a small value is refused: {error:?}"),
            }
        });
        let report = self.net.wait(operation)?;
        self.note_whole(&report);
        let hostile: BTreeSet<_> = self.conspiracy.addresses().into_iter().collect();
        let holders = report.events().iter().filter_map(|(_, event)| match event {
            Event::Stored { peer, .. } => Some(peer.path.remote),
            _ => None,
        });
        Ok((key, holders.filter(|holder| !hostile.contains(holder)).collect()))
    }

    /// Reads a key that has been stored.
    fn examine(&mut self, (key, holders): &Stored) -> Result<(), NotAtRest> {
        let (k, key) = (self.plan.config.lookup.k, *key);
        self.harm.held.note(!holders.is_empty());
        let holds = |net: &Network, node| holders.contains(&net.address(node, Family::V4));
        // Who holds it need not ask.
        let all_hold = self.askers.iter().all(|asker| holds(&self.net, *asker));
        for _ in 0..self.plan.readers {
            let mut reader = self.asker();
            while !all_hold && holds(&self.net, reader) {
                reader = self.asker();
            }
            let operation = self.net.command(reader, |node, now| node.get(now, GetQuery::new(key)));
            let report = self.net.wait(operation)?;
            self.harm.found.note(report.outcome() == Outcome::Success);
            self.harm.datagrams += u64::from(report.totals().datagrams);
            self.harm.millis += report.totals().elapsed.as_millis() as u64;
            let operation = self.net.command(reader, |node, now| node.providers(now, key));
            let report = self.net.wait(operation)?;
            self.note_whole(&report);
            let answered = self.honest_ids(&report);
            let ended = report.closest_ids().iter().any(|id| answered.contains(id));
            self.harm.eclipsed.note(!ended);
            let truth = self.honest_closest(key, k, reader);
            let met = truth.iter().filter(|id| answered.contains(id)).count();
            self.harm.closest.add(met as u64, truth.len() as u64);
        }
        Ok(())
    }

    /// Looks an honest node up by its id.
    fn reach(&mut self) -> Result<(), NotAtRest> {
        let asker = self.asker();
        let sought = one_of(&self.honest, self.net.rng());
        if asker == sought {
            return Ok(());
        }
        let id = self.net.node(sought).id();
        let operation = self.net.command(asker, |node, now| node.find_node(now, id));
        let report = self.net.wait(operation)?;
        let address = self.net.address(sought, Family::V4);
        let reached = report.closest().iter().any(|it| it.id == id && it.addr() == address);
        self.harm.reached.note(reached);
        Ok(())
    }

    /// Announces a content and looks for who has it.
    fn provide(&mut self) -> Result<(), NotAtRest> {
        let (sharer, reader, key) = (self.asker(), self.asker(), self.net.random_id());
        if sharer == reader {
            return Ok(());
        }
        let mut announcement = Announcement::http(8_080);
        announcement.renew = false;
        let operation = self.net.command(sharer, |node, now| node.announce(now, key, announcement));
        self.net.wait(operation)?;
        let operation = self.net.command(reader, |node, now| node.providers(now, key));
        let report = self.net.wait(operation)?;
        let mut truth = self.net.address(sharer, Family::V4);
        truth.set_port(8_080);
        let all = report.providers().count() as u64;
        let right = report.providers().filter(|address| *address == truth).count() as u64;
        self.harm.provided.note(right > 0);
        self.harm.false_providers.add(all - right, all);
        Ok(())
    }

    /// Takes note of an operation that looks for all of the closest.
    fn note_whole(&mut self, report: &Report) {
        self.harm.whole_millis += report.totals().elapsed.as_millis() as u64;
        self.harm.overdue.note(report.outcome() == Outcome::DeadlineExceeded);
    }

    fn asker(&mut self) -> NodeIndex {
        one_of(&self.askers, self.net.rng())
    }

    /// The honest nodes that answered an operation.
    fn honest_ids(&self, report: &Report) -> BTreeSet<Id> {
        let hostile: BTreeSet<_> = self.conspiracy.addresses().into_iter().collect();
        let answers = report.events().iter().filter_map(|(_, event)| match event {
            Event::Answered { peer, .. } if !hostile.contains(&peer.path.remote) => peer.id,
            _ => None,
        });
        answers.collect()
    }

    fn honest_closest(&self, key: Id, k: usize, asker: NodeIndex) -> Vec<Id> {
        let others = self.honest.iter().filter(|node| **node != asker);
        let mut ids: Vec<Id> = others.map(|node| self.net.node(*node).id()).collect();
        ids.sort_unstable_by_key(|id| id.distance(key));
        ids.truncate(k);
        ids
    }
}

/// How an attacker's `number`-th machine joins.
fn member(plan: &Sybil, conspiracy: &Arc<Conspiracy>, number: u32, id: Option<Id>) -> NodeOptions {
    let mut options = NodeOptions::new(plan.config.clone());
    options.config.lookup.paths = 1;
    options.id = id;
    options.hostile = Some(conspiracy.clone());
    options.address = plan.addresses.of(number);
    options
}

fn one_of(nodes: &[NodeIndex], rng: &mut Rng) -> NodeIndex {
    // Below the length of a slice, so it fits usize.
    nodes[rng.below(nodes.len() as u64) as usize]
}

fn value(number: usize) -> Item {
    let bytes = format!("value number {number}").into_bytes();
    match Value::new(bytes) {
        Ok(value) => Item::Immutable(value),
        Err(error) => unreachable!("a short value is refused: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where more nodes hold a value than there are askers, those of them that do not read it.
    #[test]
    fn who_holds_a_value_does_not_read_it() {
        let mut plan = Sybil::random(30, 0, Strategy::Silent);
        (plan.askers, plan.readers) = (4, 50);
        let mut trial = Trial::new(&plan, 1, &Watch::default()).expect("it grows");
        let at =
            |trial: &Trial<'_>, place: usize| trial.net.address(trial.askers[place], Family::V4);
        // All but the first asker, and others.
        let others = trial.honest.iter().map(|node| trial.net.address(*node, Family::V4));
        let first = at(&trial, 0);
        let holders: BTreeSet<_> = others.filter(|address| *address != first).collect();
        let before: Vec<_> = trial.askers.iter().map(|it| trial.net.traffic(*it)).collect();
        let key = value(1).key();
        trial.examine(&(key, holders)).expect("it ends");
        let sent = |place: usize| {
            let now = trial.net.traffic(trial.askers[place]).datagrams_out;
            now - before[place].datagrams_out
        };
        assert!((1..4).all(|place| sent(0) > 10 * sent(place)), "others have asked too");
    }
}
