//! Files with expected output, compared exactly.

use std::path::Path;

/// Compares `text` with a file in `tests/snapshots/`; with `UPDATE_SNAPSHOTS=1` in the environment
/// writes it there instead.
///
/// # Panics
/// If the two differ: shows the lines that do. If the file cannot be read or written.
pub fn check(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(file);
    if std::env::var("UPDATE_SNAPSHOTS").is_ok_and(|update| update == "1") {
        if let Err(why) = std::fs::write(&path, text) {
            panic!("{}: {why}", path.display());
        }
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if expected == text {
        return;
    }
    let lines = expected.lines().map(Some).chain(core::iter::repeat(None));
    let differing: Vec<String> = text
        .lines()
        .zip(lines)
        .filter(|(now, then)| Some(*now) != *then)
        .map(|(now, then)| format!("- {}\n+ {now}", then.unwrap_or("")))
        .collect();
    panic!(
        "{file} has changed; if that is meant, run again with UPDATE_SNAPSHOTS=1:\n{}",
        differing.join("\n")
    );
}
