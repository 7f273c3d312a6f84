//! `kadlet_fuzz::round_trip` for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kadlet_fuzz::round_trip(data));
