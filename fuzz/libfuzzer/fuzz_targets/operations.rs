//! `kadlet_fuzz::operations` for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kadlet_fuzz::operations(data));
