//! The tests of this package as one program, because each program takes seconds to link. The tests of one file:
//! `cargo test -p assent-api --test all codes_page::`.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod codes_page;
mod protocol_page;
