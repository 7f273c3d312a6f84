//! Plots of runs: figures against the setting that was swept, distributions, and what changes with
//! time.

use super::rows::{Interval, groups, names, over};
use super::{Plan, Run};
use crate::plot::{Axis, Line, Plot, Scale};
use crate::scenario::{Quantity, find_key};

/// Figures that are drawn together: a name for the file, a title, a unit on the axis, and which.
const FAMILIES: [(&str, &str, &str, &[&str]); 6] = [
    (
        "time",
        "How long a lookup takes",
        "ms",
        &[
            "first_p50",
            "complete_p50",
            "complete_p95",
            "ideal_complete_p50",
            "serial_p50",
            "two_timeouts_p50",
            "fixed_p50",
            "rounds_p50",
        ],
    ),
    (
        "success",
        "How often it succeeds",
        "share",
        &["exact", "found", "alive", "read", "values_read", "reached", "held", "eclipsed"],
    ),
    ("hops", "Hops of a lookup, and log2 of the number of nodes", "", &["hops", "log2_nodes"]),
    (
        "messages",
        "Datagrams of a lookup",
        "",
        &["datagrams_per_lookup", "asked", "datagrams_per_read"],
    ),
    (
        "upkeep",
        "Bytes a node sends without being asked anything",
        "bytes per node and second",
        &["upkeep_bytes"],
    ),
    (
        "tables",
        "What the routing tables are like",
        "share",
        &["bucket_fill", "dead_entries", "false_evictions"],
    ),
];

/// Plots with the names of their files.
pub(super) fn plots(plan: &Plan, runs: &[Run]) -> Vec<(String, Plot)> {
    let mut plots = swept(plan, runs);
    plots.extend(distributions(plan, runs));
    let what = "Median of the runs at each moment; the shade is its 95 % interval.";
    let healing = Plot {
        title: "What has healed, by the time that has passed".to_owned(),
        method: method(plan, runs, what),
        x: Axis::new("minutes since everything was well again", Scale::Log),
        y: Axis::percent("share"),
        lines: over_time(runs, "share"),
    };
    plots.extend(shown("healing", healing));
    let copies = Plot {
        title: "Copies of a value whose writer has left".to_owned(),
        method: method(plan, runs, &format!("Nobody renews it. {what}")),
        x: Axis::new("minutes since it left", Scale::Log),
        y: Axis::new("copies of a value at nodes that run", Scale::Linear),
        lines: over_time(runs, "copies"),
    };
    plots.extend(shown("copies", copies));
    plots
}

/// How a plot's numbers came about.
fn method(plan: &Plan, runs: &[Run], what: &str) -> String {
    let mut seeds: Vec<u64> = runs.iter().map(|run| run.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let seeds = match &seeds[..] {
        [] => "no seed".to_owned(),
        [one] => format!("seed {one}"),
        [first, .., last] => format!("{} seeds ({first} to {last})", seeds.len()),
    };
    // What the scenario says of itself may have been changed.
    let changed = plan.sets.iter().filter(|(key, _)| key != "nodes" && key != "k");
    let changed: Vec<_> =
        changed.map(|(key, values)| format!("{key} = {}", values.join(" / "))).collect();
    let changed = match &changed[..] {
        [] => String::new(),
        changed => format!(" Here with {}.", changed.join(", ")),
    };
    format!(
        "{}: {}{changed} {what} n = {} nodes, k = {}, {seeds}; a simulation of unmodified nodes in virtual time.",
        plan.scenario.name,
        plan.scenario.about,
        plan.value("nodes"),
        plan.value("k"),
    )
}

/// The settings that differ among the runs, in words.
fn varying(runs: &[Run], settings: &[(String, String)], except: Option<usize>) -> Vec<String> {
    let differs = |at: usize, value: &String| {
        runs.iter().any(|run| run.settings.get(at).is_some_and(|(_, other)| other != value))
    };
    let named = settings
        .iter()
        .enumerate()
        .filter(|(at, (_, value))| Some(*at) != except && differs(*at, value));
    named.map(|(_, (key, value))| format!("{key} = {value}")).collect()
}

/// A figure's name in words.
fn words(name: &str) -> String {
    let (what, quantile) = match name.rsplit_once("_p") {
        Some((what, "50")) => (what, ", median"),
        Some((what, "95")) => (what, ", 95 % are faster"),
        Some((what, "99")) => (what, ", 99 % are faster"),
        _ => (name, ""),
    };
    format!("{}{quantile}", what.replace("ideal_", "ideal tables, ").replace('_', " "))
}

/// A setting as a number on an axis.
fn position(key: &str, value: &str) -> Option<f64> {
    Some(match find_key(key)?.takes.read(value).ok()? {
        Quantity::Count(count) => count as f64,
        Quantity::Number(number) => number,
        Quantity::Share(share) => f64::from(share) / 1e6,
        Quantity::Time(time) => time.as_secs_f64(),
        Quantity::Rate(rate) => rate? as f64,
        Quantity::Choice(_) => return None,
    })
}

/// One point more of the line with this name, which begins with its first.
fn extend(lines: &mut Vec<Line>, name: String, place: f64, it: Interval) {
    let known = lines.iter().position(|line| line.name == name);
    let at = known.unwrap_or_else(|| {
        lines.push(Line::new(name, Vec::new()));
        lines.len() - 1
    });
    lines[at].points.push((place, it.median));
    lines[at].interval.push((it.low, it.high));
}

/// Of more lines none could be told from the others.
const MOST_LINES: usize = 8;

/// With the name of its file, if there is something to be seen.
fn shown(file: &str, mut plot: Plot) -> Option<(String, Plot)> {
    let lines = plot.lines.len();
    if lines > MOST_LINES {
        plot.lines.truncate(MOST_LINES);
        plot.method += &format!(" Of {lines} lines the first {MOST_LINES} are drawn.");
    }
    (!plot.lines.is_empty()).then(|| (file.to_owned(), plot))
}

fn swept(plan: &Plan, runs: &[Run]) -> Vec<(String, Plot)> {
    let groups = groups(runs);
    let Some(first) = groups.first().map(|(settings, _)| *settings) else { return Vec::new() };
    // The first key with several values that are numbers is the axis; the others make lines.
    let axis = first.iter().enumerate().find_map(|(at, (key, _))| {
        let mut places: Vec<f64> =
            groups.iter().filter_map(|(settings, _)| position(key, &settings[at].1)).collect();
        let all = places.len() == groups.len();
        places.sort_unstable_by(f64::total_cmp);
        places.dedup();
        (all && places.len() > 1).then(|| (at, key.clone(), places))
    });
    let Some((at, key, places)) = axis else { return Vec::new() };
    let wide = places
        .first()
        .is_some_and(|low| *low > 0.0 && places.last().is_some_and(|high| high / low >= 8.0));
    let scale = if wide { Scale::Log } else { Scale::Linear };
    let known = find_key(&key);
    let title = known.map_or(key.as_str(), |key| key.about).trim_end_matches('.');
    let x = match known.map(|key| key.takes) {
        Some(crate::scenario::Takes::Share) => Axis::percent(format!("{key}: {title}")),
        Some(crate::scenario::Takes::Time) => Axis::new(format!("{key}: {title} (s)"), scale),
        Some(crate::scenario::Takes::Rate) => Axis::new(format!("{key}: {title} (B/s)"), scale),
        _ if key == "nodes" => Axis::new("nodes in the network", scale),
        _ => Axis::new(format!("{key}: {title}"), scale),
    };
    let all = names(runs);
    let mut plots = Vec::new();
    for (file, title, unit, figures) in FAMILIES {
        let mut lines: Vec<Line> = Vec::new();
        for name in figures.iter().filter(|name| all.iter().any(|(known, _)| known == *name)) {
            for (settings, of) in &groups {
                let (Some(place), Some(it)) = (position(&key, &settings[at].1), over(of, name))
                else {
                    continue;
                };
                let others = varying(runs, settings, Some(at));
                let label = [vec![words(name)], others].concat().join(", ");
                extend(&mut lines, label, place, it);
            }
        }
        let y = match unit {
            "share" => Axis::percent("share"),
            "ms" => Axis::new("time (ms)", Scale::Log),
            "" => Axis::new(title.split(',').next().unwrap_or_default(), Scale::Linear),
            unit => Axis::new(unit, Scale::Linear),
        };
        let what = "Median of the runs; the shade is its 95 % interval.";
        let (title, method) = (format!("{title}, by {key}"), method(plan, runs, what));
        plots.extend(shown(file, Plot { title, method, x: x.clone(), y, lines }));
    }
    plots
}

/// Points of a distribution that are drawn.
const STEPS: usize = 200;

fn distributions(plan: &Plan, runs: &[Run]) -> Option<(String, Plot)> {
    let groups = groups(runs);
    let mut lines = Vec::new();
    let all = groups.first()?.1.first()?.figures.1.len() * groups.len();
    for (settings, of) in &groups {
        let named = varying(runs, settings, None);
        let kinds = of.first()?.figures.1.iter().map(|it| it.name).enumerate();
        // Rather the end of the lookups with all settings than all of it with a few.
        for (number, kind) in kinds.filter(|(_, kind)| all <= MOST_LINES || *kind == "complete") {
            let mut values: Vec<f64> = of
                .iter()
                .filter_map(|run| run.figures.1.get(number))
                .flat_map(|it| it.values.iter().copied())
                .collect();
            values.sort_unstable_by(f64::total_cmp);
            if values.is_empty() {
                continue;
            }
            let last = values.len();
            let points = (1..=STEPS.min(last)).map(|step| {
                let rank = (step * last).div_ceil(STEPS.min(last));
                (values[rank - 1], rank as f64 / last as f64)
            });
            let label = [vec![kind.to_owned()], named.clone()].concat().join(", ");
            lines.push(Line::new(label, points.collect()));
        }
    }
    let what =
        "All lookups of all runs. Ideal tables: the same lookup where every table is perfect.";
    let plot = Plot {
        title: "Lookups that are over by then".to_owned(),
        method: method(plan, runs, what),
        x: Axis::new("time since the lookup began (ms)", Scale::Log),
        y: Axis::percent("share of all lookups"),
        lines,
    };
    shown("latency", plot)
}

/// Figures named `what_5_min_after`: the same at several moments.
fn moment(name: &str) -> Option<(&str, f64)> {
    let mut parts = name.strip_suffix("_after")?.rsplitn(3, '_');
    let unit = match parts.next()? {
        "s" => 1.0 / 60.0,
        "min" => 1.0,
        "h" => 60.0,
        _ => return None,
    };
    let number: f64 = parts.next()?.parse().ok()?;
    Some((parts.next()?, number * unit))
}

/// The figures of this unit that are told for several moments.
fn over_time(runs: &[Run], unit: &str) -> Vec<Line> {
    let all = names(runs);
    let mut lines: Vec<Line> = Vec::new();
    for (settings, of) in groups(runs) {
        let named = varying(runs, settings, None);
        for (name, _) in all.iter().filter(|(_, of)| *of == unit) {
            let (Some((what, minutes)), Some(it)) = (moment(name), over(&of, name)) else {
                continue;
            };
            let label = [vec![what.replace('_', " ")], named.clone()].concat().join(", ");
            extend(&mut lines, label, minutes, it);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_from_names() {
        assert_eq!(moment("found_10_min_after"), Some(("found", 10.0)));
        assert_eq!(moment("exact_2_h_after"), Some(("exact", 120.0)));
        assert_eq!(moment("found_30_s_after"), Some(("found", 0.5)));
        assert_eq!(moment("found"), None);
    }
}
