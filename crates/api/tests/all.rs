//! The tests of this package, in one program: each of them would take seconds to link. `cargo test --test all NAME::` runs
//! the tests of one file.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod codes_page;
mod protocol_page;
