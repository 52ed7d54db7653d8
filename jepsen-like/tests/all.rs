//! The tests of this package as one program, because each program takes seconds to link. The tests of one file:
//! `cargo test -p assent-jepsen --test all members::`.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod arbitrary_bytes;
mod callers;
mod catch_up;
mod cluster_page;
mod command_line;
mod conformance;
mod damage;
mod disks;
mod durability;
mod events;
mod examples;
mod histories;
mod hostile_input;
mod members;
mod memory;
mod metrics;
mod model;
mod module_circles;
mod moving;
mod mutants;
mod operations;
mod pages;
mod permits;
mod readme;
mod recovery;
mod scenarios;
mod sim_disk;
mod supply_chain;
mod test_programs;
mod threats;
mod watch;
mod workspace;
