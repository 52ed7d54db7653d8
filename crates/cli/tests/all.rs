//! The tests of this package, in one program: each of them would take seconds to link. `cargo test --test all NAME::` runs
//! the tests of one file.
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
