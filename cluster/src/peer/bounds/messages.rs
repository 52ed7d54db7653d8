//! The checks that every message and every answer must pass before anything else sees it.
//!
//! Terms and log indices are at most the bound. Only a leader sends what only leaders send. Entries follow one
//! another. A membership is one that a cluster can have. A node id is in its range, and an address is `host:port`.

use openraft::alias::VoteOf;
use openraft::raft::AppendEntriesRequest;
use openraft::{EntryPayload, Membership};

use assent_api::is_address;
use assent_proof::text::is_obeyed;

use crate::peer::message::{
    Append, Behalf, CosignRules, CosignRulesReply, Introduce, Manage, ManageFor, ManageReply, PreVote, Probe,
    ProbeReply, ReadIndex, ReadIndexReply, SnapshotBegin, SnapshotChunk, SnapshotEnd, SnapshotReply, Submit,
    SubmitFor, SubmitReply, TransferLeader, Vote,
};
use crate::peer::moved::{Moved, MovedReply};
use crate::raft::types::{MEMBERS_MAX, NodeId, PeerNode, TypeConfig, VOTERS_MAX, check_node_id};

use super::{Bounded, log_id, node_id, number, vote};

/// Checks that this is the vote of a leader: a quorum has granted it.
fn leaders_vote(claimed: &VoteOf<TypeConfig>, most: u64) -> Result<(), String> {
    vote(claimed, most)?;
    if claimed.is_committed() {
        return Ok(());
    }
    Err(format!(
        "node `{}` does not say that it leads term `{}`",
        claimed.leader_id().voted_for,
        claimed.leader_id().term
    ))
}

/// Checks that this is a membership that a cluster can have: one set of voters, or two while it changes. Each set has
/// at least one voter and not too many, and each voter has an entry.
fn members(claimed: &Membership<NodeId, PeerNode>) -> Result<(), String> {
    let sets = claimed.get_joint_config();
    if sets.is_empty() || sets.len() > 2 {
        return Err(format!("a membership of `{}` sets of voters", sets.len()));
    }
    if let Some(set) = sets.iter().find(|set| set.is_empty() || set.len() > VOTERS_MAX) {
        return Err(format!("a membership with `{}` voters", set.len()));
    }
    if let Some(id) = sets.iter().flatten().find(|id| claimed.get_node(id).is_none()) {
        return Err(format!("a membership without an entry for its voter `{id}`"));
    }
    let count = claimed.nodes().count();
    if count > MEMBERS_MAX {
        return Err(format!("a membership of `{count}` nodes"));
    }
    let out_of_range = claimed.nodes().find_map(|(id, _)| check_node_id(*id).err());
    out_of_range.map_or(Ok(()), |error| Err(format!("a membership in which {error}")))
}

/// Checks an address that a message names.
fn address(claimed: &str) -> Result<(), String> {
    if is_address(claimed) { Ok(()) } else { Err("an address that is not `host:port`".to_owned()) }
}

/// Checks that the entries follow one another, and that none has a later term than the leader that sends it.
fn consecutive(rpc: &AppendEntriesRequest<TypeConfig>) -> Result<(), String> {
    let term = rpc.vote.leader_id().term;
    let mut next = rpc.prev_log_id.as_ref().map_or(0, |prev| prev.index.saturating_add(1));
    for entry in &rpc.entries {
        if entry.log_id.index != next {
            return Err(format!("log index `{}` where `{next}` follows", entry.log_id.index));
        }
        if entry.log_id.leader_id.term > term {
            let of = entry.log_id.leader_id.term;
            return Err(format!("an entry of term `{of}` from the leader of term `{term}`"));
        }
        next = next.saturating_add(1);
    }
    Ok(())
}

impl Bounded for Append {
    fn within(&self, most: u64) -> Result<(), String> {
        let rpc = &self.rpc;
        leaders_vote(&rpc.vote, most)?;
        log_id(rpc.prev_log_id.as_ref(), most)?;
        log_id(rpc.leader_commit.as_ref(), most)?;
        for entry in &rpc.entries {
            log_id(Some(&entry.log_id), most)?;
            if let EntryPayload::Membership(membership) = &entry.payload {
                members(membership)?;
            }
        }
        for known in &self.acknowledged {
            number("acknowledged term", known.term, most)?;
            number("acknowledged log index", known.index, most)?;
        }
        consecutive(rpc)
    }
}

impl Bounded for Vote {
    fn within(&self, most: u64) -> Result<(), String> {
        self.0.within(most)
    }
}

impl Bounded for PreVote {
    fn within(&self, most: u64) -> Result<(), String> {
        self.0.within(most)
    }
}

impl Bounded for TransferLeader {
    fn within(&self, most: u64) -> Result<(), String> {
        leaders_vote(self.0.from_leader(), most)?;
        log_id(self.0.last_log_id(), most)
    }
}

impl Bounded for SnapshotBegin {
    fn within(&self, most: u64) -> Result<(), String> {
        leaders_vote(&self.vote, most)?;
        log_id(self.meta.last_log_id.as_ref(), most)?;
        log_id(self.meta.last_membership.log_id().as_ref(), most)?;
        let stored = &self.meta.last_membership;
        match stored.log_id() {
            Some(_) => members(stored.membership()),
            None if stored.nodes().next().is_none() => Ok(()),
            None => Err("a membership without the log entry that set it".to_owned()),
        }
    }
}

impl Bounded for SnapshotReply {
    fn within(&self, most: u64) -> Result<(), String> {
        match self {
            SnapshotReply::Done(seen) => vote(seen, most),
            SnapshotReply::Continue { .. } | SnapshotReply::Aborted(_) => Ok(()),
        }
    }
}

impl Bounded for ReadIndexReply {
    fn within(&self, most: u64) -> Result<(), String> {
        match self {
            Ok(read) => log_id(Some(read.log_id()), most),
            Err(_) => Ok(()),
        }
    }
}

impl Bounded for Introduce {
    fn within(&self, _most: u64) -> Result<(), String> {
        let count = self.members.len();
        if count > MEMBERS_MAX {
            return Err(format!("`{count}` members"));
        }
        self.members.iter().try_for_each(|(id, _)| node_id(*id))
    }
}

impl Bounded for Manage {
    fn within(&self, _most: u64) -> Result<(), String> {
        match self {
            Manage::List | Manage::Transfer(None) => Ok(()),
            Manage::Promote(id) | Manage::Remove(id) | Manage::Transfer(Some(id)) => node_id(*id),
            Manage::Add { id, node } => {
                node_id(*id)?;
                address(&node.peer_addr)?;
                address(&node.client_addr)
            }
            Manage::Update { id, peer_addr, client_addr } => {
                node_id(*id)?;
                peer_addr.iter().chain(client_addr).try_for_each(|claimed| address(claimed))
            }
        }
    }
}

/// The longest name of a caller that a peer may say, the longest word for how it was identified, and the longest id of
/// its request, in bytes.
const NAME_MAX: usize = 256;
const BY_MAX: usize = 32;
const REQUEST_MAX: usize = 64;

/// Checks what a peer says of a caller: its texts go into this node's audit trail, which people read on terminals.
fn behalf(claimed: &Behalf) -> Result<(), String> {
    for (what, text, most) in [
        ("name", &claimed.name, NAME_MAX),
        ("way to identify", &claimed.by, BY_MAX),
        ("request id", &claimed.request, REQUEST_MAX),
    ] {
        if text.len() > most {
            return Err(format!("a caller's {what} of `{}` bytes, and `{most}` is the most", text.len()));
        }
        if text.chars().any(is_obeyed) {
            return Err(format!("a caller's {what} with a character that terminals obey"));
        }
    }
    Ok(())
}

impl Bounded for SubmitFor {
    fn within(&self, _most: u64) -> Result<(), String> {
        if self.behalf.len() != self.groups.len() {
            return Err(format!("`{}` callers of `{}` groups", self.behalf.len(), self.groups.len()));
        }
        self.behalf.iter().try_for_each(behalf)
    }
}

impl Bounded for ManageFor {
    fn within(&self, most: u64) -> Result<(), String> {
        behalf(&self.behalf)?;
        self.manage.within(most)
    }
}

impl Bounded for Moved {
    fn within(&self, _most: u64) -> Result<(), String> {
        node_id(self.node_id)?;
        address(&self.peer_addr)?;
        address(&self.client_addr)
    }
}

/// A message without a term, a log index or a new node.
macro_rules! without_numbers {
    ($($message:ty),* $(,)?) => {
        $(impl Bounded for $message {
            fn within(&self, _most: u64) -> Result<(), String> {
                Ok(())
            }
        })*
    };
}

without_numbers! {
    CosignRules, CosignRulesReply, ManageReply, MovedReply, Probe, ProbeReply, ReadIndex, SnapshotChunk,
    SnapshotEnd, Submit, SubmitReply,
}

#[cfg(test)]
mod tests;
