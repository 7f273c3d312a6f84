//! What the fuzzers call.
//!
//! Three plain functions of bytes: [`decode`] hands them to everything that reads what strangers
//! or disks hold, [`round_trip`] states the laws of what is read and written again, and
//! [`operations`] makes a small network of them and lets it live. Each returns, or panics because
//! a law is broken. libFuzzer calls them from `fuzz/libfuzzer/`; `cargo test` replays with them
//! every input that ever taught a fuzzer something (`fuzz/corpus/`).

extern crate alloc;

mod decode;
mod input;
mod operations;
mod round_trip;
mod state;

pub use decode::decode;
pub use operations::operations;
pub use round_trip::round_trip;

use kadlet_core::wire::Wire;
use kadlet_core::wire::mainline::Mainline;
use kadlet_core::wire::native::Native;

/// The network of the golden files, so that they are inputs as they are.
const NETWORK: &str = "example";

fn native() -> Native {
    Native::new(NETWORK)
}

fn wires() -> [Wire; 2] {
    [Wire::Native(native()), Wire::Mainline(Mainline)]
}
