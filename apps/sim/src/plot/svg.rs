//! The pieces of a picture, and what tells one line from another.

use core::fmt::{Arguments, Write};

use super::EDGE;

/// Colours that people with any kind of colour vision tell apart (Okabe and Ito 2008).
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9", "#7a7a7a"];
/// And strokes, for print without colours.
const DASHES: [&str; 8] = ["", "7 4", "2 3", "10 3 2 3", "4 2", "12 4", "1 2", "6 2 1 2"];

/// What tells a line from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Look {
    /// The number of its colour, and of the mark at its points: eight, then the first again.
    pub colour: usize,
    /// The number of its dash, of as many; 0 is an unbroken line.
    pub dash: usize,
}

impl Look {
    /// Of the line with this number where any look will do.
    pub(super) const fn nth(number: usize) -> Self {
        Self { colour: number, dash: number }
    }

    pub(super) const fn fill(self) -> &'static str {
        COLOURS[self.colour % COLOURS.len()]
    }

    pub(super) fn stroke(self) -> String {
        let dash = match DASHES[self.dash % DASHES.len()] {
            "" => String::new(),
            dash => format!(r#" stroke-dasharray="{dash}""#),
        };
        format!(r#"stroke="{}" stroke-width="2"{dash}"#, self.fill())
    }
}

pub(super) const GRID: &str = r##"stroke="#ddd""##;
pub(super) const FRAME: &str = r##"stroke="#444""##;

/// A picture that is being drawn.
#[derive(Default)]
pub(super) struct Svg(String);

impl Svg {
    fn put(&mut self, element: Arguments<'_>) {
        // A string takes everything.
        let _ = writeln!(self.0, "{element}");
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), style: &str, text: &str) {
        self.put(format_args!(r#"<text x="{x:.1}" y="{y:.1}" {style}>{}</text>"#, escape(text)));
    }

    pub(super) fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), style: &str) {
        self.put(format_args!(
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" {style}/>"#
        ));
    }

    pub(super) fn rect(&mut self, (x, y): (f64, f64), (wide, high): (f64, f64), look: Look) {
        let fill = look.fill();
        self.put(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{wide:.1}" height="{high:.1}" fill="{fill}"/>"#
        ));
    }

    /// A `polyline` or a `polygon`.
    pub(super) fn shape(&mut self, kind: &str, points: &[(f64, f64)], style: &str) {
        let points: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.put(format_args!(r#"<{kind} points="{}" {style}/>"#, points.join(" ")));
    }

    /// The mark of a line around a point: triangle, square or disc.
    pub(super) fn mark(&mut self, look: Look, (x, y): (f64, f64)) {
        match look.colour % 3 {
            0 => {
                let corners = [(x - 5.0, y + 4.0), (x, y - 5.0), (x + 5.0, y + 4.0)];
                self.shape("polygon", &corners, &format!(r#"fill="{}""#, look.fill()));
            }
            1 => self.rect((x - 4.0, y - 4.0), (8.0, 8.0), look),
            _ => self.put(format_args!(
                r#"<circle cx="{x:.1}" cy="{y:.1}" r="4.5" fill="{}"/>"#,
                look.fill()
            )),
        }
    }

    /// The whole file, on white paper of this size.
    pub(super) fn end(self, title: &str, (width, height): (f64, f64)) -> String {
        let mut page = Self(format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" font-family="system-ui, sans-serif" font-size="13" fill="#222">
<title>{}</title>
<rect width="100%" height="100%" fill="#fff"/>
"##,
            escape(title)
        ));
        page.text((EDGE, 32.0), r#"font-size="18" font-weight="600""#, title);
        page.0 + &self.0 + "</svg>\n"
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
