//! Every input that ever taught a fuzzer something, and every one that ever broke a law.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::fs;
use std::path::Path;

fn replay(target: &str, function: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut inputs = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let data = fs::read(&path).unwrap();
        // Shown with a failure, and only then.
        eprintln!("{}", path.display());
        function(&data);
        inputs += 1;
    }
    assert!(inputs > 0, "an empty corpus");
}

#[test]
fn decode() {
    replay("decode", kadlet_fuzz::decode);
}

#[test]
fn round_trip() {
    replay("round_trip", kadlet_fuzz::round_trip);
}

#[test]
fn operations() {
    replay("operations", kadlet_fuzz::operations);
}
