//! The tests of this package, in one program: each of them would take seconds to link. `cargo test --test all NAME::` runs
//! the tests of one file.

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
