//! The tests of this package, in one program: each of them would take seconds to link. `cargo test --test all NAME::` runs
//! the tests of one file.
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
mod threats;
mod watch;
