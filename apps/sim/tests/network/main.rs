//! The core as a whole: networks of real nodes in virtual time, brute force as the oracle.
//!
//! Every test is seeded and gives the same result on every machine. A test that does not come to
//! rest fails: [`Network::wait`] says what it waited for.

extern crate alloc;

mod conditions;
mod ground;
mod joining;
mod lookups;
mod mainline;
mod misfortune;
mod oracle;
mod records;
mod threads;
mod trace;
mod versions;

use core::time::Duration;

use kadlet_core::record::{Item, SignedValue, Value};
use kadlet_core::{Config, Id};
use kadlet_sim::{Network, NodeIndex, Report, SimConfig};

/// Contacts a lookup ends with: the default k.
const K: usize = 20;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// A network of `count` nodes with the default settings, all joined and quiet for a minute.
fn network(seed: u64, count: usize) -> Network {
    let mut net = Network::new(SimConfig::with_seed(seed));
    net.grow(count, &Config::default()).expect("all nodes join");
    net.run_for(MINUTE);
    net
}

/// One lookup.
fn lookup(net: &mut Network, asker: NodeIndex, target: Id) -> Report {
    let operation = net.command(asker, |node, now| node.find_node(now, target));
    net.wait(operation).expect("a lookup ends")
}

/// What became of some lookups.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Quality {
    /// Lookups.
    of: usize,
    /// Those that ended with exactly the k closest living servers.
    exact: usize,
    /// Of the living servers that should have been found those that were, in thousandths.
    found: usize,
}

impl Quality {
    /// Nothing was missed by any.
    const fn is_perfect(&self) -> bool {
        self.exact == self.of && self.found == 1_000
    }
}

/// `count` lookups from random nodes for random targets, held against brute force. Whoever leaves in
/// the midst of its lookup is not served badly.
fn quality(net: &mut Network, count: usize) -> Quality {
    let (mut of, mut exact, mut found, mut there) = (0, 0, 0, 0);
    for _ in 0..count {
        let (asker, target) = (net.random_live(), net.random_id());
        let operation = net.command(asker, |node, now| node.find_node(now, target));
        let got = match net.wait(operation) {
            Ok(report) => report.closest_ids(),
            Err(_) if net.has_left(asker) => continue,
            Err(error) => panic!("a lookup ends: {error}"),
        };
        let truth = net.closest_live(target, K, asker);
        of += 1;
        exact += usize::from(got == truth);
        found += truth.iter().filter(|id| got.contains(id)).count();
        there += truth.len();
    }
    Quality { of, exact, found: found * 1_000 / there.max(1) }
}

/// An immutable value.
fn immutable(bytes: &[u8]) -> Item {
    Item::Immutable(Value::new(bytes).expect("within the limit"))
}

/// A signed value of the owner with this number.
fn signed(owner: u8, salt: &[u8], seq: u64, value: &[u8]) -> Item {
    Item::Signed(SignedValue::sign(&[owner; 32], salt, seq, value).expect("within the limits"))
}

/// The key of such a value.
fn signed_key(owner: u8, salt: &[u8]) -> Id {
    SignedValue::key_of(&SignedValue::public_key_of(&[owner; 32]), salt)
}
