//! Shares as bars beside each other.

use super::axis::{Axis, Ruler};
use super::svg::{Look, Svg};
use super::{BOTTOM, LEFT, RIGHT, Sheet, TOP};
use crate::unit::Unit;

/// Shares of several, after each of some events.
#[derive(Clone, Debug)]
pub struct Bars {
    /// What it shows.
    pub title: String,
    /// What was measured and how, as in [`Plot`](super::Plot).
    pub method: String,
    /// The axis upwards: of what they are shares.
    pub axis: String,
    /// Whose bars they are, in the legend.
    pub names: Vec<(String, Look)>,
    /// Side by side.
    pub groups: Vec<Group>,
}

/// Bars that stand together: what they show, in short lines, and a share for each name.
pub type Group = (String, Vec<f64>);

impl Bars {
    /// The picture.
    #[must_use]
    pub fn svg(&self) -> String {
        let axis = Axis::percent(self.axis.as_str());
        let y = Ruler::new(&axis, core::iter::empty(), (BOTTOM, TOP));
        let names = self.names.iter().map(|(name, look)| (name.as_str(), *look)).collect();
        let sheet = Sheet { title: &self.title, method: &self.method, y: (&axis, &y), names };
        let sample = |svg: &mut Svg, (x, y): (f64, f64), look: Look| {
            svg.rect((x + 16.0, y - 7.0), (14.0, 14.0), look);
        };
        sheet.svg(sample, |svg| {
            let room = (RIGHT - LEFT) / self.groups.len() as f64;
            for (number, (words, shares)) in self.groups.iter().enumerate() {
                let middle = LEFT + room * (number as f64 + 0.5);
                for (row, line) in words.lines().enumerate() {
                    let at = (middle, BOTTOM + 20.0 + 17.0 * row as f64);
                    svg.text(at, r#"text-anchor="middle""#, line);
                }
                let wide = room * 0.8 / self.names.len() as f64;
                for (bar, (share, (_, look))) in shares.iter().zip(&self.names).enumerate() {
                    let x = middle + wide * (bar as f64 - self.names.len() as f64 / 2.0);
                    // Where nothing was measured there is no bar, but a place for it.
                    let top = y.place(*share).unwrap_or(BOTTOM);
                    svg.rect((x + 2.0, top), (wide - 4.0, BOTTOM - top), *look);
                    let style = r#"text-anchor="middle" font-size="12""#;
                    svg.text((x + wide / 2.0, top - 5.0), style, &Unit::Share.write(*share));
                }
            }
        })
    }
}
