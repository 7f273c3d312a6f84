//! `nat`: nodes behind NATs and firewalls in the shares that were measured, pairs that are apart,
//! 1.5 % loss, public addresses: who acts as a server, and how those behind each class are served.

use core::time::Duration;

use kadlet_core::Event;

use super::figures::Figures;
use super::partition::{fetch, store};
use super::setting::{Setting, seasoned, upkeep};
use crate::nat::Nat;
use crate::network::Network;
use crate::quality::{Begun, Beside, Sample, ms, quantile, sorted};
use crate::report::NotAtRest;

/// The internet as it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Nats {
    /// The network and the lookups.
    pub setting: Setting,
    /// Values written by anybody and read by anybody else.
    pub values: usize,
}

/// Names of shares and medians by class, in the order of [`Nat::ALL`].
const CLASSES: [[&str; 3]; 6] = [
    ["servers_open", "exact_open", "complete_p50_open"],
    ["servers_full_cone", "exact_full_cone", "complete_p50_full_cone"],
    ["servers_address_restricted", "exact_address_restricted", "complete_p50_address_restricted"],
    ["servers_port_restricted", "exact_port_restricted", "complete_p50_port_restricted"],
    ["servers_symmetric", "exact_symmetric", "complete_p50_symmetric"],
    ["servers_firewalled", "exact_firewalled", "complete_p50_firewalled"],
];

impl Nats {
    /// The setting in the world that was measured.
    #[must_use]
    pub const fn new(mut setting: Setting) -> Self {
        setting.behind_gates();
        setting.sim.link.loss = 15_000;
        Self { setting, values: 50 }
    }

    /// Runs it.
    ///
    /// # Errors
    /// If something does not end.
    pub fn run(&self) -> Result<Figures, NotAtRest> {
        let quiet = Duration::from_secs(1_800);
        let mut net = self.setting.network(quiet + self.setting.looking_up())?;
        let mut figures = Figures::default();
        upkeep(&mut net, quiet, &mut figures);
        let policies: Vec<_> = self.setting.policies.iter().map(|(_, it)| *it).collect();
        let beside = Beside { policies: &policies, ..Beside::default() };
        let (mut samples, mut asked, mut silent) = (Vec::new(), 0, 0);
        for _ in 0..self.setting.lookups {
            let next = net.now() + self.setting.pace;
            let (asker, target) = (seasoned(&mut net), net.random_id());
            let (sample, report) = Begun::new(&mut net, asker, target, &beside).end(&mut net)?;
            for (_, event) in report.events() {
                asked += usize::from(matches!(event, Event::Asked { .. }));
                silent += usize::from(matches!(event, Event::Failed { .. }));
            }
            samples.push((net.nat(asker), sample));
            net.run_for(next.since(net.now()));
        }
        figures.share("silent", silent, asked);
        by_class(&net, &samples, &mut figures);
        let samples: Vec<Sample> = samples.into_iter().map(|(_, sample)| sample).collect();
        let names: Vec<_> = self.setting.policies.iter().map(|(name, _)| *name).collect();
        figures.lookups(&samples, self.setting.nodes, &names);
        let mut read = 0;
        for number in 0..self.values {
            let (writer, reader) = (net.random_live(), net.random_live());
            let key = store(&mut net, writer, number)?;
            read += usize::from(fetch(&mut net, reader, key)?);
        }
        figures.share("values_read", read, self.values);
        Ok(figures)
    }
}

fn by_class(net: &Network, samples: &[(Nat, Sample)], figures: &mut Figures) {
    for (class, [servers, exact, complete]) in Nat::ALL.into_iter().zip(CLASSES) {
        let nodes = net.live().iter().filter(|node| net.nat(**node) == class);
        let acting = nodes.clone().filter(|node| net.node(**node).health().server).count();
        figures.share(servers, acting, nodes.count());
        let of = samples.iter().filter(|(it, _)| *it == class).map(|(_, sample)| sample);
        let of = of.filter(|sample| sample.wanted > 0);
        let times = sorted(of.clone().map(|sample| ms(sample.complete)));
        figures.share(exact, of.filter(|sample| sample.exact).count(), times.len());
        figures.add(complete, "ms", quantile(&times, 500), Some(times.len() as u64));
    }
}
