//! The disk of a starting node, and the checks that keep a node from starting with what is on it.
//!
//! Everything is read and checked before the node listens for peers, so that no peer hears from a node that must not
//! start.

use std::sync::Arc;

use tokio::sync::watch;

use assent_registry::{Rows, RulesVersion};
use assent_store::{LogStore, Store, StoreOptions};

use super::error::{NodeError, with_text};
use super::founding::belongs_to;
use super::starting::Starting;
use crate::config::Config;
use crate::env::Environment;
use crate::peer::claim_max;
use crate::raft::codec;
use crate::raft::log::LogRecord;
use crate::raft::machine::{AppliedAt, Machine};
use crate::raft::remembered::Remembered;
use crate::raft::verifier::{Verifier, VerifierLimits};
use crate::recover::EndedError;

/// What a starting node has on its disk, once nothing on it forbids the start.
pub(super) struct Disk {
    pub(super) store: Store<LogRecord>,
    pub(super) remembered: Arc<Remembered>,
    pub(super) verifier: Arc<Verifier>,
    /// How far the registry has applied the log.
    pub(super) applied: watch::Receiver<AppliedAt>,
}

impl Disk {
    /// Checks an opened store and its registry, and makes the machine that applies the log.
    pub(super) fn check(
        starting: &Starting,
        store: Store<LogRecord>,
        remembered: Arc<Remembered>,
    ) -> Result<(Self, Machine), NodeError> {
        let (cluster_id, known) = (starting.own.cluster_id, starting.own.known);
        let run = starting.env.run_blocking();
        let origin = starting.own.genesis.origin().to_owned();
        let verifier = Verifier::new(origin, run.clone(), VerifierLimits::default());
        let guard = Arc::new(move |rows: &dyn Rows| belongs_to(rows, cluster_id, known));
        let machine = Machine::new(store.registry.clone(), verifier.clone(), run, guard, known)
            .map_err(with_text(NodeError::Registry))?;
        let applied = machine.applied();
        reaches_back(&store.log, applied.borrow().log_index)?;
        leaves_a_term(&store.log, claim_max(starting.env.clock.now()))?;
        Ok((Self { store, remembered, verifier, applied }, machine))
    }
}

/// Opens the store in the data directory, or makes one there.
pub(crate) async fn open_store(config: &Config, env: &Environment) -> Result<Store<LogRecord>, NodeError> {
    let mut new_store_id = [0; 16];
    env.entropy.fill(&mut new_store_id);
    let opened =
        Store::<LogRecord>::open(env.disk.clone(), env.run_blocking(), new_store_id, StoreOptions::default());
    let data_dir = &config.data_dir;
    opened.await.map_err(with_text(|problem| NodeError::Store { data_dir: data_dir.clone(), problem }))
}

/// Loads what the node remembers, unless that forbids the start: if its history has ended, or if it has signed that
/// its build knows rules that this build does not know.
pub(super) fn load_remembered(
    log: &LogStore<LogRecord>,
    known: RulesVersion,
) -> Result<Arc<Remembered>, NodeError> {
    let remembered = Remembered::load(log.clone()).map_err(with_text(NodeError::Log))?;
    if let Some(epoch) = remembered.ended() {
        return Err(NodeError::Ended(EndedError { epoch }));
    }
    // The raise for which it has signed may have been committed, or may still be.
    let (signed, RulesVersion(known)) = (remembered.signed(), known);
    if signed > known {
        return Err(NodeError::OldBuild { signed, known });
    }
    Ok(remembered)
}

/// Refuses a log that starts after the last entry that the registry has applied: the entries in between could not be
/// applied.
fn reaches_back(log: &LogStore<LogRecord>, applied: Option<u64>) -> Result<(), NodeError> {
    let purged = log.purged().map(|bytes| codec::decode_log_id(&bytes)).transpose();
    let purged = purged.map_err(with_text(NodeError::LogStart))?.map(|id| id.index);
    if purged <= applied {
        return Ok(());
    }
    let at =
        |index: Option<u64>| index.map_or_else(|| "nothing".to_owned(), |index| format!("entry {index}"));
    Err(NodeError::Registry(format!(
        "it has applied {}, and the log begins only after {}: these are files of different times, and what lies between is \
         lost here: replace the member",
        at(applied),
        at(purged)
    )))
}

/// Refuses a vote for a term above the bound: every peer refuses a node with such a term, and a vote for the last
/// possible term leaves none for a further election.
fn leaves_a_term(log: &LogStore<LogRecord>, most: u64) -> Result<(), NodeError> {
    let vote = log.vote().map(|bytes| codec::decode_vote(&bytes)).transpose();
    let term = vote.map_err(with_text(NodeError::Vote))?.map_or(0, |vote| vote.leader_id().term);
    if term <= most {
        return Ok(());
    }
    Err(NodeError::Vote(format!(
        "it is for term {term}, and by this machine's clock no node takes a term above {most}: set the clock right if it is \
         wrong; otherwise a false peer has made this node vote, so replace the member"
    )))
}
