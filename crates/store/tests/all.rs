//! The tests of this package, in one program: each of them would take seconds to link. `cargo test --test all NAME::` runs
//! the tests of one file.

mod damage;
mod digest;
mod log;
mod log_model;
mod registry;
mod snapshot;
mod support;
