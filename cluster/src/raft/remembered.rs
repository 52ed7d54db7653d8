//! What this node remembers beside its log. It remembers which log index the members have acknowledged, so that a
//! disk that was put back is recognized. It remembers that its own history ended, which rules it has signed to know,
//! and which members have said that it was removed.
//!
//! The leader sends what it knows of the members with its appends. If a node's Raft has accepted the append, the node
//! keeps this: in memory at once, and on disk with the next commit of its log, up to the entries that it has seen
//! committed. A member that comes back with less than it acknowledged is refused. It could vote against its own
//! earlier promises, and a leader that had counted on it could not go on.
//!
//! This module owns what is remembered and, in `remembered/codec.rs`, its encoding. It decides nothing about Raft.

mod codec;
mod state;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use assent_store::{LogStore, StoreError};
use openraft::RaftMetrics;

use self::state::State;
pub use self::state::UnreadableError;
use super::log::LogRecord;
use super::types::{NodeId, TypeConfig};
use crate::locked::lock;
use crate::peer::{Acknowledged, Hello};

/// What this node remembers. Clones of the `Arc` share it.
pub struct Remembered {
    log: LogStore<LogRecord>,
    state: Mutex<State>,
    /// Held while it is passed to the log.
    writing: tokio::sync::Mutex<()>,
}

impl Remembered {
    /// What `log` remembers.
    pub fn load(log: LogStore<LogRecord>) -> Result<Arc<Self>, UnreadableError> {
        let state = match log.remembered() {
            Some(bytes) => codec::decode(&bytes)?,
            None => State::default(),
        };
        Ok(Arc::new(Self { log, state: Mutex::new(state), writing: tokio::sync::Mutex::default() }))
    }

    /// The epoch in which root recovered the cluster without this node, if it did. Such a node never starts again.
    pub fn ended(&self) -> Option<u64> {
        Some(lock(&self.state).ended).filter(|epoch| *epoch > 0)
    }

    /// Remembers for good that root recovered the cluster without this node; durable when this returns.
    pub async fn end(&self, epoch: u64) -> Result<(), StoreError> {
        lock(&self.state).ended = epoch;
        self.write(true).await
    }

    /// The newest version of the rules for which this node has signed that its build knows it; 0 if there is none. A
    /// build that does not know that version does not start, because the signed statement may still be committed.
    pub fn signed(&self) -> u32 {
        lock(&self.state).signed
    }

    /// Remembers for good that this node signs that its build knows these rules; durable when this returns.
    pub async fn sign(&self, version: u32) -> Result<(), StoreError> {
        {
            let mut state = lock(&self.state);
            state.signed = state.signed.max(version);
        }
        self.write(true).await
    }

    /// The members that have said that this node was removed, and have not taken it back. It is shown, and no
    /// decision depends on it.
    pub fn removed_by(&self) -> BTreeSet<NodeId> {
        lock(&self.state).removed_by.clone()
    }

    /// Sets the members that say so. Returns whether that changes anything. The next [`save`](Self::save) makes it
    /// durable.
    pub fn set_removed_by(&self, removed_by: BTreeSet<NodeId>) -> bool {
        let mut state = lock(&self.state);
        let changed = state.removed_by != removed_by;
        if changed {
            state.removed_by = removed_by;
            state.grown = true;
            state.loose = true;
        }
        changed
    }

    /// Passes what is to be remembered to the log, which makes it durable with its next commit. With `now`, it is
    /// durable when this returns.
    async fn write(&self, now: bool) -> Result<(), StoreError> {
        // What is encoded later is also passed to the log later, so that nothing older replaces it.
        let _turn = self.writing.lock().await;
        let bytes = codec::encode(&lock(&self.state));
        if now { self.log.save_remembered_now(bytes).await } else { self.log.save_remembered(bytes).await }
    }

    /// Remembers what the leader of this term sent with an append that Raft has accepted: only of members, and no
    /// later term and no larger log index than `most`, which this node has seen committed itself. A member that has
    /// acknowledged more has acknowledged this too, so nothing is lost if the leader is ahead of this node.
    pub fn remember_accepted(
        &self,
        acknowledged: &[Acknowledged],
        most: (u64, u64),
        is_member: impl Fn(NodeId) -> bool,
    ) {
        let known = acknowledged.iter().filter(|known| is_member(known.node));
        let known: Vec<_> = known
            .map(|known| Acknowledged {
                node: known.node,
                term: known.term.min(most.0),
                index: known.index.min(most.1),
            })
            .collect();
        self.remember(&known);
    }

    /// Never forgets: a position smaller than the known one is skipped.
    fn remember(&self, acknowledged: &[Acknowledged]) {
        let mut state = lock(&self.state);
        for Acknowledged { node, term, index } in acknowledged {
            let known = state.known.entry(*node).or_default();
            let new = (known.0.max(*term), known.1.max(*index));
            if *known != new {
                *known = new;
                state.grown = true;
                state.loose = true;
            }
        }
    }

    /// As leader: sets what every append carries from now on. Empty once this node does not lead.
    pub fn tell(&self, acknowledged: Vec<Acknowledged>) {
        self.remember(&acknowledged);
        lock(&self.state).told = acknowledged;
    }

    /// What an append carries.
    pub fn told(&self) -> Vec<Acknowledged> {
        lock(&self.state).told.clone()
    }

    /// Passes what has changed to the log, which makes it durable with its next commit, or with `now` before this
    /// returns. Forgets nodes that are not members, because their ids are never used again.
    pub async fn save(&self, now: bool, is_member: impl Fn(NodeId) -> bool) -> Result<(), StoreError> {
        {
            let mut state = lock(&self.state);
            let due = if now { state.loose } else { state.grown };
            if !due {
                return Ok(());
            }
            state.grown = false;
            state.loose &= !now;
            state.known.retain(|node, _| is_member(*node));
        }
        self.write(now).await
    }

    /// Term and log index that a member is known to have acknowledged.
    pub fn known(&self, node: NodeId) -> Option<(u64, u64)> {
        lock(&self.state).known.get(&node).copied()
    }

    /// Whether the node of this hello has everything that it acknowledged, as far as a leader has told this node or, if
    /// this node leads, up to now. A leader that counts on entries that a member has lost could not go on.
    pub fn check(&self, hello: &Hello, metrics: &RaftMetrics<TypeConfig>) -> Result<(), String> {
        let (node, store_progress) = (hello.node_id, hello.store_progress);
        let lacks = |term: u64, index: u64| {
            format!(
                "node {node} acknowledged log index {index} in term {term} and returns with {} entries in term {}: its disk \
                 was put back to an older copy, or has lost its newest commit; it never rejoins under this id: replace the \
                 member",
                store_progress.log_end, store_progress.term
            )
        };
        if let Some((term, index)) = self.known(node)
            && (store_progress.log_end <= index || store_progress.term < term)
        {
            return Err(lacks(term, index));
        }
        let term = metrics.current_term;
        let matched = metrics.replication.as_ref().and_then(|known| known.get(&node)?.as_ref());
        // Under a later leader the member may have truncated entries that are not committed.
        match matched.map(|matched| matched.index) {
            Some(index)
                if store_progress.term < term
                    || (store_progress.term == term && store_progress.log_end <= index) =>
            {
                Err(lacks(term, index))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn remembered(folder: &std::path::Path) -> Arc<Remembered> {
        let env = crate::env::Environment::real(folder).unwrap();
        let options = assent_store::StoreOptions::default();
        let store =
            assent_store::Store::<LogRecord>::open(env.disk.clone(), env.run_blocking(), [0; 16], options);
        Remembered::load(store.await.unwrap().log).unwrap()
    }

    #[tokio::test]
    async fn a_leaders_claims_are_remembered_only_of_members_and_only_up_to_the_commit_index() {
        let folder = tempfile::tempdir().unwrap();
        let remembered = remembered(folder.path()).await;
        let said = |node, term, index| Acknowledged { node, term, index };
        let all = [said(1, u64::MAX, u64::MAX), said(2, 3, 7), said(9, 3, 7)];
        remembered.remember_accepted(&all, (3, 8), |node| node < 3);
        assert_eq!(remembered.known(1), Some((3, 8)));
        assert_eq!(remembered.known(2), Some((3, 7)));
        assert_eq!(remembered.known(9), None);
        // What was remembered is never forgotten.
        remembered.remember_accepted(&[said(1, 1, 1)], (3, 8), |_| true);
        assert_eq!(remembered.known(1), Some((3, 8)));
    }

    #[tokio::test]
    async fn what_was_signed_is_remembered_for_good_and_never_less() {
        let folder = tempfile::tempdir().unwrap();
        let before = remembered(folder.path()).await;
        assert_eq!(before.signed(), 0);
        for version in [2, 1, 3, 2] {
            before.sign(version).await.unwrap();
        }
        before.log.close().await.unwrap();
        drop(before);
        assert_eq!(remembered(folder.path()).await.signed(), 3);
    }

    #[tokio::test]
    async fn who_has_said_that_this_node_was_removed_is_remembered_until_it_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let before = remembered(folder.path()).await;
        assert!(before.set_removed_by(BTreeSet::from([1, 3])));
        assert!(!before.set_removed_by(BTreeSet::from([1, 3])));
        before.save(true, |_| true).await.unwrap();
        before.log.close().await.unwrap();
        drop(before);
        let after = remembered(folder.path()).await;
        assert_eq!(after.removed_by(), BTreeSet::from([1, 3]));
        assert!(after.set_removed_by(BTreeSet::new()));
        after.save(true, |_| true).await.unwrap();
        after.log.close().await.unwrap();
        drop(after);
        assert_eq!(remembered(folder.path()).await.removed_by(), BTreeSet::new());
    }

    fn all(remembered: &Remembered) -> (u32, Option<(u64, u64)>, BTreeSet<NodeId>) {
        (remembered.signed(), remembered.known(1), remembered.removed_by())
    }

    #[tokio::test]
    async fn what_an_unreleased_build_wrote_into_version_1_is_whole_after_it_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let before = remembered(folder.path()).await;
        let first = concat!(
            "01",
            "000000000000000000000002",
            "000000000000000100000000000000020000000000000003",
            // Written by builds that were in no release.
            "800000000000000300000000000000000000000000000000"
        );
        before.log.save_remembered_now(hex::decode(first).unwrap().into()).await.unwrap();
        let loaded = Remembered::load(before.log.clone()).unwrap();
        let expected = (2, Some((2, 3)), BTreeSet::from([3]));
        assert_eq!(all(&loaded), expected);
        // What is only read stays as it was: an earlier build can still read it.
        assert_eq!(before.log.remembered().unwrap()[0], 1);
        loaded.sign(1).await.unwrap();
        assert_eq!(before.log.remembered().unwrap()[0], 2);
        before.log.close().await.unwrap();
        drop((before, loaded));
        assert_eq!(all(&*remembered(folder.path()).await), expected);
    }

    #[tokio::test]
    async fn a_memory_of_another_version_is_not_damaged_and_says_which_build_to_start() {
        let folder = tempfile::tempdir().unwrap();
        let before = remembered(folder.path()).await;
        let empty = codec::encode(&State::default());
        let said = |version: u8| {
            format!(
                "what the log remembers of the voters has version {version}, and this build reads versions 1 to 2"
            )
        };
        for (version, build) in [(3, "a newer build"), (0, "the build that wrote it")] {
            let bytes = [&[version][..], &empty[1..]].concat();
            before.log.save_remembered_now(bytes.into()).await.unwrap();
            let error = Remembered::load(before.log.clone()).err().unwrap();
            assert_eq!(error.to_string(), format!("{}: start this node with {build}", said(version)));
        }
    }
}
