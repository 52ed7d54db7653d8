use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openraft::StoredMembership;
use openraft::alias::{EntryOf, LogIdOf};
use openraft::entry::RaftEntry;
use openraft::raft::linearizable_read::ReadLogId;
use openraft::raft::{
    AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse, VoteRequest,
    VoteResponse,
};

use assent_proof::Millis;

use super::*;
use crate::peer::bounds::claim_max;
use crate::peer::message::Acknowledged;
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
        // As it comes over the wire, before any check.
        let wire = rmp_serde::to_vec_named(&Wire { configs, nodes: nodes.into_iter().collect() }).unwrap();
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
        (of(&[&[1, 9]], all(1)), "without an entry for its voter `9`"),
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

/// Fails if a peer's text about a caller gets into the audit trail without a bound, or could be obeyed by a terminal.
#[test]
fn what_a_peer_says_of_a_caller_is_short_and_printable_and_there_is_one_caller_for_each_group() {
    let behalf = |name: &str, by: &str, request: &str| Behalf {
        name: name.to_owned(),
        by: by.to_owned(),
        request: request.to_owned(),
        operator: true,
    };
    let manage = |behalf: Behalf| ManageFor { manage: Manage::Remove(2), behalf }.within(most());
    assert_eq!(manage(behalf(&"x".repeat(256), &"x".repeat(32), &"x".repeat(64))), Ok(()));
    for wrong in [
        behalf(&"x".repeat(257), "token", "1"),
        behalf("x", &"x".repeat(33), "1"),
        behalf("x", "token", &"x".repeat(65)),
        behalf("x\n", "token", "1"),
        behalf("x", "\u{1b}[2J", "1"),
        behalf("x", "token", "\u{202e}"),
    ] {
        assert!(manage(wrong.clone()).is_err(), "{wrong:?}");
        let groups = vec![assent_registry::Group { atomic: false, envelopes: Vec::new() }];
        let submit = SubmitFor { groups: groups.clone(), behalf: vec![wrong.clone()] };
        assert!(submit.within(most()).is_err(), "{wrong:?}");
        let good = behalf("x", "token", "1");
        for (callers, fits) in [(0, false), (1, true), (2, false)] {
            let submit = SubmitFor { groups: groups.clone(), behalf: vec![good.clone(); callers] };
            assert_eq!(submit.within(most()).is_ok(), fits, "{callers}");
        }
    }
}
