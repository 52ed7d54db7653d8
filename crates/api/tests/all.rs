//! The tests of this package, in one program: each of them would take seconds to link. `cargo test --test all NAME::` runs
//! the tests of one file.

mod codes_page;
mod protocol_page;
