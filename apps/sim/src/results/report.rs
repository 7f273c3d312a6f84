//! The report: what was run, what came of it, and how to see it again.

use super::rows::{groups, names, over};
use super::{Plan, Run};
use crate::page::{LEFT, RIGHT, picture, table};
use crate::plot::Plot;
use crate::unit::significant;

pub(super) fn report(plan: &Plan, runs: &[Run], command: &str, plots: &[(String, Plot)]) -> String {
    let scenario = &plan.scenario;
    let mut out = format!(
        "# {}\n\n{}\n\n`{command}`\n\n{} runs of unmodified nodes that exchange real datagrams in virtual time. The same seed gives the same numbers on every machine.\n\n",
        scenario.name,
        scenario.about,
        runs.len()
    );
    for (settings, of) in groups(runs) {
        let named: Vec<_> =
            settings.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        if !named.is_empty() {
            out += &format!("## {}\n\n", named.join(", "));
        }
        out += &format!(
            "Median of {} runs, and the interval in which it lies with 95 % confidence{}.\n\n",
            of.len(),
            if of.len() < 6 { " (of fewer than six runs: least and greatest)" } else { "" }
        );
        out += &(figures(runs, &of) + "\n");
    }
    for (file, plot) in plots {
        out += &(picture(file, &plot.title) + "\n");
    }
    let keys = scenario.values().into_iter();
    let settings = keys.map(|(key, _)| vec![key.to_owned(), plan.value(key)]);
    out + "## Settings\n\n" + &table(&[("key", LEFT), ("value", LEFT)], settings)
}

/// What came of runs with the same settings.
fn figures(all: &[Run], of: &[&Run]) -> String {
    let row = |(name, unit): (&str, &str)| {
        let it = over(of, name)?;
        let figures = of.iter().flat_map(|run| &run.figures.0).filter(|it| it.name == name);
        let count = match figures.map(|figure| figure.of.unwrap_or(0)).sum::<u64>() {
            0 => String::new(),
            count => count.to_string(),
        };
        // Four digits are enough to read.
        let [median, low, high] = [it.median, it.low, it.high].map(|it| significant(it, 4));
        Some(vec![name.to_owned(), median, format!("{low} to {high}"), unit.to_owned(), count])
    };
    let columns =
        [("figure", LEFT), ("median", RIGHT), ("interval", LEFT), ("unit", LEFT), ("of", LEFT)];
    table(&columns, names(all).into_iter().filter_map(row))
}
