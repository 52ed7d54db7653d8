//! A false peer against real nodes: its claims, submissions and proofs change nothing that they should not.

use crate::peer_support;
use std::sync::atomic::Ordering;
use std::time::Duration;

use assent_cluster::access::{CallerConfig, Role};
use assent_cluster::config::Config;
use assent_cluster::node::Node;
use assent_cluster::peer::{
    Acknowledged, Append, Behalf, CosignRules, Identity, PeerError, StoreProgress, Submit, SubmitFor, Vote,
};
use assent_cluster::raft::codec;
use assent_cluster::raft::log::LogRecord;
use assent_cluster::raft::types::TypeConfig;
use assent_cluster::recover::{inspect, recover};
use assent_cluster::usecase::{Caller, Submitted};
use assent_proof::{Claims, Code, DomainName, Envelope, STATEMENT_PAYLOAD_TYPE, Statement};
use assent_registry::{GenesisFile, Group, Outcome, query};
use assent_store::{Store, StoreOptions};
use bytes::Bytes;
use openraft::EntryPayload;
use openraft::alias::EntryOf;
use openraft::entry::RaftEntry;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest};
use openraft::vote::leader_id_std::CommittedLeaderId;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::cluster_support::authority::{Authority, caller, serve_tls, token};
use crate::cluster_support::*;
use crate::peer_support::{Raw, SOON, SPOKEN, asked, connected, eventually, hello_bytes, node_as, quick};

/// Nodes 1 and 2 of a cluster of three, and node 3 that was stopped, whose name a false peer can take.
struct Stage {
    _folder: TempDir,
    configs: Vec<Config>,
    nodes: Vec<Node>,
    cluster_id: [u8; 32],
    stores: Vec<[u8; 16]>,
}

impl Stage {
    async fn new() -> Self {
        Self::knowing(1).await
    }

    /// The builds of nodes 1 and 2 know the rules up to this version.
    async fn knowing(rules_known: u32) -> Self {
        let mut stage = Self::of_three(rules_known).await;
        stage.nodes.remove(2).shutdown().await;
        for node in &stage.nodes {
            ready(node).await;
        }
        stage
    }

    async fn of_three(rules_known: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut configs = configs(folder.path());
        for config in &mut configs[..2] {
            config.rules_known = rules_known;
        }
        let mut nodes = Vec::new();
        for config in &configs {
            nodes.push(start(config).await);
        }
        for node in &nodes {
            ready(node).await;
        }
        let genesis = GenesisFile::parse(&std::fs::read(&configs[0].genesis).unwrap()).unwrap();
        let stores = nodes.iter().map(|node| {
            let status = node.service().status(Caller::local());
            let store_id: [u8; 16] = hex::decode(status.node.store_id).unwrap().try_into().unwrap();
            store_id
        });
        let stores: Vec<[u8; 16]> = stores.collect();
        Self { _folder: folder, configs, nodes, cluster_id: genesis.cluster_id().0, stores }
    }

    fn addr(&self, id: u64) -> String {
        self.configs[id as usize - 1].peer_listen.clone()
    }

    fn node(&self, id: u64) -> &Node {
        let is = |node: &&Node| node.service().status(Caller::local()).node_id == id;
        self.nodes.iter().find(is).unwrap()
    }

    fn leader(&self) -> Option<u64> {
        self.nodes[0].service().status(Caller::local()).leader
    }

    /// A peer that claims to be node `id`, with its store and with more than it ever acknowledged, and dials `to`.
    async fn impostor(&self, id: u64, to: &[u64]) -> peer_support::Node {
        let identity = Identity {
            cluster_id: self.cluster_id,
            node_id: id,
            store_id: self.stores[id as usize - 1],
            rules_version: 1,
        };
        let false_peer = node_as(identity, "127.0.0.1:0", &[], quick(), 0).await;
        let store_progress = StoreProgress { started: true, term: 1 << 30, log_end: 1 << 30 };
        *false_peer.script.store_progress.lock().unwrap() = Some(store_progress);
        for to in to {
            false_peer.hub.ensure_peer(*to, &self.addr(*to));
        }
        for to in to {
            connected(&false_peer, *to).await;
        }
        false_peer
    }

    /// Still a cluster: it decides, and takes a submission in a lineage of its own.
    async fn goes_on(&self, lineage: &str) {
        for node in &self.nodes {
            ready(node).await;
        }
        let answer = self.nodes[0].service().submit(Caller::local(), authorization_for(lineage).into()).await;
        assert!(matches!(answer, Submitted::Accepted { .. }), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_for_the_last_term_there_is_changes_nobodys_term() {
    let stage = Stage::new().await;
    let third = stage.impostor(3, &[1, 2]).await;
    for to in [1, 2] {
        let last = openraft::LogId::new(CommittedLeaderId::new(1 << 40), 1 << 40);
        let mut request = VoteRequest::<TypeConfig>::new(openraft::Vote::new(u64::MAX, 3), Some(last));
        // As if the leader had asked it to take over, so that no lease stands in its way.
        request.leadership_transfer = true;
        let lost = asked(&third, to, &Vote(request)).await;
        assert!(matches!(lost, Err(PeerError::Lost(_))), "{lost:?}");
        let term = stage.node(to).service().status(Caller::local()).term;
        assert!(term < 1 << 20, "node {to} is in term {term}");
    }
    third.hub.shutdown().await;
    stage.goes_on("after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_append_says_of_the_members_is_not_remembered_if_raft_refuses_the_append() {
    let stage = Stage::new().await;
    let third = stage.impostor(3, &[1, 2]).await;
    for (to, other) in [(1, 2), (2, 1)] {
        let rpc = AppendEntriesRequest::<TypeConfig> {
            // A leader of the past.
            vote: openraft::Vote::new_committed(0, 3),
            prev_log_id: None,
            entries: vec![],
            leader_commit: None,
        };
        let acknowledged = vec![Acknowledged { node: other, term: 1 << 40, index: 1 << 40 }];
        let answer = asked(&third, to, &Append { rpc, acknowledged }).await;
        assert!(matches!(answer, Ok(AppendEntriesResponse::HigherVote(_))), "{answer:?}");
        let remembered = stage.node(to).service().remembers(other);
        assert!(remembered.is_none_or(|(term, index)| term < 1 << 20 && index < 1 << 20), "{remembered:?}");
    }
    third.hub.shutdown().await;
    stage.goes_on("after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_log_was_written_in_the_leaders_name_ends_before_it_answers_from_it() {
    let stage = Stage::of_three(1).await;
    let leader = stage.leader().unwrap();
    let follower = (1..=3).find(|id| *id != leader).unwrap();
    let of = |id: u64| stage.node(id).service().status(Caller::local());
    let (term, last) = (of(follower).term, of(follower).log.last.unwrap());
    let at = |index: u64| openraft::LogId::new(CommittedLeaderId::new(term), index);
    // With the leader's store id, which everybody can read, and at the follower only.
    let second = stage.impostor(leader, &[follower]).await;
    let forged = |index: u64| EntryOf::<TypeConfig>::new(at(index), EntryPayload::Blank);
    let rpc = AppendEntriesRequest::<TypeConfig> {
        vote: openraft::Vote::new_committed(term, leader),
        prev_log_id: Some(at(last)),
        entries: (last + 1..=last + 5).map(forged).collect(),
        leader_commit: Some(at(last + 5)),
    };
    let answer = asked(&second, follower, &Append { rpc, acknowledged: Vec::new() }).await;
    assert!(matches!(answer, Ok(AppendEntriesResponse::Success)), "{answer:?}");
    second.hub.shutdown().await;
    // The leader's own next entry has the same term and index.
    let envelope = authorization_for("exec-1");
    let answer = stage.node(leader).service().submit(Caller::local(), envelope.into()).await;
    assert!(matches!(answer, Submitted::Accepted { .. }), "{answer:?}");
    let why = tokio::time::timeout(SOON * 4, stage.node(follower).failed()).await.unwrap();
    assert!(why.contains("in a leader's name"), "{why}");
    let refused = stage.node(follower).service().authorize(Caller::local(), vec![request()]).await;
    assert_eq!(refused[0].status, 503, "{}", String::from_utf8_lossy(&refused[0].body));
}

/// What the leader says to an envelope that a peer hands in.
async fn handed_in(stage: &Stage, third: &peer_support::Node, envelope: Vec<u8>) -> Outcome {
    let group = Group { atomic: false, envelopes: vec![Bytes::from(envelope)] };
    all_handed_in(stage, third, group).await.remove(0)
}

/// What the leader says to the envelopes of a call that a peer hands in.
async fn all_handed_in(stage: &Stage, third: &peer_support::Node, group: Group) -> Vec<Outcome> {
    let submit = Submit { groups: vec![group] };
    let until = Instant::now() + SOON * 4;
    loop {
        if let Some(leader) = stage.leader()
            && let Ok(Ok(outcomes)) = asked(third, leader, &submit).await
        {
            return outcomes.groups[0].clone();
        }
        assert!(Instant::now() < until, "no leader takes it");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Rule R147.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_signs_for_a_peer_only_that_its_build_knows_the_next_rules_and_keeps_that_promise() {
    // Their builds know version 2, and node 3, which votes, is away: nothing is raised.
    let mut stage = Stage::knowing(2).await;
    let third = stage.impostor(3, &[1]).await;
    let of = |version: u32| {
        let mut rules = in_root().draft(&claims::rules(version)).0;
        rules.issuers = [11, 12, 13].map(|node| key(node).public()).to_vec();
        rules
    };
    let changed = |change: fn(&mut Statement)| {
        let mut rules = of(2);
        change(&mut rules);
        rules.to_vec()
    };
    let revoked = Claims::Revocation {
        authority: key(12).public(),
        invalid_since: None,
        reason: assent_proof::RevocationReason::Unspecified,
    };
    let mut revocation = in_root().draft(&revoked).0;
    revocation.issuers = vec![key(11).public()];
    let mut spaced = of(2).to_vec();
    spaced.insert(1, b' ');
    let another = "it is not what a leader of";
    let cases = [
        (of(3).to_vec(), "knows the rules up to version 2, not 3"),
        (of(1).to_vec(), "the next version of the rules is 2, not 1"),
        (changed(|rules| rules.registry = "another.example".to_owned()), another),
        (changed(|rules| rules.domain = "prod.eu".parse().unwrap()), another),
        (changed(|rules| rules.lineage = "exec-1".parse().unwrap()), another),
        (changed(|rules| rules.sequence = Some(0)), another),
        (changed(|rules| rules.subject.0[0] ^= 1), another),
        (changed(|rules| rules.expires_at = Some(now())), another),
        (changed(|rules| rules.issuers = vec![key(12).public(), key(13).public()]), another),
        (spaced, another),
        (changed(|rules| rules.issued_at.0 -= 62), "is not now"),
        (changed(|rules| rules.issued_at.0 += 3), "is not now"),
        (revocation.to_vec(), "it is not a `rules` statement"),
        (b"rules".to_vec(), "malformed"),
        ([vec![b' '; 16 * 1024], of(2).to_vec()].concat(), "more than 16384 bytes"),
    ];
    for (refused, why) in cases {
        let answer = asked(&third, 1, &CosignRules { statement: refused.into() }).await.unwrap().unwrap_err();
        assert!(answer.contains(why), "{answer}");
    }
    let next = of(2).to_vec();
    let sig = asked(&third, 1, &CosignRules { statement: next.clone().into() }).await.unwrap().unwrap();
    let mut envelope = Envelope::unsigned(STATEMENT_PAYLOAD_TYPE, next);
    envelope.attach(&key(11).public(), sig.as_ref().try_into().unwrap()).unwrap();
    third.hub.shutdown().await;

    // Nothing was raised, but it may yet be: a build that does not know these rules does not start on that disk.
    assert_eq!(stage.node(1).service().status(Caller::local()).rules, 1);
    stage.nodes.remove(0).shutdown().await;
    let old = Config { rules_known: 1, ..stage.configs[0].clone() };
    let error = Node::start(old.clone(), environment(&old).await).await.err().unwrap().to_string();
    assert!(
        error.contains("has signed that its build knows version 2") && error.contains("newer build"),
        "{error}"
    );
    start(&stage.configs[0]).await.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_and_recoveries_that_a_peer_hands_in_are_refused_by_the_leader_and_permits_pass() {
    let stage = Stage::new().await;
    let third = stage.impostor(3, &[1, 2]).await;
    let rules = in_root().draft(&claims::rules(9)).sign(&[&key(13)]);
    let recovery = in_root().draft(&claims::recovery(2, &[key(13).public()])).sign(&[&key(1)]);
    for refused in [rules, recovery] {
        match handed_in(&stage, &third, refused).await {
            Outcome::Refused { refusal, .. } => assert_eq!(refusal.code, Code::CallerNotPermitted),
            other => panic!("{other:?}"),
        }
    }
    // Nothing of it is in the log: every node goes on.
    stage.goes_on("exec-1").await;
    let mut asking = request();
    asking.nonce = Some("once".to_owned());
    let permit = in_prod().draft(&claims::permit(&asking)).sign(&[&key(13)]);
    let permitted = handed_in(&stage, &third, permit).await;
    assert!(matches!(permitted, Outcome::Accepted { .. }), "{permitted:?}");
    third.hub.shutdown().await;
    stage.goes_on("after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_issuer_in_a_peers_batch_of_mode_each_refuses_no_other_envelope_of_it() {
    let stage = Stage::new().await;
    let third = stage.impostor(3, &[1, 2]).await;
    let strange = in_prod().draft(&claims::integrity("m")).lineage("exec-9").sign(&[&key(99)]);
    // As a build that does not look issuers up forwards it.
    let of = |atomic: bool, name: &str| {
        let good = |number: u8| Bytes::from(authorization_for(&format!("{name}-{number}")));
        Group { atomic, envelopes: vec![good(1), Bytes::from(strange.clone()), good(2)] }
    };
    let refused = |outcome: &Outcome| match outcome {
        Outcome::Refused { refusal, .. } => Some(refusal.code),
        Outcome::Accepted { .. } | Outcome::Equivocation { .. } => None,
    };
    let each = all_handed_in(&stage, &third, of(false, "each")).await;
    assert!(matches!(each[0], Outcome::Accepted { .. }), "{each:?}");
    assert_eq!(refused(&each[1]), Some(Code::AuthorityUnknown));
    assert!(matches!(each[2], Outcome::Accepted { .. }), "{each:?}");
    let all = all_handed_in(&stage, &third, of(true, "all")).await;
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|outcome| refused(outcome) == Some(Code::AuthorityUnknown)), "{all:?}");
    third.hub.shutdown().await;
    stage.goes_on("all-1").await;
}

/// A call of one caller of this name, in mode `each`.
fn call_of(name: &str, envelopes: Vec<Bytes>) -> SubmitFor {
    let behalf = Behalf {
        name: name.to_owned(),
        by: "certificate".to_owned(),
        request: "3-1-1".to_owned(),
        operator: false,
    };
    SubmitFor { groups: vec![Group { atomic: false, envelopes }], behalf: vec![behalf] }
}

/// What the leader says to a call that node 3 hands in.
async fn handed_in_for(nodes: &[Node], third: &peer_support::Node, call: &SubmitFor) -> Vec<Outcome> {
    let until = Instant::now() + SOON * 4;
    loop {
        if let Some(leader) = nodes[0].service().status(Caller::local()).leader
            && let Ok(Ok(outcomes)) = asked(third, leader, call).await
        {
            return outcomes.groups[0].clone();
        }
        assert!(Instant::now() < until, "no leader takes it");
        sleep(Duration::from_millis(20)).await;
    }
}

fn code_of(outcome: &Outcome) -> Option<Code> {
    match outcome {
        Outcome::Refused { refusal, .. } => Some(refusal.code),
        Outcome::Accepted { .. } | Outcome::Equivocation { .. } => None,
    }
}

/// Fails if a false peer can spend what a caller may ask a node, by naming the caller.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_false_peer_that_names_a_caller_takes_nothing_from_that_caller() {
    let folder = tempfile::tempdir().unwrap();
    let mut configs = configs(folder.path());
    let (mut authority, (_, tokens)) = (Authority::new(folder.path(), "callers"), token(folder.path()));
    for config in &mut configs {
        serve_tls(config, &mut authority, &tokens);
        let certificate = Some("spiffe://example.org/named".to_owned());
        let (rate, burst) = (Some(1), Some(1_000));
        let named = caller("named", &[Role::Submitter]);
        config.callers.push(CallerConfig { certificate, rate, burst, ..named });
        config.deadlines.submit_ms = 10_000;
    }
    let mut nodes = start_all(&configs).await;
    let store_id = hex::decode(nodes[2].service().status(Caller::local()).node.store_id).unwrap();
    nodes.remove(2).shutdown().await;
    for node in &nodes {
        ready(node).await;
    }
    let third = peer_support::member_of(&configs, 3, store_id.try_into().unwrap(), &[1, 2]).await;
    // Twice its burst, of what costs no signature.
    for _ in 0..2 {
        let call = call_of("named", vec![Bytes::from_static(b"{}"); 1_000]);
        let refused = handed_in_for(&nodes, &third, &call).await;
        assert!(
            refused.iter().all(|outcome| code_of(outcome).is_some_and(|code| code != Code::Overloaded)),
            "{:?}",
            refused.last()
        );
    }
    let envelopes = (0..100).map(|number| authorization_for(&format!("named-{number}")).into()).collect();
    let answer = handed_in_for(&nodes, &third, &call_of("named", envelopes)).await;
    assert!(answer.iter().all(|outcome| matches!(outcome, Outcome::Accepted { .. })), "{answer:?}");
    third.hub.shutdown().await;
    for node in nodes {
        node.shutdown().await;
    }
}

/// Fails if the leader charges an issuer before it has verified the signatures, or once more for an envelope that the
/// registry has. Then a false peer could spend an issuer's tokens, and each further attempt of a true one would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_spends_an_issuers_tokens_only_with_new_envelopes_whose_signatures_are_good() {
    const BURST: usize = 40;
    let folder = tempfile::tempdir().unwrap();
    let mut configs = configs(folder.path());
    for config in &mut configs {
        config.deadlines.submit_ms = 10_000;
        (config.limits.issuer_rate, config.limits.issuer_burst) = (1, BURST as u64);
    }
    let mut nodes = start_all(&configs).await;
    let store_id = hex::decode(nodes[2].service().status(Caller::local()).node.store_id).unwrap();
    nodes.remove(2).shutdown().await;
    for node in &nodes {
        ready(node).await;
    }
    let third = peer_support::member_of(&configs, 3, store_id.try_into().unwrap(), &[1, 2]).await;
    let many = |name: &str| -> Vec<Bytes> {
        (0..BURST).map(|number| authorization_for(&format!("{name}-{number}")).into()).collect()
    };
    let hand_in = async |envelopes: Vec<Bytes>| handed_in_for(&nodes, &third, &call_of("", envelopes)).await;
    let first: Bytes = authorization_for("first").into();
    let accepted = |outcome: &Outcome, is_fresh: bool| matches!(outcome, Outcome::Accepted { fresh, .. } if *fresh == is_fresh);
    let answer = hand_in(vec![first.clone()]).await;
    // A leader that changed in the meantime may have it already.
    assert!(matches!(answer[..], [Outcome::Accepted { .. }]), "{answer:?}");
    for _ in 0..3 {
        let again = hand_in(vec![first.clone(); BURST]).await;
        assert!(again.iter().all(|outcome| accepted(outcome, false)), "{again:?}");
        // In the issuer's name, with the signature of another statement of it.
        let signed = Envelope::parse(&first).unwrap();
        let forge = |envelope: Bytes| -> Bytes {
            let mut forged = Envelope::parse(&envelope).unwrap();
            forged.signatures = signed.signatures.clone();
            forged.to_vec().into()
        };
        let forged = hand_in(many("forged").into_iter().map(forge).collect()).await;
        assert!(
            forged.iter().all(|outcome| code_of(outcome).is_some_and(|code| code != Code::Overloaded)),
            "{forged:?}"
        );
    }
    let own = hand_in(many("own").split_off(1)).await;
    assert!(own.iter().all(|outcome| accepted(outcome, true)), "{own:?}");
    // It is charged for these.
    let mut is_charged = false;
    for round in 0..4 {
        // A new leader has counted nothing yet.
        let more = hand_in(many(&format!("more-{round}"))).await;
        is_charged = more.iter().any(|outcome| code_of(outcome) == Some(Code::Overloaded));
        if is_charged {
            break;
        }
    }
    assert!(is_charged);
    third.hub.shutdown().await;
    for node in nodes {
        node.shutdown().await;
    }
}

/// Says hello to node 2 as node 3 and shows it a recovery.
async fn shown(stage: &Stage, statement: &[u8]) {
    let mut hello = hello_bytes(stage.cluster_id, 3, 2, SPOKEN);
    hello[56..72].copy_from_slice(&stage.stores[2]);
    let at = hello.len() - 16;
    hello[at..at + 8].copy_from_slice(&(1u64 << 30).to_be_bytes());
    hello[at + 8..].copy_from_slice(&(1u64 << 30).to_be_bytes());
    let mut raw = Raw::connect(stage.addr(2).parse().unwrap()).await;
    raw.frame(1, 0, &hello).await;
    assert_eq!(raw.read().await.unwrap().0, 1, "a hello comes back");
    raw.frame(6, 0, statement).await;
    raw.hung_up().await;
}

/// Rule R155.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_ends_a_node_only_if_its_voter_shows_it_and_it_begins_the_next_epoch() {
    let stage = Stage::new().await;
    let reading = stage.nodes[0]
        .service()
        .read(Caller::local(), |rows, _| query::governance_slot(rows, &DomainName::root()));
    let (sequence, parent) = reading.await.unwrap();
    let recovery = |epoch: u64, voter: u8| {
        let draft = in_root().draft(&claims::recovery(epoch, &[key(voter).public()]));
        draft.slot(sequence, parent).sign(&[&key(1)])
    };
    let two = stage.node(2).service().clone();
    // Root signed it for node 1 and did not carry it out; and for an epoch after the next one.
    for unheeded in [recovery(2, 11), recovery(3, 13)] {
        shown(&stage, &unheeded).await;
        sleep(Duration::from_millis(300)).await;
        assert!(two.live().is_ok(), "{:?}", two.live());
    }
    shown(&stage, &recovery(2, 13)).await;
    eventually("an end", || two.live().is_err()).await;
    let why = two.live().unwrap_err().detail;
    assert!(why.contains("root has recovered the cluster without this node, in epoch 2"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_says_hello_as_the_leader_is_asked_for_no_read_index() {
    let stage = Stage::of_three(1).await;
    let leader = stage.leader().unwrap();
    let follower = (1..=3).find(|id| *id != leader).unwrap();
    let false_leader = stage.impostor(leader, &[follower]).await;
    let service = stage.node(follower).service();
    for _ in 0..20 {
        // Whatever it is answered: it is not answered on the false leader's word.
        service.authorize(Caller::local(), vec![request()]).await;
    }
    assert_eq!(false_leader.script.reads.load(Ordering::SeqCst), 0);
    false_leader.hub.shutdown().await;
    stage.goes_on("after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_vote_leaves_no_term_says_so_at_its_start_and_when_it_is_recovered() {
    let stage = Stage::of_three(1).await;
    for node in stage.nodes {
        node.shutdown().await;
    }
    let config = &stage.configs[0];
    let env = environment(config).await;
    let store =
        Store::<LogRecord>::open(env.disk.clone(), env.run_blocking(), [0; 16], StoreOptions::default());
    let store = store.await.unwrap();
    let last = codec::encode_vote(&openraft::Vote::new(u64::MAX, 3));
    store.log.save_vote(last.into()).await.unwrap();
    store.log.close().await.unwrap();
    store.registry.close().unwrap();
    drop(store);

    assert_eq!(inspect(config, &env).await.unwrap().term, u64::MAX);
    let refused = recover(config, &env, b"{}").await.unwrap_err().to_string();
    assert!(refused.contains("recover by another node's data"), "{refused}");
    drop(env);
    let env = environment(config).await;
    let refused = Node::start(config.clone(), env).await.err().unwrap().to_string();
    assert!(refused.contains("no node takes a term above"), "{refused}");
}
