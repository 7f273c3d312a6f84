//! `republish`: values whose publishers have gone, while nodes come and go for days.

use core::time::Duration;

use kadlet_core::Id;

use super::figures::Figures;
use super::partition::{fetch, store};
use super::setting::{Setting, seasoned};
use crate::network::Network;
use crate::report::NotAtRest;

/// Values that nobody renews.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Republish {
    /// The network; its sessions begin when the values are stored.
    pub setting: Setting,
    /// Values, each stored by a node that then leaves.
    pub values: usize,
    /// For how long nobody renews them.
    pub hours: u32,
}

impl Republish {
    /// A day.
    #[must_use]
    pub const fn new(setting: Setting, values: usize) -> Self {
        Self { setting, values, hours: 24 }
    }

    /// Runs it.
    ///
    /// # Errors
    /// If something does not end.
    pub fn run(&self) -> Result<Figures, NotAtRest> {
        let mut net = Network::new(self.setting.sim.clone());
        self.setting.grow(&mut net)?;
        let living = Duration::from_secs(3_600) * self.hours;
        net.expect(self.setting.warm_up + living);
        net.run_for(self.setting.warm_up);
        let before = net.live().to_vec();
        let mut publishers = Vec::new();
        for options in self.setting.kinds().iter().cycle().take(self::publishers(self.values)) {
            publishers.extend(net.grow_with(1, options)?);
        }
        let mut keys = Vec::with_capacity(self.values);
        for number in 0..self.values {
            let writer = publishers[number % publishers.len()];
            keys.push(store(&mut net, writer, number)?);
        }
        publishers.iter().for_each(|publisher| net.kill(*publisher));
        let mut figures = Figures::default();
        let copies = |net: &Network| {
            let held: u32 = net.live().iter().map(|it| net.node(*it).health().records).sum();
            f64::from(held) / self.values as f64
        };
        let count = Some(self.values as u64);
        figures.add("copies_at_first", "", copies(&net), count);
        self.setting.start_churn(&mut net, &[]);
        let sent = net.counters().sent;
        let start = net.now();
        for (hour, name) in MOMENTS {
            let passed = Duration::from_secs(3_600) * hour;
            if passed < living {
                net.run_for(passed.saturating_sub(net.now().since(start)));
                figures.add(name, "copies", copies(&net), count);
            }
        }
        net.run_for(living.saturating_sub(net.now().since(start)));
        let sent = (net.counters().sent - sent) as f64;
        let node_seconds = self.setting.nodes as f64 * 3_600.0 * f64::from(self.hours);
        figures.add("datagrams", "per node and second", sent / node_seconds, None);
        figures.add("copies_in_the_end", "", copies(&net), count);
        let replaced = net.counters().replaced as f64 / self.setting.nodes as f64;
        figures.add("replaced", "of each node", replaced, None);
        let stayed = before.iter().filter(|node| !net.has_left(**node)).count();
        figures.share("stayed", stayed, before.len());
        let (mut at_once, mut alive) = (0, 0);
        for key in keys {
            let readers = readers_needed(&mut net, key)?;
            at_once += usize::from(readers == Some(1));
            alive += usize::from(readers.is_some());
        }
        figures.share("read_at_once", at_once, self.values);
        figures.share("alive", alive, self.values);
        Ok(figures)
    }
}

/// One for a hundred values: a store counts what comes from one source.
pub(crate) const fn publishers(values: usize) -> usize {
    values.div_ceil(100)
}

/// When it is looked how many copies there are.
const MOMENTS: [(u32, &str); 8] = [
    (1, "copies_1_h_after"),
    (2, "copies_2_h_after"),
    (4, "copies_4_h_after"),
    (8, "copies_8_h_after"),
    (16, "copies_16_h_after"),
    (24, "copies_24_h_after"),
    (48, "copies_48_h_after"),
    (96, "copies_96_h_after"),
];

/// Readers that try a value before it counts as dead.
const TRIES: u32 = 3;

/// How many of them it took to read a value; none if it is dead.
fn readers_needed(net: &mut Network, key: Id) -> Result<Option<u32>, NotAtRest> {
    let mut tried = 0;
    while tried < TRIES {
        let reader = seasoned(net);
        match fetch(net, reader, key) {
            Ok(true) => return Ok(Some(tried + 1)),
            Ok(false) => tried += 1,
            // It left meanwhile.
            Err(_) if net.has_left(reader) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
