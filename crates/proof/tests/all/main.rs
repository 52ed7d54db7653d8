//! What this crate promises, tested from outside: one binary, with one module for each subject.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod checkpoints;
mod claims;
mod codes;
mod envelopes;
mod golden;
mod histories;
mod hostile_json;
mod hostile_signatures;
mod interop;
mod key_files;
mod keys;
mod make;
mod merkle;
mod names_and_times;
mod notes;
mod pinned;
mod properties;
mod receipts;
mod requests;
mod statements;
mod storage;
mod vectors;
