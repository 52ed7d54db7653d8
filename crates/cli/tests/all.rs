//! The tests of this package as one program, because each program takes seconds to link. The tests of one file:
//! `cargo test -p assent-cli --test all dev::`.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod alive;
mod cert;
mod command_page;
mod demo;
mod dev;
mod kept;
mod leavers;
mod node;
mod offline;
mod replace;
mod shell;
mod support;
mod trust;
