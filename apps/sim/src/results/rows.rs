//! Rows: one a run, one column a figure; and medians over seeds.

use alloc::collections::BTreeMap;

use super::Run;
use crate::experiment::figures::Figure;
use crate::page::{json_number, json_object, json_string, number};

/// A median and where it lies with 95 % confidence.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Interval {
    /// The median.
    pub median: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// Of how many runs.
    pub of: usize,
}

/// The median of some values and its 95 % interval by order statistics: between the values that at
/// most 2.5 % of all medians lie below and above. Of fewer than six values no such interval exists;
/// then it is the least and the greatest. None if no value is a number.
#[must_use]
pub fn interval(values: &[f64]) -> Option<Interval> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let n = sorted.len();
    let (first, last) = (sorted.first()?, sorted.last()?);
    let median = match n % 2 {
        1 => sorted[n / 2],
        _ => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    };
    // The chance that at most `below` of n values lie below the median, while it stays below 2.5 %.
    let mut chance = libm::pow(0.5, n as f64);
    let (mut sum, mut below) = (chance, 0);
    let mut found = None;
    while sum <= 0.025 && 2 * below < n {
        found = Some(below);
        chance *= (n - below) as f64 / (below + 1) as f64;
        below += 1;
        sum += chance;
    }
    let (low, high) = match found {
        Some(below) => (sorted[below], sorted[n - 1 - below]),
        None => (*first, *last),
    };
    Some(Interval { median, low, high, of: n })
}

/// The names of all figures, in the order in which they first come, with their units.
pub(super) fn names(runs: &[Run]) -> Vec<(&'static str, &'static str)> {
    let mut names: Vec<(&str, &str)> = Vec::new();
    for figure in runs.iter().flat_map(|run| &run.figures.0) {
        if !names.iter().any(|(name, _)| *name == figure.name) {
            names.push((figure.name, figure.unit));
        }
    }
    names
}

/// Settings, and the runs that have them.
pub(super) type Group<'a> = (&'a [(String, String)], Vec<&'a Run>);

/// Runs with the same settings, in order.
pub(super) fn groups(runs: &[Run]) -> Vec<Group<'_>> {
    let mut places: BTreeMap<&[(String, String)], usize> = BTreeMap::new();
    let mut groups: Vec<Group<'_>> = Vec::new();
    for run in runs {
        let place = *places.entry(&run.settings).or_insert_with(|| {
            groups.push((&run.settings, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(run);
    }
    groups
}

pub(super) fn over(runs: &[&Run], name: &str) -> Option<Interval> {
    let values: Vec<f64> = runs.iter().filter_map(|run| run.figures.value(name)).collect();
    interval(&values)
}

/// A number; nothing for none.
fn cell(value: Option<f64>) -> String {
    value.and_then(number).unwrap_or_default()
}

fn field(text: &str) -> String {
    match text.contains([',', '"', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

fn settings(runs: &[Run]) -> Vec<&str> {
    runs.first()
        .map(|run| run.settings.iter().map(|(key, _)| key.as_str()).collect())
        .unwrap_or_default()
}

/// CSV: one row a run, with a header; beside each share its denominator, so that shares of several
/// runs can be added up.
#[must_use]
pub fn to_csv(runs: &[Run]) -> String {
    let names = names(runs);
    let mut columns = vec!["scenario".to_owned(), "seed".to_owned()];
    columns.extend(settings(runs).into_iter().map(str::to_owned));
    let mut of_shares = Vec::new();
    for (name, _) in &names {
        columns.push((*name).to_owned());
        let mut figures = runs.iter().filter_map(|run| run.figures.get(name));
        let denominator = figures.find_map(Figure::denominator);
        of_shares.push(denominator.is_some());
        columns.extend(denominator.map(|(name, _)| name));
    }
    let mut out = columns.join(",") + "\n";
    for run in runs {
        let mut fields = vec![field(&run.scenario), run.seed.to_string()];
        fields.extend(run.settings.iter().map(|(_, value)| field(value)));
        for ((name, _), is_share) in names.iter().zip(&of_shares) {
            let figure = run.figures.get(name);
            fields.push(cell(figure.map(|figure| figure.value)));
            if *is_share {
                let of = figure.and_then(Figure::denominator);
                fields.push(of.map(|(_, of)| of.to_string()).unwrap_or_default());
            }
        }
        out += &fields.join(",");
        out.push('\n');
    }
    out
}

/// CSV: one row for each combination of settings and figure, with the median and its interval.
pub(super) fn summary_csv(runs: &[Run]) -> String {
    let mut columns = settings(runs);
    columns.extend(["figure", "unit", "median", "low", "high", "runs"]);
    let mut out = columns.join(",") + "\n";
    for (settings, runs_of) in groups(runs) {
        for (name, unit) in names(runs) {
            let Some(it) = over(&runs_of, name) else { continue };
            let mut fields: Vec<String> = settings.iter().map(|(_, value)| field(value)).collect();
            fields.extend([name.to_owned(), field(unit)]);
            fields.extend([it.median, it.low, it.high].map(|value| cell(Some(value))));
            fields.push(it.of.to_string());
            out += &fields.join(",");
            out.push('\n');
        }
    }
    out
}

/// JSON lines: one object a run; what is not a number is null.
#[must_use]
pub fn to_json_lines(runs: &[Run]) -> String {
    runs.iter().map(|run| json(run) + "\n").collect()
}

fn json(run: &Run) -> String {
    let settings = run.settings.iter().map(|(key, value)| (key, json_string(value)));
    let figures = run.figures.0.iter().map(|figure| {
        let mut members = vec![
            ("name", json_string(figure.name)),
            ("unit", json_string(figure.unit)),
            ("value", json_number(figure.value)),
        ];
        members.extend(figure.of.map(|of| ("of", of.to_string())));
        json_object(members)
    });
    json_object([
        ("scenario", json_string(&run.scenario)),
        ("seed", run.seed.to_string()),
        ("settings", json_object(settings)),
        ("figures", format!("[{}]", figures.collect::<Vec<_>>().join(","))),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::figures::Figures;

    /// Tables of the sign test: of 6 values the interval is all of them, of 20 the 6th to the 15th.
    #[test]
    fn intervals_are_those_of_order_statistics() {
        let values = |n: u32| (1..=n).map(f64::from).collect::<Vec<_>>();
        for (n, low, high) in
            [(3, 1.0, 3.0), (5, 1.0, 5.0), (6, 1.0, 6.0), (9, 2.0, 8.0), (20, 6.0, 15.0)]
        {
            let it = interval(&values(n)).expect("values");
            assert_eq!((it.low, it.high), (low, high), "of {n}");
            assert_eq!(it.median, f64::from(n + 1) / 2.0);
        }
        assert_eq!(interval(&[f64::NAN]), None);
    }

    #[test]
    fn rows_are_what_others_can_read() {
        let mut figures = Figures::default();
        figures.add("a", "ms", 1.5, Some(3));
        figures.add("b", "", f64::NAN, None);
        figures.share("c", 1, 4);
        let settings = vec![("line_up".to_owned(), "1,5 \"kB/s\"".to_owned())];
        let runs = [Run { scenario: "x".to_owned(), seed: 7, settings, figures }];
        assert_eq!(
            to_csv(&runs),
            "scenario,seed,line_up,a,b,c,c_of\nx,7,\"1,5 \"\"kB/s\"\"\",1.5,,0.25,4\n"
        );
        assert_eq!(
            to_json_lines(&runs),
            "{\"scenario\":\"x\",\"seed\":7,\"settings\":{\"line_up\":\"1,5 \\\"kB/s\\\"\"},\"figures\":[{\"name\":\"a\",\"unit\":\"ms\",\"value\":1.5,\"of\":3},{\"name\":\"b\",\"unit\":\"\",\"value\":null},{\"name\":\"c\",\"unit\":\"share\",\"value\":0.25,\"of\":4}]}\n"
        );
        assert_eq!(
            summary_csv(&runs),
            "line_up,figure,unit,median,low,high,runs\n\"1,5 \"\"kB/s\"\"\",a,ms,1.5,1.5,1.5,1\n\"1,5 \"\"kB/s\"\"\",c,share,0.25,0.25,0.25,1\n"
        );
    }
}
