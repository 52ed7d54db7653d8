//! The largest term and log index that a peer may claim.
//!
//! A node that accepts a term remembers it for good, and the next leader needs a larger one. If a peer claimed the
//! largest number, no larger term would be left. So the node compares every request and every answer with a bound
//! before anything else sees it. A frame over the bound ends its connection, and nothing of it is remembered.
//!
//! The bound grows only with the wall clock. If it were a distance from a node's own term, a peer could lead the
//! nodes of one cluster to terms that are further apart than that distance, and then they would refuse one another.
//! With a bound by the clock, what one node accepts, every other node accepts too, even a new node with an empty log.
//!
//! This module owns the bound, and compares Raft's own types with it. `messages` has the other checks of a message.

use openraft::alias::{LogIdOf, VoteOf};
use openraft::raft::{
    AppendEntriesResponse, TransferLeaderError, TransferLeaderResponse, VoteRequest, VoteResponse,
};

use assent_proof::Millis;

use crate::raft::types::{NodeId, TypeConfig, check_node_id};

mod messages;

/// The number of elections, or of log entries, that a cluster may have had in each millisecond since 1970. No cluster
/// has more.
const A_MILLISECOND: u64 = 1_000;
/// The bound is never below this, so that a node whose clock fell back to 1970 still follows its cluster.
const ALWAYS: u64 = 1 << 24;
/// The bound is never above half of all numbers, whatever the clock shows.
const NEVER_ABOVE: u64 = 1 << 63;

/// The largest term and the largest log index that are accepted at `now`, this node's wall clock.
pub fn claim_max(now: Millis) -> u64 {
    let since_1970 = u64::try_from(now.0).unwrap_or(0);
    since_1970.saturating_mul(A_MILLISECOND).saturating_add(ALWAYS).min(NEVER_ABOVE)
}

/// A peer's message, which is compared with the bound.
pub trait Bounded {
    /// Checks that every term and every log index in it is at most `most`, that only a leader does what only leaders
    /// do, and that entries follow one another. The error tells what does not hold.
    fn within(&self, most: u64) -> Result<(), String>;
}

/// Checks one number.
pub(super) fn number(what: &str, claimed: u64, most: u64) -> Result<(), String> {
    if claimed <= most {
        return Ok(());
    }
    Err(format!("{what} `{claimed}` is larger than `{most}`, the largest that this node's clock allows"))
}

fn vote(claimed: &VoteOf<TypeConfig>, most: u64) -> Result<(), String> {
    number("term", claimed.leader_id().term, most)
}

fn log_id(claimed: Option<&LogIdOf<TypeConfig>>, most: u64) -> Result<(), String> {
    let Some(claimed) = claimed else { return Ok(()) };
    number("term", claimed.leader_id.term, most)?;
    number("log index", claimed.index, most)
}

/// Checks a node id that a message names.
pub(super) fn node_id(claimed: NodeId) -> Result<(), String> {
    check_node_id(claimed).map(|_| ()).map_err(|error| error.to_string())
}

impl Bounded for AppendEntriesResponse<TypeConfig> {
    fn within(&self, most: u64) -> Result<(), String> {
        match self {
            AppendEntriesResponse::Success | AppendEntriesResponse::Conflict => Ok(()),
            AppendEntriesResponse::PartialSuccess(reached) => log_id(reached.as_ref(), most),
            AppendEntriesResponse::HigherVote(higher) => vote(higher, most),
        }
    }
}

impl Bounded for VoteRequest<TypeConfig> {
    fn within(&self, most: u64) -> Result<(), String> {
        vote(&self.vote, most)?;
        log_id(self.last_log_id.as_ref(), most)
    }
}

impl Bounded for VoteResponse<TypeConfig> {
    fn within(&self, most: u64) -> Result<(), String> {
        vote(&self.vote, most)?;
        log_id(self.last_log_id.as_ref(), most)
    }
}

impl Bounded for TransferLeaderResponse<TypeConfig> {
    fn within(&self, most: u64) -> Result<(), String> {
        match self {
            Ok(()) => Ok(()),
            Err(TransferLeaderError::VoteChanged { expected, actual }) => {
                vote(expected, most)?;
                vote(actual, most)
            }
            Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
                log_id(expected.as_ref(), most)?;
                log_id(actual.as_ref(), most)
            }
        }
    }
}

impl Bounded for () {
    fn within(&self, _most: u64) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_grows_with_the_clock_and_always_leaves_room() {
        assert_eq!(claim_max(Millis(0)), 1 << 24);
        assert_eq!(claim_max(Millis(-5)), 1 << 24);
        assert_eq!(claim_max(Millis(1_790_000_000_000)), 1_790_000_000_000_000 + (1 << 24));
        assert_eq!(claim_max(Millis(i64::MAX)), 1 << 63);
    }
}
