//! Plots as SVG: lines over the number of nodes, and bars beside each other. A title that says what
//! is seen, axes with units, the method below; colours that the colour-blind can tell apart (Okabe
//! and Ito 2008), and a mark and a dash for those who print in grey.

use core::fmt::Write;

use super::System;

/// How numbers of an axis are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unit {
    Count,
    Bytes,
    Milliseconds,
    Share,
}

impl Unit {
    pub(super) fn write(self, value: f64) -> String {
        if value.is_nan() {
            return "–".to_owned();
        }
        match self {
            Self::Count => grouped(value),
            Self::Milliseconds => format!("{} ms", grouped(value)),
            Self::Share => format!("{:.0} %", value * 100.0),
            Self::Bytes => {
                let units = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")];
                let fits = |(size, _): &&(f64, &str)| value >= 0.9995 * size;
                let (size, name) = units.iter().find(fits).copied().unwrap_or((1.0, "B"));
                format!("{} {name}", grouped(value / size))
            }
        }
    }
}

/// Three digits that matter, and a comma at the thousands.
fn grouped(value: f64) -> String {
    let decimals = match value {
        _ if value == libm::floor(value) || value >= 99.95 => 0,
        _ if value >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), ""), |(a, b)| (a, b));
    let mut out = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if !rest.is_empty() {
        out.push('.');
        out.push_str(rest);
    }
    out
}

/// One line of a plot.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) system: System,
    /// What tells it from the system's other line, and whether it is dashed.
    pub(super) variant: &'static str,
    pub(super) dashed: bool,
    pub(super) points: Vec<(f64, f64)>,
}

/// Lines over the number of nodes.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    pub(super) title: &'static str,
    /// The vertical axis: what, and in what.
    pub(super) axis: &'static str,
    pub(super) unit: Unit,
    /// Whether each step upwards is ten times as much.
    pub(super) log: bool,
    pub(super) lines: Vec<Line>,
    /// What was done, in lines of some hundred characters.
    pub(super) method: Vec<String>,
}

/// A share of each system.
pub(super) type Shares = Vec<(System, f64)>;

/// Success of each system after each of some events.
#[derive(Clone, Debug)]
pub(super) struct Bars {
    pub(super) title: &'static str,
    pub(super) axis: &'static str,
    /// What happened, in two lines; and the shares.
    pub(super) groups: Vec<([&'static str; 2], Shares)>,
    pub(super) method: Vec<String>,
}

const WIDTH: f64 = 820.0;
const LEFT: f64 = 96.0;
const RIGHT: f64 = 790.0;
const TOP: f64 = 104.0;
const BOTTOM: f64 = 420.0;

const fn colour(system: System) -> &'static str {
    match system {
        System::Napster => "#d55e00",
        System::Gnutella => "#0072b2",
        System::Kademlia => "#009e73",
    }
}

/// The mark of a system, around a point.
fn mark(svg: &mut String, system: System, x: f64, y: f64) {
    let fill = colour(system);
    // Writing into a string never fails.
    let _ = match system {
        System::Napster => {
            writeln!(
                svg,
                r#"<rect x="{:.1}" y="{:.1}" width="8" height="8" fill="{fill}"/>"#,
                x - 4.0,
                y - 4.0
            )
        }
        System::Gnutella => {
            let (a, b, c) = (x - 5.0, x + 5.0, y + 4.0);
            writeln!(
                svg,
                r#"<path d="M{a:.1} {c:.1}L{x:.1} {:.1}L{b:.1} {c:.1}Z" fill="{fill}"/>"#,
                y - 5.0
            )
        }
        System::Kademlia => {
            writeln!(svg, r#"<circle cx="{x:.1}" cy="{y:.1}" r="4.5" fill="{fill}"/>"#)
        }
    };
}

fn text(svg: &mut String, (x, y): (f64, f64), style: &str, what: &str) {
    let what = what.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" {style}>{what}</text>"#);
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), style: &str) {
    let _ = writeln!(svg, r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" {style}/>"#);
}

const GRID: &str = r##"stroke="#ddd""##;
const FRAME: &str = r##"stroke="#444""##;

/// Title and method around what `draw` puts between them.
fn page(title: &str, axis: &str, method: &[String], draw: impl FnOnce(&mut String)) -> String {
    let method: Vec<String> = method.iter().flat_map(|words| wrapped(words)).collect();
    let height = BOTTOM + 78.0 + 17.0 * method.len() as f64;
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13" fill="#222">
<rect width="100%" height="100%" fill="#fff"/>
"##
    );
    text(&mut svg, (20.0, 32.0), r#"font-size="20" font-weight="bold""#, title);
    let style =
        format!(r#"transform="rotate(-90 22 {0})" text-anchor="middle""#, (TOP + BOTTOM) / 2.0);
    text(&mut svg, (22.0, (TOP + BOTTOM) / 2.0), &style, axis);
    draw(&mut svg);
    for (number, words) in method.iter().enumerate() {
        let y = BOTTOM + 74.0 + 17.0 * number as f64;
        text(&mut svg, (20.0, y), r##"font-size="12" fill="#555""##, words);
    }
    svg.push_str("</svg>\n");
    svg
}

/// Cut into lines that fit below a plot.
fn wrapped(words: &str) -> Vec<String> {
    const MOST: usize = 118;
    let mut lines = vec![String::new()];
    for word in words.split(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line + 1 + word.chars().count() > MOST {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// What an axis spans, and where it has numbers.
struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64>, unit: Unit, log: bool) -> Self {
        let usable = |value: &f64| value.is_finite() && (*value > 0.0 || !log);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(usable) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (1.0, 10.0);
        }
        match (unit, log) {
            (Unit::Share, _) => Self { low: 0.0, high: 1.0, log: false },
            (_, false) => Self { low: 0.0, high: nice(high), log },
            (_, true) => {
                let low = libm::pow(10.0, libm::floor(libm::log10(low)));
                let high = libm::pow(10.0, libm::ceil(libm::log10(high)));
                Self { low, high: high.max(10.0 * low), log }
            }
        }
    }

    fn ticks(&self) -> Vec<f64> {
        if self.log {
            let decades = libm::round(libm::log10(self.high / self.low)) as u32;
            return (0..=decades).map(|n| self.low * libm::pow(10.0, f64::from(n))).collect();
        }
        (0..=5).map(|n| self.low + (self.high - self.low) * f64::from(n) / 5.0).collect()
    }

    /// Where a value lies, 0 to 1.
    fn place(&self, value: f64) -> f64 {
        if self.log {
            libm::log10(value / self.low) / libm::log10(self.high / self.low)
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }
}

/// A round number at or above, that five steps lead to in round numbers.
fn nice(high: f64) -> f64 {
    let decade = libm::pow(10.0, libm::floor(libm::log10(high)));
    let steps = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0];
    steps.iter().map(|step| step * decade).find(|nice| *nice >= high).unwrap_or(10.0 * decade)
}

impl Plot {
    pub(super) fn svg(&self) -> String {
        page(self.title, self.axis, &self.method, |svg| {
            let points = || self.lines.iter().flat_map(|line| &line.points);
            // A number at each size that was tried, the outer ones at the edges.
            let mut sizes: Vec<f64> = points().map(|point| point.0).collect();
            sizes.sort_by(f64::total_cmp);
            sizes.dedup();
            let (low, high) = match (sizes.first(), sizes.last()) {
                (Some(low), Some(high)) if low < high => (*low, *high),
                (Some(only), _) => (only / 2.0, only * 2.0),
                (None, _) => (1.0, 10.0),
            };
            let x = Scale { low, high, log: true };
            let y = Scale::of(points().map(|point| point.1), self.unit, self.log);
            let at = |(a, b): (f64, f64)| {
                (LEFT + (RIGHT - LEFT) * x.place(a), BOTTOM - (BOTTOM - TOP) * y.place(b))
            };
            for tick in y.ticks() {
                let (_, height) = at((x.low, tick));
                line(svg, (LEFT, height), (RIGHT, height), GRID);
                let style = r#"text-anchor="end""#;
                text(svg, (LEFT - 8.0, height + 4.0), style, &self.unit.write(tick));
            }
            for tick in sizes {
                let (across, _) = at((tick, y.low));
                line(svg, (across, TOP), (across, BOTTOM), GRID);
                let style = r#"text-anchor="middle""#;
                text(svg, (across, BOTTOM + 20.0), style, &grouped(tick));
            }
            let style = r#"text-anchor="middle""#;
            let below = ((LEFT + RIGHT) / 2.0, BOTTOM + 44.0);
            text(svg, below, style, "nodes in the network, n (logarithmic)");
            line(svg, (LEFT, BOTTOM), (RIGHT, BOTTOM), FRAME);
            line(svg, (LEFT, TOP), (LEFT, BOTTOM), FRAME);
            for one in &self.lines {
                one.draw(svg, &at, y.log);
            }
            self.legend(svg);
        })
    }

    /// The systems in a row; the variants of their lines in a second.
    fn legend(&self, svg: &mut String) {
        let variants = self.lines.iter().any(|line| line.dashed);
        for (number, one) in self.lines.iter().enumerate() {
            let columns = if variants { 2 } else { 1 };
            let x = LEFT + 235.0 * (number / columns) as f64;
            let y = 58.0 + 20.0 * (number % columns) as f64;
            line(svg, (x, y), (x + 34.0, y), &one.style());
            mark(svg, one.system, x + 17.0, y);
            let name = match one.variant {
                "" => one.system.name().to_owned(),
                variant => format!("{}, {variant}", one.system.name()),
            };
            text(svg, (x + 42.0, y + 4.0), "", &name);
        }
    }
}

impl Line {
    fn style(&self) -> String {
        let dash = if self.dashed { r#" stroke-dasharray="6 4""# } else { "" };
        format!(r#"stroke="{}" stroke-width="2" fill="none"{dash}"#, colour(self.system))
    }

    fn draw(&self, svg: &mut String, at: &dyn Fn((f64, f64)) -> (f64, f64), log: bool) {
        let usable = |point: &&(f64, f64)| point.1.is_finite() && (point.1 > 0.0 || !log);
        let points: Vec<_> = self.points.iter().filter(usable).map(|point| at(*point)).collect();
        let mut path = String::new();
        for (x, y) in &points {
            let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { "M" } else { "L" });
        }
        let _ = writeln!(svg, r#"<path d="{path}" {}/>"#, self.style());
        for (x, y) in points {
            mark(svg, self.system, x, y);
        }
    }
}

impl Bars {
    pub(super) fn svg(&self) -> String {
        page(self.title, self.axis, &self.method, |svg| {
            let height = |share: f64| BOTTOM - (BOTTOM - TOP) * share;
            for tick in [0.0, 0.2, 0.4, 0.6, 0.8, 1.0] {
                line(svg, (LEFT, height(tick)), (RIGHT, height(tick)), GRID);
                let style = r#"text-anchor="end""#;
                text(svg, (LEFT - 8.0, height(tick) + 4.0), style, &Unit::Share.write(tick));
            }
            let room = (RIGHT - LEFT) / self.groups.len() as f64;
            let style = r#"text-anchor="middle""#;
            for (number, (names, bars)) in self.groups.iter().enumerate() {
                let middle = LEFT + room * (number as f64 + 0.5);
                for (row, name) in names.iter().enumerate() {
                    text(svg, (middle, BOTTOM + 20.0 + 17.0 * row as f64), style, name);
                }
                let wide = room * 0.8 / bars.len() as f64;
                for (bar, (system, share)) in bars.iter().enumerate() {
                    let x = middle + wide * (bar as f64 - bars.len() as f64 / 2.0);
                    let (y, fill) = (height(share.max(0.0)), colour(*system));
                    let _ = writeln!(
                        svg,
                        r#"<rect x="{:.1}" y="{y:.1}" width="{:.1}" height="{:.1}" fill="{fill}"/>"#,
                        x + 2.0,
                        wide - 4.0,
                        BOTTOM - y
                    );
                    let style = r#"text-anchor="middle" font-size="12""#;
                    text(svg, (x + wide / 2.0, y - 5.0), style, &Unit::Share.write(*share));
                }
            }
            line(svg, (LEFT, BOTTOM), (RIGHT, BOTTOM), FRAME);
            for (number, system) in System::ALL.into_iter().enumerate() {
                let x = LEFT + 160.0 * number as f64;
                let fill = colour(system);
                let _ = writeln!(
                    svg,
                    r#"<rect x="{x:.1}" y="51" width="14" height="14" fill="{fill}"/>"#
                );
                text(svg, (x + 22.0, 63.0), "", system.name());
            }
        })
    }
}
