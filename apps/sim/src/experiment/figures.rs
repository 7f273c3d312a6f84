//! What an experiment finds: named numbers with their units, in a fixed order.

use core::fmt;

use crate::quality::{Sample, ms, quantile, sorted};

/// One number.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Figure {
    /// In snake case.
    pub name: &'static str,
    /// Of the value: `ms`, `share`, `bytes/s`, …; empty for a count.
    pub unit: &'static str,
    /// The value.
    pub value: f64,
    /// Of a share its denominator, of a quantile or a mean how many were measured.
    pub of: Option<u64>,
}

impl Figure {
    /// Of a share its denominator, under the name that it has where it stands beside the share.
    #[must_use]
    pub fn denominator(&self) -> Option<(String, u64)> {
        let of = self.of.filter(|_| self.unit == "share")?;
        Some((format!("{}_of", self.name), of))
    }
}

/// What was measured many times.
#[derive(Clone, PartialEq, Debug)]
pub struct Distribution {
    /// In words.
    pub name: &'static str,
    /// Of the values.
    pub unit: &'static str,
    /// In ascending order.
    pub values: Vec<f64>,
}

/// The numbers of one run, and the distributions behind some of them.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Figures(pub Vec<Figure>, pub Vec<Distribution>);

impl Figures {
    /// Adds a number.
    pub fn add(&mut self, name: &'static str, unit: &'static str, value: f64, of: Option<u64>) {
        self.0.push(Figure { name, unit, value, of });
    }

    /// Adds a share.
    pub fn share(&mut self, name: &'static str, count: usize, of: usize) {
        // Counts of a simulation are far below 2^53.
        let value = if of == 0 { f64::NAN } else { count as f64 / of as f64 };
        self.add(name, "share", value, Some(of as u64));
    }

    /// Adds a mean.
    pub fn mean(&mut self, name: &'static str, unit: &'static str, values: &[f64]) {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        self.add(name, unit, mean, Some(values.len() as u64));
    }

    /// Adds a median and the tails that matter.
    pub(super) fn quantiles(
        &mut self,
        names: [&'static str; 3],
        unit: &'static str,
        values: &[f64],
    ) {
        for (name, permille) in names.into_iter().zip([500, 950, 990]) {
            self.add(name, unit, quantile(values, permille), Some(values.len() as u64));
        }
    }

    /// A figure by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Figure> {
        self.0.iter().find(|figure| figure.name == name)
    }

    /// A number by its name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<f64> {
        self.get(name).map(|figure| figure.value)
    }

    /// What lookups are measured by; those by other policies under their names.
    pub fn lookups(&mut self, samples: &[Sample], nodes: usize, policies: &[&'static str]) {
        let every = |value: &dyn Fn(&Sample) -> f64| sorted(samples.iter().map(value));
        // Where nobody was to be found, it is no merit to have found all of them at once.
        let aimed = samples.iter().filter(|it| it.wanted > 0);
        let of = |value: &dyn Fn(&Sample) -> f64| sorted(aimed.clone().map(value));
        let some = |value: &dyn Fn(&Sample) -> Option<f64>| sorted(aimed.clone().filter_map(value));
        let first = some(&|it| it.first.map(ms));
        let all = of(&|it| ms(it.all));
        let complete = of(&|it| ms(it.complete));
        let ideal_first = some(&|it| it.ideal.first.map(ms));
        let ideal_complete = of(&|it| ms(it.ideal.complete));
        let round_first = some(&|it| it.one_round.first.map(ms));
        let round_complete = of(&|it| ms(it.one_round.complete));
        for (name, values) in [
            ("first answer", &first),
            ("all answers", &all),
            ("complete", &complete),
            ("complete, ideal tables", &ideal_complete),
        ] {
            self.1.push(Distribution { name, unit: "ms", values: values.clone() });
        }
        let exact = aimed.clone().filter(|it| it.exact).count();
        self.share("exact", exact, complete.len());
        let (found, wanted) =
            samples.iter().fold((0, 0), |(a, b), it| (a + it.found, b + it.wanted));
        self.share("found", found, wanted);
        self.quantiles(["first_p50", "first_p95", "first_p99"], "ms", &first);
        self.quantiles(["all_p50", "all_p95", "all_p99"], "ms", &all);
        self.quantiles(["complete_p50", "complete_p95", "complete_p99"], "ms", &complete);
        self.quantiles(
            ["ideal_first_p50", "ideal_first_p95", "ideal_first_p99"],
            "ms",
            &ideal_first,
        );
        let names = ["ideal_complete_p50", "ideal_complete_p95", "ideal_complete_p99"];
        self.quantiles(names, "ms", &ideal_complete);
        let count = Some(complete.len() as u64);
        let ratio = |ours: &[f64], best: &[f64]| quantile(ours, 500) / quantile(best, 500);
        self.add("first_to_ideal", "ratio", ratio(&first, &ideal_first), count);
        self.add("all_to_ideal", "ratio", ratio(&all, &ideal_complete), count);
        self.add("complete_to_ideal", "ratio", ratio(&complete, &ideal_complete), count);
        self.add("first_to_one_round", "ratio", ratio(&first, &round_first), count);
        self.add("complete_to_one_round", "ratio", ratio(&complete, &round_complete), count);
        self.mean("hops", "", &every(&|it| f64::from(it.hops)));
        self.add("log2_nodes", "", libm::log2(nodes as f64), None);
        self.mean("asked", "", &every(&|it| f64::from(it.asked)));
        self.mean("datagrams_per_lookup", "", &every(&|it| f64::from(it.datagrams)));
        self.mean("bytes_per_lookup", "bytes", &every(&|it| it.bytes as f64));
        for (at, name) in policies.iter().enumerate() {
            let theirs = some(&|it| it.others.get(at).map(|timing| ms(timing.complete)));
            self.add(name, "ms", quantile(&theirs, 500), count);
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Figure { name, unit, value, of } in &self.0 {
            let of = of.map(|of| format!("  of {of}")).unwrap_or_default();
            writeln!(f, "{name:<28} {value:>12.4} {unit}{of}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::oracle::Timing;

    /// A lookup that took so long, and found all of so many.
    fn took(time: Duration, wanted: usize) -> Sample {
        let timing =
            Timing { first: (wanted > 0).then_some(time), complete: time, ..<_>::default() };
        Sample {
            first: timing.first,
            all: time,
            complete: time,
            hops: 1,
            asked: 2,
            datagrams: 2,
            bytes: 200,
            exact: true,
            found: wanted,
            wanted,
            ideal: timing,
            one_round: timing,
            others: vec![timing],
        }
    }

    #[test]
    fn who_has_nobody_to_find_is_neither_exact_nor_quick() {
        let mut figures = Figures::default();
        let samples = [took(Duration::from_millis(300), 8), took(Duration::ZERO, 0)];
        figures.lookups(&samples, 9, &["other_p50"]);
        let of = |name: &str| figures.0.iter().find(|it| it.name == name).expect("a figure").of;
        for name in ["exact", "all_p50", "complete_p50", "ideal_complete_p50", "other_p50"] {
            assert_eq!(of(name), Some(1), "{name}");
        }
        assert_eq!(figures.value("complete_p50"), Some(300.0));
        // What it cost all the same.
        assert_eq!(of("asked"), Some(2));
    }
}
