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
    /// Until it was over.
    complete: Duration,
    /// Until most of those asked to keep it had said that they do; none if not so many did.
    most: Option<Duration>,
    /// How many were asked to, and who does.
    asked: usize,
    holders: Vec<Id>,
    /// Who was closest to its key when it began, and who was in the end.
    closest: [Vec<Id>; 2],
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
    let closest = |net: &Network| -> Vec<Id> {
        let picture = Picture::of(net).settled(SETTLED);
        picture.closest(key, k, writer).into_iter().map(|(id, _)| id).collect()
    };
    let before = closest(net);
    let report = net.wait(operation)?;
    Ok(Stored::new(&report, started, [before, closest(net)]))
}

impl Stored {
    fn new(report: &Report, started: Instant, closest: [Vec<Id>; 2]) -> Self {
        let acknowledged = report.events().iter().filter_map(|(at, event)| match event {
            Event::Stored { peer, .. } => Some((at.since(started), peer.id)),
            _ => None,
        });
        let (times, holders): (Vec<_>, Vec<_>) = acknowledged.unzip();
        let asked = report.totals().store_attempts as usize;
        let most = times.get((asked * MOST).div_ceil(100).max(1) - 1).copied();
        let complete = report.totals().elapsed;
        let holders = holders.into_iter().flatten().collect();
        Self { complete, most, asked, holders, closest }
    }
}

impl Figures {
    fn published(&mut self, all: &[Stored]) {
        let complete = sorted(all.iter().map(|it| ms(it.complete)));
        let most = sorted(all.iter().filter_map(|it| it.most.map(ms)));
        self.quantiles(["publish_p50", "publish_p95", "publish_p99"], "ms", &complete);
        let names = ["publish_most_p50", "publish_most_p95", "publish_most_p99"];
        self.quantiles(names, "ms", &most);
        let sum = |of: &dyn Fn(&Stored) -> usize| all.iter().map(of).sum::<usize>();
        let (asked, kept) = (sum(&|it| it.asked), sum(&|it| it.holders.len()));
        self.share("publish_acknowledged", kept, asked);
        // Whoever came or left meanwhile is neither expected nor held against it.
        let [before, after] = [0, 1].map(|moment| move |it: &Stored| it.closest[moment].clone());
        let is_close = |it: &Stored, id: &Id| before(it).contains(id) || after(it).contains(id);
        let placed = sum(&|it| it.holders.iter().filter(|id| is_close(it, id)).count());
        self.share("publish_placed", placed, kept);
        let stayed = |it: &Stored| -> Vec<Id> {
            before(it).into_iter().filter(|id| it.closest[1].contains(id)).collect()
        };
        let wanted = sum(&|it| stayed(it).len());
        let held = sum(&|it| stayed(it).iter().filter(|id| it.holders.contains(id)).count());
        self.share("publish_covered", held, wanted);
    }
}
