//! `partition`: the network falls into two parts that do not hear each other, and heals.

use core::time::Duration;

use kadlet_core::record::{Form, Item, Value};
use kadlet_core::{GetQuery, Id, Outcome, PutOptions};

use super::figures::Figures;
use super::setting::Setting;
use crate::host::NodeIndex;
use crate::network::Network;
use crate::oracle::Picture;
use crate::report::{NotAtRest, Operation};

/// A partition that heals.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Partition {
    /// The network; so many lookups are made at each moment that is looked at.
    pub setting: Setting,
    /// Nodes in the smaller part, in percent.
    pub part: usize,
    /// How long it lasts.
    pub lasts: Duration,
    /// Values stored in the larger part meanwhile and read in the smaller one afterwards.
    pub values: usize,
}

/// When it is looked at how much has healed.
const MOMENTS: [(&str, &str, u64); 5] = [
    ("found_1_min_after", "exact_1_min_after", 60),
    ("found_10_min_after", "exact_10_min_after", 600),
    ("found_30_min_after", "exact_30_min_after", 1_800),
    ("found_1_h_after", "exact_1_h_after", 3_600),
    ("found_2_h_after", "exact_2_h_after", 7_200),
];

impl Partition {
    /// One part of three, for an hour.
    #[must_use]
    pub const fn new(setting: Setting) -> Self {
        Self { setting, part: 33, lasts: Duration::from_secs(3_600), values: 20 }
    }

    /// Runs it.
    ///
    /// # Errors
    /// If something does not end.
    pub fn run(&self) -> Result<Figures, NotAtRest> {
        let mut net =
            self.setting.network(self.lasts + Duration::from_secs(MOMENTS[MOMENTS.len() - 1].2))?;
        let mut nodes = net.live().to_vec();
        net.rng().shuffle(&mut nodes);
        let (smaller, larger) = nodes.split_at(nodes.len() * self.part / 100);
        smaller.iter().for_each(|node| net.set_side(*node, 1));
        let mut figures = Figures::default();
        net.run_for(self.lasts / 2);
        let mut keys = Vec::new();
        for number in 0..self.values {
            let writer = one_of(&mut net, larger);
            keys.push(store(&mut net, writer, number)?);
        }
        net.run_for(self.lasts / 2);
        let everybody = net.live().to_vec();
        let lookups = self.setting.lookups;
        let meanwhile = AtOnce::begin(&mut net, &everybody, lookups);
        meanwhile.end(&mut net, ["found_meanwhile", "exact_meanwhile"], &mut figures)?;
        smaller.iter().for_each(|node| net.set_side(*node, 0));
        let healed = net.now();
        let mut begun = Vec::new();
        for (found_name, exact_name, after) in MOMENTS {
            net.run_for((healed + Duration::from_secs(after)).since(net.now()));
            begun.push(([found_name, exact_name], AtOnce::begin(&mut net, &everybody, lookups)));
        }
        for (names, moment) in begun {
            moment.end(&mut net, names, &mut figures)?;
        }
        let mut read = 0;
        for key in &keys {
            let reader = one_of(&mut net, smaller);
            read += usize::from(fetch(&mut net, reader, *key)?);
        }
        figures.share("values_read_across", read, keys.len());
        Ok(figures)
    }
}

/// Lookups that began at the same moment, and the ids of those closest to their targets then: one
/// after the other the last would begin minutes later.
pub(super) struct AtOnce(Vec<(Operation, Vec<Id>)>);

impl AtOnce {
    /// So many by these nodes, by each in turn; not waited for, so that the next moment is on time.
    pub(super) fn begin(net: &mut Network, askers: &[NodeIndex], lookups: usize) -> Self {
        let mut askers = askers.to_vec();
        net.rng().shuffle(&mut askers);
        let turns = askers.iter().cycle().take(lookups);
        let asked: Vec<(NodeIndex, Id)> = turns.map(|asker| (*asker, net.random_id())).collect();
        let picture = Picture::of(net);
        let closest = |(asker, target): &(NodeIndex, Id)| -> Vec<Id> {
            let k = net.node(*asker).config().lookup.k;
            picture.closest(*target, k, *asker).into_iter().map(|it| it.0).collect()
        };
        let truth: Vec<_> = asked.iter().map(closest).collect();
        drop(picture);
        let begun = asked.into_iter().zip(truth).map(|((asker, target), truth)| {
            (net.command(asker, |node, now| node.find_node(now, target)), truth)
        });
        Self(begun.collect())
    }

    /// Waits for them: the share of those closest that were found, and of lookups that found them
    /// all.
    pub(super) fn end(
        self,
        net: &mut Network,
        [found_name, exact_name]: [&'static str; 2],
        figures: &mut Figures,
    ) -> Result<(), NotAtRest> {
        let (mut found, mut wanted, mut exact, mut aimed) = (0, 0, 0, 0);
        for (operation, truth) in self.0 {
            let got = net.wait(operation)?.closest_ids();
            let hits = truth.iter().filter(|id| got.contains(id)).count();
            found += hits;
            wanted += truth.len();
            aimed += usize::from(!truth.is_empty());
            exact += usize::from(!truth.is_empty() && hits == truth.len());
        }
        figures.share(found_name, found, wanted);
        figures.share(exact_name, exact, aimed);
        Ok(())
    }
}

/// One of these nodes.
pub(super) fn one_of(net: &mut Network, nodes: &[NodeIndex]) -> NodeIndex {
    // Below the length of a slice, so it fits usize.
    nodes[net.rng().below(nodes.len() as u64) as usize]
}

/// Stores a value that is told apart by its number; gives its key.
pub(super) fn store(net: &mut Network, writer: NodeIndex, number: usize) -> Result<Id, NotAtRest> {
    let (key, operation) = begin_to_store(net, writer, number);
    net.wait(operation)?;
    Ok(key)
}

/// The same without waiting for its end.
pub(super) fn begin_to_store(
    net: &mut Network,
    writer: NodeIndex,
    number: usize,
) -> (Id, Operation) {
    let mut bytes = [0; 64];
    bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    let (form, bytes) = match net.node(writer).config().network {
        // A bencoded string.
        kadlet_core::Network::Mainline => (Form::Bencode, [b"64:", &bytes[..]].concat()),
        _ => (Form::Native, bytes.to_vec()),
    };
    let Ok(value) = Value::of(form, bytes) else { unreachable!("64 bytes are no large value") };
    let item = Item::Immutable(value);
    let key = item.key();
    // Where holders hand nothing on, publishers come again (BEP 44).
    let mut options = PutOptions::default();
    options.renew = form == Form::Bencode;
    let operation = net.command(writer, |node, now| match node.put(now, item, options) {
        Ok(operation) => operation,
        Err(error) => unreachable!("a small value is refused: {error}"),
    });
    (key, operation)
}

/// Whether a value is found.
pub(super) fn fetch(net: &mut Network, reader: NodeIndex, key: Id) -> Result<bool, NotAtRest> {
    let operation = net.command(reader, |node, now| node.get(now, GetQuery::new(key)));
    Ok(net.wait(operation)?.outcome() == Outcome::Success)
}
