//! Inspects the rows of a stopped node as they are once its whole log is applied. Nothing of it is kept.

use std::io;
use std::sync::Arc;

use assent_proof::{DomainName, EvidenceId, Millis, PublicKey, Rules};
use assent_registry::{RowError, Rows, RulesVersion, query, rules_in_force};
use assent_store::{Store, WriteError};

use super::raft_state::Tail;
use crate::env::{Environment, blocking};
use crate::raft::commands::apply_to;
use crate::raft::log::LogRecord;
use crate::raft::verifier::Verifier;

/// What was found in the rows, on its way out of a transaction that is not kept.
struct Seen<T>(Result<T, RowError>);

/// Inspects the rows as they are once the tail of the log is applied, without applying it.
pub(super) async fn look<T: Send + 'static>(
    env: &Environment,
    store: &Store<LogRecord>,
    verifier: &Arc<Verifier>,
    known: RulesVersion,
    tail: &Tail,
    look: impl FnOnce(&dyn Rows) -> Result<T, RowError> + Send + 'static,
) -> io::Result<T> {
    let (registry, verifier, tail) = (store.registry.clone(), verifier.clone(), tail.clone());
    let looked = blocking(&*env.blocking, move || {
        registry.write::<(), Seen<T>>(None, |rows| {
            let applied = apply_to(rows, &verifier, known, tail.voters, &tail.entries);
            Err(Seen(applied.and_then(|()| look(&*rows))))
        })
    });
    match looked.await.map_err(io::Error::other)? {
        Err(WriteError::Refused(Seen(seen))) => seen.map_err(io::Error::other),
        Err(WriteError::Store(error)) => Err(error.into()),
        Ok(()) => Err(io::Error::other("a look was kept")),
    }
}

/// What the rows tell of a node that may be recovered.
pub(super) struct Surveyed {
    pub(super) rules: Rules,
    pub(super) epoch: u64,
    pub(super) revision: u64,
    pub(super) registry_time: Millis,
    /// The free slot of `_root`'s `_governance`, and its parent.
    pub(super) slot: (u64, Option<EvidenceId>),
    pub(super) root_keys: Vec<PublicKey>,
    pub(super) threshold: u32,
}

/// Reads from the rows what an operator and root need to choose and recover a node.
pub(super) fn survey(rows: &dyn Rows) -> Result<Surveyed, RowError> {
    let root = DomainName::root();
    let summary = query::summary(rows)?;
    let (domains, _) = query::domains(rows, None, 1)?;
    let found = domains.into_iter().find(|entry| entry.domain == root);
    Ok(Surveyed {
        rules: rules_in_force(rows)?,
        epoch: summary.as_ref().map_or(0, |summary| summary.epoch),
        revision: summary.as_ref().map_or(0, |summary| summary.revision),
        registry_time: summary.as_ref().map_or(Millis(0), |summary| summary.registry_time),
        slot: query::governance_slot(rows, &root)?,
        threshold: found.as_ref().map_or(0, |root| root.threshold),
        root_keys: found.map(|root| root.governance).unwrap_or_default(),
    })
}
