//! `kadlet_fuzz::decode` for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kadlet_fuzz::decode(data));
