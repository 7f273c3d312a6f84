//! `half-dead`: half of the contacts that answers name are dead, and a fifth of those in the asker's
//! own table: Mainline as it was found (Jimenez et al. 2011).
//!
//! Nodes die in two steps, and the askers join between them: an asker's table, in which everybody
//! had answered when it was made, has as many dead entries as nodes died in the second step, and the
//! tables of all others those of both. Lookups begin one after the other without waiting for the end
//! of those before, so that all of it happens within the minutes before nodes ping silent contacts of
//! themselves: other programs' nodes would not do so at all. What was really met is measured and said: the share of dead
//! entries in the askers' tables and among the contacts named.

use alloc::collections::BTreeSet;
use core::time::Duration;

use kadlet_core::{Event, Family, Id};

use super::figures::Figures;
use super::setting::Setting;
use crate::host::NodeIndex;
use crate::nat::Nat;
use crate::network::{Network, NodeOptions};
use crate::oracle::Policy;
use crate::quality::{Begun, Beside};
use crate::report::NotAtRest;

/// Dead contacts everywhere.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HalfDead {
    /// The network; its pace is that of all askers together.
    pub setting: Setting,
    /// Nodes that die, in percent.
    pub dead: usize,
    /// Dead entries that an asker's table may have, in percent.
    pub own: usize,
    /// Askers: each looks up `lookups / askers` times.
    pub askers: usize,
}

impl HalfDead {
    /// Half of the nodes dead, a fifth of the entries of 20 askers.
    #[must_use]
    pub const fn new(setting: Setting) -> Self {
        Self { setting, dead: 50, own: 20, askers: 20 }
    }

    /// Runs it.
    ///
    /// # Errors
    /// If something does not end.
    pub fn run(&self) -> Result<Figures, NotAtRest> {
        let mut net = self.setting.network(self.setting.looking_up())?;
        // Of those that survive the first step so many die in the second that both make `dead`.
        let first = 100 - (100 - self.dead) * 100 / (100 - self.own).max(1);
        kill(&mut net, first, &[]);
        let mut askers = Vec::new();
        let mut joins = Vec::new();
        for _ in 0..self.askers {
            let through = [(); 3].map(|()| random_open(&mut net));
            let asker = net.add_node(NodeOptions::new(self.setting.config.clone()));
            joins.push(net.join(asker, &through));
            askers.push(asker);
        }
        net.wait_all(joins)?;
        // The refreshes that end a join.
        net.run_for(Duration::from_secs(60));
        kill(&mut net, self.own, &askers);
        let mut figures = Figures::default();
        let (dead, entries) = askers
            .iter()
            .map(|asker| dead_entries(&net, *asker))
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        figures.share("dead_own", dead, entries);
        let policies: Vec<Policy> = self.setting.policies.iter().map(|(_, it)| *it).collect();
        let beside = Beside { policies: &policies, settled: Duration::ZERO };
        let mut under_way = Vec::new();
        let (mut samples, mut named, mut named_dead) = (Vec::new(), 0, 0);
        let mut begun = 0;
        // Each is held against who is there at the next beginning after its end: gates open and close.
        while begun < self.setting.lookups || !under_way.is_empty() {
            if begun < self.setting.lookups {
                let (asker, target) = (askers[begun % askers.len()], net.random_id());
                let reached = reached(&net, asker);
                under_way.push((reached, Begun::new(&mut net, asker, target, &beside)));
                begun += 1;
            }
            let then = net.now();
            net.run_for(self.setting.pace);
            // Without a pace, or when the run was stopped, no time passes between them.
            let stands = net.now() == then;
            let (over, still) =
                under_way.into_iter().partition(|(_, it)| stands || it.is_due(&net));
            under_way = still;
            let over: Vec<(BTreeSet<Id>, Begun)> = over;
            for (reached, lookup) in over {
                let (sample, report) = lookup.end(&mut net)?;
                for (_, event) in report.events() {
                    if let Event::Answered { named: contacts, .. } = event {
                        named += contacts.len();
                        let dead = contacts.iter().filter(|it| !reached.contains(&it.id));
                        named_dead += dead.count();
                    }
                }
                samples.push(sample);
            }
        }
        figures.share("dead_named", named_dead, named);
        let names: Vec<_> = self.setting.policies.iter().map(|(name, _)| *name).collect();
        figures.lookups(&samples, net.live().len(), &names);
        Ok(figures)
    }
}

/// A random node that has nothing before it.
fn random_open(net: &mut Network) -> NodeIndex {
    for _ in 0..1_000 {
        let node = net.random_live();
        if net.nat(node) == Nat::Open {
            return node;
        }
    }
    net.random_live()
}

/// The ids of those who live and whom the asker can reach now: gates close after a while.
fn reached(net: &Network, asker: NodeIndex) -> BTreeSet<Id> {
    let live = net.live().iter().filter(|node| net.reaches(asker, **node));
    live.map(|node| net.node(*node).id()).collect()
}

/// Kills so many in a hundred of all but these.
fn kill(net: &mut Network, percent: usize, except: &[NodeIndex]) {
    let mut nodes: Vec<NodeIndex> =
        net.live().iter().copied().filter(|node| !except.contains(node)).collect();
    net.rng().shuffle(&mut nodes);
    let victims = nodes.len() * percent / 100;
    nodes.into_iter().take(victims).for_each(|victim| net.kill(victim));
}

/// Of a node's entries those of nodes that have left, or that it cannot reach.
fn dead_entries(net: &Network, node: NodeIndex) -> (usize, usize) {
    let table = net.node(node).table(Family::V4);
    let lives = |address| net.at(address).is_some_and(|other| net.reaches(node, other));
    (table.iter().filter(|it| !lives(it.contact.addr())).count(), table.len())
}
