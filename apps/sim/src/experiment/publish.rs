//! Publishing: values stored at the setting's pace, how long that takes, and where they come to lie.

use core::time::Duration;

use kadlet_core::{Event, Id, Instant};

use super::figures::Figures;
use super::partition::begin_to_store;
use super::setting::{SETTLED, Setting, seasoned};
use crate::host::NodeIndex;
use crate::network::Network;
use crate::oracle::Picture;
use crate::quality::{ms, sorted};
use crate::report::{NotAtRest, Report};

/// Of those asked to keep a value, so many in a hundred are most of them.
const MOST: usize = 95;

/// One value that was stored.
struct Stored {
    /// Until it was over; none if nobody keeps the value.
    complete: Option<Duration>,
    /// Until most of those asked to keep it had said that they do; none if not so many did.
    most: Option<Duration>,
    /// How many were asked to, and who does.
    asked: usize,
    holders: Vec<Id>,
    /// Who was closest to its key when it began, and who was in the end.
    closest: [Vec<Id>; 2],
    /// The same but for newcomers, whom nobody need have known.
    settled: [Vec<Id>; 2],
}

/// Stores so many values, each by a random node, and adds what came of it.
///
/// # Errors
/// If one does not end.
pub(super) fn publish(
    net: &mut Network,
    setting: &Setting,
    count: usize,
    figures: &mut Figures,
) -> Result<(), NotAtRest> {
    let mut all = Vec::with_capacity(count);
    for number in 0..count {
        let next = net.now() + setting.pace;
        let writer = seasoned(net);
        match store(net, writer, number) {
            Ok(stored) => all.push(stored),
            // Whoever leaves in the midst of it is not served badly.
            Err(_) if net.has_left(writer) => {}
            Err(error) => return Err(error),
        }
        net.run_for(next.since(net.now()));
    }
    figures.published(&all);
    Ok(())
}

fn store(net: &mut Network, writer: NodeIndex, number: usize) -> Result<Stored, NotAtRest> {
    let (started, k) = (net.now(), net.node(writer).config().lookup.k);
    let (key, operation) = begin_to_store(net, writer, number);
    let closest = |net: &Network| {
        let of = |picture: Picture<'_>| -> Vec<Id> {
            picture.closest(key, k, writer).into_iter().map(|(id, _)| id).collect()
        };
        (of(Picture::of(net)), of(Picture::of(net).settled(SETTLED)))
    };
    let before = closest(net);
    let report = net.wait(operation)?;
    let after = closest(net);
    Ok(Stored::new(&report, started, [before.0, after.0], [before.1, after.1]))
}

impl Stored {
    fn new(
        report: &Report,
        started: Instant,
        closest: [Vec<Id>; 2],
        settled: [Vec<Id>; 2],
    ) -> Self {
        let acknowledged = report.events().iter().filter_map(|(at, event)| match event {
            Event::Stored { peer, .. } => Some((at.since(started), peer.id)),
            _ => None,
        });
        let (times, holders): (Vec<_>, Vec<_>) = acknowledged.unzip();
        let asked = report.totals().store_attempts as usize;
        let most = times.get((asked * MOST).div_ceil(100).max(1) - 1).copied();
        let complete = (!holders.is_empty()).then_some(report.totals().elapsed);
        let holders = holders.into_iter().flatten().collect();
        Self { complete, most, asked, holders, closest, settled }
    }

    /// Whether a holder was one of the k closest at one of the two moments.
    fn is_close(&self, id: &Id) -> bool {
        self.closest.iter().any(|closest| closest.contains(id))
    }

    /// Who should have it: was one of the k closest, and known to be, from beginning to end.
    fn wanted(&self) -> impl Iterator<Item = &Id> {
        let [before, after] = &self.settled;
        before.iter().filter(|id| after.contains(id))
    }
}

impl Figures {
    fn published(&mut self, all: &[Stored]) {
        let complete = sorted(all.iter().filter_map(|it| it.complete.map(ms)));
        let most = sorted(all.iter().filter_map(|it| it.most.map(ms)));
        self.share("publish_kept", complete.len(), all.len());
        self.quantiles(["publish_p50", "publish_p95", "publish_p99"], "ms", &complete);
        let names = ["publish_most_p50", "publish_most_p95", "publish_most_p99"];
        self.quantiles(names, "ms", &most);
        let sum = |of: &dyn Fn(&Stored) -> usize| all.iter().map(of).sum::<usize>();
        let (asked, copies) = (sum(&|it| it.asked), sum(&|it| it.holders.len()));
        self.share("publish_acknowledged", copies, asked);
        // Stores cover the region in which k nodes are expected, so more than k keep a value.
        let close = sum(&|it| it.holders.iter().filter(|id| it.is_close(id)).count());
        self.share("publish_copies_closest", close, copies);
        let covered = sum(&|it| it.wanted().filter(|id| it.holders.contains(id)).count());
        self.share("publish_covered", covered, sum(&|it| it.wanted().count()));
    }
}
