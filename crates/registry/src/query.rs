//! Reading what the registry holds: lineages, domains, authorities, policies, envelopes. Pages are bounded by
//! the caller's limit and continue after the last key that the caller gives.
//!
//! This module owns what callers are shown. It decides nothing.

mod authorities;
mod domains;
mod ends;
mod events;
mod history;
mod leaf_sizes;
mod ledger;
pub(crate) mod lineages;
mod summary;

pub use authorities::{AuthorityEntry, authorities, authority, node_key_flaw, node_key_granted};
pub use domains::{DomainEntry, domains, policy};
pub use ends::{KeyEndsPage, key_ends};
pub use events::{Event, EventFilter, EventPage, Restricts, events};
pub use history::{Located, history, locate};
pub use leaf_sizes::{LeafSize, leaf_sizes};
pub use ledger::{envelope, leaf, receipt};
pub use lineages::{
    IssuerChain, LineageConflict, LineageEntry, LineagePage, governance_slot, lineage, lineage_statements,
};
pub use summary::{Summary, registry_time, revision, summary};
