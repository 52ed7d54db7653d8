//! The registry as a whole.

use assent_proof::Millis;

use crate::rows::{RowError, Rows};
use crate::view::View;

/// The registry's name and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The ledger's size.
    pub revision: u64,
    /// The largest time of acceptance so far.
    pub registry_time: Millis,
    /// The origin that evidence must name.
    pub origin: String,
    /// The genesis file's digest.
    pub cluster_id: [u8; 32],
    /// The version of the rules.
    pub rules_version: u32,
    /// The epoch: 1 for a founded cluster, and one more after each recovery.
    pub epoch: u64,
}

/// The registry as a whole; `None` before genesis.
pub fn summary(rows: &dyn Rows) -> Result<Option<Summary>, RowError> {
    Ok(View::new(rows).meta()?.map(|meta| Summary {
        revision: meta.revision,
        registry_time: meta.registry_time,
        origin: meta.origin.clone(),
        cluster_id: meta.cluster_id,
        rules_version: meta.rules_version,
        epoch: meta.epoch,
    }))
}

/// The ledger's size; 0 before genesis.
pub fn revision(rows: &dyn Rows) -> Result<u64, RowError> {
    Ok(summary(rows)?.map_or(0, |summary| summary.revision))
}

/// The largest time of acceptance so far; 0 before genesis.
pub fn registry_time(rows: &dyn Rows) -> Result<Millis, RowError> {
    Ok(summary(rows)?.map_or(Millis(0), |summary| summary.registry_time))
}
