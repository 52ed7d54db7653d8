#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| assent_jepsen::parsers::run("token_file", bytes));
