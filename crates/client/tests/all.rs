//! The tests of this package as one program, because each program takes seconds to link. The tests of one file:
//! `cargo test -p assent-client --test all outbox::`.
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
