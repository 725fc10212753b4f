#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringfleet_fuzz::entries::stun(bytes));
