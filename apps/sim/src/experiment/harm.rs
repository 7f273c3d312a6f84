//! What an attack did, as figures.

use super::figures::Figures;
use super::sybil::{Harm, Share};

impl Harm {
    /// The figures of one run.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        let mut share = |name, Share { count, of }: Share| {
            // Counts of things in memory.
            figures.share(name, count as usize, of as usize);
        };
        share("found", self.found);
        share("held", self.held);
        share("eclipsed", self.eclipsed);
        share("reached", self.reached);
        share("closest", self.closest);
        let reads = self.eclipsed.of.max(1) as f64;
        let of = Some(self.eclipsed.of);
        figures.add("datagrams_per_read", "", self.datagrams as f64 / reads, of);
        figures.add("time_of_a_read", "ms", self.millis as f64 / reads, of);
        figures
    }
}
