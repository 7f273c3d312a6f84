//! What the experiments in a friendly world have in common: a network that grew and came to rest,
//! lookups at a steady pace, and what the nodes' tables are like.
//!
//! Warm-up: joining leaves refreshes under way for some seconds; under churn a table is as good as
//! it will be after one refresh of every bucket (an hour), and the share of newcomers in the network
//! is what it will be from the beginning, since the sessions of those who are there are drawn as
//! those of a network that ran for ever ([`crate::Weibull::draw_residual`]).

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use kadlet_core::{Config, Family, Id, Role};

use super::figures::Figures;
use super::publish::publish;
use super::versions::mixture;
use crate::address::AddressPlan;
use crate::churn::Sessions;
use crate::classics::UDP_HEADERS;
use crate::host::NodeIndex;
use crate::link::Pairs;
use crate::nat::{Nat, NatModel};
use crate::network::{Network, NodeOptions, SimConfig};
use crate::oracle::Policy;
use crate::quality::{self, Beside, Sample};
use crate::report::NotAtRest;

/// Lookups in a network that is left alone, or in which nodes come and go.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Setting {
    /// The network and the seed.
    pub sim: SimConfig,
    /// The settings of all nodes.
    pub config: Config,
    /// How many there are.
    pub nodes: usize,
    /// How many of a hundred are of a later version ([`versions`](super::versions)); not where they
    /// grow behind gates.
    pub later_percent: usize,
    /// How long they stay; none: for ever.
    pub sessions: Option<Sessions>,
    /// From the last join to the first lookup.
    pub warm_up: Duration,
    /// Lookups from random nodes for random targets.
    pub lookups: usize,
    /// Values that random nodes store after that.
    pub puts: usize,
    /// From the start of one lookup, or store, to that of the next.
    pub pace: Duration,
    /// Policies of others, run beside each lookup, and the names of their medians.
    pub policies: Vec<(&'static str, Policy)>,
}

/// Who came less than this ago need not be found: a join takes some seconds, and until it is over
/// nobody can know the newcomer.
pub(super) const SETTLED: Duration = Duration::from_secs(15);

/// Open nodes that everybody joins through, where there are gates.
const ROUTERS: usize = 5;

/// The policies of others.
pub const CLASSICAL: [(&str, Policy); 4] = [
    ("serial_p50", Policy::SERIAL),
    ("two_timeouts_p50", Policy::TWO_TIMEOUTS),
    ("fixed_p50", Policy::FIXED),
    ("rounds_p50", Policy::ROUNDS),
];

impl Setting {
    /// Nodes with these settings in the network of [`SimConfig::with_seed`]; a minute to come to
    /// rest, then a lookup every 5 s.
    #[must_use]
    pub fn new(seed: u64, nodes: usize, config: Config) -> Self {
        Self {
            sim: SimConfig::with_seed(seed),
            config,
            nodes,
            later_percent: 0,
            sessions: None,
            warm_up: Duration::from_secs(60),
            lookups: 100,
            puts: 0,
            pace: Duration::from_secs(5),
            policies: CLASSICAL.to_vec(),
        }
    }

    /// Public addresses behind NATs and firewalls in the shares that were measured, and pairs that
    /// are apart.
    pub const fn behind_gates(&mut self) {
        self.sim.addresses = AddressPlan::Public;
        self.sim.nat = NatModel::MEASURED;
        self.sim.link.pairs = Pairs::MEASURED;
    }

    /// The network, grown and warm. What is done with it will take about so much virtual time
    /// `more`, for whoever follows the run.
    ///
    /// # Errors
    /// If a node does not end its joining.
    pub fn network(&self, more: Duration) -> Result<Network, NotAtRest> {
        let mut net = Network::new(self.sim.clone());
        let routers = if self.sim.nat == NatModel::NONE {
            self.grow(&mut net)?;
            Vec::new()
        } else {
            self.grow_behind_gates(&mut net)?
        };
        self.start_churn(&mut net, &routers);
        net.expect(self.warm_up + more);
        net.run_for(self.warm_up);
        Ok(net)
    }

    /// The nodes join.
    pub(super) fn grow(&self, net: &mut Network) -> Result<Vec<NodeIndex>, NotAtRest> {
        net.grow_each(self.kinds().into_iter().cycle().take(self.nodes))
    }

    /// From now on all but these come and go, if nodes do.
    pub(super) fn start_churn(&self, net: &mut Network, stay: &[NodeIndex]) {
        if let Some(sessions) = self.sessions {
            net.start_churn_of(sessions, self.kinds(), stay);
        }
    }

    /// What the nodes are in turn.
    pub(super) fn kinds(&self) -> Vec<NodeOptions> {
        mixture(&self.config, self.later_percent)
    }

    /// From a few open nodes that were told to be servers, which it gives: everybody joins through
    /// those, and finds out by itself what it is.
    fn grow_behind_gates(&self, net: &mut Network) -> Result<Vec<NodeIndex>, NotAtRest> {
        let (mut routers, mut joins) = (Vec::new(), Vec::new());
        while net.live().len() < self.nodes {
            let mut options = NodeOptions::new(self.config.clone());
            let next = NodeIndex(u32::try_from(net.live().len()).unwrap_or(u32::MAX));
            let is_router = routers.len() < ROUTERS && net.nat(next) == Nat::Open;
            if is_router {
                options.config.role = Role::Server;
            }
            let node = net.add_node(options);
            if !routers.is_empty() {
                joins.push(net.join(node, &routers));
            }
            if is_router {
                routers.push(node);
            }
            net.run_for(Duration::from_millis(200));
        }
        net.wait_all(joins)?;
        Ok(routers)
    }

    /// How long lookups at the setting's pace go on.
    #[must_use]
    pub fn looking_up(&self) -> Duration {
        self.pace.saturating_mul(u32::try_from(self.lookups).unwrap_or(u32::MAX))
    }

    /// Lookups at the setting's pace, each held against brute force and the oracle.
    ///
    /// # Errors
    /// If one does not end.
    pub fn look_up(&self, net: &mut Network) -> Result<Vec<Sample>, NotAtRest> {
        let mut samples = Vec::with_capacity(self.lookups);
        let policies: Vec<Policy> = self.policies.iter().map(|(_, policy)| *policy).collect();
        let beside = Beside { policies: &policies, settled: SETTLED };
        for _ in 0..self.lookups {
            let next = net.now() + self.pace;
            let (asker, target) = (seasoned(net), net.random_id());
            match quality::sample(net, asker, target, &beside) {
                Ok(sample) => samples.push(sample),
                // Whoever leaves in the midst of its lookup is not served badly.
                Err(_) if net.has_left(asker) => {}
                Err(error) => return Err(error),
            }
            net.run_for(next.since(net.now()));
        }
        Ok(samples)
    }

    /// Runs it: the network at rest, then lookups.
    ///
    /// # Errors
    /// If something does not end.
    pub fn run(&self) -> Result<Figures, NotAtRest> {
        let quiet = Duration::from_secs(1_800);
        let mut net = self.network(quiet + self.looking_up())?;
        let mut figures = Figures::default();
        upkeep(&mut net, quiet, &mut figures);
        let before = Tables::of(&net);
        let samples = self.look_up(&mut net)?;
        let names: Vec<_> = self.policies.iter().map(|(name, _)| *name).collect();
        figures.lookups(&samples, self.nodes, &names);
        Tables::of(&net).figures(&before, &net, &mut figures);
        if self.puts > 0 {
            publish(&mut net, self, self.puts, &mut figures)?;
        }
        Ok(figures)
    }
}

/// A node that has been there for a while, so that it has joined.
pub fn seasoned(net: &mut Network) -> NodeIndex {
    // Some are there: the network has been warmed up.
    for _ in 0..1_000 {
        let node = net.random_live();
        if !net.is_new(node, Duration::from_secs(60)) {
            return node;
        }
    }
    net.random_live()
}

/// What the nodes send while nobody looks anything up, in datagrams and bytes with their headers a
/// node and second: whoever leaves is replaced at once, and what both sent counts.
pub fn upkeep(net: &mut Network, time: Duration, figures: &mut Figures) {
    let before = net.traffic_of_all();
    net.run_for(time);
    let (now, nodes) = (net.traffic_of_all(), net.live().len());
    let datagrams = now.datagrams_out - before.datagrams_out;
    let bytes = now.bytes_out - before.bytes_out + UDP_HEADERS * datagrams;
    // Counts of a simulation are far below 2^53.
    let rate = |count: u64| count as f64 / nodes as f64 / time.as_secs_f64();
    let of = Some(nodes as u64);
    figures.add("upkeep_datagrams", "per node and second", rate(datagrams), of);
    figures.add("upkeep_bytes", "bytes per node and second", rate(bytes), of);
}

/// Who is in whose table.
#[derive(Clone, Debug)]
pub struct Tables(BTreeMap<NodeIndex, BTreeSet<Id>>);

/// Tables looked at: enough for a share to a percent.
const LOOKED_AT: usize = 200;

impl Tables {
    /// Those of the first nodes that live.
    #[must_use]
    pub fn of(net: &Network) -> Self {
        let mut nodes = net.live().to_vec();
        nodes.sort_unstable();
        nodes.truncate(LOOKED_AT);
        let table =
            |node| net.node(node).table(Family::V4).iter().map(|entry| entry.contact.id).collect();
        Self(nodes.into_iter().map(|node| (node, table(node))).collect())
    }

    /// How many of the entries are of nodes that have left.
    #[must_use]
    pub fn dead(&self, net: &Network) -> (usize, usize) {
        let live: BTreeSet<Id> = net.live().iter().map(|node| net.node(*node).id()).collect();
        let entries = self.0.values().flatten();
        (entries.clone().filter(|id| !live.contains(id)).count(), entries.count())
    }

    /// What became of tables since `before`, and how full their buckets are: of the places in
    /// buckets for whose range there are nodes enough. Contacts that have left fill none.
    pub fn figures(&self, before: &Self, net: &Network, figures: &mut Figures) {
        let (dead, entries) = self.dead(net);
        figures.mean(
            "contacts",
            "",
            &self.0.values().map(|it| it.len() as f64).collect::<Vec<_>>(),
        );
        figures.share("dead_entries", dead, entries);
        let live: BTreeSet<Id> = net.live().iter().map(|node| net.node(*node).id()).collect();
        let (mut lost, mut kept) = (0, 0);
        for (node, then) in &before.0 {
            let Some(now) = self.0.get(node) else { continue };
            for id in then.iter().filter(|id| live.contains(id)) {
                kept += usize::from(now.contains(id));
                lost += usize::from(!now.contains(id));
            }
        }
        figures.share("false_evictions", lost, lost + kept);
        let (mut filled, mut places) = (0, 0);
        for node in self.0.keys() {
            let (own, table) = (net.node(*node).id(), net.node(*node).table(Family::V4));
            for bucket in table.buckets() {
                // Nobody is a contact of its own.
                let others = live.iter().filter(|id| **id != own);
                let there = others.filter(|id| bucket.covers(**id)).count();
                places += there.min(table.config().k);
                let living = bucket.contacts().filter(|it| live.contains(&it.contact.id));
                filled += living.count().min(table.config().k);
            }
        }
        figures.share("bucket_fill", filled, places);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::Weibull;

    /// So few that everybody knows everybody.
    fn few() -> Setting {
        Setting { lookups: 1, policies: Vec::new(), ..Setting::new(1, 8, Config::default()) }
    }

    /// A datagram costs its headers too, and its sender may have come or left meanwhile.
    #[test]
    fn upkeep_is_all_that_crosses_the_wire() {
        let mut setting = few();
        setting.sessions = Some(Sessions(Weibull { shape: 0.5, scale: 600.0 }));
        let mut net = setting.network(Duration::ZERO).expect("it comes to rest");
        let (before, quiet) = (net.counters(), Duration::from_secs(600));
        let mut figures = Figures::default();
        upkeep(&mut net, quiet, &mut figures);
        let after = net.counters();
        assert!(after.replaced > before.replaced, "nobody left");
        let sent = (after.sent - before.sent) as f64 / 8.0 / 600.0;
        assert_eq!(figures.value("upkeep_datagrams"), Some(sent));
        // The smallest message has 24 bytes.
        assert!(figures.value("upkeep_bytes").is_some_and(|bytes| bytes > (24.0 + 28.0) * sent));
    }

    #[test]
    fn tables_with_all_others_are_full() {
        let figures = few().run().expect("it ends");
        assert_eq!(figures.value("contacts"), Some(7.0));
        assert_eq!(figures.value("bucket_fill"), Some(1.0));
    }
}
