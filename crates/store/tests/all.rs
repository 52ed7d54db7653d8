//! The tests of this package as one program, because each program takes seconds to link. The tests of one file:
//! `cargo test -p assent-store --test all snapshot::`.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod damage;
mod digest;
mod log;
mod log_model;
mod registry;
mod snapshot;
mod support;
