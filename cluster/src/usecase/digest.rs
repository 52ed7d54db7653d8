//! A digest of everything that this node has applied, by which nodes can be compared. Local: no barrier, and no
//! decision depends on it.
//!
//! It reads every row, so at most one is made at a time. Another caller in the meantime is told so.

use assent_api::{AppliedBody, DigestBody, Problem};
use assent_registry::query;
use assent_store::RegistryStore;

use super::problem::DigestError;
use super::{Caller, Service, Shed};
use crate::env::blocking;
use crate::raft::codec;

/// How many digests are made at once.
pub(super) const DIGESTS_AT_ONCE: usize = 1;

impl Service {
    /// The digest of the registry's rows as this node has applied them, and the position at which they stand. Two
    /// nodes at the same position have the same digest. It takes as long as reading all rows.
    ///
    /// # Errors
    /// `overloaded` while another digest is made; `evidence_mutated` if the registry cannot be read.
    pub async fn digest(&self, _caller: &Caller) -> Result<DigestBody, Box<Problem>> {
        Ok(self.made_alone().await?)
    }

    /// The digest, if no other one is being made.
    async fn made_alone(&self) -> Result<DigestBody, DigestError> {
        let Ok(turn) = self.inner.digests.clone().try_acquire_owned() else {
            return Err(DigestError::Busy { at_once: DIGESTS_AT_ONCE });
        };
        let parts = self.parts();
        let (registry, node_id) = (parts.storage.registry.clone(), parts.config.node_id);
        let made = blocking(&*parts.env.blocking, move || {
            // The work itself holds the permit: a caller that leaves does not make room for another digest.
            let _turn = turn;
            digest(&registry, node_id)
        });
        match made.await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(detail)) => Err(DigestError::Unreadable(detail)),
            Err(lost) => Err(DigestError::Shed(Shed::from(lost))),
        }
    }
}

/// The digest in one view, so that rows, revision and position belong together.
fn digest(registry: &RegistryStore, node_id: u64) -> Result<DigestBody, String> {
    let view = registry.view().map_err(|error| error.to_string())?;
    let position = view.applied().map_err(|error| error.to_string())?.unwrap_or_default();
    let applied = match position.as_slice() {
        [] => None,
        bytes => codec::decode_position(bytes).map_err(|error| error.to_string())?.0.last_log_id,
    };
    let revision = query::revision(&view).map_err(|error| error.to_string())?;
    let made = view.digest().map_err(|error| error.to_string())?;
    Ok(DigestBody {
        node_id,
        revision,
        applied: applied.map(|at| AppliedBody { term: at.leader_id.term, index: at.index }),
        rows: made.rows,
        digest: format!("blake3:{}", hex::encode(made.digest)),
    })
}
