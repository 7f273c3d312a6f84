//! Who comes and goes when, and who asks for what: written down before anybody runs, so that each
//! of the three systems lives through the same.
//!
//! Time begins when the network has grown. The initial users publish within [`Timeline::publish`],
//! newcomers a minute after they came. Upkeep is measured before the first query is asked. Then the misfortunes begin, and nobody comes or goes by itself any more.

use alloc::sync::Arc;
use core::time::Duration;

use kadlet_core::Instant;

use crate::churn::Sessions;
use crate::content::{self, By, Class, Content, ContentPlan, Query};
use crate::host::NodeIndex;

/// How long everything takes, in virtual time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeline {
    /// In which the initial users publish: 10 minutes.
    pub publish: Duration,
    /// From the beginning to that of the measurement: 1 hour, after which routing tables are
    /// refreshed as steadily as they ever are.
    pub warm_up: Duration,
    /// What is measured: 1 hour and 10 minutes.
    pub window: Duration,
    /// The last part of it, in which queries are asked: 10 minutes.
    pub asking: Duration,
    /// How long after a misfortune queries are asked: 2 minutes.
    pub aftermath: Duration,
}

impl Timeline {
    /// An hour of warm-up, an hour of measurement, ten minutes of queries.
    pub const FULL: Self = Self {
        publish: Duration::from_secs(600),
        warm_up: Duration::from_secs(3_600),
        window: Duration::from_secs(4_200),
        asking: Duration::from_secs(600),
        aftermath: Duration::from_secs(120),
    };

    /// For tests: minutes instead of hours.
    pub const SHORT: Self = Self {
        publish: Duration::from_secs(60),
        warm_up: Duration::from_secs(240),
        window: Duration::from_secs(480),
        asking: Duration::from_secs(120),
        aftermath: Duration::from_secs(60),
    };

    /// When the measurement ends.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.warm_up + self.window
    }

    /// When the first query is asked.
    #[must_use]
    pub fn first_query(&self) -> Duration {
        self.end() - self.asking
    }

    /// What is measured of upkeep: the window without the queries.
    #[must_use]
    pub fn quiet(&self) -> Duration {
        self.window - self.asking
    }
}

/// Queries that are looked at together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Group {
    /// Files that at most two nodes have, by key.
    RareKey,
    /// The same by words.
    RareWords,
    /// Files that one node in a hundred has, by key.
    PopularKey,
    /// The same by words.
    PopularWords,
    /// Any file, as often as it is popular, by key or by words in turn: as users ask.
    Mixed,
    /// After a misfortune, the same.
    Aftermath,
    /// After a misfortune, the most popular file by key.
    Victim,
}

impl Group {
    /// Those asked while all is well.
    pub const STEADY: [Self; 5] =
        [Self::RareKey, Self::RareWords, Self::PopularKey, Self::PopularWords, Self::Mixed];
}

/// A machine is replaced by another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Change {
    pub(super) at: Duration,
    pub(super) place: u32,
    pub(super) newcomer: NodeIndex,
    /// Places of whom the newcomer is told.
    pub(super) told: [u32; 3],
}

/// A file is published at a place by whatever machine is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Publication {
    pub(super) at: Duration,
    pub(super) machine: NodeIndex,
    pub(super) place: u32,
    pub(super) file: u32,
}

/// A query and its time; after a misfortune the time since then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Asked {
    pub(super) at: Duration,
    pub(super) group: Group,
    pub(super) query: Query,
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) content: Arc<Content>,
    pub(super) timeline: Timeline,
    pub(super) changes: Vec<Change>,
    pub(super) publications: Vec<Publication>,
    pub(super) steady: Vec<Asked>,
    pub(super) aftermath: Vec<Asked>,
    /// For each misfortune by chance, the places in the order in which they are hit.
    pub(super) unlucky: Vec<u32>,
}

/// After how long a newcomer publishes: its joining takes seconds.
const SETTLED: Duration = Duration::from_secs(60);
/// From one file of a newcomer to its next.
const PACE: Duration = Duration::from_secs(5);

impl Script {
    pub(super) fn new(
        plan: ContentPlan,
        (seed, sessions): (u64, Sessions),
        timeline: Timeline,
        queries: usize,
    ) -> Self {
        let content = Arc::new(Content::new(plan, seed));
        let mut rng = content::rng(seed, 0x7363_7269);
        let mut unlucky: Vec<u32> = (0..plan.nodes).collect();
        rng.shuffle(&mut unlucky);
        let mut script = Self {
            changes: Vec::new(),
            publications: Vec::new(),
            steady: Vec::new(),
            aftermath: Vec::new(),
            content,
            timeline,
            unlucky,
        };
        script.come_and_go(plan.nodes, sessions, &mut rng);
        script.publish(plan.nodes, &mut rng);
        script.ask(queries, &mut rng);
        script
    }

    /// Whether a query can be asked and answered while only some places have machines: who is gone
    /// asks nothing, and what nobody has any more cannot be found.
    pub(super) fn is_fair(&self, query: &Query, runs: impl Fn(u32) -> bool) -> bool {
        let holders = &self.content.file(query.file).holders;
        runs(query.asker) && holders.iter().any(|place| runs(*place))
    }

    fn come_and_go(&mut self, nodes: u32, sessions: Sessions, rng: &mut kadlet_core::Rng) {
        let end = self.timeline.end();
        let mut times = Vec::new();
        for place in 0..nodes {
            let first = sessions.end_of_present(Instant::EPOCH, rng);
            let mut at = first.since(Instant::EPOCH);
            while at < end {
                times.push((at, place));
                // A machine that stays for less than this would not be noticed by anybody.
                let stay = sessions.end_of_newcomer(Instant::EPOCH, rng).since(Instant::EPOCH);
                at += stay.max(Duration::from_millis(100));
            }
        }
        times.sort_unstable();
        self.changes = times
            .into_iter()
            .zip(nodes..)
            .map(|((at, place), machine)| {
                let told = [(); 3].map(|()| rng.below(u64::from(nodes) - 1) as u32);
                // Not of itself.
                let told = told.map(|other| if other >= place { other + 1 } else { other });
                Change { at, place, newcomer: NodeIndex(machine), told }
            })
            .collect();
    }

    fn publish(&mut self, nodes: u32, rng: &mut kadlet_core::Rng) {
        let content = Arc::clone(&self.content);
        let mut all = Vec::new();
        for place in 0..nodes {
            for file in content.shelf(place) {
                let at = rng.below(self.timeline.publish.as_micros() as u64);
                let (at, machine) = (Duration::from_micros(at), NodeIndex(place));
                all.push(Publication { at, machine, place, file: *file });
            }
        }
        for Change { at, place, newcomer, .. } in &self.changes {
            for (number, file) in (0..).zip(content.shelf(*place)) {
                let at = *at + SETTLED + PACE * number;
                all.push(Publication { at, machine: *newcomer, place: *place, file: *file });
            }
        }
        all.sort_by_key(|publication| publication.at);
        self.publications = all;
    }

    fn ask(&mut self, count: usize, rng: &mut kadlet_core::Rng) {
        let content = Arc::clone(&self.content);
        let when = |within: Duration, rng: &mut kadlet_core::Rng| {
            Duration::from_micros(rng.below(within.as_micros() as u64))
        };
        let first = self.timeline.first_query();
        for (stream, group) in (0..).zip(Group::STEADY) {
            for query in queries(&content, group, count, stream) {
                let at = first + when(self.timeline.asking, rng);
                self.steady.push(Asked { at, group, query });
            }
        }
        self.steady.sort_by_key(|asked| asked.at);
        for (stream, group) in (5..).zip([Group::Aftermath, Group::Victim]) {
            for query in queries(&content, group, count, stream) {
                // A second for what was under way.
                let at = Duration::from_secs(1) + when(self.timeline.aftermath, rng);
                self.aftermath.push(Asked { at, group, query });
            }
        }
        self.aftermath.sort_by_key(|asked| asked.at);
    }
}

fn queries(content: &Content, group: Group, count: usize, stream: u64) -> Vec<Query> {
    let both = || {
        let mut all = content.queries(None, By::Key, count.div_ceil(2), 2 * stream);
        all.extend(content.queries(None, By::Words, count / 2, 2 * stream + 1));
        all
    };
    match group {
        Group::RareKey => content.queries(Some(Class::Rare), By::Key, count, 2 * stream),
        Group::RareWords => content.queries(Some(Class::Rare), By::Words, count, 2 * stream),
        Group::PopularKey => content.queries(Some(Class::Popular), By::Key, count, 2 * stream),
        Group::PopularWords => content.queries(Some(Class::Popular), By::Words, count, 2 * stream),
        Group::Mixed | Group::Aftermath => both(),
        Group::Victim => content.queries_for(0, By::Key, count, 2 * stream),
    }
}
