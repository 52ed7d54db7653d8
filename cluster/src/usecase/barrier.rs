//! The read barrier: a quorum confirms the leader, and this node has applied everything that was committed before.
//!
//! The node uses ReadIndex (Raft dissertation §6.4), always. It never uses a lease, and never its own belief that it
//! leads. A follower takes the read index from the leader, and waits until it has applied that far itself.

use std::sync::Mutex;
use std::time::Duration;

use openraft::ReadPolicy;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::raft::linearizable_read::{Linearizer, LinearizerOption, ReadLogId};
use tokio::time::{Instant, sleep, timeout_at};

use super::Parts;
use crate::locked::lock;
use crate::peer::{ReadIndex, ReadIndexError};
use crate::raft::types::{NodeId, TypeConfig};

/// The pause before the node tries again while there is no leader.
const RETRY_AFTER: Duration = Duration::from_millis(10);
/// The longest time that one attempt takes, so that a leader that fell silent does not use up the whole deadline.
pub(super) const TRY_AT_MOST: Duration = Duration::from_millis(150);

/// Why a barrier was not passed. Each of these denies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BarrierError {
    /// No quorum confirmed the state in time.
    #[error("no quorum confirmed the state in time: {0}")]
    NoQuorum(String),
    /// The node is not a voter. Learners and removed nodes never answer.
    #[error("this node is not a voter of the cluster")]
    NotVoter,
    /// Too many callers wait for a barrier.
    #[error("{0}")]
    Overloaded(String),
    /// The node is ending.
    #[error("{0}")]
    Fatal(String),
}

/// The error of the barrier's last attempt, for callers that give up before the barrier ends.
pub(super) struct LastTry(Mutex<String>);

impl Default for LastTry {
    fn default() -> Self {
        Self(Mutex::new("none has answered yet".to_owned()))
    }
}

impl LastTry {
    fn said(&self, problem: String) {
        *lock(&self.0) = problem;
    }

    /// The error for a caller that does not wait any longer.
    pub(super) fn given_up(&self) -> BarrierError {
        BarrierError::NoQuorum(lock(&self.0).clone())
    }
}

impl Parts {
    /// Passes a barrier by `until`. Everything that was acknowledged before the call is in every view that is opened
    /// after it.
    pub(crate) async fn barrier(&self, until: Instant) -> Result<(), BarrierError> {
        self.barrier_of_many(until, &LastTry::default()).await
    }

    /// Like [`barrier`](Self::barrier), for callers of which some give up earlier.
    ///
    /// Rule R2 (RFC-EG-033 §4, synchronization ambiguity): A node that is no voter by its own membership
    /// passes no barrier (`no_quorum`).
    pub(super) async fn barrier_of_many(&self, until: Instant, last: &LastTry) -> Result<(), BarrierError> {
        loop {
            if let Some(cause) = self.fatal() {
                return Err(BarrierError::Fatal(cause));
            }
            if !self.is_voter() {
                return Err(BarrierError::NotVoter);
            }
            let now = Instant::now();
            if now >= until {
                return Err(last.given_up());
            }
            let try_until = until.min(now + TRY_AT_MOST);
            match self.try_barrier(try_until).await {
                // The node may have learnt in the meantime that it must end.
                Ok(()) => return self.fatal().map_or(Ok(()), |cause| Err(BarrierError::Fatal(cause))),
                Err(problem) => last.said(problem),
            }
            sleep(RETRY_AFTER.min(until.saturating_duration_since(Instant::now()))).await;
        }
    }

    /// Whether this node is a voter by its newest membership.
    pub(super) fn is_voter(&self) -> bool {
        let me = self.config.node_id;
        self.raft.metrics().borrow_watched().membership_config.voter_ids().any(|voter| voter == me)
    }

    /// Rule R5 (RFC-EG-033 §5, governance registries): A node evaluates only once it has applied everything
    /// up to the read index (`no_quorum`).
    async fn try_barrier(&self, until: Instant) -> Result<(), String> {
        let read_log_id = match self.believed_leader() {
            None => return Err("no leader is known".to_owned()),
            Some(leader) if leader == self.config.node_id => {
                self.confirm(until).await.map_err(|error| error.to_string())?
            }
            Some(leader) => self.ask_leader(leader, until).await?,
        };
        let linearizer = Linearizer::<TypeConfig>::new(self.config.node_id, read_log_id, None);
        let left = until.saturating_duration_since(Instant::now());
        match linearizer.try_await_ready(&self.raft, Some(left)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err("this node is still applying what was committed".to_owned()),
            Err(fatal) => Err(fatal.to_string()),
        }
    }

    /// As leader: a quorum confirms that this node still leads. Returns how far a reader must have applied.
    ///
    /// Rule R3 (RFC-EG-033 §4, synchronization ambiguity): A barrier is passed only if a quorum has confirmed
    /// the leader after the barrier began, never by a lease and never by what the node itself believes
    /// (`no_quorum`).
    pub(crate) async fn confirm(&self, until: Instant) -> Result<ReadLogId<TypeConfig>, ReadIndexError> {
        let left = until.saturating_duration_since(Instant::now());
        let option = LinearizerOption::from(ReadPolicy::ReadIndex).with_wait_timeout(left);
        match timeout_at(until, self.raft.get_read_linearizer(option)).await {
            Ok(Ok(linearizer)) => Ok(*linearizer.read_log_id()),
            Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)))) => {
                Err(ReadIndexError::NotLeader { leader: forward.leader_id })
            }
            Ok(Err(error)) => Err(ReadIndexError::NoQuorum(error.to_string())),
            Err(_) => Err(ReadIndexError::NoQuorum("the deadline passed".to_owned())),
        }
    }

    /// As follower: asks the leader how far a reader must have applied. It asks on a connection that this node has
    /// dialed itself, to an address and the store of that voter, because any node that dials this one could claim to
    /// be the leader. An answer below what this node had seen committed before it asked does not come from a leader.
    ///
    /// Rule R4 (RFC-EG-033 §4, synchronization ambiguity): A follower asks the leader for the read index, on
    /// a connection that it dialed itself to that voter, and refuses one below what it has seen committed
    /// (`no_quorum`).
    async fn ask_leader(&self, leader: NodeId, until: Instant) -> Result<ReadLogId<TypeConfig>, String> {
        let metrics = self.metrics_now();
        let membership = &metrics.membership_config;
        let voter = membership.voter_ids().any(|voter| voter == leader);
        let Some(node) = membership.get_node(&leader).filter(|_| voter) else {
            return Err(format!("node {leader} is not a voter as this node knows the members"));
        };
        let left = until.saturating_duration_since(Instant::now());
        let addrs = self.peer_addresses(leader, node);
        match self.hub.call_dialed(leader, &addrs, node.store_id, &ReadIndex {}, left).await {
            Ok(Ok(read)) => not_below(leader, read, metrics.local_committed.map(|seen| seen.index)),
            Ok(Err(error)) => Err(format!("node {leader} says that {error}")),
            Err(error) => Err(format!("node {leader}: {error}")),
        }
    }
}

/// Refuses a read index below what is known to be committed.
///
/// Rule R4 (RFC-EG-033 §4, synchronization ambiguity): A follower asks the leader for the read index, on a
/// connection that it dialed itself to that voter, and refuses one below what it has seen committed
/// (`no_quorum`).
fn not_below(
    leader: NodeId,
    read: ReadLogId<TypeConfig>,
    seen: Option<u64>,
) -> Result<ReadLogId<TypeConfig>, String> {
    let index = read.index();
    match seen.filter(|seen| index < *seen) {
        None => Ok(read),
        Some(seen) => Err(format!(
            "node {leader} names log index {index} to read at, and this node has seen {seen} committed"
        )),
    }
}

#[cfg(test)]
mod tests {
    use openraft::alias::LogIdOf;

    use super::*;

    /// Rule R4.
    #[test]
    fn a_read_index_below_what_this_node_has_seen_committed_is_refused() {
        let read = || ReadLogId::<TypeConfig>::from_log_id(LogIdOf::<TypeConfig>::new(2u64.into(), 7));
        assert!(not_below(1, read(), None).is_ok());
        assert!(not_below(1, read(), Some(7)).is_ok());
        let refused = not_below(1, read(), Some(8)).unwrap_err();
        assert_eq!(refused, "node 1 names log index 7 to read at, and this node has seen 8 committed");
    }
}
