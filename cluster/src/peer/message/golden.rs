//! Every body as it goes over the wire in protocol version 2. Bytes that change here break nodes that run another
//! build: raise `PROTOCOL_VERSION` instead.

use std::collections::{BTreeMap, BTreeSet};

use assent_proof::{Code, EvidenceId, History, Millis, Refusal};
use assent_registry::{Outcome, Receipt};
use bytes::Bytes;
use openraft::alias::{LogIdOf, SnapshotMetaOf};
use openraft::impls::{Entry, EntryPayload, Vote as RaftVote};
use openraft::raft::TransferLeaderError;
use openraft::vote::leader_id_std::CommittedLeaderId;
use openraft::{LogId, Membership, StoredMembership};

use super::super::codec::{decode, encode};
use super::super::frame::{FRAME_HEAD, FRAME_PREFIX, kind};
use super::*;
use crate::raft::types::{PeerNode, Proposal};

/// Encodes, compares with the pinned hex, decodes, and encodes again.
fn pinned<T: Serialize + DeserializeOwned>(value: &T, expected: &str) {
    let frame = encode(0, 0, value, usize::MAX).unwrap();
    let body = &frame[FRAME_PREFIX + FRAME_HEAD..];
    assert_eq!(hex::encode(body), expected);
    let again: T = decode(body).unwrap();
    assert_eq!(encode(0, 0, &again, usize::MAX).unwrap(), frame);
}

fn vote() -> RaftVote<openraft::impls::leader_id_std::LeaderId<u64, u64>> {
    RaftVote::new_committed(3, 1)
}

fn log_id(term: u64, index: u64) -> LogIdOf<TypeConfig> {
    LogId::new(CommittedLeaderId::new(term), index)
}

fn membership() -> Membership<u64, PeerNode> {
    let node =
        PeerNode { peer_addr: "a:1".into(), client_addr: "a:2".into(), store_id: [0xab; 16], key: None };
    Membership::new(vec![BTreeSet::from([1])], BTreeMap::from([(1, node)])).unwrap()
}

fn node_key() -> PublicKey {
    assent_proof::SigningKey::from_seed([1; 32]).public()
}

fn receipt() -> Receipt {
    Receipt { evidence_id: EvidenceId([0xcd; 32]), ledger_index: 4, revision: 5, accepted_at: Millis(6) }
}

#[test]
fn the_kinds_have_these_numbers() {
    let kinds = [
        (Append::KIND, 0x10),
        (Vote::KIND, 0x11),
        (PreVote::KIND, 0x12),
        (TransferLeader::KIND, 0x13),
        (SnapshotBegin::KIND, 0x14),
        (SnapshotChunk::KIND, 0x15),
        (SnapshotEnd::KIND, 0x16),
        (ReadIndex::KIND, 0x20),
        (Submit::KIND, 0x21),
        (Probe::KIND, 0x22),
        (Manage::KIND, 0x23),
        (Introduce::KIND, 0x24),
        (CosignRules::KIND, 0x25),
        (Moved::KIND, 0x26),
        (SubmitFor::KIND, 0x27),
        (ManageFor::KIND, 0x28),
        (kind::HELLO, 1),
        (kind::REFUSAL, 2),
        (kind::READY, 3),
        (kind::PING, 4),
        (kind::PONG, 5),
        (kind::ANSWER, 0x80),
        (kind::FAILURE, 0xff),
    ];
    for (kind, expected) in kinds {
        assert_eq!(kind, expected);
    }
}

#[test]
fn append_is_pinned() {
    let entry = |index, payload| Entry { log_id: log_id(3, index), payload };
    let rpc = AppendEntriesRequest {
        vote: vote(),
        prev_log_id: Some(log_id(2, 7)),
        entries: vec![
            entry(8, EntryPayload::Blank),
            entry(9, EntryPayload::Normal(Proposal(Bytes::from_static(b"xyz")))),
            entry(10, EntryPayload::Membership(membership())),
        ],
        leader_commit: None,
    };
    pinned(
        &Append { rpc, acknowledged: vec![Acknowledged { node: 2, term: 3, index: 7 }] },
        "929492920301c39202079392920308a5426c616e6b9292030981a64e6f726d616cc40378797a9292030a81aa4d656d6265727368697092919101810194a3613a31a3613a32dc0010ccabccabccabccabccabccabccabccabccabccabccabccabccabccabccabccabc0c09193020307",
    );
    pinned(&AppendEntriesResponse::<TypeConfig>::Success, "a753756363657373");
    pinned(
        &AppendEntriesResponse::<TypeConfig>::PartialSuccess(Some(log_id(2, 7))),
        "81ae5061727469616c53756363657373920207",
    );
    pinned(&AppendEntriesResponse::<TypeConfig>::Conflict, "a8436f6e666c696374");
    pinned(&AppendEntriesResponse::<TypeConfig>::HigherVote(vote()), "81aa486967686572566f746592920301c3");
}

#[test]
fn votes_are_pinned() {
    let rpc = VoteRequest { vote: vote(), last_log_id: Some(log_id(2, 7)), leadership_transfer: true };
    pinned(&Vote(rpc.clone()), "9392920301c3920207c3");
    pinned(&PreVote(rpc), "9392920301c3920207c3");
    pinned(&VoteResponse::<TypeConfig>::new(vote(), None, true), "9392920301c3c3c0");
}

#[test]
fn leader_transfer_is_pinned() {
    pinned(
        &TransferLeader(TransferLeaderRequest::new(vote(), 2, Some(log_id(2, 7)))),
        "9392920301c302920207",
    );
    pinned::<<TransferLeader as Message>::Reply>(&Ok(()), "81a24f6bc0");
    let refused = TransferLeaderError::LogNotFlushed { expected: Some(log_id(2, 7)), actual: None };
    pinned::<<TransferLeader as Message>::Reply>(
        &Err(refused),
        "81a345727281ad4c6f674e6f74466c757368656492920207c0",
    );
}

#[test]
fn snapshot_steps_are_pinned() {
    let meta = SnapshotMetaOf::<TypeConfig> {
        last_log_id: Some(log_id(2, 7)),
        last_membership: StoredMembership::new(Some(log_id(1, 0)), membership()),
    };
    let begin = SnapshotBegin { transfer: 5, vote: vote(), meta, header: Bytes::from_static(b"h") };
    pinned(
        &begin,
        "940592920301c3939202079292010092919101810194a3613a31a3613a32dc0010ccabccabccabccabccabccabccabccabccabccabccabccabccabccabccabccabc0a0c40168",
    );
    pinned(&SnapshotChunk { transfer: 5, chunk: Bytes::from_static(b"c") }, "9205c40163");
    pinned(&SnapshotEnd { transfer: 5, summary: Bytes::from_static(b"s") }, "9205c40173");
    pinned(&SnapshotReply::Continue { next: 5 }, "81a8436f6e74696e75659105");
    pinned(&SnapshotReply::Done(vote()), "81a4446f6e6592920301c3");
    pinned(&SnapshotReply::Aborted("why".into()), "81a741626f72746564a3776879");
}

#[test]
fn read_index_is_pinned() {
    pinned(&ReadIndex {}, "90");
    pinned::<ReadIndexReply>(&Ok(ReadLogId::from_log_id(log_id(3, 9))), "81a24f6b920309");
    pinned::<ReadIndexReply>(
        &Err(ReadIndexError::NotLeader { leader: Some(2) }),
        "81a345727281a94e6f744c65616465729102",
    );
    pinned::<ReadIndexReply>(
        &Err(ReadIndexError::NoQuorum("why".into())),
        "81a345727281a84e6f51756f72756da3776879",
    );
    pinned::<ReadIndexReply>(&Err(ReadIndexError::Overloaded), "81a3457272aa4f7665726c6f61646564");
}

#[test]
fn submissions_are_pinned() {
    let groups = vec![Group { atomic: true, envelopes: vec![Bytes::from_static(b"one"), Bytes::new()] }];
    pinned(&Submit { groups }, "919192c392c4036f6e65c400");
    let refusal = Refusal::new(Code::Malformed, "why");
    let outcomes = vec![
        Outcome::Accepted { receipt: receipt(), fresh: true },
        Outcome::Equivocation { receipt: receipt(), refusal: refusal.clone() },
        Outcome::Refused { refusal, head: Some(EvidenceId([0xee; 32])), next_sequence: Some(7) },
    ];
    pinned::<SubmitReply>(
        &Ok(Outcomes { groups: vec![outcomes], history: Some(History::founded([0xab; 32])) }),
        "81a24f6b92919381a841636365707465649294c420cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd040506c381ac45717569766f636174696f6e9294c420cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd04050693a96d616c666f726d6564c0a377687981a7526566757365649393a96d616c666f726d6564c0a3776879c420eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee07d94a626c616b65333a616261626162616261626162616261626162616261626162616261626162616261626162616261626162616261626162616261626162616261626162616261622f6531",
    );
    let nothing = Outcomes::default();
    pinned::<SubmitReply>(&Ok(nothing), "81a24f6b9290c0");
    pinned::<SubmitReply>(
        &Err(SubmitError::NotLeader { leader: None }),
        "81a345727281a94e6f744c656164657291c0",
    );
    pinned::<SubmitReply>(&Err(SubmitError::ClockUncertain), "81a3457272ae436c6f636b556e6365727461696e");
    pinned::<SubmitReply>(&Err(SubmitError::Overloaded), "81a3457272aa4f7665726c6f61646564");
    pinned::<SubmitReply>(&Err(SubmitError::Unknown("why".into())), "81a345727281a7556e6b6e6f776ea3776879");
}

#[test]
fn changes_of_the_membership_are_pinned() {
    let node = PeerNode {
        peer_addr: "a:1".into(),
        client_addr: "a:2".into(),
        store_id: [1; 16],
        key: Some(node_key()),
    };
    let introduce = Introduce { members: vec![(4, node.clone())] };
    pinned(
        &introduce,
        "9191920494a3613a31a3613a32dc001001010101010101010101010101010101c4208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
    );
    pinned::<<Introduce as Message>::Reply>(&(), "c0");
    pinned(&Manage::List, "a44c697374");
    pinned(
        &Manage::Add { id: 4, node },
        "81a3416464920494a3613a31a3613a32dc001001010101010101010101010101010101c4208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
    );
    pinned(&Manage::Promote(4), "81a750726f6d6f746504");
    pinned(&Manage::Remove(4), "81a652656d6f766504");
    pinned(&Manage::Transfer(Some(4)), "81a85472616e7366657204");
    let update = Manage::Update { id: 4, peer_addr: Some("a:3".into()), client_addr: None };
    pinned(&update, "81a65570646174659304a3613a33c0");
    let members = MembersBody { node_id: 1, leader: Some(1), changing: false, next_id: 4, members: vec![] };
    pinned::<ManageReply>(&Ok(members), "81a24f6b950101c20490");
    pinned::<ManageReply>(
        &Err(ManageError::NotLeader { leader: None }),
        "81a345727281a94e6f744c656164657291c0",
    );
    let refusal = Refusal::new(Code::MemberBehind, "why");
    pinned::<ManageReply>(
        &Err(ManageError::Refused(refusal)),
        "81a345727281a75265667573656493ad6d656d6265725f626568696e64c0a3776879",
    );
    pinned::<ManageReply>(&Err(ManageError::Unknown("why".into())), "81a345727281a7556e6b6e6f776ea3776879");
}

#[test]
fn what_is_forwarded_for_a_caller_is_pinned() {
    let behalf = Behalf {
        name: "ops".to_owned(),
        by: "token".to_owned(),
        request: "1-a-2".to_owned(),
        operator: true,
    };
    let groups = vec![Group { atomic: true, envelopes: vec![Bytes::from_static(b"one"), Bytes::new()] }];
    pinned(
        &SubmitFor { groups, behalf: vec![behalf.clone()] },
        "929192c392c4036f6e65c4009194a36f7073a5746f6b656ea5312d612d32c3",
    );
    pinned(
        &ManageFor { manage: Manage::Promote(4), behalf },
        "9281a750726f6d6f74650494a36f7073a5746f6b656ea5312d612d32c3",
    );
}

#[test]
fn a_members_address_announcement_is_pinned() {
    let moved = Moved {
        node_id: 4,
        store_id: [1; 16],
        peer_addr: "a:1".into(),
        client_addr: "a:2".into(),
        at_ms: 1_800_000_000_123,
        signature: Bytes::from_static(&[7; 2]),
    };
    pinned(&moved, "9604dc001001010101010101010101010101010101a3613a31a3613a32cf000001a3185c507bc4020707");
    pinned::<MovedReply>(&Ok(()), "81a24f6bc0");
    pinned::<MovedReply>(&Err("why".into()), "81a3457272a3776879");
}

#[test]
fn cosign_rules_is_pinned() {
    pinned(&CosignRules { statement: Bytes::from_static(b"{}") }, "91c4027b7d");
    pinned::<CosignRulesReply>(&Ok(Bytes::from_static(&[7; 2])), "81a24f6bc4020707");
    pinned::<CosignRulesReply>(&Err("why".into()), "81a3457272a3776879");
}

#[test]
fn probe_failure_ping_and_pong_are_pinned() {
    pinned(&Ping { received: 70_000 }, "91ce00011170");
    pinned(&Probe {}, "90");
    pinned(
        &ProbeReply { started: true, store_id: [0xab; 16], leader: Some(2), key: node_key() },
        "94c3dc0010ccabccabccabccabccabccabccabccabccabccabccabccabccabccabccabccab02c4208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
    );
    pinned(&Failure { cause: Failure::OVERLOADED, detail: "why".into() }, "9201a3776879");
    pinned(&Pong { now_ms: 1_800_000_000_123, anchored: Some(-2) }, "92cf000001a3185c507bfe");
    pinned(&Pong { now_ms: 1_800_000_000_123, anchored: None }, "92cf000001a3185c507bc0");
}
