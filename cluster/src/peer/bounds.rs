//! How large a term or a log index may be that a peer claims.
//!
//! A node that takes a term in remembers it for good, and the next leader needs a larger one. A peer that claims the largest
//! number there is would leave none, so every request and every answer is held against a bound before anything else sees it;
//! a frame over the bound ends its connection, and nothing of it is remembered.
//!
//! The bound grows with the wall clock and with nothing else. If it were a distance from a node's own term, a peer could
//! lead the nodes of one cluster to terms further apart than that distance, and from then on they would refuse one
//! another. By the clock, whatever one node takes in, every other node takes in too, and a newcomer with an empty log does.

use openraft::alias::{LogIdOf, VoteOf};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderResponse, VoteRequest,
    VoteResponse,
};
use openraft::{EntryPayload, Membership};

use assent_api::is_address;
use assent_proof::Millis;

use crate::raft::types::{MEMBERS_MAX, NodeId, PeerNode, TypeConfig, VOTERS_MAX, check_node_id};

use super::message::{
    Append, CosignRules, CosignRulesReply, Introduce, Manage, ManageReply, PreVote, Probe, ProbeReply,
    ReadIndex, ReadIndexReply, SnapshotBegin, SnapshotChunk, SnapshotEnd, SnapshotReply, Submit, SubmitReply,
    TransferLeader, Vote,
};
use super::moved::{Moved, MovedReply};

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

/// The vote of a node that leads: a quorum has granted it.
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

fn log_id(claimed: Option<&LogIdOf<TypeConfig>>, most: u64) -> Result<(), String> {
    let Some(claimed) = claimed else { return Ok(()) };
    number("term", claimed.leader_id.term, most)?;
    number("log index", claimed.index, most)
}

/// A membership that a cluster can have: one set of voters, or two while it changes, each with somebody in it and not more than
/// there may be, and a node for each.
fn members(claimed: &Membership<NodeId, PeerNode>) -> Result<(), String> {
    let sets = claimed.get_joint_config();
    if sets.is_empty() || sets.len() > 2 {
        return Err(format!("a membership of `{}` sets of voters", sets.len()));
    }
    if let Some(set) = sets.iter().find(|set| set.is_empty() || set.len() > VOTERS_MAX) {
        return Err(format!("a membership with `{}` voters", set.len()));
    }
    if let Some(id) = sets.iter().flatten().find(|id| claimed.get_node(id).is_none()) {
        return Err(format!("a membership that says nothing of its voter `{id}`"));
    }
    let count = claimed.nodes().count();
    if count > MEMBERS_MAX {
        return Err(format!("a membership of `{count}` nodes"));
    }
    let out_of_range = claimed.nodes().find_map(|(id, _)| check_node_id(*id).err());
    out_of_range.map_or(Ok(()), |error| Err(format!("a membership in which {error}")))
}

/// A node that a message names.
pub(super) fn node_id(claimed: NodeId) -> Result<(), String> {
    check_node_id(claimed).map(|_| ()).map_err(|error| error.to_string())
}

/// An address that a message names.
fn address(claimed: &str) -> Result<(), String> {
    if is_address(claimed) { Ok(()) } else { Err("an address that is not `host:port`".to_owned()) }
}

/// The log takes entries only one after another, and none is of a later term than the leader that sends it.
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

impl Bounded for SnapshotBegin {
    fn within(&self, most: u64) -> Result<(), String> {
        leaders_vote(&self.vote, most)?;
        log_id(self.meta.last_log_id.as_ref(), most)?;
        log_id(self.meta.last_membership.log_id().as_ref(), most)?;
        let stored = &self.meta.last_membership;
        match stored.log_id() {
            Some(_) => members(stored.membership()),
            None if stored.nodes().next().is_none() => Ok(()),
            None => Err("a membership that no log entry says".to_owned()),
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

impl Bounded for Moved {
    fn within(&self, _most: u64) -> Result<(), String> {
        node_id(self.node_id)?;
        address(&self.peer_addr)?;
        address(&self.client_addr)
    }
}

/// What names no term, no log index and no new node.
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
    (), CosignRules, CosignRulesReply, ManageReply, MovedReply, Probe, ProbeReply, ReadIndex, SnapshotChunk, SnapshotEnd, Submit, SubmitReply,
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use bytes::Bytes;
    use openraft::StoredMembership;
    use openraft::alias::EntryOf;
    use openraft::entry::RaftEntry;
    use openraft::raft::TransferLeaderRequest;
    use openraft::raft::linearizable_read::ReadLogId;

    use super::super::message::Acknowledged;
    use super::*;
    use crate::raft::types::Proposal;

    /// A day of the year 2026.
    const NOW: Millis = Millis(1_790_000_000_000);

    fn most() -> u64 {
        claim_max(NOW)
    }

    fn of(term: u64) -> VoteOf<TypeConfig> {
        VoteOf::<TypeConfig>::new_committed(term, 1)
    }

    fn at(term: u64, index: u64) -> LogIdOf<TypeConfig> {
        LogIdOf::<TypeConfig>::new(term.into(), index)
    }

    fn append(vote: u64, prev: Option<LogIdOf<TypeConfig>>, entries: &[LogIdOf<TypeConfig>]) -> Append {
        let entry = |id: &LogIdOf<TypeConfig>| {
            EntryOf::<TypeConfig>::new(*id, EntryPayload::Normal(Proposal(Bytes::new())))
        };
        let rpc = AppendEntriesRequest {
            vote: of(vote),
            prev_log_id: prev,
            entries: entries.iter().map(entry).collect(),
            leader_commit: None,
        };
        Append { rpc, acknowledged: Vec::new() }
    }

    #[test]
    fn the_bound_grows_with_the_clock_and_always_leaves_room() {
        assert_eq!(claim_max(Millis(0)), 1 << 24);
        assert_eq!(claim_max(Millis(-5)), 1 << 24);
        assert_eq!(most(), 1_790_000_000_000_000 + (1 << 24));
        assert_eq!(claim_max(Millis(i64::MAX)), 1 << 63);
    }

    #[test]
    fn every_message_and_every_answer_is_refused_with_a_term_or_a_log_index_over_the_bound() {
        let over = most() + 1;
        for huge in [over, u64::MAX] {
            let request = |vote, last| VoteRequest::<TypeConfig>::new(vote, last);
            let mut committed = append(1, None, &[]);
            committed.rpc.leader_commit = Some(at(1, huge));
            let mut acknowledged = append(1, None, &[]);
            acknowledged.acknowledged = vec![Acknowledged { node: 2, term: 1, index: huge }];
            let mut remembered = append(1, None, &[]);
            remembered.acknowledged = vec![Acknowledged { node: 2, term: huge, index: 1 }];
            let transfer = |vote, last| TransferLeader(TransferLeaderRequest::new(vote, 2, last));
            let begin = |vote, meta| SnapshotBegin { transfer: 1, vote, meta, header: Bytes::new() };
            let covers = openraft::alias::SnapshotMetaOf::<TypeConfig> {
                last_log_id: Some(at(1, huge)),
                ..Default::default()
            };
            let members = openraft::alias::SnapshotMetaOf::<TypeConfig> {
                last_log_id: None,
                last_membership: StoredMembership::new(Some(at(huge, 1)), Default::default()),
            };
            let refused: Vec<Result<(), String>> = vec![
                Vote(request(of(huge), None)).within(most()),
                Vote(request(of(1), Some(at(huge, 1)))).within(most()),
                PreVote(request(of(1), Some(at(1, huge)))).within(most()),
                append(huge, None, &[]).within(most()),
                append(1, Some(at(1, huge)), &[]).within(most()),
                append(1, Some(at(1, most())), &[at(1, over)]).within(most()),
                committed.within(most()),
                acknowledged.within(most()),
                remembered.within(most()),
                transfer(of(huge), None).within(most()),
                transfer(of(1), Some(at(1, huge))).within(most()),
                begin(of(huge), Default::default()).within(most()),
                begin(of(1), covers).within(most()),
                begin(of(1), members).within(most()),
                AppendEntriesResponse::<TypeConfig>::HigherVote(of(huge)).within(most()),
                AppendEntriesResponse::<TypeConfig>::PartialSuccess(Some(at(1, huge))).within(most()),
                VoteResponse::<TypeConfig>::new(of(huge), None, false).within(most()),
                VoteResponse::<TypeConfig>::new(of(1), Some(at(1, huge)), true).within(most()),
                SnapshotReply::Done(of(huge)).within(most()),
                ReadIndexReply::Ok(ReadLogId::from_log_id(at(1, huge))).within(most()),
                TransferLeaderResponse::<TypeConfig>::Err(TransferLeaderError::VoteChanged {
                    expected: of(1),
                    actual: of(huge),
                })
                .within(most()),
            ];
            for (place, refused) in refused.into_iter().enumerate() {
                let why = refused.unwrap_err();
                assert!(why.contains("the largest that this node's clock allows"), "{place}: {why}");
            }
        }
    }

    #[test]
    fn a_membership_that_no_cluster_can_have_is_refused_in_an_append_and_in_a_snapshot() {
        let node = |id: u64| (id, PeerNode::default());
        let of = |groups: &[&[u64]], nodes: Vec<(u64, PeerNode)>| {
            let configs = groups.iter().map(|group| group.iter().copied().collect()).collect();
            // As it comes over the wire, where nobody has checked it.
            let wire =
                rmp_serde::to_vec_named(&Wire { configs, nodes: nodes.into_iter().collect() }).unwrap();
            rmp_serde::from_slice::<Membership<u64, PeerNode>>(&wire).unwrap()
        };
        let told = |membership: Membership<u64, PeerNode>| {
            let mut appended = append(1, None, &[]);
            let payload = EntryPayload::Membership(membership.clone());
            appended.rpc.entries = vec![EntryOf::<TypeConfig>::new(at(1, 0), payload)];
            let meta = openraft::alias::SnapshotMetaOf::<TypeConfig> {
                last_log_id: Some(at(1, 0)),
                last_membership: StoredMembership::new(Some(at(1, 0)), membership),
            };
            let begin = SnapshotBegin {
                transfer: 1,
                vote: VoteOf::<TypeConfig>::new_committed(1, 1),
                meta,
                header: Bytes::new(),
            };
            [appended.within(most()), begin.within(most())]
        };
        let all = |count: u64| (1..=count).map(node).collect::<Vec<_>>();
        let eight: Vec<u64> = (1..=8).collect();
        let refused = [
            (of(&[], vec![]), "`0` sets of voters"),
            (of(&[&[1], &[1, 2], &[2]], all(2)), "`3` sets of voters"),
            (of(&[&[]], all(1)), "with `0` voters"),
            (of(&[&eight], all(8)), "with `8` voters"),
            (of(&[&[1, 9]], all(1)), "nothing of its voter `9`"),
            (of(&[&[1]], all(10)), "`10` nodes"),
            (of(&[&[1]], vec![node(1), node(u64::MAX)]), "node id"),
            (of(&[&[1]], vec![node(1), node(0)]), "node id"),
        ];
        for (membership, why) in refused {
            for refused in told(membership) {
                let said = refused.unwrap_err();
                assert!(said.contains(why), "{said}");
            }
        }
        for fine in [of(&[&[1]], all(1)), of(&[&[1, 2], &[2, 3]], all(9)), of(&[&eight[..7]], all(7))] {
            assert_eq!(told(fine), [Ok(()), Ok(())]);
        }
    }

    #[test]
    fn a_message_that_names_a_node_with_an_id_that_none_can_have_is_refused() {
        let to = || Some("a:1".to_owned());
        for id in [0, (1 << 32) + 1, (1 << 63) - 1, u64::MAX] {
            let introduce = Introduce { members: vec![(1, PeerNode::default()), (id, PeerNode::default())] };
            let moved = Moved {
                node_id: id,
                store_id: [1; 16],
                peer_addr: "a:1".into(),
                client_addr: "a:2".into(),
                at_ms: 0,
                signature: Bytes::new(),
            };
            let refused = [
                introduce.within(most()),
                Manage::Add { id, node: PeerNode::default() }.within(most()),
                Manage::Promote(id).within(most()),
                Manage::Remove(id).within(most()),
                Manage::Transfer(Some(id)).within(most()),
                Manage::Update { id, peer_addr: to(), client_addr: None }.within(most()),
                moved.within(most()),
            ];
            for refused in refused {
                let why = refused.unwrap_err();
                assert!(why.contains("node id"), "{why}");
            }
        }
        assert_eq!(Manage::Update { id: 1, peer_addr: to(), client_addr: to() }.within(most()), Ok(()));
        let nowhere = Manage::Update { id: 1, peer_addr: to(), client_addr: Some("here".into()) };
        assert!(nowhere.within(most()).is_err());
        assert!(Introduce { members: vec![(1, PeerNode::default()); 10] }.within(most()).is_err());
    }

    /// A membership's fields.
    #[derive(serde::Serialize)]
    struct Wire {
        configs: Vec<BTreeSet<u64>>,
        nodes: BTreeMap<u64, PeerNode>,
    }

    #[test]
    fn what_is_within_the_bound_passes_however_far_it_is_from_what_a_newcomer_has() {
        let most = most();
        assert_eq!(Vote(VoteRequest::new(of(most), Some(at(most, most)))).within(most), Ok(()));
        assert_eq!(append(most, Some(at(3, most - 1)), &[at(most, most)]).within(most), Ok(()));
        assert_eq!(append(7, None, &[at(1, 0), at(7, 1)]).within(most), Ok(()));
        assert_eq!(append(7, Some(at(7, 4)), &[]).within(most), Ok(()));
        assert_eq!(Probe {}.within(0), Ok(()));
    }

    #[test]
    fn what_only_a_leader_sends_is_refused_of_a_candidate() {
        let candidate = VoteOf::<TypeConfig>::new(7, 1);
        let mut append = append(7, None, &[]);
        append.rpc.vote = candidate;
        let begin =
            SnapshotBegin { transfer: 1, vote: candidate, meta: Default::default(), header: Bytes::new() };
        let transfer = TransferLeader(TransferLeaderRequest::new(candidate, 2, None));
        for refused in [append.within(most()), begin.within(most()), transfer.within(most())] {
            assert_eq!(refused.unwrap_err(), "node `1` does not say that it leads term `7`");
        }
        assert_eq!(Vote(VoteRequest::new(candidate, None)).within(most()), Ok(()));
    }

    #[test]
    fn entries_with_a_gap_or_of_a_later_term_than_their_leaders_are_refused() {
        let gap = append(7, Some(at(7, 4)), &[at(7, 5), at(7, 7)]).within(most()).unwrap_err();
        assert_eq!(gap, "log index `7` where `6` follows");
        let early = append(7, None, &[at(7, 1)]).within(most()).unwrap_err();
        assert_eq!(early, "log index `1` where `0` follows");
        let later = append(7, Some(at(7, 4)), &[at(8, 5)]).within(most()).unwrap_err();
        assert_eq!(later, "an entry of term `8` from the leader of term `7`");
    }
}
