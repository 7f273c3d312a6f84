//! A file name made of what a stranger calls a file.
//!
//! The name in a link or a search hit is hostile until shown otherwise: `../../.ssh/authorized_keys`,
//! `CON`, `invoice<right-to-left override>fdp.exe`, 4,000 characters. What comes out is one path
//! component that every common file system takes and that shows as what it is.

use alloc::string::String;
use core::fmt::Write as _;

use super::ContentId;

/// Longest name in bytes. File systems take 255; the rest is room for a host's own suffix (`.part`).
const MAX_LEN: usize = 200;

/// Longest ending kept when a name is cut, its dot included: the ones in use are shorter.
const MAX_ENDING: usize = 16;

/// The name under which a file may be written into a folder, whatever `name` is.
///
/// One component, never `.` or `..`, at most 200 bytes of UTF-8; no separators, control or
/// direction-changing characters, nor what Windows forbids; does not start with `.`, `-` or `~` nor
/// end with a dot or a space; no Windows device. If nothing is left, the first 16 digits of the id.
/// A safe name stays as it is.
///
/// ```
/// use kadlet_core::content::{ContentId, safe_file_name};
///
/// let id = ContentId::of(b"");
/// assert_eq!(safe_file_name("Naïve Melody.flac", id), "Naïve Melody.flac");
/// assert_eq!(safe_file_name("../../etc/passwd", id), "_._.._etc_passwd");
/// assert_eq!(safe_file_name("...", id), "af1349b9f5f9a1a6");
/// ```
#[must_use]
pub fn safe_file_name(name: &str, id: ContentId) -> String {
    let is_padding = |c: char| c == '.' || c.is_whitespace();
    let mut safe = String::new();
    // Four times the limit is enough for any cut below, and bounds the work.
    for c in name.chars().filter(|c| !is_invisible(*c)).take(4 * MAX_LEN) {
        safe.push(if is_forbidden(c) { '_' } else { c });
    }
    let trimmed = safe.trim_start().trim_end_matches(is_padding);
    if trimmed.is_empty() {
        let mut digits = String::new();
        for byte in id.as_bytes().iter().take(8) {
            // Writing to a string cannot fail.
            let _ = write!(digits, "{byte:02x}");
        }
        return digits;
    }
    // Before it is cut: of a name that begins with dots a cut could leave nothing else.
    let mut safe = String::from(trimmed);
    if safe.starts_with(['.', '-', '~']) {
        safe.replace_range(..1, "_");
    }
    safe = cut(&safe, MAX_LEN);
    if is_device(&safe) {
        safe = cut(&safe, MAX_LEN - 1);
        safe.insert(0, '_');
    }
    safe
}

/// `name` in at most `max` bytes, keeping its ending if it can.
fn cut(name: &str, max: usize) -> String {
    if name.len() <= max {
        return String::from(name);
    }
    let (stem, ending) = match name.rfind('.').and_then(|dot| name.split_at_checked(dot)) {
        Some((stem, ending)) if ending.len() <= MAX_ENDING => (stem, ending),
        _ => (name, ""),
    };
    let stem = prefix(stem, max - ending.len());
    let mut short = String::from(stem);
    short.push_str(ending);
    // Without an ending the cut may have fallen behind a dot or a space.
    short.truncate(short.trim_end_matches(|c: char| c == '.' || c.is_whitespace()).len());
    short
}

/// The longest prefix of `text` that has at most `max` bytes and ends between two characters.
pub(super) fn prefix(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// Separators, what Windows forbids, and every white space but the plain one.
fn is_forbidden(c: char) -> bool {
    matches!(c, '/' | '\\' | '<' | '>' | ':' | '"' | '|' | '?' | '*' | char::REPLACEMENT_CHARACTER)
        || (c != ' ' && c.is_whitespace())
        || is_noncharacter(c)
}

/// Control characters, and those that only change how others show: directions (Unicode UAX 9),
/// zero widths, tags. They make two names look alike, or an `exe` look like a `pdf`.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Code points that are never characters, which some file systems refuse.
fn is_noncharacter(c: char) -> bool {
    let code = u32::from(c);
    code & 0xfffe == 0xfffe || (0xfdd0..=0xfdef).contains(&code)
}

/// Whether Windows takes the name for a device, with or without an ending.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    if ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
        .iter()
        .any(|device| stem.eq_ignore_ascii_case(device))
    {
        return true;
    }
    stem.split_at_checked(3).is_some_and(|(port, number)| {
        let mut digits = number.chars();
        (port.eq_ignore_ascii_case("COM") || port.eq_ignore_ascii_case("LPT"))
            && matches!(digits.next(), Some('0'..='9' | '¹' | '²' | '³'))
            && digits.next().is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;

    fn safe(name: &str) -> String {
        safe_file_name(name, ContentId::of(b""))
    }

    #[test]
    fn hostile_names() {
        for (name, expected) in [
            ("", "af1349b9f5f9a1a6"),
            (" ..", "af1349b9f5f9a1a6"),
            ("..", "af1349b9f5f9a1a6"),
            ("\0\u{202e}\u{200b}", "af1349b9f5f9a1a6"),
            ("/etc/passwd", "_etc_passwd"),
            ("..\\..\\boot.ini", "_._.._boot.ini"),
            ("C:\\autoexec.bat", "C__autoexec.bat"),
            (".bashrc", "_bashrc"),
            ("-rf", "_rf"),
            ("~root", "_root"),
            ("a.txt. . ", "a.txt"),
            ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
            ("a\u{2060}\u{ad}b\u{feff}", "ab"),
            ("nul", "_nul"),
            ("Com1.txt", "_Com1.txt"),
            ("lpt².txt", "_lpt².txt"),
            ("COM10", "COM10"),
            ("console", "console"),
            ("a\nb\tc", "abc"),
            ("two words.txt", "two words.txt"),
            ("Ünïcödé 漢字.mkv", "Ünïcödé 漢字.mkv"),
        ] {
            assert_eq!(safe(name), expected, "{name:?}");
        }
    }

    #[test]
    fn a_long_name_keeps_its_ending() {
        let name = format!("{}.tar.gz", "漢".repeat(300));
        let short = safe(&name);
        assert!(short.len() <= MAX_LEN && short.ends_with("漢.gz"), "{short}");
        let dots = format!("{}{}", "a".repeat(150), ".".repeat(100)) + "b";
        assert!(!safe(&dots).ends_with('.'));
    }

    /// Found by the decoders' fuzzer: an empty name is the folder it was to be written into.
    #[test]
    fn of_a_name_of_dots_something_is_left() {
        for dots in [MAX_LEN - 1, MAX_LEN, MAX_LEN + 1, 2 * MAX_LEN] {
            let out = safe(&format!("{}{}", ".".repeat(dots), "J".repeat(2 * MAX_ENDING)));
            assert!(out.starts_with('_') && out.len() <= MAX_LEN, "{dots} dots: {out:?}");
        }
    }

    #[test]
    fn a_long_device_stays_as_it_was_made() {
        for len in MAX_LEN - 2..MAX_LEN + 2 {
            let once = safe(&format!("nul.{}", "a".repeat(len - 4)));
            assert!(once.len() <= MAX_LEN && once.starts_with("_nul."), "{once}");
            assert_eq!(safe(&once), once);
        }
    }

    proptest! {
        #[test]
        fn every_name_is_safe_and_safe_names_stay(
            name in prop_oneof![any::<String>(), "[./\\\\ :~\u{202e}a-c-]{0,20}", "\\PC{150,300}"],
        ) {
            let out = safe(&name);
            prop_assert!(!out.is_empty() && out.len() <= MAX_LEN);
            let bad = ['/', '\\', '\0', ':', '\u{202e}'];
            prop_assert!(!out.contains(bad));
            prop_assert!(!out.chars().any(char::is_control));
            prop_assert!(!out.starts_with(['.', '-', '~', ' ']) && !out.ends_with(['.', ' ']));
            prop_assert!(!is_device(&out));
            prop_assert_eq!(safe(&out), out);
        }
    }
}
