//! Bounds on the growth of the registry: how fast an issuer may submit, how long a lineage may get, how much a domain
//! may take in a year, and what the disk must keep free.
//!
//! Nothing is ever deleted from the ledger, so whatever a node takes it keeps. These bounds are this node's own, and a
//! node that forwards or leads judges what is handed to it. Both charge its issuers. The rules know nothing of them: `apply` accepts
//! an entry whatever the bounds are, so replicas with other bounds hold the same rows.
//!
//! Revocations and containments are never refused here, so that no flood keeps a restriction out. Governance statements
//! are bounded only by the rate of their issuer, and there they are counted apart from its other statements.
//!
//! This module refuses statements. It never accepts one that would be refused elsewhere. `bounds.rs` has the bounds of
//! one node, and `envelope.rs` applies them to one envelope.

mod bounds;
mod disk_reserve;
mod domain_years;
mod envelope;
mod issuer_rates;

pub(super) use self::bounds::{Growth, TooMuch, counts_in_a_year};
pub(super) use self::domain_years::week_of;
pub(super) use self::envelope::{ChargedHere, EnvelopeBounds, GrowthError};
pub(super) use self::issuer_rates::Charge;
#[cfg(test)]
pub(super) use self::issuer_rates::IssuerRates;
