//! How large a term or a log index may be that a peer claims.
//!
//! A node that takes a term in remembers it for good, and the next leader needs a larger one. A peer that claims the largest
//! number there is would leave none, so every request and every answer is held against a bound before anything else sees it;
//! a frame over the bound ends its connection, and nothing of it is remembered.
//!
//! The bound grows with the wall clock and with nothing else. If it were a distance from a node's own term, a peer could
//! lead the nodes of one cluster to terms further apart than that distance, and from then on they would refuse one
//! another. By the clock, whatever one node takes in, every other node takes in too, and a newcomer with an empty log does.
//!
//! Owns the bound, and what of Raft's own types is held against it. What else a message must keep to is in `messages`.

use openraft::alias::{LogIdOf, VoteOf};
use openraft::raft::{
    AppendEntriesResponse, TransferLeaderError, TransferLeaderResponse, VoteRequest, VoteResponse,
};

use assent_proof::Millis;

use crate::raft::types::{NodeId, TypeConfig, check_node_id};

mod messages;

/// Elections, or log entries, that a cluster may have had in each millisecond since 1970: more than any has.
const A_MILLISECOND: u64 = 1_000;
/// So much is always allowed, so that a node whose clock fell back to 1970 still follows its cluster.
const ALWAYS: u64 = 1 << 24;
/// Never more than half of all numbers, whatever the clock says.
const NEVER_ABOVE: u64 = 1 << 63;

/// The largest term and the largest log index that count at `now`, this node's wall clock.
pub fn claim_max(now: Millis) -> u64 {
    let since_1970 = u64::try_from(now.0).unwrap_or(0);
    since_1970.saturating_mul(A_MILLISECOND).saturating_add(ALWAYS).min(NEVER_ABOVE)
}

/// What a peer says, held against the bound.
pub trait Bounded {
    /// Whether every term and every log index in it is at most `most`, only a leader does what only leaders do, and entries follow
    /// one another; the error says what does not hold.
    fn within(&self, most: u64) -> Result<(), String>;
}

/// One number.
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

/// A node that a message names.
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
