//! `flash-crowd`: within a minute a network grows to a multiple of its size, and every newcomer
//! wants the same value.

use core::time::Duration;

use kadlet_core::{GetQuery, Outcome};

use super::figures::Figures;
use super::partition::store;
use super::setting::Setting;
use crate::host::NodeIndex;
use crate::network::NodeOptions;
use crate::quality::{ms, quantile, sorted};
use crate::report::{NotAtRest, Operation};

/// A crowd that comes at once.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FlashCrowd {
    /// The network before it comes, and the lookups afterwards.
    pub setting: Setting,
    /// Newcomers.
    pub newcomers: usize,
    /// Within this time.
    pub within: Duration,
}

impl FlashCrowd {
    /// As many newcomers as there are nodes, within a minute.
    #[must_use]
    pub const fn new(setting: Setting) -> Self {
        let newcomers = setting.nodes;
        Self { setting, newcomers, within: Duration::from_secs(60) }
    }

    /// Runs it.
    ///
    /// # Errors
    /// If something does not end.
    pub fn run(&self) -> Result<Figures, NotAtRest> {
        let mut net = self.setting.network(self.within)?;
        let old = net.live().to_vec();
        let writer = net.random_live();
        let key = store(&mut net, writer, 0)?;
        let before: Vec<(NodeIndex, u64)> =
            old.iter().map(|node| (*node, net.traffic(*node).datagrams_in)).collect();
        let started = net.now();
        let (mut joining, mut reading) = (Vec::new(), Vec::new());
        let step = self.within / u32::try_from(self.newcomers.max(1)).unwrap_or(u32::MAX);
        let mut joins = Vec::new();
        let mut come = 0;
        while come < self.newcomers || !joining.is_empty() {
            if come < self.newcomers {
                let through: Vec<NodeIndex> =
                    (0..3).map(|_| super::partition::one_of(&mut net, &old)).collect();
                let node = net.add_node(NodeOptions::new(self.setting.config.clone()));
                joining.push(net.join(node, &through));
                come += 1;
            }
            net.run_for(step);
            let (done, still): (Vec<Operation>, Vec<Operation>) =
                joining.into_iter().partition(|join| net.is_done(*join));
            joining = still;
            for join in done {
                joins.push(net.wait(join)?);
                let query = GetQuery::new(key);
                reading.push(net.command(join.node, |node, now| node.get(now, query)));
            }
        }
        let reads = net.wait_all(reading)?;
        let took = net.now().since(started).as_secs_f64();
        let mut figures = Figures::default();
        let succeeded = |reports: &[crate::Report]| {
            reports.iter().filter(|report| report.outcome() == Outcome::Success).count()
        };
        let times = |reports: &[crate::Report]| {
            sorted(reports.iter().map(|report| ms(report.totals().elapsed)))
        };
        figures.share("joined", succeeded(&joins), joins.len());
        figures.share("read", succeeded(&reads), reads.len());
        let count = Some(joins.len() as u64);
        for (names, reports) in
            [(["join_p50", "join_p99"], &joins), (["read_p50", "read_p99"], &reads)]
        {
            let times = times(reports);
            figures.add(names[0], "ms", quantile(&times, 500), count);
            figures.add(names[1], "ms", quantile(&times, 990), count);
        }
        let loads = before
            .iter()
            .map(|(node, then)| (net.traffic(*node).datagrams_in - then) as f64 / took);
        let loads = sorted(loads);
        let count = Some(loads.len() as u64);
        figures.add("load_p50", "datagrams/s", quantile(&loads, 500), count);
        figures.add("load_busiest", "datagrams/s", quantile(&loads, 1_000), count);
        net.run_for(Duration::from_secs(60));
        let samples = self.setting.look_up(&mut net)?;
        figures.lookups(&samples, net.live().len(), &[]);
        Ok(figures)
    }
}
