//! Plots as SVG, legible without the text around them: a title, axes with units, a legend, and
//! lines under it that say what was measured and how.
//!
//! Written here because the same numbers must give the same bytes on every machine, and because what
//! is needed of a plotting library is this much.

mod axis;
mod bars;
mod svg;

use axis::Ruler;
pub use axis::{Axis, Scale};
pub use bars::{Bars, Group};
pub use svg::Look;
use svg::{FRAME, GRID, Svg};

/// Points that are joined.
#[derive(Clone, Debug)]
pub struct Line {
    /// In the legend.
    pub name: String,
    /// x and y, by x.
    pub points: Vec<(f64, f64)>,
    /// For each point the ends of an interval; empty for none.
    pub interval: Vec<(f64, f64)>,
    /// None takes colour, mark and dash by the line's place in the plot.
    pub look: Option<Look>,
}

/// Lines over an axis.
#[derive(Clone, Debug)]
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// What was measured and how, below it. It is wrapped; its own line breaks stay.
    pub method: String,
    /// The axis to the right.
    pub x: Axis,
    /// The axis upwards.
    pub y: Axis,
    /// At most eight can be told apart.
    pub lines: Vec<Line>,
}

impl Line {
    /// A line without intervals.
    #[must_use]
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, interval: Vec::new(), look: None }
    }
}

const WIDTH: f64 = 820.0;
const LEFT: f64 = 96.0;
const RIGHT: f64 = 796.0;
const TOP: f64 = 68.0;
const BOTTOM: f64 = 408.0;
/// Where the words above and below the plot begin.
const EDGE: f64 = 20.0;
/// Between the lines of the legend, and between those of the method.
const ROWS: (f64, f64) = (20.0, 16.0);
/// Letters in a line of the method.
const LETTERS: usize = 122;

/// What surrounds a plot: title, axis upwards with its grid, legend and method.
struct Sheet<'a> {
    title: &'a str,
    method: &'a str,
    y: (&'a Axis, &'a Ruler),
    /// In the legend.
    names: Vec<(&'a str, Look)>,
}

impl Sheet<'_> {
    /// Around what `draw` draws; `sample` draws in the legend what a name stands for, in a width of
    /// 30 from this place.
    fn svg(
        &self,
        sample: impl Fn(&mut Svg, (f64, f64), Look),
        draw: impl FnOnce(&mut Svg),
    ) -> String {
        let mut svg = Svg::default();
        let (axis, ruler) = self.y;
        for (tick, at) in ruler.ticks() {
            svg.line((LEFT, at), (RIGHT, at), GRID);
            svg.text((LEFT - 8.0, at + 4.0), r#"text-anchor="end""#, &axis.unit.tick(tick));
        }
        svg.line((LEFT, TOP), (LEFT, BOTTOM), FRAME);
        svg.line((LEFT, BOTTOM), (RIGHT, BOTTOM), FRAME);
        let middle = (TOP + BOTTOM) / 2.0;
        let style = format!(r#"transform="rotate(-90 22 {middle})" text-anchor="middle""#);
        svg.text((22.0, middle), &style, &axis.title);
        draw(&mut svg);

        // Columns as wide as the longest name; a letter of this size is some 7 units wide.
        let letters = self.names.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let wide = 50.0 + letters as f64 * 7.0;
        let columns = ((WIDTH - 2.0 * EDGE) / wide).max(1.0) as usize;
        let rows = self.names.len().div_ceil(columns).max(1);
        let mut y = BOTTOM + 68.0;
        for (number, (name, look)) in self.names.iter().enumerate() {
            let x = EDGE + wide * (number / rows) as f64;
            let y = y + ROWS.0 * (number % rows) as f64;
            sample(&mut svg, (x, y), *look);
            svg.text((x + 36.0, y + 4.0), "", name);
        }
        y += ROWS.0 * rows as f64 - 6.0;
        for line in self.method.lines().flat_map(|line| wrap(line, LETTERS)) {
            y += ROWS.1;
            svg.text((EDGE, y), r##"font-size="12" fill="#555""##, &line);
        }
        svg.end(self.title, (WIDTH, y + ROWS.1))
    }
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
        let x = Ruler::new(&self.x, points().map(|(x, _)| x), (LEFT, RIGHT));
        let y = Ruler::new(&self.y, points().map(|(_, y)| y).chain(ends), (BOTTOM, TOP));
        let looks =
            || self.lines.iter().enumerate().map(|(at, it)| it.look.unwrap_or(Look::nth(at)));
        let names = self.lines.iter().map(|line| line.name.as_str()).zip(looks()).collect();
        let sheet = Sheet { title: &self.title, method: &self.method, y: (&self.y, &y), names };
        let sample = |svg: &mut Svg, (x, y): (f64, f64), look: Look| {
            svg.line((x, y), (x + 30.0, y), &look.stroke());
            svg.mark(look, (x + 15.0, y));
        };
        sheet.svg(sample, |svg| {
            let centred = r#"text-anchor="middle""#;
            for (tick, at) in x.ticks() {
                svg.line((at, BOTTOM), (at, BOTTOM + 5.0), FRAME);
                svg.text((at, BOTTOM + 20.0), centred, &self.x.unit.tick(tick));
            }
            svg.text(((LEFT + RIGHT) / 2.0, BOTTOM + 42.0), centred, &self.x.title);
            for (line, look) in self.lines.iter().zip(looks()) {
                line.draw(svg, look, &|(a, b)| Some((x.place(a)?, y.place(b)?)));
            }
        })
    }
}

impl Line {
    fn draw(&self, svg: &mut Svg, look: Look, at: &dyn Fn((f64, f64)) -> Option<(f64, f64)>) {
        let ends = || self.points.iter().zip(&self.interval);
        let low = ends().filter_map(|((a, _), (low, _))| at((*a, *low)));
        let high = ends().rev().filter_map(|((a, _), (_, high))| at((*a, *high)));
        let band: Vec<_> = low.chain(high).collect();
        if band.len() > 3 {
            svg.shape("polygon", &band, &format!(r#"fill="{}" fill-opacity="0.15""#, look.fill()));
        }
        let points: Vec<_> = self.points.iter().filter_map(|point| at(*point)).collect();
        svg.shape("polyline", &points, &format!(r#"fill="none" {}"#, look.stroke()));
        // Marks only where they can be told apart.
        if points.len() <= 24 {
            points.into_iter().for_each(|point| svg.mark(look, point));
        }
    }
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
            for scale in [Scale::Linear, Scale::Log, Scale::Decades] {
                let svg = plot(scale, &points).svg();
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                assert!(svg.contains("A &amp; B"));
            }
        }
    }

    #[test]
    fn what_is_too_long_for_a_line_goes_on_in_the_next() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("one two three", 6), ["one", "two", "three"]);
        assert_eq!(wrap("immeasurable", 3), ["immeasurable"]);
    }
}
