//! The simulated disk: under files, under redb, and under a node's real store.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod database;
mod decay;
mod files;
mod poison;
mod repeat;
mod store;
mod support;
