//! What was done to a network, as figures.

use super::figures::Figures;
use super::flood::Burden;
use super::sybil::{Harm, Share};
use super::versions::Harmony;

impl Figures {
    fn shares(&mut self, shares: &[(&'static str, Share)]) {
        for (name, Share { count, of }) in shares {
            // Counts of things in memory.
            self.share(name, *count as usize, *of as usize);
        }
    }
}

impl Harm {
    /// The figures of one run.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        figures.shares(&[
            ("found", self.found),
            ("held", self.held),
            ("eclipsed", self.eclipsed),
            ("reached", self.reached),
            ("closest", self.closest),
            ("provided", self.provided),
            ("false_providers", self.false_providers),
            ("overdue", self.overdue),
        ]);
        let reads = self.eclipsed.of.max(1) as f64;
        let of = Some(self.eclipsed.of);
        figures.add("datagrams_per_read", "", self.datagrams as f64 / reads, of);
        figures.add("time_of_a_read", "ms", self.millis as f64 / reads, of);
        let wholes = self.overdue.of.max(1) as f64;
        let of = Some(self.overdue.of);
        figures.add("time_of_a_whole", "ms", self.whole_millis as f64 / wholes, of);
        figures.add("datagrams_at_victim", "", self.at_victim as f64, None);
        figures
    }
}

impl Harmony {
    /// The figures of one run.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        figures.shares(&[
            ("exact", self.exact),
            ("found", self.found),
            ("stored", self.stored),
            ("failed", self.failed),
        ]);
        figures
    }
}

impl Burden {
    /// The figures of one run.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        figures.shares(&[("exact", self.exact)]);
        let mut count = |name, count: u64| figures.add(name, "", count as f64, None);
        count("arrived", self.arrived);
        count("answered", self.answered);
        count("refused", self.rejected.values().sum());
        count("records_kept", self.records);
        count("flooders_in_table", self.strangers);
        figures.add("longest_answer", "of its question", self.amplification as f64 / 100.0, None);
        figures
    }
}
