//! Line plots as SVG, legible without the text around them: a title, axes with units, a legend, and
//! a line under it that says what was measured and how.
//!
//! Written here because the same numbers must give the same bytes on every machine, and because what
//! is needed of a plotting library is this much.

use core::fmt::Write;

/// How values lie on an axis.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By their logarithm; values above 0 alone are shown.
    Log,
}

/// An axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// With the unit, in words.
    pub title: String,
    /// How values lie on it.
    pub scale: Scale,
    /// Values are shares, shown in percent and from 0 to 100.
    pub percent: bool,
}

/// Points that are joined.
#[derive(Clone, Debug)]
pub struct Line {
    /// In the legend.
    pub name: String,
    /// x and y, by x.
    pub points: Vec<(f64, f64)>,
    /// For each point the ends of an interval; empty for none.
    pub interval: Vec<(f64, f64)>,
}

/// A plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// What was measured and how, below it.
    pub method: String,
    /// The axis to the right.
    pub x: Axis,
    /// The axis upwards.
    pub y: Axis,
    /// At most eight can be told apart.
    pub lines: Vec<Line>,
}

impl Axis {
    /// An axis for numbers.
    #[must_use]
    pub fn new(title: impl Into<String>, scale: Scale) -> Self {
        Self { title: title.into(), scale, percent: false }
    }

    /// An axis for shares.
    #[must_use]
    pub fn percent(title: impl Into<String>) -> Self {
        Self { title: title.into(), scale: Scale::Linear, percent: true }
    }
}

impl Line {
    /// A line without intervals.
    #[must_use]
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, interval: Vec::new() }
    }
}

/// Colours that people with any kind of colour vision tell apart (Okabe and Ito 2008).
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9", "#7a7a7a"];
/// And strokes, for print without colours.
const DASHES: [&str; 8] = ["", "7 4", "2 3", "10 3 2 3", "4 2", "12 4", "1 2", "6 2 1 2"];

const WIDTH: f64 = 760.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 52.0;
const PLOT: f64 = 340.0;
/// Letters in a line of the method.
const LETTERS: usize = 108;

/// Where values lie, from one end of the paper to the other.
struct Ruler {
    scale: Scale,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Ruler {
    fn new(axis: &Axis, values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let fits = |value: &f64| value.is_finite() && (axis.scale == Scale::Linear || *value > 0.0);
        let (mut low, mut high) =
            values.filter(fits).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        if low > high {
            (low, high) = (1.0, 10.0);
        }
        match axis.scale {
            Scale::Log => {
                // A tenth of a decade of room, and something to see where all values are the same.
                let (least, most) = (libm::log10(low), libm::log10(high));
                let room = if most - least < 0.2 { 0.3 } else { 0.05 * (most - least) };
                (low, high) = (libm::pow(10.0, least - room), libm::pow(10.0, most + room));
            }
            Scale::Linear if axis.percent => (low, high) = (0.0, 1.0),
            Scale::Linear => {
                low = low.min(0.0);
                high = if high > low { high + 0.05 * (high - low) } else { low + 1.0 };
            }
        }
        Self { scale: axis.scale, low, high, from, to }
    }

    fn place(&self, value: f64) -> Option<f64> {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log if value <= 0.0 => return None,
            Scale::Log => libm::log10(value / self.low) / libm::log10(self.high / self.low),
        };
        share.is_finite().then_some(self.from + share * (self.to - self.from))
    }

    fn ticks(&self) -> Vec<f64> {
        let mut ticks = Vec::new();
        match self.scale {
            Scale::Linear => {
                let rough = (self.high - self.low) / 6.0;
                let power = libm::pow(10.0, libm::floor(libm::log10(rough)));
                let step =
                    [1.0, 2.0, 5.0, 10.0].into_iter().map(|it| it * power).find(|it| *it >= rough);
                let step = step.unwrap_or(power);
                let mut tick = libm::ceil(self.low / step - 1e-9);
                while tick * step <= self.high + step * 1e-9 && ticks.len() < 20 {
                    ticks.push(tick * step);
                    tick += 1.0;
                }
            }
            Scale::Log => {
                let decades = libm::log10(self.high / self.low);
                let within: &[f64] = if decades > 3.0 {
                    &[1.0]
                } else if decades > 1.0 {
                    &[1.0, 3.0]
                } else {
                    &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0]
                };
                let first = libm::floor(libm::log10(self.low));
                let mut power = first;
                while power <= libm::ceil(libm::log10(self.high)) {
                    let tens = libm::pow(10.0, power);
                    ticks.extend(
                        within
                            .iter()
                            .map(|it| it * tens)
                            .filter(|it| *it >= self.low && *it <= self.high),
                    );
                    power += 1.0;
                }
            }
        }
        ticks
    }
}

/// A number on an axis.
fn label(value: f64, percent: bool) -> String {
    if percent {
        return format!("{} %", short(value * 100.0));
    }
    let size = libm::fabs(value);
    match size {
        _ if size >= 1e9 => format!("{} G", short(value / 1e9)),
        _ if size >= 1e6 => format!("{} M", short(value / 1e6)),
        _ if size >= 1e4 => format!("{} k", short(value / 1e3)),
        _ => short(value),
    }
}

fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = (2.0 - libm::floor(libm::log10(libm::fabs(value)))).clamp(0.0, 6.0) as usize;
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Lines of whole words.
fn wrap(text: &str, letters: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < letters => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

impl Plot {
    /// The picture.
    #[must_use]
    pub fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| line.points.iter().copied());
        let ends =
            self.lines.iter().flat_map(|line| line.interval.iter().flat_map(|(a, b)| [*a, *b]));
        let x = Ruler::new(&self.x, points().map(|(x, _)| x), LEFT, WIDTH - RIGHT);
        let y = Ruler::new(&self.y, points().map(|(_, y)| y).chain(ends), TOP + PLOT, TOP);
        let legend = wrap_legend(&self.lines);
        let method = wrap(&self.method, LETTERS);
        let below = TOP + PLOT + 62.0;
        let rows = legend.last().map_or(0, |(_, row, _)| row + 1);
        let height = below + rows as f64 * 20.0 + method.len() as f64 * 16.0 + 12.0;
        let mut out = String::new();
        // A string takes everything.
        let _ = self.draw(&mut out, &x, &y, &legend, &method, (below, height));
        out
    }

    fn draw(
        &self,
        out: &mut String,
        x: &Ruler,
        y: &Ruler,
        legend: &[(f64, usize, usize)],
        method: &[String],
        (below, height): (f64, f64),
    ) -> core::fmt::Result {
        writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"13\">"
        )?;
        writeln!(out, "<title>{}</title>", escape(&self.title))?;
        writeln!(out, "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>")?;
        writeln!(
            out,
            "<text x=\"{LEFT}\" y=\"28\" font-size=\"17\" font-weight=\"600\">{}</text>",
            escape(&self.title)
        )?;
        for tick in y.ticks() {
            let Some(at) = y.place(tick) else { continue };
            writeln!(
                out,
                "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>",
                WIDTH - RIGHT
            )?;
            writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#333333\">{}</text>",
                LEFT - 8.0,
                at + 4.0,
                label(tick, self.y.percent)
            )?;
        }
        for tick in x.ticks() {
            let Some(at) = x.place(tick) else { continue };
            let foot = TOP + PLOT;
            writeln!(
                out,
                "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{foot}\" y2=\"{:.1}\" stroke=\"#333333\"/>",
                foot + 5.0
            )?;
            writeln!(
                out,
                "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#333333\">{}</text>",
                foot + 20.0,
                label(tick, self.x.percent)
            )?;
        }
        let (foot, middle) = (TOP + PLOT, TOP + PLOT / 2.0);
        writeln!(
            out,
            "<path d=\"M{LEFT} {TOP}V{foot}H{:.1}\" fill=\"none\" stroke=\"#333333\"/>",
            WIDTH - RIGHT
        )?;
        let centre = (LEFT + WIDTH - RIGHT) / 2.0;
        writeln!(
            out,
            "<text x=\"{centre:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            foot + 42.0,
            escape(&self.x.title)
        )?;
        writeln!(
            out,
            "<text transform=\"translate(18 {middle}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            escape(&self.y.title)
        )?;
        for (number, line) in self.lines.iter().enumerate() {
            let (colour, dash) = (COLOURS[number % 8], DASHES[number % 8]);
            let at = |(a, b): (f64, f64)| Some((x.place(a)?, y.place(b)?));
            let low = line
                .points
                .iter()
                .zip(&line.interval)
                .filter_map(|((a, _), (low, _))| at((*a, *low)));
            let high = line
                .points
                .iter()
                .zip(&line.interval)
                .filter_map(|((a, _), (_, high))| at((*a, *high)));
            let band: Vec<_> = low.chain(high.collect::<Vec<_>>().into_iter().rev()).collect();
            if band.len() > 3 {
                writeln!(
                    out,
                    "<polygon points=\"{}\" fill=\"{colour}\" fill-opacity=\"0.15\"/>",
                    join(&band)
                )?;
            }
            let points: Vec<_> = line.points.iter().filter_map(|point| at(*point)).collect();
            writeln!(
                out,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"/>",
                join(&points)
            )?;
            // Dots only where they can be told apart.
            if points.len() <= 24 {
                for (x, y) in points {
                    writeln!(
                        out,
                        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.2\" fill=\"{colour}\"/>"
                    )?;
                }
            }
        }
        for (line, (at, row, number)) in self.lines.iter().zip(legend) {
            let (colour, dash) = (COLOURS[number % 8], DASHES[number % 8]);
            let y = below + *row as f64 * 20.0;
            writeln!(
                out,
                "<line x1=\"{at:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\" stroke-width=\"2.5\" stroke-dasharray=\"{dash}\"/>",
                at + 30.0
            )?;
            writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                at + 36.0,
                y + 4.0,
                escape(&line.name)
            )?;
        }
        let rows = legend.last().map_or(0, |(_, row, _)| row + 1);
        for (row, line) in method.iter().enumerate() {
            let y = below + rows as f64 * 20.0 + 10.0 + row as f64 * 16.0;
            writeln!(
                out,
                "<text x=\"{LEFT}\" y=\"{y:.1}\" font-size=\"12\" fill=\"#555555\">{}</text>",
                escape(line)
            )?;
        }
        writeln!(out, "</svg>")
    }
}

fn join(points: &[(f64, f64)]) -> String {
    points.iter().fold(String::new(), |mut text, (x, y)| {
        // A string takes everything.
        let _ = write!(text, "{x:.1},{y:.1} ");
        text
    })
}

/// Where each name of the legend begins, in which row, and the number of its line.
fn wrap_legend(lines: &[Line]) -> Vec<(f64, usize, usize)> {
    let (mut at, mut row) = (LEFT, 0);
    let mut places = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        // A letter of this size is some 7 units wide.
        let width = 52.0 + line.name.chars().count() as f64 * 7.0;
        if at > LEFT && at + width > WIDTH - RIGHT {
            (at, row) = (LEFT, row + 1);
        }
        places.push((at, row, number));
        at += width;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(scale: Scale, points: &[(f64, f64)]) -> Plot {
        Plot {
            title: "A & B".to_owned(),
            method: "measured".to_owned(),
            x: Axis::new("nodes", scale),
            y: Axis::new("ms", scale),
            lines: vec![Line::new("one", points.to_vec())],
        }
    }

    #[test]
    fn whatever_the_numbers_every_place_is_on_the_paper() {
        let odd = [
            vec![],
            vec![(0.0, 0.0)],
            vec![(1.0, f64::NAN), (2.0, f64::INFINITY), (3.0, -1.0)],
            vec![(5.0, 5.0), (5.0, 5.0)],
            vec![(1e-9, 1e12), (1e9, 1e-12)],
        ];
        for points in odd {
            for scale in [Scale::Linear, Scale::Log] {
                let svg = plot(scale, &points).svg();
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                assert!(svg.contains("A &amp; B"));
            }
        }
    }

    #[test]
    fn ticks_are_round_numbers() {
        let axis = |scale| Axis::new("", scale);
        let ticks =
            |scale, high| Ruler::new(&axis(scale), [1.0, high].into_iter(), 0.0, 100.0).ticks();
        assert_eq!(
            ticks(Scale::Linear, 100.0),
            [0.0, 20.0, 40.0, 60.0, 80.0, 100.0].map(|it| it + 0.0).to_vec()
        );
        assert_eq!(
            ticks(Scale::Log, 100_000.0),
            [1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0].to_vec()
        );
        assert_eq!(label(100_000.0, false), "100 k");
        assert_eq!(label(0.25, true), "25 %");
        assert_eq!(label(0.5, false), "0.5");
    }
}
