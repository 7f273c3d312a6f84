//! A flood (`flood`): one node under junk, under questions, and under signed puts with good tokens
//! and bad signatures, from many addresses at once. Its own lookups go on meanwhile.

use alloc::collections::BTreeMap;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use kadlet_core::wire::native::Native;
use kadlet_core::wire::{Body, Item, Message, Method, Query, SignedItem};
use kadlet_core::{Config, Id, Rejected};

use super::sybil::{Share, public};
use crate::address::AddressPlan;
use crate::host::NodeIndex;
use crate::network::{Network, SimConfig};
use crate::report::NotAtRest;
use crate::watch::Watch;

/// One experiment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Flood {
    /// Nodes of the network around the victim.
    pub nodes: usize,
    /// Addresses that flood, four to a prefix.
    pub sources: u32,
    /// Datagrams a second from all of them together: a third each of junk, questions and puts.
    pub per_second: u32,
    /// For so long.
    pub seconds: u32,
    /// The settings of everybody.
    pub config: Config,
}

/// What it did to the victim.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Burden {
    /// Datagrams that reached it.
    pub arrived: u64,
    /// What it refused, by reason.
    pub rejected: BTreeMap<Rejected, u64>,
    /// Questions it answered.
    pub answered: u64,
    /// Its lookups that found the true k closest, one every second of the flood.
    pub exact: Share,
    /// Records it holds afterwards: of those put none was any good.
    pub records: u64,
    /// Contacts in its table that are the flooder's.
    pub strangers: u64,
    /// The longest answer to an address that had shown nothing, in hundredths of its question.
    pub amplification: u64,
}

/// Puts come in bursts of so many milliseconds.
const BURST: u32 = 20;

impl Flood {
    /// A flood of this many datagrams a second on a node among `nodes`.
    #[must_use]
    pub fn new(nodes: usize, sources: u32, per_second: u32) -> Self {
        Self { nodes, sources, per_second, seconds: 5, config: public() }
    }

    /// Runs it.
    ///
    /// # Errors
    /// If something does not end.
    ///
    /// # Panics
    /// If the settings are those of another wire.
    pub fn run(&self, seed: u64) -> Result<Burden, NotAtRest> {
        self.run_watched(seed, &Watch::default())
    }

    /// Runs it, followed by somebody.
    ///
    /// # Errors
    /// If something does not end, or it was stopped.
    ///
    /// # Panics
    /// If the settings are those of another wire.
    pub fn run_watched(&self, seed: u64, watch: &Watch) -> Result<Burden, NotAtRest> {
        let kadlet_core::Network::Native(name) = &self.config.network else {
            panic!("the flood speaks the native wire")
        };
        let mut sim = SimConfig::with_seed(seed);
        sim.addresses = AddressPlan::Public;
        sim.watch = Some(watch.clone());
        let mut net = Network::new(sim);
        let nodes = net.grow(self.nodes, &self.config)?;
        net.run_for(Duration::from_secs(60));
        let victim = nodes[0];
        let mut flooder = Flooder::new(&mut net, Native::new(name), self.sources, victim);
        flooder.introduce(&mut net);
        let before = net.node(victim).stats().clone();
        let mut burden = Burden::default();
        let bursts = 1_000 / BURST;
        let began = net.now();
        for second in 0..self.seconds {
            net.expect_as_since(began, second as usize, self.seconds as usize);
            let target = net.random_id();
            let lookup = net.command(victim, |node, now| node.find_node(now, target));
            for burst in 0..bursts {
                // What does not divide is spread over the second.
                let sent_by =
                    |burst: u32| u64::from(self.per_second) * u64::from(burst) / u64::from(bursts);
                for _ in sent_by(burst)..sent_by(burst + 1) {
                    flooder.send(&mut net);
                }
                net.run_for(Duration::from_millis(u64::from(BURST)));
                flooder.listen(&mut net, &mut burden);
            }
            let found = net.wait(lookup)?.closest_ids();
            let truth = net.closest_live(target, self.config.lookup.k, victim);
            burden.exact.note(found == truth);
        }
        let node = net.node(victim);
        let after = node.stats();
        burden.arrived = after.datagrams_in - before.datagrams_in;
        burden.answered = after.queries_answered - before.queries_answered;
        for (reason, count) in &after.rejected {
            let earlier = before.rejected.iter().find(|(other, _)| other == reason);
            let count = count - earlier.map_or(0, |(_, count)| *count);
            burden.rejected.insert(*reason, count);
        }
        burden.records = u64::from(node.health().records);
        burden.strangers = node
            .closest(flooder.id(0), kadlet_core::Family::V4)
            .iter()
            .filter(|contact| contact.addr().ip() >= IpAddr::V4(FIRST))
            .count() as u64;
        Ok(burden)
    }
}

/// Addresses of the flood begin here: in nobody's plan.
const FIRST: Ipv4Addr = Ipv4Addr::new(180, 0, 0, 1);

struct Source {
    host: NodeIndex,
    /// What the victim gave it.
    cookie: Option<[u8; 8]>,
    token: Option<Vec<u8>>,
}

struct Flooder {
    wire: Native,
    victim: NodeIndex,
    sources: Vec<Source>,
    key: Id,
    sent: u32,
    /// Lengths of the questions from addresses that have shown nothing, by their transactions.
    questions: BTreeMap<[u8; 8], usize>,
}

impl Flooder {
    fn new(net: &mut Network, wire: Native, sources: u32, victim: NodeIndex) -> Self {
        let sources = (0..sources)
            .map(|number| {
                let ip = Ipv4Addr::from_bits(FIRST.to_bits() + ((number / 4) << 8) + number % 4);
                let host = net.add_listener_at(SocketAddr::new(IpAddr::V4(ip), 4_000));
                Source { host, cookie: None, token: None }
            })
            .collect();
        let key = kadlet_core::record::SignedValue::key_of(&[9; 32], b"");
        Self { wire, victim, sources, key, sent: 0, questions: BTreeMap::new() }
    }

    fn id(&self, source: usize) -> Id {
        let mut bytes = *self.key.as_bytes();
        bytes[16..].copy_from_slice(&(source as u32).to_be_bytes());
        Id::new(bytes)
    }

    /// Every other source asks for a cookie and then for a token; the others never show that they
    /// receive anything.
    fn introduce(&mut self, net: &mut Network) {
        for _ in 0..2 {
            for number in (0..self.sources.len()).step_by(2) {
                let query = Query::about(self.key, Method::Get { newer_than: None });
                self.ask(net, number, query);
                net.run_for(Duration::from_millis(2));
            }
            net.run_for(Duration::from_secs(2));
            let mut nothing = Burden::default();
            self.listen(net, &mut nothing);
        }
    }

    /// The next datagram of the flood.
    fn send(&mut self, net: &mut Network) {
        let number = self.sent as usize % self.sources.len().max(1);
        let kind = self.sent / 2 % 3;
        self.sent = self.sent.wrapping_add(1);
        match kind {
            0 => {
                let junk: [u8; 120] = net.rng().bytes();
                net.send_from(self.sources[number].host, self.victim, junk.to_vec());
            }
            1 => {
                let target = net.random_id();
                let query = Query::about(target, Method::FindNode);
                self.ask(net, number, query);
            }
            _ => {
                let signature: [u8; 64] = net.rng().bytes();
                let token = self.sources[number].token.clone().unwrap_or_else(|| vec![1; 8]);
                let seq = u64::from(self.sent);
                let item = SignedItem::new(&[9; 32], seq, b"not signed by anybody", &signature);
                let item = Item::Signed(item);
                let put = Method::Put { token: &token, item, cas: None, age: 0, lifetime: None };
                self.ask(net, number, Query::about(self.key, put));
            }
        }
    }

    fn ask(&mut self, net: &mut Network, number: usize, query: Query<'_>) {
        let transaction: [u8; 8] = net.rng().bytes();
        let mut message = Message::new(&transaction, self.id(number), Body::Query(query));
        let Some(source) = self.sources.get(number) else { return };
        message.cookie = source.cookie;
        let mut datagram = Vec::new();
        self.wire.encode(&message, None, &mut datagram);
        if source.cookie.is_none() {
            self.questions.insert(transaction, datagram.len());
        }
        net.send_from(source.host, self.victim, datagram);
    }

    /// Takes what the victim answered.
    fn listen(&mut self, net: &mut Network, burden: &mut Burden) {
        for number in 0..self.sources.len() {
            for (_, datagram) in net.heard(self.sources[number].host) {
                let Ok(message) = self.wire.decode(&datagram) else { continue };
                let question = message.transaction.try_into().ok();
                let question = question.and_then(|it: [u8; 8]| self.questions.remove(&it));
                if let Some(question) = question {
                    let times = datagram.len() * 100 / question;
                    burden.amplification = burden.amplification.max(times as u64);
                }
                let Body::Response(response) = &message.body else { continue };
                let source = &mut self.sources[number];
                if number % 2 == 0 {
                    source.cookie = source.cookie.or(message.cookie);
                    source.token = response.token.map(<[u8]>::to_vec).or(source.token.take());
                }
            }
        }
    }
}
