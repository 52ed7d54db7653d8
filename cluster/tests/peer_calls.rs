//! Two nodes and one connection: calls, order, bounds, clocks, and the end of the connection.

use std::sync::atomic::Ordering;
use std::time::Duration;

use assent_cluster::peer::{
    PeerError, PeerLimits, PreVote, Probe, ReadIndex, ReadIndexError, SubmitError, Vote,
};
use assent_cluster::raft::types::{NodeId, PeerNode};
use assent_cluster::usecase::agreement;
use futures_util::StreamExt;
use futures_util::future::join_all;
use openraft::errors::RPCError;
use openraft::network::RPCOption;
use openraft::raft::StreamAppendError;
use openraft::{RaftNetworkFactory, RaftNetworkV2};
use tokio::time::{Instant, sleep};

use crate::peer_support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_concurrent_calls_both_ways_are_each_answered_with_their_own() {
    let (one, two) = pair().await;
    let calls = (0..200).map(|n| {
        let (from, to, as_id) = if n % 2 == 0 { (&one, 2, 1) } else { (&two, 1, 2) };
        let text = "x".repeat(n % 17) + &n.to_string();
        let call = from.hub.call(to, &echo(&text), SOON);
        async move { (call.await, format!("{as_id}:{text}")) }
    });
    for (reply, expected) in join_all(calls).await {
        assert_eq!(reply, Ok(Err(SubmitError::Unknown(expected))));
    }
}

#[tokio::test]
async fn every_kind_of_request_reaches_its_own_handler() {
    let (one, _two) = pair().await;
    assert!(one.hub.call(2, &Vote(vote_request()), SOON).await.unwrap().vote_granted);
    assert!(!one.hub.call(2, &PreVote(vote_request()), SOON).await.unwrap().vote_granted);
    assert_eq!(
        one.hub.call(2, &ReadIndex {}, SOON).await,
        Ok(Err(ReadIndexError::NotLeader { leader: Some(9) }))
    );
    assert!(one.hub.call(2, &Probe {}, SOON).await.unwrap().started);
    assert!(one.hub.call(2, &append(1, 10), SOON).await.unwrap().is_success());
    let step = assent_cluster::peer::SnapshotEnd { transfer: 1, summary: bytes::Bytes::new() };
    assert_eq!(one.hub.call(2, &step, SOON).await, Err(PeerError::Refused("no snapshots here".into())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_keep_their_order_under_pipelining_with_a_slow_handler() {
    let (one, two) = pair().await;
    *two.script.append_delay_ms.lock().unwrap() = (0..300).map(|n| n % 7).collect();
    let mut factory = factory(&one).await;
    let mut network = factory.new_client(2, &PeerNode::default()).await;
    let input = futures_util::stream::iter((1..=300).map(|index| append(index, 100).rpc));
    let option = RPCOption::new(Duration::from_millis(50));
    let answers = network.stream_append(input, option).await.unwrap();
    let matched: Vec<u64> = answers.map(|answer| answer.unwrap().unwrap().unwrap().index).collect().await;
    assert_eq!(matched, (1..=300).collect::<Vec<u64>>());
    assert_eq!(*two.script.appended.lock().unwrap(), (1..=300).collect::<Vec<u64>>());
}

#[tokio::test]
async fn pipelined_appends_overlap_instead_of_waiting_for_one_another() {
    let (one, two) = pair().await;
    *two.script.append_delay_ms.lock().unwrap() = vec![40; 64];
    let mut factory = factory(&one).await;
    let mut network = factory.new_client(2, &PeerNode::default()).await;
    let input = futures_util::stream::iter((1..=64).map(|index| append(index, 100).rpc));
    let started = Instant::now();
    let answers = network.stream_append(input, RPCOption::new(Duration::from_secs(1))).await.unwrap();
    assert_eq!(answers.count().await, 64);
    assert!(started.elapsed() < Duration::from_millis(40 * 32), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_conflict_ends_the_stream_and_a_new_one_starts_afresh() {
    let (one, two) = pair().await;
    *two.script.conflict_from.lock().unwrap() = Some(5);
    let mut factory = factory(&one).await;
    let mut network = factory.new_client(2, &PeerNode::default()).await;
    let option = RPCOption::new(Duration::from_secs(1));
    let input = futures_util::stream::iter((1..=20).map(|index| append(index, 10).rpc));
    let answers: Vec<_> = network.stream_append(input, option.clone()).await.unwrap().collect().await;
    assert_eq!(answers.len(), 5);
    assert_eq!(*answers[4].as_ref().unwrap(), Err(StreamAppendError::Conflict(log_id(4))));

    *two.script.conflict_from.lock().unwrap() = None;
    let input = futures_util::stream::iter((1..=20).map(|index| append(index, 10).rpc));
    let answers: Vec<_> = network.stream_append(input, option).await.unwrap().collect().await;
    assert_eq!(answers.len(), 20);
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Ok(_)))));
}

#[tokio::test]
async fn an_absent_peer_is_unreachable_at_once_and_ends_the_stream() {
    let one = node(1, &[]).await;
    let started = Instant::now();
    let refused = one.hub.call(2, &Probe {}, SOON).await;
    assert_eq!(refused, Err(PeerError::Unreachable(2)));
    assert!(refused.unwrap_err().is_unsent());
    let mut factory = factory(&one).await;
    let mut network =
        factory.new_client(2, &PeerNode { peer_addr: "127.0.0.1:1".into(), ..PeerNode::default() }).await;
    let input = futures_util::stream::iter((1..=20).map(|index| append(index, 10).rpc));
    let answers: Vec<_> =
        network.stream_append(input, RPCOption::new(Duration::from_secs(1))).await.unwrap().collect().await;
    assert_eq!(answers.len(), 1);
    assert!(matches!(answers[0], Err(RPCError::Unreachable(_))));
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_busy_peer_that_answers_pings_keeps_its_connection_past_a_deadline() {
    let (one, two) = pair().await;
    two.script.mute.store(true, Ordering::SeqCst);
    let started = Instant::now();
    let late = one.hub.call(2, &Vote(vote_request()), Duration::from_millis(100)).await;
    assert_eq!(late, Err(PeerError::Deadline));
    assert!(started.elapsed() < Duration::from_millis(300));
    sleep(Duration::from_millis(600)).await;
    assert!(one.hub.is_connected(2), "{}", problem(&one, 2));
    two.script.mute.store(false, Ordering::SeqCst);
    assert!(one.hub.call(2, &Vote(vote_request()), SOON).await.unwrap().vote_granted);
}

#[tokio::test]
async fn a_lost_connection_fails_the_calls_on_it_at_once_and_comes_back() {
    let (one, two) = pair().await;
    two.script.held.store(true, Ordering::SeqCst);
    let waiting = one.hub.call(2, &echo("never"), Duration::from_secs(60));
    let addr = two.hub.local_addr().to_string();
    sleep(Duration::from_millis(20)).await;
    two.hub.shutdown().await;
    let started = Instant::now();
    let lost = waiting.await.unwrap_err();
    assert!(matches!(lost, PeerError::Lost(_)), "{lost:?}");
    assert!(!lost.is_unsent());
    assert!(started.elapsed() < Duration::from_secs(1));

    let again = node_as(identity(2), &addr, &[], quick(), 0).await;
    connected(&one, 2).await;
    assert!(one.hub.call(2, &Probe {}, SOON).await.is_ok());
    drop(again);
}

#[tokio::test]
async fn more_than_the_bound_in_work_is_overload_and_appends_and_votes_still_pass() {
    let (one, two) = pair().await;
    two.script.held.store(true, Ordering::SeqCst);
    let bound = PeerLimits::default().submissions_max;
    let mut held: Vec<_> =
        (0..bound).map(|_| Box::pin(one.hub.call(2, &echo("held"), Duration::from_secs(60)))).collect();
    let over = one.hub.call(2, &echo("one more"), SOON).await;
    assert_eq!(over, Err(PeerError::Overloaded));
    assert!(one.hub.call(2, &Vote(vote_request()), SOON).await.is_ok());
    assert!(one.hub.call(2, &append(1, 10), SOON).await.is_ok());
    for call in &mut held {
        assert!(futures_util::poll!(call.as_mut()).is_pending());
    }
}

/// Fails if a submission is dropped when its peer hangs up: its issuers would get back what they were charged for
/// envelopes that may be committed.
#[tokio::test]
async fn a_submission_is_carried_out_to_its_end_although_its_peer_hangs_up() {
    let (one, two) = pair().await;
    two.script.submit_delay_ms.store(1_000, Ordering::SeqCst);
    let call = one.hub.call(2, &echo("left behind"), Duration::from_secs(60));
    eventually("a submission", || two.script.submissions.0.load(Ordering::SeqCst) == 1).await;
    one.hub.shutdown().await;
    assert!(matches!(call.await, Err(PeerError::Lost(_))));
    eventually("the end of the submission", || two.script.submissions.1.load(Ordering::SeqCst) == 1).await;
}

/// Fails if a peer gets more under way by hanging up and dialing again.
#[tokio::test]
async fn the_submissions_that_a_peer_left_behind_count_against_it_until_they_end() {
    let (one, two) = pair().await;
    two.script.held.store(true, Ordering::SeqCst);
    let bound = PeerLimits::default().submissions_max;
    let calls: Vec<_> = (0..bound).map(|_| one.hub.call(2, &echo("held"), Duration::from_secs(60))).collect();
    let all = u32::try_from(bound).unwrap();
    eventually("all submissions", || two.script.submissions.0.load(Ordering::SeqCst) == all).await;
    one.hub.shutdown().await;
    drop(calls);
    let again =
        node_as(identity(1), "127.0.0.1:0", &[(2, two.hub.local_addr().to_string())], quick(), 0).await;
    connected(&again, 2).await;
    assert_eq!(again.hub.call(2, &echo("one more"), SOON).await, Err(PeerError::Overloaded));
    assert!(again.hub.call(2, &Vote(vote_request()), SOON).await.is_ok());
}

#[tokio::test]
async fn a_request_over_the_frame_bound_is_refused_here_and_harms_nothing() {
    let (one, _two) = pair().await;
    let large = one.hub.call(2, &append(1, 5 << 20), SOON).await;
    assert!(matches!(large, Err(PeerError::TooLarge { .. })), "{large:?}");
    assert!(one.hub.call(2, &append(1, 3 << 20), SOON).await.is_ok());
    assert!(one.hub.is_connected(2));
}

/// Whether `node`, which is voter `me` of these, is sure of its clock.
fn sure(node: &Node, voters: &[NodeId], me: NodeId) -> bool {
    agreement(&node.hub.clock(), voters, me, 500).quorum
}

#[tokio::test]
async fn clocks_that_agree_make_both_sure_and_a_skewed_one_makes_neither() {
    let two = node_as(identity(2), "127.0.0.1:0", &[], quick(), 0).await;
    let one =
        node_as(identity(1), "127.0.0.1:0", &[(2, two.hub.local_addr().to_string())], quick(), 40).await;
    two.hub.ensure_peer(1, &one.hub.local_addr().to_string());
    eventually("sureness", || sure(&one, &[1, 2, 3], 1) && sure(&two, &[1, 2, 3], 2)).await;
    let seen = one.hub.clock().newest();
    assert_eq!(seen.len(), 1);
    assert!((-60..=-20).contains(&seen[0].offset_ms), "{seen:?}");

    let three = node_as(identity(3), "127.0.0.1:0", &[], quick(), 3_600_000).await;
    one.hub.ensure_peer(3, &three.hub.local_addr().to_string());
    three.hub.ensure_peer(1, &one.hub.local_addr().to_string());
    eventually("a reading", || one.hub.clock().newest().len() == 2).await;
    eventually("a reading", || !three.hub.clock().newest().is_empty()).await;
    assert!(!sure(&one, &[1, 3], 1));
    assert!(!sure(&three, &[1, 2, 3], 3));
    assert!(sure(&one, &[1, 2, 3], 1));
}

#[tokio::test]
async fn stopping_ends_everything_promptly_whatever_is_under_way() {
    let (one, two) = pair().await;
    two.script.held.store(true, Ordering::SeqCst);
    let calls: Vec<_> = (0..50).map(|_| one.hub.call(2, &echo("held"), Duration::from_secs(60))).collect();
    sleep(Duration::from_millis(20)).await;
    tokio::time::timeout(Duration::from_secs(2), two.hub.shutdown()).await.expect("the hub stops");
    for call in calls {
        assert!(call.await.is_err());
    }
    tokio::time::timeout(Duration::from_secs(2), one.hub.shutdown()).await.expect("the hub stops");
    assert_eq!(one.hub.call(2, &Probe {}, SOON).await, Err(PeerError::Unreachable(2)));
}
