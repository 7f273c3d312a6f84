//! How good lookups are: what each took, held against brute force and against the oracle.

use core::time::Duration;

use kadlet_core::{Event, Id, Instant};

use crate::host::NodeIndex;
use crate::network::Network;
use crate::oracle::{Picture, Policy, Tables, Timing};
use crate::report::{NotAtRest, Operation, Report};

/// Of so many times k nodes around a target it is written down who was there when a lookup began
/// and when it ended: those beyond the k closest move up when others leave.
const AROUND: usize = 2;

/// One lookup of a running network.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Sample {
    /// Until the first of the k closest had answered.
    pub first: Option<Duration>,
    /// Until all of the k closest had answered; until it was over, if one of them was not found.
    pub all: Duration,
    /// Until it was over: also until nobody waited for the dead any more.
    pub complete: Duration,
    /// How many questions led to the closest.
    pub hops: u32,
    /// Nodes asked.
    pub asked: u32,
    /// Questions sent, repetitions too.
    pub datagrams: u32,
    /// Bytes sent and received.
    pub bytes: u64,
    /// Whether it ended with the true k closest: with all that were there from its beginning to its
    /// end, but for those whom others drove out that answered and came or went meanwhile.
    pub exact: bool,
    /// Those of the k closest that were found.
    pub found: usize,
    /// Those that should have been.
    pub wanted: usize,
    /// The same lookup with ideal tables.
    pub ideal: Timing,
    /// The same lookup in one round.
    pub one_round: Timing,
    /// The same lookup from the tables there were, by other policies.
    pub others: Vec<Timing>,
}

/// What is beside the lookup itself.
#[derive(Clone, Copy, Default, Debug)]
#[non_exhaustive]
pub struct Beside<'a> {
    /// Policies to try.
    pub policies: &'a [Policy],
    /// Nodes that came less than this ago need not be found: nobody can know them.
    pub settled: Duration,
}

/// One lookup, and beside it what the oracle says.
///
/// # Errors
/// If it does not end.
pub fn sample(
    net: &mut Network,
    asker: NodeIndex,
    target: Id,
    beside: &Beside<'_>,
) -> Result<Sample, NotAtRest> {
    Ok(Begun::new(net, asker, target, beside).end(net)?.0)
}

/// A lookup under way, and what the oracle says of it.
#[derive(Clone, Debug)]
pub struct Begun {
    operation: Operation,
    started: Instant,
    target: Id,
    k: usize,
    settled: Duration,
    /// Who was closest when it began, [`AROUND`] times k.
    before: Vec<Id>,
    ideal: Timing,
    one_round: Timing,
    others: Vec<Timing>,
}

impl Begun {
    /// Begins one; others may be under way.
    pub fn new(net: &mut Network, asker: NodeIndex, target: Id, beside: &Beside<'_>) -> Self {
        let config = net.node(asker).config().clone();
        let (k, number) = (config.lookup.k, net.now().as_micros());
        let picture = Picture::of(net).settled(beside.settled);
        let own = Policy::adaptive(
            k,
            config.lookup.alpha,
            config.requests.repeats.into(),
            picture.learnt(asker),
        );
        let try_one = |policy: &Policy| {
            picture.lookup(Tables::Real, &policy.with_k(k), asker, target, number)
        };
        let ideal = picture.lookup(Tables::Ideal, &own, asker, target, number);
        let one_round = picture.one_round(target, k, asker, number);
        let others = beside.policies.iter().map(try_one).collect();
        let before = picture.closest(target, AROUND * k, asker);
        let before = before.into_iter().map(|it| it.0).collect();
        drop(picture);
        let operation = net.command(asker, |node, now| node.find_node(now, target));
        let (started, settled) = (net.now(), beside.settled);
        Self { operation, started, target, k, settled, before, ideal, one_round, others }
    }

    /// Whether it is over, or should have been long ago.
    #[must_use]
    pub fn is_due(&self, net: &Network) -> bool {
        net.is_done(self.operation) || net.now().since(self.started) > net.config().patience
    }

    /// Waits for its end: what became of it, and everything the node said.
    ///
    /// # Errors
    /// If it does not end.
    pub fn end(self, net: &mut Network) -> Result<(Sample, Report), NotAtRest> {
        let Self { operation, started, target, k, settled, before, ideal, one_round, others } =
            self;
        let report = net.wait(operation)?;
        let after = Picture::of(net).settled(settled).closest(target, AROUND * k, operation.node);
        let after: Vec<Id> = after.into_iter().map(|it| it.0).collect();
        let is_client = |id| net.find(id).is_some_and(|node| !net.node(node).health().server);
        let got = report.closest_ids();
        let Verdict { found, wanted } = Verdict::of(target, k, &got, [&before, &after], is_client);
        let totals = report.totals();
        let answers: Vec<Instant> =
            answers_of(&report, before.get(..k).unwrap_or(&before)).collect();
        let last = answers.last().filter(|_| found == wanted);
        let sample = Sample {
            first: answers.first().map(|at| at.since(started)),
            all: last.map_or(totals.elapsed, |at| at.since(started)),
            complete: totals.elapsed,
            hops: totals.hops,
            asked: totals.asked,
            datagrams: totals.datagrams,
            bytes: totals.bytes_sent + totals.bytes_received,
            exact: found == wanted,
            found,
            wanted,
            ideal,
            one_round,
            others,
        };
        Ok((sample, report))
    }
}

/// Of the k closest that were there from a lookup's beginning to its end, how many it found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Verdict {
    found: usize,
    wanted: usize,
}

impl Verdict {
    /// Of a lookup that ended with `got`, when those closest at its beginning and at its end were
    /// these, nearest first: more than `k`, since others move up when somebody leaves. Whoever came,
    /// went, or was within reach only meanwhile need not be found; but if it answered it has its
    /// place, and whom it drives out of the k closest need not be found either. No client drives
    /// anybody out.
    fn of(
        target: Id,
        k: usize,
        got: &[Id],
        [before, after]: [&[Id]; 2],
        is_client: impl Fn(Id) -> bool,
    ) -> Self {
        let stayed = |id: &&Id| before.contains(id) && after.contains(id);
        let missed = before.iter().filter(stayed).filter(|id| !got.contains(id));
        let servers = got.iter().filter(|id| !is_client(**id));
        let mut closest: Vec<Id> = servers.chain(missed).copied().collect();
        closest.sort_unstable_by_key(|id| id.distance(target));
        closest.truncate(k);
        let wanted = closest.iter().filter(stayed);
        let found = wanted.clone().filter(|id| got.contains(id)).count();
        Self { found, wanted: wanted.count() }
    }
}

/// When each of these answered, in order.
fn answers_of<'a>(report: &'a Report, closest: &'a [Id]) -> impl Iterator<Item = Instant> + 'a {
    report.events().iter().filter_map(|(at, event)| match event {
        Event::Answered { peer, .. } if peer.id.is_some_and(|id| closest.contains(&id)) => {
            Some(*at)
        }
        _ => None,
    })
}

/// The value below which `permille` thousandths of the sorted samples lie, the nearest rank.
#[must_use]
pub fn quantile(sorted: &[f64], permille: usize) -> f64 {
    let rank = (sorted.len() * permille).div_ceil(1_000).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// Sorted, for [`quantile`].
#[must_use]
pub fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Milliseconds.
#[must_use]
pub fn ms(time: Duration) -> f64 {
    // Exact: far below 2^53 microseconds.
    time.as_micros() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids by their distance from the target, which is 0.
    fn ids<const N: usize>(distances: [u8; N]) -> [Id; N] {
        distances.map(|distance| {
            let mut bytes = [0; Id::LEN];
            bytes[Id::LEN - 1] = distance;
            Id::new(bytes)
        })
    }

    #[test]
    fn who_came_or_went_need_not_be_found_and_may_drive_others_out() {
        let (target, before) = (Id::new([0; Id::LEN]), ids([1, 3, 5, 7]));
        let client = ids([4]);
        let judge = |got: &[Id], after: &[Id]| {
            let is_client = |id| client.contains(&id);
            let Verdict { found, wanted } =
                Verdict::of(target, 3, got, [&before, after], is_client);
            (found, wanted)
        };
        assert_eq!(judge(&ids([1, 3, 5]), &before), (3, 3));
        assert_eq!(judge(&ids([1, 5, 7]), &before), (2, 3), "7 stands where 3 should");
        assert_eq!(judge(&ids([1, 3]), &before), (2, 3), "5 is missing");
        assert_eq!(judge(&ids([1, 3, 4]), &before), (2, 3), "a client stands where 5 should");
        // 3 went: 7 moves up, unless 3 answered before it went.
        let after = ids([1, 5, 7, 9]);
        assert_eq!(judge(&ids([1, 5, 7]), &after), (3, 3));
        assert_eq!(judge(&ids([1, 3, 5]), &after), (2, 2));
        assert_eq!(judge(&ids([1, 5]), &after), (2, 3), "7 is missing");
        assert_eq!(judge(&ids([1, 5, 9]), &after), (2, 3), "9 stands where 7 should");
        // 2 came, and need not be found; if it is, it drives the farthest out and nobody else.
        let after = ids([1, 2, 3, 5]);
        assert_eq!(judge(&ids([1, 3, 5]), &after), (3, 3));
        assert_eq!(judge(&ids([1, 2, 3]), &after), (2, 2));
        assert_eq!(judge(&ids([1, 2, 5]), &after), (1, 2), "3 is missing");
        assert_eq!(judge(&ids([1, 3]), &after), (2, 3), "5 is missing, and 2 drives nobody out");
        // So with somebody who was there only meanwhile.
        assert_eq!(judge(&ids([1, 2, 3]), &before), (2, 2));
        assert_eq!(judge(&ids([1, 3, 9]), &before), (2, 3), "5 is missing, and 9 is farther");
    }
}
