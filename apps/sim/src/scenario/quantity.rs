//! Numbers with their units, as text: `156 ms`, `2 %`, `64 kB/s`.

use core::fmt;
use core::time::Duration;

/// What a key takes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Takes {
    /// A whole number from here to there.
    Count(u64, u64),
    /// A number above 0.
    Number,
    /// Up to 100 %.
    Share,
    /// A time.
    Time,
    /// Bytes a second, or `unlimited`.
    Rate,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// A value that is what its key takes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Quantity {
    /// A whole number.
    Count(u64),
    /// A number.
    Number(f64),
    /// Of a million.
    Share(u32),
    /// A time.
    Time(Duration),
    /// Bytes a second; none: no limit.
    Rate(Option<u64>),
    /// Which word.
    Choice(&'static str),
}

const TIMES: [(&str, f64); 7] = [
    ("us", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("min", 60.0),
    ("h", 3_600.0),
    ("d", 86_400.0),
    ("days", 86_400.0),
];
const RATES: [(&str, f64); 3] = [("B/s", 1.0), ("kB/s", 1e3), ("MB/s", 1e6)];
/// Thirty years: no run is longer.
const LONGEST: f64 = 1e9;

impl Takes {
    /// Reads a value, or says what would be right.
    ///
    /// # Errors
    /// What is expected instead.
    pub fn read(self, text: &str) -> Result<Quantity, String> {
        let text = text.trim();
        let wrong = || format!("{self}, not `{text}`");
        match self {
            Self::Count(least, most) => {
                let number: u64 = text.replace('_', "").parse().map_err(|_| wrong())?;
                (least..=most)
                    .contains(&number)
                    .then_some(Quantity::Count(number))
                    .ok_or_else(wrong)
            }
            Self::Number => {
                let number = finite(text).filter(|number| *number > 0.0).ok_or_else(wrong)?;
                Ok(Quantity::Number(number))
            }
            Self::Share => {
                let percent = text.strip_suffix('%').and_then(finite).ok_or_else(wrong)?;
                if !(0.0..=100.0).contains(&percent) {
                    return Err(wrong());
                }
                // At most a million.
                Ok(Quantity::Share((percent * 1e4 + 0.5) as u32))
            }
            Self::Time => {
                let seconds = unit(text, &TIMES).ok_or_else(wrong)?;
                if !(0.0..=LONGEST).contains(&seconds) {
                    return Err(wrong());
                }
                Ok(Quantity::Time(Duration::from_micros((seconds * 1e6 + 0.5) as u64)))
            }
            Self::Rate if text == "unlimited" => Ok(Quantity::Rate(None)),
            Self::Rate => {
                let rate = unit(text, &RATES).filter(|rate| (1.0..=1e12).contains(rate));
                Ok(Quantity::Rate(Some(rate.ok_or_else(wrong)? as u64)))
            }
            Self::Choice(words) => {
                let word = words.iter().find(|word| **word == text);
                word.map(|word| Quantity::Choice(word)).ok_or_else(wrong)
            }
        }
    }
}

fn finite(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

fn unit(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let end = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, name) = text.split_at(end);
    let (_, factor) = units.iter().find(|(unit, _)| *unit == name.trim())?;
    Some(finite(number)? * factor)
}

/// What is expected, in words.
impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(least, u64::MAX) => write!(f, "a whole number from {least} on"),
            Self::Count(least, most) => write!(f, "a whole number from {least} to {most}"),
            Self::Number => f.write_str("a number above 0"),
            Self::Share => f.write_str("a share from \"0 %\" to \"100 %\""),
            Self::Time => f.write_str("a time like \"156 ms\" (us, ms, s, min, h, days)"),
            Self::Rate => f.write_str("a rate like \"64 kB/s\" (B/s, kB/s, MB/s) or \"unlimited\""),
            Self::Choice(words) => write!(f, "one of {}", words.join(", ")),
        }
    }
}

/// As it would be written.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Count(number) => write!(f, "{number}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Share(of_a_million) => write!(f, "{} %", f64::from(of_a_million) / 1e4),
            Self::Time(time) => {
                let micros = time.as_micros();
                let (unit, size) =
                    [("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000)]
                        .into_iter()
                        .find(|(_, size)| micros >= *size && micros % size == 0)
                        .unwrap_or(("us", 1));
                write!(f, "{} {unit}", micros / size)
            }
            Self::Rate(None) => f.write_str("unlimited"),
            Self::Rate(Some(rate)) => write!(f, "{rate} B/s"),
            Self::Choice(word) => f.write_str(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (takes, text) in [
            (Takes::Count(1, 9), "7"),
            (Takes::Number, "0.514"),
            (Takes::Share, "2 %"),
            (Takes::Share, "0.05 %"),
            (Takes::Time, "156 ms"),
            (Takes::Time, "90 min"),
            (Takes::Time, "0 us"),
            (Takes::Rate, "64000 B/s"),
            (Takes::Rate, "unlimited"),
            (Takes::Choice(&["native", "mainline"]), "mainline"),
        ] {
            assert_eq!(takes.read(text).map(|it| it.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_is_wrong_is_told_what_would_be_right() {
        for (takes, text, expected) in [
            (Takes::Count(1, 9), "0", "a whole number from 1 to 9, not `0`"),
            (Takes::Count(1, u64::MAX), "x", "a whole number from 1 on, not `x`"),
            (Takes::Share, "150 %", "a share from \"0 %\" to \"100 %\", not `150 %`"),
            (Takes::Share, "0.5", "a share from \"0 %\" to \"100 %\", not `0.5`"),
            (
                Takes::Time,
                "3 bananas",
                "a time like \"156 ms\" (us, ms, s, min, h, days), not `3 bananas`",
            ),
            (Takes::Time, "-1 s", "a time like \"156 ms\" (us, ms, s, min, h, days), not `-1 s`"),
            (Takes::Number, "nan", "a number above 0, not `nan`"),
            (Takes::Choice(&["a", "b"]), "c", "one of a, b, not `c`"),
        ] {
            assert_eq!(takes.read(text), Err(expected.to_owned()));
        }
    }
}
