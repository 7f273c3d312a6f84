//! Axes: what values they span, where on the paper these lie, and which of them have a number.

use crate::unit::Unit;

/// How values lie on an axis.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By their logarithm; values above 0 alone are shown.
    Log,
    /// So too, from one power of ten to another, and no numbers but these.
    Decades,
}

/// An axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// With the unit, in words.
    pub title: String,
    /// How values lie on it.
    pub scale: Scale,
    /// How numbers beside it are written. Shares are shown from 0 to 100 %.
    pub unit: Unit,
    /// Values that have a number; without any they are round ones.
    pub at: Vec<f64>,
}

impl Axis {
    /// An axis for numbers.
    #[must_use]
    pub fn new(title: impl Into<String>, scale: Scale) -> Self {
        Self { title: title.into(), scale, unit: Unit::Count, at: Vec::new() }
    }

    /// An axis for shares.
    #[must_use]
    pub fn percent(title: impl Into<String>) -> Self {
        Self { unit: Unit::Share, ..Self::new(title, Scale::Linear) }
    }
}

/// Where values lie, from one end of the paper to the other.
pub(super) struct Ruler {
    scale: Scale,
    low: f64,
    high: f64,
    ends: (f64, f64),
    at: Vec<f64>,
}

impl Ruler {
    pub(super) fn new(axis: &Axis, values: impl Iterator<Item = f64>, ends: (f64, f64)) -> Self {
        let fits = |value: &f64| value.is_finite() && (axis.scale == Scale::Linear || *value > 0.0);
        let (mut low, mut high) =
            values.filter(fits).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        if low > high {
            (low, high) = (1.0, 10.0);
        }
        let powers = |least, most| (libm::pow(10.0, least), libm::pow(10.0, most));
        (low, high) = match axis.scale {
            Scale::Log => {
                // A twentieth of room, and something to see where all values are the same.
                let (least, most) = (libm::log10(low), libm::log10(high));
                let room = if most - least < 0.2 { 0.3 } else { 0.05 * (most - least) };
                powers(least - room, most + room)
            }
            Scale::Decades => {
                let least = libm::floor(libm::log10(low));
                powers(least, libm::ceil(libm::log10(high)).max(least + 1.0))
            }
            Scale::Linear if axis.unit == Unit::Share => (0.0, 1.0),
            Scale::Linear => {
                let low = low.min(0.0);
                (low, if high > low { high + 0.05 * (high - low) } else { low + 1.0 })
            }
        };
        Self { scale: axis.scale, low, high, ends, at: axis.at.clone() }
    }

    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            _ if value <= 0.0 => return None,
            _ => libm::log10(value / self.low) / libm::log10(self.high / self.low),
        };
        share.is_finite().then_some(self.ends.0 + share * (self.ends.1 - self.ends.0))
    }

    /// Values that have a number, and their places.
    pub(super) fn ticks(&self) -> Vec<(f64, f64)> {
        let round = if self.at.is_empty() { self.round() } else { self.at.clone() };
        round.into_iter().filter_map(|tick| Some((tick, self.place(tick)?))).collect()
    }

    fn round(&self) -> Vec<f64> {
        if self.scale == Scale::Linear {
            let rough = (self.high - self.low) / 6.0;
            let power = libm::pow(10.0, libm::floor(libm::log10(rough)));
            let steps = [1.0, 2.0, 5.0, 10.0].map(|it| it * power);
            let step = steps.into_iter().find(|it| *it >= rough).unwrap_or(power);
            let first = libm::ceil(self.low / step - 1e-9);
            let ticks = (0..20).map(|number| (first + f64::from(number)) * step);
            return ticks.take_while(|tick| *tick <= self.high + step * 1e-9).collect();
        }
        let within: &[f64] = match libm::log10(self.high / self.low) {
            _ if self.scale == Scale::Decades => &[1.0],
            decades if decades > 3.0 => &[1.0],
            decades if decades > 1.0 => &[1.0, 3.0],
            _ => &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
        };
        let powers =
            libm::floor(libm::log10(self.low)) as i32..=libm::ceil(libm::log10(self.high)) as i32;
        powers
            .flat_map(|power| within.iter().map(move |it| it * libm::pow(10.0, f64::from(power))))
            .filter(|it| *it >= self.low && *it <= self.high)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        let ticks = |scale, low, high| {
            Ruler::new(&Axis::new("", scale), [low, high].into_iter(), (0.0, 100.0)).round()
        };
        assert_eq!(ticks(Scale::Linear, 1.0, 100.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(
            ticks(Scale::Log, 1.0, 100_000.0),
            [1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0]
        );
        assert_eq!(ticks(Scale::Decades, 20.0, 30.0), [10.0, 100.0]);
        assert_eq!(ticks(Scale::Decades, 1.0, 100.0), [1.0, 10.0, 100.0]);
    }
}
