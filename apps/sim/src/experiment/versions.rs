//! Several versions in one network (`mixed-versions`): today's nodes, and nodes of a later version,
//! played by changing what a node sends. The later version has fields in every message, capability
//! bits, a method of its own and a reserved one, none of which today's nodes know.

use kadlet_core::record::{Item, Value};
use kadlet_core::wire::Method;
use kadlet_core::wire::native::{MAX_DATAGRAM, Native};
use kadlet_core::{Capabilities, Config, Event, GetQuery, Outcome, PutOptions, Rng, Transmit};

use super::sybil::Share;
use crate::network::{Network, NodeOptions, SimConfig};
use crate::report::NotAtRest;
use crate::watch::Watch;

/// One experiment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Versions {
    /// Nodes of all versions.
    pub nodes: usize,
    /// Those of the later version, of a hundred.
    pub later_percent: usize,
    /// Lookups, and values stored and read.
    pub operations: usize,
    /// The settings of everybody.
    pub config: Config,
}

/// How it went.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Harmony {
    /// Lookups that ended with exactly the k closest nodes, of either version.
    pub exact: Share,
    /// Values found, of those stored.
    pub found: Share,
    /// Holders that acknowledged, of k for each value, or of all others if they are fewer.
    pub stored: Share,
    /// Nodes asked that counted as failed, of all asked.
    pub failed: Share,
}

impl Versions {
    /// A network of `nodes`, so many percent of which are of a later version.
    #[must_use]
    pub fn new(nodes: usize, later_percent: usize) -> Self {
        Self { nodes, later_percent, operations: 20, config: Config::default() }
    }

    /// Runs it.
    ///
    /// # Errors
    /// If something does not end.
    pub fn run(&self, seed: u64) -> Result<Harmony, NotAtRest> {
        self.run_watched(seed, &Watch::default())
    }

    /// Runs it, followed by somebody.
    ///
    /// # Errors
    /// If something does not end, or it was stopped.
    pub fn run_watched(&self, seed: u64, watch: &Watch) -> Result<Harmony, NotAtRest> {
        let mut sim = SimConfig::with_seed(seed);
        sim.watch = Some(watch.clone());
        let mut net = Network::new(sim);
        let kinds = mixture(&self.config, self.later_percent);
        net.grow_each(kinds.into_iter().cycle().take(self.nodes))?;
        net.run_for(core::time::Duration::from_secs(60));
        let (mut harmony, k) = (Harmony::default(), self.config.lookup.k);
        let began = net.now();
        for number in 0..self.operations {
            net.expect_as_since(began, number, self.operations);
            let (asker, target) = (net.random_live(), net.random_id());
            let lookup = net.command(asker, |node, now| node.find_node(now, target));
            let report = net.wait(lookup)?;
            harmony.exact.note(report.closest_ids() == net.closest_live(target, k, asker));
            let totals = report.totals();
            harmony.failed.add(totals.failed.into(), totals.asked.into());

            let (writer, reader, item) = (net.random_live(), net.random_live(), value(number));
            let key = item.key();
            let put =
                net.command(writer, |node, now| match node.put(now, item, PutOptions::default()) {
                    Ok(operation) => operation,
                    Err(error) => unreachable!("a short value is refused: {error:?}"),
                });
            let report = net.wait(put)?;
            let holders = report.events().iter();
            let stored = holders.filter(|(_, event)| matches!(event, Event::Stored { .. })).count();
            let asked = k.min(self.nodes - 1);
            harmony.stored.add(stored.min(asked) as u64, asked as u64);
            let get = net.command(reader, |node, now| node.get(now, GetQuery::new(key)));
            harmony.found.note(net.wait(get)?.outcome() == Outcome::Success);
        }
        Ok(harmony)
    }
}

/// A hundred nodes with these settings, so many of them of the later version, in an order in which
/// any few in a row are a fair sample.
pub fn mixture(config: &Config, later_percent: usize) -> Vec<NodeOptions> {
    let today = NodeOptions::new(config.clone());
    let mut later = today.clone();
    later.rewrite = Some(later_version);
    later.config.capabilities = config.capabilities.union(NEW_CAPABILITIES);
    // As 37 has no divisor in common with 100, every remainder comes once.
    let is_later = |number: usize| number * 37 % 100 < later_percent;
    let of = |number| if is_later(number) { later.clone() } else { today.clone() };
    (0..100).map(of).collect()
}

fn value(number: usize) -> Item {
    match Value::new(format!("value number {number} of any version")) {
        Ok(value) => Item::Immutable(value),
        Err(error) => unreachable!("a short value is refused: {error}"),
    }
}

/// Where things are in the frozen header (docs/protocol.md).
const KIND: usize = 12;
const METHOD: core::ops::Range<usize> = 14..16;
const TRANSACTION: core::ops::Range<usize> = 16..24;
const QUERY: u8 = 0;

/// A method, a field and capabilities of a later version.
const NEW_METHOD: u16 = 700;
const NEW_FIELD: u16 = 77;
const NEW_CAPABILITIES: Capabilities = Capabilities(0x8100_0000);

/// What a later version sends: a field that nobody knows, in every message with room for it, and
/// for every other lookup step a method that nobody knows beside it, its own or a reserved one.
pub fn later_version(rng: &mut Rng, mut transmit: Transmit) -> Vec<Transmit> {
    let bytes: [u8; 9] = rng.bytes();
    // Tag with the critical bit not set, as a varint of two bytes; length; content.
    let tag = NEW_FIELD << 1;
    let field = [tag as u8 | 0x80, (tag >> 7) as u8, bytes.len() as u8];
    if transmit.payload.len() + field.len() + bytes.len() <= MAX_DATAGRAM {
        transmit.payload.extend(field);
        transmit.payload.extend(bytes);
    }
    let mut sent = vec![transmit.clone()];
    let find_node = Method::FindNode.code().to_be_bytes();
    if transmit.payload[KIND] == QUERY && transmit.payload[METHOD] == find_node && rng.one_in(2) {
        let reserved = Native::reserved_method(rng.next_u32());
        let method = if rng.one_in(2) { NEW_METHOD } else { reserved };
        transmit.payload[METHOD].copy_from_slice(&method.to_be_bytes());
        transmit.payload[TRANSACTION].copy_from_slice(&rng.bytes::<8>());
        sent.push(transmit);
    }
    sent
}
