//! The three systems side by side: Kademlia, Napster and Gnutella with the same machines, links,
//! comings and goings, files and queries, at several sizes.
//!
//! Kademlia is real nodes with real datagrams; the other two are [`crate::classics`]. Each lives
//! through the same script: an hour of coming and going, an hour that is measured, ten minutes of
//! queries, and then misfortunes.

mod classics;
mod figures;
mod kademlia;
mod report;
mod rows;
mod script;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kadlet_core::Config;

use crate::churn::Sessions;
use crate::classics::gnutella::GnutellaConfig;
use crate::classics::napster::Capacity;
use crate::content::ContentPlan;
use crate::link::LinkModel;
use crate::network::SimConfig;
use crate::report::NotAtRest;
use crate::watch::Watch;
pub use figures::{Answers, Tally, Upkeep};
use kademlia::Kademlia;
use script::Script;
pub use script::{Group, Timeline};

/// What is compared, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Comparison {
    /// All randomness follows from it.
    pub seed: u64,
    /// How many nodes, each at least 100.
    pub sizes: Vec<u32>,
    /// Queries in each group; after a misfortune those are left out that nobody can ask or answer.
    pub queries: usize,
    /// How long machines stay.
    pub sessions: Sessions,
    /// The network between them.
    pub link: LinkModel,
    /// How long it all takes.
    pub timeline: Timeline,
    /// The share of machines lost when many go at once.
    pub lost: f64,
    /// The settings of the Kademlia nodes.
    pub kademlia: Config,
    /// How servents behave.
    pub gnutella: GnutellaConfig,
    /// What the index server can do.
    pub napster: Capacity,
}

impl Comparison {
    /// Everything as measured on the internet, at seven sizes.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            sizes: vec![100, 300, 1_000, 3_000, 10_000, 30_000, 100_000],
            queries: 200,
            sessions: Sessions::MEASURED,
            link: LinkModel::default(),
            timeline: Timeline::FULL,
            lost: 0.3,
            kademlia: Config::default(),
            gnutella: GnutellaConfig::default(),
            napster: Capacity::default(),
        }
    }
}

/// One of the three.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum System {
    /// One index.
    Napster,
    /// Everybody asks everybody.
    Gnutella,
    /// The distributed hash table.
    Kademlia,
}

impl System {
    /// In the order of history.
    pub const ALL: [Self; 3] = [Self::Napster, Self::Gnutella, Self::Kademlia];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Napster => "Napster",
            Self::Gnutella => "Gnutella",
            Self::Kademlia => "Kademlia",
        }
    }
}

/// What was measured of one system at one size.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// Which.
    pub system: System,
    /// Of how many nodes.
    pub nodes: u32,
    /// While all was well.
    pub steady: Answers,
    /// What it costs to be there.
    pub upkeep: Upkeep,
    /// The questions asked after misfortunes, without one.
    pub unharmed: Answers,
    /// After one machine of the attacker's choice had gone: the server, the servent with most
    /// connections, the node closest to the key of the most popular file.
    pub one: Answers,
    /// After machines drawn at random had gone.
    pub random: Answers,
    /// After as many had gone, those that most others know first; of Napster only the server.
    pub best: Answers,
    /// The share of its time in which the one server works.
    pub server_busy: Option<f64>,
}

/// What is heard of a comparison while it runs. Its parts are numbered as in
/// [`Comparison::shares`].
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// This part begins, and can be followed. To stop it is of no use.
    Begins {
        /// Its number.
        part: usize,
        /// Its name.
        what: &'a str,
        /// Where it is.
        watch: &'a Watch,
    },
    /// A part has come through its ordinary hours, and its misfortunes begin: of the largest networks
    /// both take hours, and what was measured is not to be lost.
    Halfway {
        /// All that are complete, and this part with nothing of its misfortunes.
        rows: &'a [Row],
    },
    /// A part has ended.
    Ended {
        /// Its number.
        part: usize,
        /// Its name.
        what: &'a str,
        /// All that are complete.
        rows: &'a [Row],
    },
}

/// A part of the work that can be done apart from the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Job {
    nodes: u32,
    system: System,
}

impl Comparison {
    /// Runs it all with so many threads, parts beside each other; the results do not depend on how
    /// many. Of Kademlia the largest network, at whose end there is nothing else left to do, is
    /// shared among them while that is quicker. `told` hears of every part that begins or ends, from
    /// whichever thread runs it. Rows come by size, and in the order of [`System::ALL`].
    ///
    /// # Errors
    /// If a network does not grow.
    ///
    /// # Panics
    /// If a size is below 100.
    pub fn run(
        &self,
        threads: usize,
        told: &(dyn Fn(&Progress<'_>) + Sync),
    ) -> Result<Vec<Row>, NotAtRest> {
        let jobs = self.jobs();
        let next = AtomicUsize::new(0);
        let results: Mutex<Vec<Row>> = Mutex::default();
        let failed: Mutex<Option<NotAtRest>> = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..threads.clamp(1, jobs.len().max(1)) {
                scope.spawn(|| {
                    while let number = next.fetch_add(1, Ordering::Relaxed)
                        && let Some(job) = jobs.get(number)
                        && locked(&failed).is_none()
                    {
                        let (part, what, watch) = (number, job.to_string(), Watch::default());
                        told(&Progress::Begins { part, what: &what, watch: &watch });
                        let halfway = |row| {
                            let mut rows = locked(&results);
                            put(&mut rows, row);
                            told(&Progress::Halfway { rows: &rows });
                        };
                        match self.part(*job, threads, &watch, &halfway) {
                            Ok(row) => {
                                let mut rows = locked(&results);
                                put(&mut rows, row);
                                told(&Progress::Ended { part, what: &what, rows: &rows });
                            }
                            Err(why) => *locked(&failed) = Some(why),
                        }
                    }
                });
            }
        });
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(why) => Err(why),
            None => Ok(results.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// What part of all the work each part is, about; together 1.
    #[must_use]
    pub fn shares(&self) -> Vec<f64> {
        // As measured from 600 to 10,000 nodes, where the classics take a hundredth of the time.
        let work = |Job { nodes, system }: &Job| {
            let (nodes, digits) = (f64::from(*nodes), libm::log2(f64::from(*nodes)));
            let part = match system {
                System::Kademlia => 1.0,
                System::Gnutella | System::Napster => 0.01,
            };
            part * nodes * digits * digits
        };
        let works: Vec<f64> = self.jobs().iter().map(work).collect();
        let all: f64 = works.iter().sum();
        works.into_iter().map(|work| work / all).collect()
    }

    /// The smallest first: something is to be seen soon.
    fn jobs(&self) -> Vec<Job> {
        let mut sizes = self.sizes.clone();
        sizes.sort_unstable();
        sizes.dedup();
        let systems = [System::Kademlia, System::Gnutella, System::Napster];
        let of = |nodes| systems.map(|system| Job { nodes, system });
        sizes.into_iter().flat_map(of).collect()
    }

    fn part(
        &self,
        Job { nodes, system }: Job,
        threads: usize,
        watch: &Watch,
        halfway: &dyn Fn(Row),
    ) -> Result<Row, NotAtRest> {
        assert!(nodes >= 100, "fewer than 100 nodes have no popular files");
        let plan = ContentPlan::new(nodes);
        let what_happens = (self.seed, self.sessions);
        let script = Arc::new(Script::new(plan, what_happens, self.timeline, self.queries));
        // At most the number of nodes.
        let lost = (f64::from(nodes) * self.lost) as usize;
        let ground = (self.seed, &self.link);
        let outcome = match system {
            System::Kademlia => return self.kademlia(&script, lost, (threads, watch), halfway),
            System::Napster => classics::napster(&script, self.napster, ground, lost),
            System::Gnutella => classics::gnutella(&script, &self.gnutella, ground, lost),
        };
        let classics::Outcome { steady, upkeep, unharmed, one, random, best, server_busy } =
            outcome;
        Ok(Row { system, nodes, steady, upkeep, unharmed, one, random, best, server_busy })
    }

    fn kademlia(
        &self,
        script: &Arc<Script>,
        lost: usize,
        (threads, watch): (usize, &Watch),
        halfway: &dyn Fn(Row),
    ) -> Result<Row, NotAtRest> {
        let nodes = script.content.plan().nodes;
        let mut sim = SimConfig::with_seed(self.seed);
        sim.threads = if self.sizes.iter().max() == Some(&nodes) { threads.max(1) } else { 1 };
        sim.link = self.link.clone();
        sim.watch = Some(watch.clone());
        let mut network = Kademlia::new(sim, &self.kademlia, Arc::clone(script))?;
        let mut row = Row {
            system: System::Kademlia,
            nodes,
            steady: Answers::default(),
            upkeep: Upkeep::default(),
            unharmed: Answers::default(),
            one: Answers::default(),
            random: Answers::default(),
            best: Answers::default(),
            server_busy: None,
        };
        row.upkeep = network.live(&mut row.steady);
        halfway(row.clone());
        // In copies, each of which is gone when the next begins: the next needs the network unharmed.
        let mut copy = network.clone();
        copy.suffer(&[], &mut row.unharmed);
        drop(copy);
        let mut copy = network.clone();
        copy.suffer(&copy.best_known()[..lost], &mut row.best);
        drop(copy);
        network.suffer(&network.closest_to(0), &mut row.one);
        // The one that is gone already is one of very many.
        network.suffer(&script.unlucky[..lost], &mut row.random);
        Ok(row)
    }
}

/// In its place, and in that of what there was of it.
fn put(rows: &mut Vec<Row>, row: Row) {
    let key = |row: &Row| (row.nodes, row.system);
    match rows.binary_search_by_key(&key(&row), key) {
        Ok(at) => rows[at] = row,
        Err(at) => rows.insert(at, row),
    }
}

/// Nobody panics while they hold a lock that would leave things half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl core::fmt::Display for Job {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} with {} nodes", self.system.name(), self.nodes)
    }
}
