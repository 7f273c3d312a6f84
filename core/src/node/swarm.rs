//! What Mainline asks besides: how large a swarm is (BEP 33), and which keys a node holds (BEP 51).
//!
//! An answer to a scrape has two filters instead of addresses; whoever asks several nodes unites
//! them, so that a peer that many know counts once. A sample of keys is drawn anew once in an
//! interval, and nobody is to ask again before that: we keep to what others said as well.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::Node;
use super::operation::{Kind, Operation};
use super::queries::Asker;
use crate::contact::Contact;
use crate::event::{Asked, Event, OperationId};
use crate::id::Id;
use crate::record::Transports;
use crate::sorted::Map;
use crate::time::Instant;
use crate::wire::mainline::bep33::{Filter, LEN};
use crate::wire::{ErrorCode, Failure, List, Message, Query, Response, Samples};

/// Providers that are looked at for one scrape: two hashes each, 200 µs in all. A filter says no
/// more than "many" beyond some thousands.
const MAX_SCRAPED: usize = 1_024;

/// Keys in one sample: with as many nodes of both families they fit into one datagram.
const MAX_SAMPLE: usize = 20;

/// How long a sample stays the same. Drawn more often, a walk over all nodes would see every key
/// soon; less often, it would take weeks to see most (BEP 51: at most 6 hours).
const SAMPLE_INTERVAL: Duration = Duration::from_secs(3_600);

/// Nodes whose intervals are remembered.
const MAX_INTERVALS: usize = 4_096;

/// The keys we name, and when others may be asked for theirs again.
#[derive(Clone, Debug, Default)]
pub(super) struct Sampling {
    drawn: Vec<Id>,
    total: u64,
    until: Instant,
    intervals: Map<SocketAddr, Instant>,
}

/// What came of a scrape so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Swarm {
    seeds: Filter,
    peers: Filter,
}

impl Node {
    pub(super) fn answer_scrape(
        &mut self,
        now: Instant,
        mut asker: Asker,
        message: &Message<'_>,
        query: &Query<'_>,
    ) {
        let Some(key) = query.target else {
            return self.reply_error(asker, message, Failure::new(ErrorCode::Protocol));
        };
        let mut swarm = Swarm::default();
        let held = self.pay(now, &mut asker, 2 * LEN) && self.count_held(now, key, &mut swarm);
        let token = self.token_for(now, asker, key);
        let mut response =
            Response { token: token.as_ref().map(|token| &token[..]), ..Response::default() };
        if held {
            response.seed_filter = Some(swarm.seeds.as_bytes());
            response.peer_filter = Some(swarm.peers.as_bytes());
        }
        self.reply_with_nodes(now, asker, message, query, response);
    }

    /// Adds the providers that we hold ourselves; false if there are none.
    pub(super) fn count_held(&self, now: Instant, key: Id, swarm: &mut Swarm) -> bool {
        let mut any = false;
        for (_, provider) in self.store.providers(now, key, 0).take(MAX_SCRAPED) {
            let complete = provider.transports.contains(Transports::COMPLETE);
            let filter = if complete { &mut swarm.seeds } else { &mut swarm.peers };
            filter.insert(provider.addr.ip());
            any = true;
        }
        any
    }

    pub(super) fn answer_sample(
        &mut self,
        now: Instant,
        mut asker: Asker,
        message: &Message<'_>,
        query: &Query<'_>,
    ) {
        if self.sampling.until <= now {
            let (drawn, total) = self.store.sample_providers(now, MAX_SAMPLE, &mut self.rng);
            (self.sampling.drawn, self.sampling.total) = (drawn, total);
            self.sampling.until = now + SAMPLE_INTERVAL;
        }
        let interval = self.sampling.until.since(now).as_secs();
        let mut drawn = self.sampling.drawn.clone();
        if !self.pay(now, &mut asker, drawn.len() * Id::LEN) {
            drawn.clear();
        }
        let samples = Samples {
            keys: List::new(&drawn),
            total: self.sampling.total,
            interval: u32::try_from(interval).unwrap_or(u32::MAX),
        };
        let response = Response { samples: Some(samples), ..Response::default() };
        self.reply_with_nodes(now, asker, message, query, response);
    }

    /// Whether this node's sample is another than the one we saw.
    pub(super) fn may_sample(&self, now: Instant, addr: &SocketAddr) -> bool {
        self.sampling.intervals.get(addr).is_none_or(|until| *until <= now)
    }

    /// Filters and samples in an answer.
    pub(super) fn take_swarm(
        &mut self,
        now: Instant,
        id: u64,
        operation: &mut Operation,
        sender: Contact,
        response: &Response<'_>,
    ) {
        match &mut operation.kind {
            Kind::Scrape(swarm) => {
                let filters = [
                    (&mut swarm.seeds, response.seed_filter),
                    (&mut swarm.peers, response.peer_filter),
                ];
                for (all, more) in filters {
                    if let Some(more) = more {
                        all.unite(&Filter::new(*more));
                    }
                }
                operation.totals.found +=
                    u32::from(response.seed_filter.or(response.peer_filter).is_some());
            }
            Kind::Sample => {
                let Some(samples) = &response.samples else { return };
                if self.sampling.intervals.len() >= MAX_INTERVALS {
                    self.sampling.intervals.retain(|_, until| *until > now);
                    if self.sampling.intervals.len() >= MAX_INTERVALS {
                        self.sampling.intervals.pop_first();
                    }
                }
                let interval = Duration::from_secs(samples.interval.into());
                self.sampling.intervals.insert(sender.addr(), now + interval);
                let keys: Vec<Id> = samples.keys.iter().collect();
                operation.totals.found += keys.len() as u32;
                self.push_event(Event::Sample {
                    operation: OperationId(id),
                    peer: Asked { id: Some(sender.id), path: sender.path },
                    keys,
                    total: samples.total,
                    interval,
                });
            }
            _ => {}
        }
    }

    /// The end of a scrape: the estimates.
    pub(super) fn tell_swarm(&mut self, id: u64, operation: &Operation) {
        let Kind::Scrape(swarm) = &operation.kind else { return };
        if operation.totals.found > 0 {
            let (seeds, peers) = (count(&swarm.seeds), count(&swarm.peers));
            self.push_event(Event::Swarm { operation: OperationId(id), seeds, peers });
        }
    }
}

/// The estimate in whole addresses; the formula gives 0.5 for nobody.
fn count(filter: &Filter) -> u32 {
    libm::floor(filter.estimate()) as u32
}
