//! The tests of this package as one program, because each program takes seconds to link. The tests of one file:
//! `cargo test -p assent-registry --test all permits::`.
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
