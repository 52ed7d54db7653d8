//! The registry: a deterministic state machine over signed envelopes.
//!
//! Its core is two functions. [`apply`] takes verified envelopes and a time from the log and changes rows.
//! [`authorize`] takes a view of the rows, a request and a time and decides. Everything else serves these
//! two.
//!
//! It owns the rules, the rows' encodings and the meaning of every code (RFC-EG-033 §3, deterministic proof
//! resolution; §7, fail-closed proof enforcement). It never reads a clock, draws a random number, does IO,
//! waits, or iterates over anything unordered: the same entries give the same rows on every node, and
//! replaying the ledger gives them again.
#![forbid(unsafe_code)]
// A new variant of an enum must not be harmless by accident: every match says what it does with each.
#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

mod authority;
mod authorize;
mod chain;
mod codec;
mod command;
mod containment;
mod equivocation;
pub mod facts;
mod flaw;
mod genesis;
#[cfg(test)]
mod golden;
mod issuer_statements;
mod kinds;
pub mod limit;
mod peer_list;
mod permit;
pub mod query;
mod record;
mod references;
mod row_key;
mod rows;
mod rules;
mod submit;
mod view;
mod void;

pub use assent_proof::{AuthorityStatus, RulesVersion};
pub use authorize::{Allow, Decision, JudgedBy, Reason, Verdict, authorize, authorize_permitted};
pub use codec::{CodecError, UnknownVersionError};
pub use command::{Checked, Command, Group, Outcome, Outcomes, Receipt, ToVerify, Unverified};
pub use genesis::{ClusterId, GenesisError, GenesisFile, bootstrap};
pub use rows::{MemoryRows, Row, RowError, Rows, RowsMut, Table};
pub use rules::{rules_in_force, rules_known};
pub use submit::{admits, apply, refuses_unknown_issuers, would_accept};
pub use view::View;
