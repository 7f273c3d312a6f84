//! Numbers as people read them, in tables and at axes.

/// What a number counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Whatever is said beside it.
    Count,
    /// Bytes, written in kB, MB and so on.
    Bytes,
    /// Milliseconds.
    Milliseconds,
    /// A share of 1, written in percent.
    Share,
}

impl Unit {
    /// A number that was measured.
    #[must_use]
    pub fn write(self, value: f64) -> String {
        let three = |value: f64| {
            let decimals = match value {
                _ if value == libm::floor(value) || value >= 99.95 => 0,
                _ if value >= 9.995 => 1,
                _ => 2,
            };
            format!("{value:.decimals$}")
        };
        self.with(value, &three)
    }

    /// A round number at an axis.
    #[must_use]
    pub fn tick(self, value: f64) -> String {
        self.with(value, &|value| significant(value, 3))
    }

    fn with(self, value: f64, digits: &dyn Fn(f64) -> String) -> String {
        if value.is_nan() {
            return NONE.to_owned();
        }
        let number = |value| grouped(&digits(value));
        match self {
            Self::Count => number(value),
            Self::Milliseconds => format!("{} ms", number(value)),
            // Whole percents, unless those would say all or nothing of what is not.
            Self::Share => {
                let almost = (value > 0.0 && value < 0.005) || (0.995..1.0).contains(&value);
                let decimals = usize::from(almost);
                format!("{:.decimals$} %", value * 100.0)
            }
            Self::Bytes => {
                let units = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
                let fits = |(size, _): &(f64, &str)| value >= 0.9995 * size;
                let (size, name) = units.into_iter().find(fits).unwrap_or((1.0, "B"));
                format!("{} {name}", number(value / size))
            }
        }
    }
}

/// Where there is no number.
const NONE: &str = "–";

/// So many digits that matter, six decimals at most, and no zeros behind them.
pub(crate) fn significant(value: f64, digits: u8) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let place = f64::from(digits) - 1.0 - libm::floor(libm::log10(libm::fabs(value)));
    let decimals = place.clamp(0.0, 6.0) as usize;
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A comma at the thousands.
fn grouped(number: &str) -> String {
    let whole = number.find('.').unwrap_or(number.len());
    let mut out = String::new();
    for (place, digit) in number.chars().enumerate() {
        let after_a_digit = out.ends_with(|it: char| it.is_ascii_digit());
        if place < whole && after_a_digit && (whole - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_they_are_said() {
        let written = |unit: Unit, value| (unit.write(value), unit.tick(value));
        for (unit, value, number, tick) in [
            (Unit::Count, 100_000.0, "100,000", "100,000"),
            (Unit::Count, 36.55, "36.5", "36.5"),
            (Unit::Count, 2.5, "2.50", "2.5"),
            (Unit::Count, 0.005, "0.01", "0.005"),
            (Unit::Count, -1_500.0, "-1,500", "-1,500"),
            (Unit::Bytes, 999.7, "1.00 kB", "1 kB"),
            (Unit::Bytes, 30e6, "30 MB", "30 MB"),
            (Unit::Milliseconds, 1_500.0, "1,500 ms", "1,500 ms"),
            (Unit::Share, 0.25, "25 %", "25 %"),
            (Unit::Share, 0.995, "99.5 %", "99.5 %"),
            (Unit::Share, 0.002, "0.2 %", "0.2 %"),
            (Unit::Share, 1.0, "100 %", "100 %"),
            (Unit::Share, f64::NAN, "–", "–"),
        ] {
            assert_eq!(written(unit, value), (number.to_owned(), tick.to_owned()), "{value}");
        }
    }
}
