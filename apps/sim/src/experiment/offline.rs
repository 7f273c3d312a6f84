//! `offline-and-back`: many nodes lose their network for a night, all at once, and come back.

use alloc::collections::BTreeSet;
use core::time::Duration;

use kadlet_core::{Family, Id};

use super::figures::Figures;
use super::partition::AtOnce;
use super::setting::Setting;
use crate::host::NodeIndex;
use crate::network::Network;
use crate::report::NotAtRest;

/// Cables that are pulled and put back.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OfflineAndBack {
    /// The network; so many lookups of returners are made at each moment that is looked at.
    pub setting: Setting,
    /// Who goes, in percent.
    pub gone: usize,
    /// For how long.
    pub away: Duration,
}

/// After how many seconds it is looked at how the returners do.
const MOMENTS: [(&str, &str, u64); 4] = [
    ("found_10_s_after", "exact_10_s_after", 10),
    ("found_1_min_after", "exact_1_min_after", 60),
    ("found_5_min_after", "exact_5_min_after", 300),
    ("found_1_h_after", "exact_1_h_after", 3_600),
];

impl OfflineAndBack {
    /// A fifth of the nodes, for eight hours.
    #[must_use]
    pub const fn new(setting: Setting) -> Self {
        Self { setting, gone: 20, away: Duration::from_secs(8 * 3_600) }
    }

    /// Runs it.
    ///
    /// # Errors
    /// If something does not end.
    pub fn run(&self) -> Result<Figures, NotAtRest> {
        let mut net =
            self.setting.network(self.away + Duration::from_secs(MOMENTS[MOMENTS.len() - 1].2))?;
        let mut nodes = net.live().to_vec();
        net.rng().shuffle(&mut nodes);
        let (gone, stayed) = nodes.split_at(nodes.len() * self.gone / 100);
        let known: Vec<BTreeSet<Id>> = gone.iter().map(|node| contacts(&net, *node)).collect();
        gone.iter().for_each(|node| net.set_connected(*node, false));
        net.run_for(self.away);
        let mut figures = Figures::default();
        let (mut kept, mut of) = (0, 0);
        for (node, known) in gone.iter().zip(&known) {
            kept += contacts(&net, *node).intersection(known).count();
            of += known.len();
        }
        figures.share("contacts_kept", kept, of);
        let away: BTreeSet<Id> = gone.iter().map(|node| net.node(*node).id()).collect();
        let (mut dead, mut entries) = (0, 0);
        for node in stayed {
            let known = contacts(&net, *node);
            dead += known.intersection(&away).count();
            entries += known.len();
        }
        figures.share("dead_entries_of_others", dead, entries);
        gone.iter().for_each(|node| net.set_connected(*node, true));
        let back = net.now();
        let mut begun = Vec::new();
        for (found_name, exact_name, after) in MOMENTS {
            net.run_for((back + Duration::from_secs(after)).since(net.now()));
            let moment = AtOnce::begin(&mut net, gone, self.setting.lookups);
            begun.push(([found_name, exact_name], moment));
        }
        for (names, moment) in begun {
            moment.end(&mut net, names, &mut figures)?;
        }
        Ok(figures)
    }
}

fn contacts(net: &Network, node: NodeIndex) -> BTreeSet<Id> {
    net.node(node).table(Family::V4).iter().map(|entry| entry.contact.id).collect()
}
