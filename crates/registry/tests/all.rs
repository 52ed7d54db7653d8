//! The tests of this package, in one program: each of them would take seconds to link. `cargo test --test all NAME::` runs
//! the tests of one file.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod acceptance;
mod authorize;
mod boundaries;
mod containment;
mod damage;
mod equivocation;
mod events;
mod exhaustive;
mod failure_conditions;
mod histories;
mod issuer_statements;
mod key_ends;
mod no_brick;
mod order;
mod peers;
mod permits;
mod pinned_commands;
mod recovery;
mod replay;
mod revocation;
mod rotation;
mod rules;
mod rules_page;
mod submit;
mod support;
mod unknown_issuers;
mod versions;
