//! Certificates, keys and lists as files, and real handshakes in memory: what is refused by which side, and what passes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod ca;
mod files;
mod handshake;
mod passes;
mod refusals;
mod versions;
