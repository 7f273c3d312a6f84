//! The report: what was run, what came of it, and how to see it again.

use core::fmt::Write;

use super::Run;
use super::rows::{groups, names, over};
use crate::plot::Plot;
use crate::scenario::Scenario;

pub(super) fn report(
    scenario: &Scenario,
    runs: &[Run],
    command: &str,
    plots: &[(String, Plot)],
) -> String {
    let mut out = String::new();
    // A string takes everything.
    let _ = write(&mut out, scenario, runs, command, plots);
    out
}

fn write(
    out: &mut String,
    scenario: &Scenario,
    runs: &[Run],
    command: &str,
    plots: &[(String, Plot)],
) -> core::fmt::Result {
    writeln!(out, "# {}\n\n{}\n", scenario.name, scenario.about)?;
    writeln!(out, "`{command}`\n")?;
    writeln!(
        out,
        "{} runs of unmodified nodes that exchange real datagrams in virtual time. The same seed gives the same numbers on every machine.\n",
        runs.len()
    )?;
    for (settings, of) in groups(runs) {
        let named: Vec<_> =
            settings.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        if !named.is_empty() {
            writeln!(out, "## {}\n", named.join(", "))?;
        }
        writeln!(
            out,
            "Median of {} runs, and the interval in which it lies with 95 % confidence{}.\n",
            of.len(),
            if of.len() < 6 { " (of fewer than six runs: least and greatest)" } else { "" }
        )?;
        writeln!(
            out,
            "| figure | median | interval | unit | of |\n| --- | ---: | --- | --- | --- |"
        )?;
        for (name, unit) in names(runs) {
            let Some(it) = over(&of, name) else { continue };
            let count = of
                .iter()
                .flat_map(|run| &run.figures.0)
                .filter(|figure| figure.name == name)
                .map(|figure| figure.of.unwrap_or(0))
                .sum::<u64>();
            let count = if count == 0 { String::new() } else { count.to_string() };
            writeln!(
                out,
                "| {name} | {} | {} to {} | {unit} | {count} |",
                short(it.median),
                short(it.low),
                short(it.high)
            )?;
        }
        out.push('\n');
    }
    for (file, plot) in plots {
        writeln!(out, "![{}]({file}.svg)\n", plot.title)?;
    }
    writeln!(out, "## Settings\n\n| key | value |\n| --- | --- |")?;
    for (key, value) in scenario.values() {
        writeln!(out, "| {key} | {value} |")?;
    }
    Ok(())
}

/// Four digits are enough to read.
pub(super) fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { "–".to_owned() };
    }
    let digits = (3.0 - libm::floor(libm::log10(libm::fabs(value)))).clamp(0.0, 6.0) as usize;
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}
