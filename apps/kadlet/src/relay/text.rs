//! Hexadecimal digits, and what a URL hides behind `%`.

use core::fmt::Write as _;

/// Exactly `N` bytes from hexadecimal digits, of either case.
pub(super) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair_of(pair)?;
    }
    Some(bytes)
}

/// One byte of two digits.
fn pair_of(pair: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
    Some(digit(pair[0])? << 4 | digit(pair[1])?)
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing into memory does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A part of a URL without its `%XX`; none if that is no text.
pub(super) fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (pair, behind) = rest.split_at_checked(2)?;
        bytes.push(pair_of(pair)?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

/// The value of one parameter of a query (`a=1&b=2`); the first counts.
pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| unescape(&value.replace('+', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_and_written() {
        assert_eq!(from_hex("00Ff10"), Some([0, 255, 16]));
        assert_eq!(hex(&[0, 255, 16]), "00ff10");
        for bad in ["00ff1", "00ff1g", "00ff1000", "", "+0ff10"] {
            assert_eq!(from_hex::<3>(bad), None, "{bad}");
        }
    }

    #[test]
    fn parameters_are_unescaped() {
        let query = "token=a%2Fb+c%26&session=&token=other";
        assert_eq!(parameter(query, "token").as_deref(), Some("a/b c&"));
        assert_eq!(parameter(query, "session").as_deref(), Some(""));
        assert_eq!(parameter(query, "network"), None);
        for bad in ["%", "%1", "%zz", "%ff"] {
            assert_eq!(unescape(bad), None, "{bad}");
        }
    }
}
