//! The tests of this package, in one program: each of them would take seconds to link. `cargo test --test all NAME::` runs
//! the tests of one file.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod attempts;
mod authorize;
mod denies;
mod events;
mod load;
mod outbox;
mod permit;
mod read;
mod submit;
mod support;
mod tls;
