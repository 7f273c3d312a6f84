//! From a scenario to its experiment.

use kadlet_core::{Config, Role};

use super::{Kind, Scenario};
use crate::address::AddressPlan;
use crate::churn::Sessions;
use crate::distribution::Weibull;
use crate::experiment::crowd::FlashCrowd;
use crate::experiment::figures::Figures;
use crate::experiment::flood::Flood;
use crate::experiment::half_dead::HalfDead;
use crate::experiment::nat::Nats;
use crate::experiment::offline::OfflineAndBack;
use crate::experiment::partition::Partition;
use crate::experiment::republish::{Republish, publishers};
use crate::experiment::setting::{CLASSICAL, Setting};
use crate::experiment::sybil::{Sybil, undefend};
use crate::experiment::versions::Versions;
use crate::hostile::{Addresses, Strategy};
use crate::link::{Bandwidth, Coordinates, Rtt};
use crate::report::NotAtRest;
use crate::watch::Watch;

impl Scenario {
    /// Runs it once. The same seed gives the same figures, for any number of threads.
    ///
    /// # Errors
    /// If a network does not come to rest, or if it was stopped.
    pub fn run(&self, seed: u64, threads: usize, watch: &Watch) -> Result<Figures, NotAtRest> {
        let setting = || self.setting(seed, threads, watch);
        match self.kind {
            Kind::Lookups => setting().run(),
            Kind::HalfDead => {
                let mut it = HalfDead::new(setting());
                (it.dead, it.own) = (self.percent("dead"), self.percent("own"));
                it.askers = self.size("askers");
                if self.has_gates() {
                    let apart = it.setting.sim.link.pairs;
                    it.setting.behind_gates();
                    it.setting.sim.link.pairs = apart;
                    if self.choice("wire") == "mainline" {
                        // There nobody asks who can reach it, and NATs do not keep nodes out of tables.
                        it.setting.config.role = Role::Server;
                    }
                }
                it.run()
            }
            Kind::Partition => {
                let mut it = Partition::new(setting());
                (it.part, it.lasts) = (self.percent("part"), self.time("lasts"));
                it.values = self.size("values");
                it.run()
            }
            Kind::FlashCrowd => {
                let mut it = FlashCrowd::new(setting());
                (it.newcomers, it.within) = (self.size("newcomers"), self.time("within"));
                it.run()
            }
            Kind::OfflineAndBack => {
                let mut it = OfflineAndBack::new(setting());
                (it.gone, it.away) = (self.percent("gone"), self.time("away"));
                it.run()
            }
            Kind::Nat => {
                let mut it = Nats::new(setting());
                // The shares of the file, not those the experiment has of its own.
                let link = &mut it.setting.sim.link;
                link.loss = self.share("loss");
                link.pairs.unreachable = self.share("apart");
                it.values = self.size("values");
                it.run()
            }
            Kind::Republish => {
                let mut it = Republish::new(setting(), self.size("values"));
                it.hours = u32::try_from(self.count("hours")).unwrap_or(u32::MAX);
                it.run()
            }
            Kind::MixedVersions => {
                let mut it = Versions::new(self.size("nodes"), self.percent("later"));
                (it.operations, it.config) = (self.size("operations"), self.config());
                it.run_watched(seed, watch).map(|harmony| harmony.figures())
            }
            Kind::Flood => {
                let small = |key| u32::try_from(self.count(key)).unwrap_or(u32::MAX);
                let mut it = Flood::new(self.size("nodes"), small("sources"), small("per_second"));
                it.seconds = small("seconds");
                it.config = self.config();
                it.config.role = Role::Server;
                it.run_watched(seed, watch).map(|burden| burden.figures())
            }
            Kind::SybilRandom | Kind::SybilTargeted => {
                Ok(self.sybil().run_watched(seed, watch)?.figures())
            }
        }
    }

    /// The settings of the nodes.
    #[must_use]
    pub fn config(&self) -> Config {
        let mut config = match self.choice("wire") {
            "mainline" => Config::mainline(),
            _ => Config::default(),
        };
        (config.table.k, config.lookup.k) = (self.size("k"), self.size("k"));
        config.lookup.alpha = self.size("alpha");
        config.table.b = u32::try_from(self.count("b")).unwrap_or(1);
        config.lookup.paths = self.size("paths");
        config.table.questionable_after = self.time("questionable_after");
        config.table.refresh_after = self.time("refresh_after");
        config
    }

    fn has_gates(&self) -> bool {
        self.kind == Kind::HalfDead && self.choice("nats") == "measured"
    }

    /// Which addresses the nodes have.
    #[must_use]
    pub fn addresses(&self) -> AddressPlan {
        match self.kind {
            Kind::Nat | Kind::SybilRandom | Kind::SybilTargeted | Kind::Flood => {
                AddressPlan::Public
            }
            _ if self.has_gates() => AddressPlan::Public,
            _ => AddressPlan::Private,
        }
    }

    /// The most nodes that are in memory at once.
    #[must_use]
    pub fn most_nodes(&self) -> usize {
        let more = match self.kind {
            Kind::FlashCrowd => self.size("newcomers"),
            Kind::HalfDead => self.size("askers"),
            Kind::Republish => publishers(self.size("values")),
            // Those next to one key leave before those next to the next one come.
            Kind::SybilTargeted => self.size("hostile"),
            _ => 0,
        };
        self.size("nodes") + more
    }

    /// Bytes that the values take which a run stores, at all who keep them; somewhat too much.
    pub(crate) fn bytes_of_values(&self) -> u64 {
        // 381 with the bookkeeping of each, where each has a source of its own, and what the allocator adds.
        const VALUE: u64 = 480;
        let key = match self.kind {
            Kind::Lookups => "puts",
            Kind::Partition | Kind::Nat | Kind::Republish => "values",
            Kind::SybilRandom | Kind::SybilTargeted => "keys",
            Kind::MixedVersions => "operations",
            Kind::HalfDead | Kind::FlashCrowd | Kind::OfflineAndBack | Kind::Flood => return 0,
        };
        // All within the region that k nodes are expected in, and who came nearer since.
        let copies = (self.count("k") * 3 / 2).min(self.count("nodes"));
        self.count(key).saturating_mul(copies).saturating_mul(VALUE)
    }

    fn setting(&self, seed: u64, threads: usize, watch: &Watch) -> Setting {
        let mut setting = Setting::new(seed, self.size("nodes"), self.config());
        setting.lookups = self.size("lookups");
        setting.puts = if self.kind == Kind::Lookups { self.size("puts") } else { 0 };
        (setting.pace, setting.warm_up) = (self.time("pace"), self.time("warm_up"));
        setting.policies = match self.choice("policies") {
            "classical" => CLASSICAL.to_vec(),
            _ => Vec::new(),
        };
        let scale = self.time("session_scale").as_secs_f64();
        let weibull = |shape| Some(Sessions(Weibull { shape, scale }));
        setting.sessions = match self.choice("sessions") {
            "weibull" => weibull(self.number("session_shape")),
            "exponential" => weibull(1.0),
            _ => None,
        };
        let link = &mut setting.sim.link;
        let median = self.time("round_trip");
        link.rtt = match self.choice("round_trips") {
            "plane" => Rtt::Coordinates(Coordinates { median }),
            "constant" => Rtt::Constant(median),
            _ => Rtt::LogNormal { median, sigma: self.number("round_trip_sigma") },
        };
        (link.jitter, link.detour) = (self.time("jitter"), self.time("detour"));
        (link.loss, link.duplication) = (self.share("loss"), self.share("duplication"));
        link.reordering = self.share("reordering");
        link.pairs.unreachable = self.share("apart");
        let rate = |key| self.rate(key).map(|rate| u32::try_from(rate).unwrap_or(u32::MAX));
        if let (up, down @ Some(_)) | (up @ Some(_), down) = (rate("line_up"), rate("line_down")) {
            link.bandwidth = Some(Bandwidth {
                up: up.unwrap_or(u32::MAX),
                down: down.unwrap_or(u32::MAX),
                queue: self.time("line_queue"),
                ..Bandwidth::HOUSEHOLD
            });
        }
        if matches!(self.kind, Kind::Lookups | Kind::Republish) {
            setting.later_percent = self.percent("later");
        }
        setting.sim.threads = threads;
        setting.sim.watch = Some(watch.clone());
        setting
    }

    fn sybil(&self) -> Sybil {
        let named = self.choice("strategy");
        let strategy = Strategy::ALL.into_iter().find(|it| it.name() == named);
        let strategy = strategy.unwrap_or(Strategy::ClosestLies);
        let nodes = self.size("nodes");
        let mut it = match self.kind {
            Kind::SybilRandom => {
                let mut it = Sybil::random(nodes, 0, strategy);
                // At most the number of nodes.
                it.hostile =
                    (nodes as u64 * u64::from(self.share("hostile_share")) / 1_000_000) as usize;
                it
            }
            _ => Sybil::targeted(nodes, self.size("hostile"), strategy),
        };
        it.config = self.config();
        it.config.role = Role::Server;
        if self.choice("defences") == "off" {
            undefend(&mut it.config);
        }
        it.addresses = match self.count("prefixes") {
            0 => Addresses::Spread,
            prefixes => Addresses::Prefixes(u32::try_from(prefixes).unwrap_or(u32::MAX)),
        };
        (it.askers, it.keys) = (self.size("askers"), self.size("keys"));
        it.readers = self.size("readers");
        it.stored_before = self.choice("stored") == "before";
        it
    }
}
