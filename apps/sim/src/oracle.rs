//! How fast a lookup could be: the same lookup in the same network with ideal tables, or with one
//! question to each of those it looks for; and how fast it would be by other policies.
//!
//! A [`Picture`] is the network at one moment. Lookups in it change nothing: no table learns from
//! them and no datagram is sent; they see the same nodes, round trips, losses and pairs that are
//! apart as the network's own, and they stop for the same reason (all of the k closest that live
//! have answered), so that only policy and tables make the difference. Each is
//! [`kadlet_core::Lookup`], asked and told in virtual time.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;
use core::time::Duration;

use kadlet_core::config::LookupConfig;
use kadlet_core::{Capabilities, Contact, Families, Family, Filter, Id, Lookup, Step};

use crate::distribution::mix;
use crate::draw::Draw;
use crate::host::NodeIndex;
use crate::network::Network;

/// What the nodes of a picture know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tables {
    /// Their own tables, with the dead in them.
    Real,
    /// In each bucket `k` nodes that live, drawn evenly, and near their own id all there are.
    Ideal,
}

/// How somebody looks up: whom it asks next is always [`Lookup`]'s decision, when is this one's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Policy {
    /// Contacts to find.
    pub k: usize,
    /// Questions in flight.
    pub alpha: usize,
    /// Whether never more than α are in flight: neither for the last step nor for silent ones.
    pub strict: bool,
    /// Whether a round of α has to be over before the next begins.
    pub barrier: bool,
    /// After which silence somebody else is asked meanwhile.
    pub short: Option<Duration>,
    /// After which silence a contact counts as dead.
    pub hard: Duration,
    /// How often a silent question is sent again: all but the last time it has half of the short
    /// timeout, and after the last nobody waits any more.
    pub repeats: u32,
}

impl Policy {
    /// BEP 5 as it is written, one question at a time; with the timeouts of libtorrent.
    pub const SERIAL: Self = Self {
        k: 8,
        alpha: 1,
        strict: true,
        barrier: false,
        short: Some(Duration::from_secs(1)),
        hard: Duration::from_secs(15),
        repeats: 0,
    };

    /// libtorrent: five questions, 1 s until another takes the place, 15 s until it is dead.
    pub const TWO_TIMEOUTS: Self = Self { alpha: 5, ..Self::SERIAL };

    /// Three questions, each of which may take 2 s.
    pub const FIXED: Self =
        Self { alpha: 3, short: None, hard: Duration::from_secs(2), ..Self::SERIAL };

    /// The same in rounds: the next three are asked when all of the last three are done with.
    pub const ROUNDS: Self = Self { barrier: true, ..Self::FIXED };

    /// The core's: see [`kadlet_core::config`]. The timeouts are those that it measures.
    #[must_use]
    pub const fn adaptive(k: usize, alpha: usize, repeats: u32, timeouts: Learnt) -> Self {
        let Learnt { short, hard } = timeouts;
        Self { k, alpha, strict: false, barrier: false, short: Some(short), hard, repeats }
    }

    /// The same policy for another k.
    #[must_use]
    pub const fn with_k(mut self, k: usize) -> Self {
        self.k = k;
        self
    }
}

/// Timeouts that follow from round trips.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Learnt {
    /// Until somebody else is asked meanwhile.
    pub short: Duration,
    /// Until a contact counts as dead.
    pub hard: Duration,
}

/// How a lookup went.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Timing {
    /// Until the first of those looked for had answered.
    pub first: Option<Duration>,
    /// Until it was over.
    pub complete: Duration,
    /// Whether it ended with all of those that live.
    pub exact: bool,
    /// Questions asked.
    pub asked: u32,
    /// How many questions led to the closest.
    pub hops: u32,
}

/// A network at one moment.
pub struct Picture<'a> {
    net: &'a Network,
    /// Those that live and answer, by id.
    members: Vec<(Id, NodeIndex)>,
}

/// One question of a lookup in a picture.
struct Question {
    contact: Contact,
    sent: u32,
    over: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Answer,
    Silent,
    Dead,
}

impl<'a> Picture<'a> {
    /// The network as it is now.
    #[must_use]
    pub fn of(net: &'a Network) -> Self {
        let servers = net.live().iter().filter(|node| net.node(**node).health().server);
        let mut members: Vec<_> = servers.map(|node| (net.node(*node).id(), *node)).collect();
        members.sort_unstable();
        Self { net, members }
    }

    /// The same without those that came less than this ago: nobody can know them yet.
    #[must_use]
    pub fn settled(mut self, time: Duration) -> Self {
        self.members.retain(|(_, node)| !self.net.is_new(*node, time));
        self
    }

    /// Those that `asker` should find: the `k` closest that live and that it can reach, nearest
    /// first.
    #[must_use]
    pub fn closest(&self, target: Id, k: usize, asker: NodeIndex) -> Vec<(Id, NodeIndex)> {
        // All who are closer than anybody outside are in one subtree: the smallest with enough.
        let mut depth = 160;
        loop {
            let range = self.subtree(target, depth);
            let reached = range.iter().filter(|(_, node)| self.net.reaches(asker, *node)).count();
            if reached >= k || depth == 0 {
                let mut near: Vec<_> = range
                    .iter()
                    .copied()
                    .filter(|(_, node)| self.net.reaches(asker, *node))
                    .collect();
                near.sort_unstable_by_key(|(id, _)| id.distance(target));
                near.truncate(k);
                return near;
            }
            depth -= 1;
        }
    }

    /// If the asker knew them: one question to each of those it looks for, all at once, and again
    /// as soon as an answer must be lost.
    #[must_use]
    pub fn one_round(&self, target: Id, k: usize, asker: NodeIndex, number: u64) -> Timing {
        let mut draw = self.draw(asker, number);
        let mut times: Vec<Duration> = Vec::with_capacity(k);
        let mut asked = 0;
        for (_, node) in self.closest(target, k, asker) {
            let (mut tries, most) = (1, 16);
            while tries < most && self.is_lost(&mut draw) {
                tries += 1;
            }
            asked += tries;
            times.push(self.net.round_trip(asker, node) * tries);
        }
        times.sort_unstable();
        let complete = times.last().copied().unwrap_or_default();
        Timing { first: times.first().copied(), complete, exact: true, asked, hops: 1 }
    }

    /// The timeouts that a node of this network learns: from the round trips of `asker`.
    #[must_use]
    pub fn learnt(&self, asker: NodeIndex) -> Learnt {
        let config = &self.net.node(asker).config().requests;
        let mut times: Vec<Duration> =
            self.members.iter().map(|(_, node)| self.net.round_trip(asker, *node)).collect();
        times.sort_unstable();
        let quantile = |permille: usize| {
            let last = times.len().saturating_sub(1);
            times.get(last * permille / 1_000).copied().unwrap_or(config.short_initial)
        };
        let short = quantile(config.short_quantile as usize) * config.short_percent / 100;
        let hard = quantile(990) * config.hard_percent / 100;
        Learnt {
            short: short.clamp(config.short_min, config.short_max),
            hard: hard.clamp(config.hard_min, config.hard_max),
        }
    }

    /// One lookup; `number` tells several of the same asker for the same target apart.
    #[must_use]
    pub fn lookup(
        &self,
        tables: Tables,
        policy: &Policy,
        asker: NodeIndex,
        target: Id,
        number: u64,
    ) -> Timing {
        let truth = self.closest(target, policy.k, asker);
        let own = self.net.node(asker).id();
        let mut config = LookupConfig::default();
        (config.k, config.alpha) = (policy.k, policy.alpha);
        let mut lookup = Lookup::new(target, own, Families::V4, config);
        lookup.start(self.known(tables, asker, target, policy.k, None));
        let mut draw = self.draw(asker, number);
        let mut questions: Vec<Question> = Vec::new();
        let mut moments = BinaryHeap::new();
        let (mut now, mut first, mut held) = (Duration::ZERO, None, 0_usize);
        loop {
            while !(policy.strict && held >= policy.alpha) {
                if policy.barrier && held > 0 && questions.len().is_multiple_of(policy.alpha) {
                    break;
                }
                let Step::Ask(contact) = lookup.next() else { break };
                let number = questions.len();
                questions.push(Question { contact, sent: 0, over: false });
                held += 1;
                moments.push(Reverse((now + policy.hard, number, Moment::Dead)));
                let question = &mut questions[number];
                self.send(policy, asker, question, number, now, &mut draw, &mut moments);
            }
            if lookup.is_done() {
                break;
            }
            let Some(Reverse((at, number, moment))) = moments.pop() else { break };
            let question = &mut questions[number];
            if question.over {
                continue;
            }
            now = at;
            let (id, addr) = (question.contact.id, question.contact.addr());
            match moment {
                Moment::Silent => {
                    held -= usize::from(lookup.slow(id, addr));
                    if question.sent <= policy.repeats {
                        self.send(policy, asker, question, number, now, &mut draw, &mut moments);
                    } else if policy.repeats > 0 {
                        lookup.silent(id, addr);
                    }
                }
                Moment::Dead => {
                    question.over = true;
                    held -= usize::from(policy.short.is_none());
                    lookup.failed(id, addr);
                }
                Moment::Answer => {
                    question.over = true;
                    held -= usize::from(lookup.slow(id, addr));
                    if truth.iter().any(|(it, _)| *it == id) {
                        first = first.or(Some(now));
                    }
                    let node = self.net.at(addr);
                    let named = node.map(|it| self.known(tables, it, target, policy.k, Some(own)));
                    lookup.answered(id, addr, Capabilities::NONE, named.unwrap_or_default());
                }
            }
        }
        let found = lookup.closest().take(policy.k).map(|found| found.contact.id);
        Timing {
            first,
            complete: now,
            exact: found.eq(truth.iter().map(|(id, _)| *id)),
            asked: questions.iter().map(|question| question.sent).sum(),
            hops: lookup.progress().hops,
        }
    }

    /// Sends a question, or sends it again.
    #[expect(clippy::too_many_arguments, reason = "the loop's own state, in one place of use")]
    fn send(
        &self,
        policy: &Policy,
        asker: NodeIndex,
        question: &mut Question,
        number: usize,
        now: Duration,
        draw: &mut Draw,
        moments: &mut BinaryHeap<Reverse<(Duration, usize, Moment)>>,
    ) {
        question.sent += 1;
        if let Some(short) = policy.short {
            let between = 1 < question.sent && question.sent <= policy.repeats;
            let short = if between { short / 2 } else { short };
            moments.push(Reverse((now + short, number, Moment::Silent)));
        }
        let lost = self.is_lost(draw);
        let node = self.net.at(question.contact.addr());
        if let Some(node) = node.filter(|node| !lost && self.net.reaches(asker, *node)) {
            let at = now + self.net.round_trip(asker, node);
            moments.push(Reverse((at, number, Moment::Answer)));
        }
    }

    /// What a node would answer to somebody, or itself starts from.
    fn known(
        &self,
        tables: Tables,
        node: NodeIndex,
        target: Id,
        k: usize,
        asker: Option<Id>,
    ) -> Vec<Contact> {
        let running = self.net.node(node);
        match (tables, asker) {
            (Tables::Ideal, _) => self.ideal(node, running.id(), target, k, asker),
            (Tables::Real, Some(asker)) => running
                .table(Family::V4)
                .closest(target, Filter::answering(asker))
                .take(k)
                .collect(),
            (Tables::Real, None) => {
                let all = Filter::default().or_doubtful();
                running.table(Family::V4).closest(target, all).take(4 * k).collect()
            }
        }
    }

    /// The k closest to `target` of an ideal table of `own`: of the bucket the target is in, or, if
    /// that holds fewer, of the neighbourhood, of which an ideal table misses nobody. Whom its owner
    /// does not reach is in no ideal table.
    fn ideal(
        &self,
        node: NodeIndex,
        own: Id,
        target: Id,
        k: usize,
        asker: Option<Id>,
    ) -> Vec<Contact> {
        let bucket = self.subtree(target, (own.common_prefix(target) + 1).min(160));
        let bucket: Vec<_> = bucket.iter().filter(|it| self.net.reaches(node, it.1)).collect();
        let mut chosen: Vec<(Id, NodeIndex)> = if bucket.len() >= k {
            let mut drawn: Vec<(u64, (Id, NodeIndex))> = bucket
                .into_iter()
                .map(|it| (mix(u64::from(node.0) << 32 | u64::from(it.1.0)), *it))
                .collect();
            drawn.sort_unstable();
            drawn.into_iter().map(|(_, it)| it).take(k).collect()
        } else {
            self.closest(target, k + 2, node)
        };
        chosen.retain(|(id, _)| *id != own && Some(*id) != asker);
        chosen.sort_unstable_by_key(|(id, _)| id.distance(target));
        chosen.truncate(k);
        let contact =
            |(id, node): (Id, NodeIndex)| Contact::new(id, self.net.address(node, Family::V4));
        chosen.into_iter().map(contact).collect()
    }

    /// The members whose ids begin with the first `depth` bits of `target`.
    fn subtree(&self, target: Id, depth: u32) -> &[(Id, NodeIndex)] {
        let start = self
            .members
            .partition_point(|(id, _)| *id < target && id.common_prefix(target) < depth);
        let len = self.members[start..]
            .iter()
            .take_while(|(id, _)| id.common_prefix(target) >= depth)
            .count();
        &self.members[start..start + len]
    }

    fn draw(&self, asker: NodeIndex, number: u64) -> Draw {
        Draw::new(self.net.config().seed ^ ORACLE, asker, number)
    }

    /// Whether a question or its answer is lost.
    fn is_lost(&self, draw: &mut Draw) -> bool {
        let loss = u64::from(self.net.config().link.loss);
        draw.below(1_000_000) < loss || draw.below(1_000_000) < loss
    }
}

/// Keeps what is drawn here apart from what is drawn for real datagrams.
const ORACLE: u64 = 0x6f72_6163_6c65_0000;
