//! Bounds on the growth of the registry, on real nodes: the disk's reserve, the rate of an issuer, the length of a
//! lineage and the year of a domain. None of them keeps a restriction out.
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cluster_support::http::get;
use crate::cluster_support::*;
use assent_api::BatchMode;
use assent_cluster::config::Config;
use assent_cluster::env::Disk;
use assent_cluster::node::Node;
use assent_cluster::usecase::{Caller, Submitted};
use assent_fixtures::claims::Authorization;
use assent_proof::{Code, EvidenceId, Role, Seconds, SigningKey};
use bytes::Bytes;
use redb::StorageBackend;
use tokio::time::Instant;

/// The reserve of these nodes, in bytes: a mebibyte.
const RESERVE: u64 = 1 << 20;
/// Free space that is more than enough, in bytes.
const PLENTY: u64 = 1 << 40;

/// A real disk that says that so much is free.
struct ToldDisk {
    real: Arc<dyn Disk>,
    free: Arc<AtomicU64>,
}

impl Disk for ToldDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        self.real.open(name)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.real.remove(name)
    }
    fn exists(&self, name: &str) -> io::Result<bool> {
        self.real.exists(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.real.list()
    }
    fn free_bytes(&self) -> io::Result<Option<u64>> {
        Ok(Some(self.free.load(Ordering::SeqCst)))
    }
}

/// The configuration of a cluster of one, with long deadlines for machines that are busy.
fn of_one(folder: &Path, change: impl FnOnce(&mut Config)) -> Config {
    let mut config = configs(folder).swap_remove(0);
    config.voters.truncate(1);
    config.deadlines.authorize_ms = 1_000;
    config.deadlines.read_ms = 10_000;
    config.deadlines.submit_ms = 10_000;
    config.limits.disk_reserve_mib = 1;
    change(&mut config);
    config
}

/// A node on a disk of which this much is free.
async fn start_on(config: &Config, free: u64) -> (Node, Arc<AtomicU64>) {
    let mut env = environment(config).await;
    let free = Arc::new(AtomicU64::new(free));
    env.disk = Arc::new(ToldDisk { real: env.disk.clone(), free: free.clone() });
    (Node::start(config.clone(), env).await.unwrap(), free)
}

async fn submit(node: &Node, envelope: impl Into<Bytes>) -> Submitted {
    node.service().submit(Caller::local(), envelope.into()).await
}

fn accepted(answer: &Submitted) -> bool {
    matches!(answer, Submitted::Accepted { .. })
}

/// The code, the status and the text of a refusal.
fn refused(answer: &Submitted) -> (Code, u16, &str) {
    let problem = answer.problem().unwrap_or_else(|| panic!("{answer:?}"));
    (problem.code, problem.status, &problem.detail)
}

fn is_too_much(answer: &Submitted, code: Code, status: u16, field: &str) {
    let (found, of, detail) = refused(answer);
    assert_eq!((found, of), (code, status), "{answer:?}");
    assert!(detail.contains(field), "`{field}` is not in `{detail}`");
}

/// Governance's authorization in this slot of its chain in a lineage.
fn authorized_at(lineage: &str, sequence: u64, parent: Option<EvidenceId>) -> Vec<u8> {
    let authorized = Authorization::of(&["run"], Seconds(now().0 - 60), Seconds(now().0 + 600));
    in_prod().draft(&authorized.claims()).lineage(lineage).slot(sequence, parent).sign(&[&key(3)])
}

fn measured(lineage: &str, signer: &SigningKey) -> Vec<u8> {
    in_prod().draft(&claims::integrity("m")).lineage(lineage).sign(&[signer])
}

fn revocation(of: &SigningKey) -> Vec<u8> {
    in_prod().draft(&claims::revocation(of.public(), None)).sign(&[&key(3)])
}

fn reserve_reached(node: &Node) -> bool {
    node.service().status(Caller::local()).disk.unwrap().reserve_reached
}

/// Fails if the reserve is not looked at, refuses what restricts or governs, or is never left again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_an_almost_full_disk_only_restrictions_and_governance_statements_are_accepted_until_it_has_space()
{
    let folder = tempfile::tempdir().unwrap();
    let (node, free) = start_on(&of_one(folder.path(), |_| ()), RESERVE).await;
    ready(&node).await;
    assert!(accepted(&submit(&node, authorization_until("exec-1", Seconds(now().0 + 600), Some(3))).await));
    free.store(RESERVE - 1, Ordering::SeqCst);
    eventually("the reserve is reached", || reserve_reached(&node)).await;
    let before = node.service().metrics().submission_signatures();
    let evidence = authorization_for("exec-2");
    let answer = submit(&node, evidence.clone()).await;
    is_too_much(&answer, Code::Overloaded, 429, "`limits.disk_reserve_mib`");
    assert_eq!(node.service().metrics().submission_signatures(), before, "it cost a signature");
    // A permit is a leaf too.
    let mut asked = request();
    (asked.lineage, asked.nonce) = (Some("exec-1".parse().unwrap()), Some("run-1".to_owned()));
    let permit = node.service().permit(Caller::local(), asked).await.unwrap();
    assert_eq!(permit.status, 503, "{}", String::from_utf8_lossy(&permit.body));
    let new = key(100);
    assert!(accepted(&submit(&node, granted(&node, &new, Role::Attestation).await).await));
    assert!(accepted(&submit(&node, revocation(&new)).await));
    assert!(accepted(&submit(&node, quarantine("exec-1")).await));
    assert!(node.service().ready().await.is_ok(), "it answers as before");
    let page = get(node.client_addr(), "/metrics").await.unwrap();
    for line in [
        "assent_disk_reserve_reached 1\n",
        "assent_disk_free_bytes 1048575\n",
        "assent_disk_reserve_bytes 1048576\n",
        "assent_growth_refusals_total{bound=\"disk_reserve\"} 2\n",
    ] {
        assert!(page.contains(line), "{line} is not on {page}");
    }
    free.store(2 * RESERVE, Ordering::SeqCst);
    eventually("there is space again", || !reserve_reached(&node)).await;
    assert!(accepted(&submit(&node, evidence).await));
    node.shutdown().await;
}

/// Fails if the node looks at its disk only after it has begun to serve.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_on_an_almost_full_disk_takes_no_evidence_from_the_first_call_on() {
    let folder = tempfile::tempdir().unwrap();
    let (node, _) = start_on(&of_one(folder.path(), |_| ()), 0).await;
    assert!(reserve_reached(&node));
    is_too_much(&submit(&node, authorization()).await, Code::Overloaded, 429, "`limits.disk_reserve_mib`");
    ready(&node).await;
    assert!(accepted(&submit(&node, node_revocation(key(13).public())).await));
    node.shutdown().await;
}

/// Fails if the leader proposes what a follower with space forwards to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_disk_is_almost_full_proposes_no_forwarded_evidence_and_every_forwarded_revocation() {
    let folder = tempfile::tempdir().unwrap();
    let (mut nodes, mut all_free) = (Vec::new(), Vec::new());
    for mut config in configs(folder.path()) {
        config.limits.disk_reserve_mib = 1;
        config.deadlines.submit_ms = 10_000;
        let (node, free) = start_on(&config, PLENTY).await;
        nodes.push(node);
        all_free.push(free);
    }
    for node in &nodes {
        ready(node).await;
    }
    let leads = |node: &Node| {
        let status = node.service().status(Caller::local());
        status.leader == Some(status.node_id)
    };
    let at = nodes.iter().position(leads).unwrap();
    all_free[at].store(0, Ordering::SeqCst);
    eventually("the leader's reserve is reached", || reserve_reached(&nodes[at])).await;
    let follower = &nodes[(at + 1) % 3];
    let answer = submit(follower, authorization()).await;
    is_too_much(&answer, Code::Overloaded, 429, "`limits.disk_reserve_mib`");
    let new = key(100);
    assert!(accepted(&submit(follower, granted(follower, &new, Role::Attestation).await).await));
    assert!(accepted(&submit(follower, revocation(&new)).await));
    for node in nodes {
        node.shutdown().await;
    }
}

/// Fails if the rate is not kept, if it keeps out what restricts, or if one issuer's flood spends another's tokens.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn while_one_issuer_floods_the_node_another_submits_and_the_keys_of_both_are_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let config = of_one(folder.path(), |config| {
        (config.limits.issuer_rate, config.limits.issuer_burst) = (1, 5);
    });
    let (node, _) = start_on(&config, PLENTY).await;
    ready(&node).await;
    let (flooding, other) = (key(100), key(101));
    for new in [&flooding, &other] {
        assert!(accepted(&submit(&node, granted(&node, new, Role::Attestation).await).await));
    }
    let flood: Vec<_> = (0..200)
        .map(|number| {
            let (service, envelope) =
                (node.service().clone(), measured(&format!("flood-{number}"), &flooding));
            tokio::spawn(async move { service.submit(Caller::local(), envelope.into()).await })
        })
        .collect();
    assert!(accepted(&submit(&node, measured("of-another", &other)).await));
    assert!(accepted(&submit(&node, revocation(&other)).await));
    let mut taken = 0;
    for answer in flood {
        let answer = answer.await.unwrap();
        match accepted(&answer) {
            true => taken += 1,
            false => is_too_much(&answer, Code::Overloaded, 429, "`limits.issuer_rate`"),
        }
    }
    // A burst, and one more for each second that the flood took.
    assert!((5..100).contains(&taken), "{taken}");
    // The same bytes again cost nothing, and get their first receipt, even while nothing is left.
    let last = measured("one-more", &flooding);
    let mut answer = submit(&node, last.clone()).await;
    while !accepted(&answer) {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        answer = submit(&node, last.clone()).await;
    }
    for _ in 0..20 {
        assert!(matches!(submit(&node, last.clone()).await, Submitted::Accepted { fresh: false, .. }));
    }
    assert!(accepted(&submit(&node, revocation(&flooding)).await));
    node.shutdown().await;
}

/// Fails if each node counts an issuer for itself, if the leader refuses with another code than the node that took the
/// statement, or if the leader keeps out what restricts or governs.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_issuer_that_submits_to_all_nodes_gets_one_bucket_and_its_key_is_revoked_through_any_node() {
    const BURST: u64 = 10;
    let folder = tempfile::tempdir().unwrap();
    let mut nodes = Vec::new();
    for mut config in configs(folder.path()) {
        config.deadlines.submit_ms = 10_000;
        config.limits.disk_reserve_mib = 0;
        (config.limits.issuer_rate, config.limits.issuer_burst) = (1, BURST);
        nodes.push(start(&config).await);
    }
    for node in &nodes {
        ready(node).await;
    }
    let flooding = key(100);
    assert!(accepted(&submit(&nodes[0], granted(&nodes[0], &flooding, Role::Attestation).await).await));
    let from = Instant::now();
    // To each node no more than it takes of one issuer at once.
    let sprayed: Vec<_> = (0..BURST)
        .flat_map(|number| (0..3).map(move |at| (number, at)))
        .map(|(number, at): (u64, usize)| {
            let service = nodes[at].service().clone();
            let envelope = measured(&format!("spray-{number}-{at}"), &flooding);
            tokio::spawn(async move { service.submit(Caller::local(), envelope.into()).await })
        })
        .collect();
    let mut taken = 0;
    for answer in sprayed {
        let answer = answer.await.unwrap();
        match accepted(&answer) {
            true => taken += 1,
            false => is_too_much(&answer, Code::Overloaded, 429, "`limits.issuer_rate`"),
        }
    }
    let most = BURST + from.elapsed().as_secs() + 1;
    assert!((BURST..=most).contains(&taken), "{taken} were taken, and at most {most} may be");
    for (at, node) in nodes.iter().enumerate() {
        let new = key(101 + u8::try_from(at).unwrap());
        assert!(accepted(&submit(node, granted(node, &new, Role::Attestation).await).await), "{at}");
        assert!(accepted(&submit(node, revocation(&new)).await), "{at}");
    }
    assert!(accepted(&submit(&nodes[1], revocation(&flooding)).await));
    for node in nodes {
        node.shutdown().await;
    }
}

/// Fails if an issuer's tokens are spent by what the registry refuses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_rules_refuse_costs_an_issuer_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = of_one(folder.path(), |config| {
        (config.limits.issuer_rate, config.limits.issuer_burst) = (1, 2);
    });
    let (node, _) = start_on(&config, PLENTY).await;
    ready(&node).await;
    let parent = id_of(&authorization());
    for number in 0..20 {
        // There is no slot before it.
        let answer = submit(&node, authorized_at(&format!("gap-{number}"), 5, Some(parent))).await;
        assert_eq!(refused(&answer).0, Code::LineageFragmented, "{answer:?}");
    }
    node.shutdown().await;
}

/// Fails if a caller that leaves before its answer makes an issuer pay for what the rules refuse: then whoever holds such
/// an envelope can spend all of the issuer's tokens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_submits_an_issuers_refused_envelope_and_leaves_spends_nothing_of_the_issuer() {
    let folder = tempfile::tempdir().unwrap();
    let config = of_one(folder.path(), |config| {
        (config.limits.issuer_rate, config.limits.issuer_burst) = (1, 50);
    });
    let (node, _) = start_on(&config, PLENTY).await;
    ready(&node).await;
    let gap = authorized_at("gap", 5, Some(id_of(&authorization())));
    assert_eq!(refused(&submit(&node, gap.clone()).await).0, Code::LineageFragmented);
    for number in 0..400_u32 {
        // It leaves during the check, or while the envelope is being proposed.
        let leaves = async {
            for _ in 0..number % 100 * 10 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            _ = submit(&node, gap.clone()) => {}
            () = leaves => {}
        }
    }
    // What is under way ends.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    for number in 0..40 {
        let answer = submit(&node, authorized_at(&format!("own-{number}"), 0, None)).await;
        assert!(accepted(&answer), "{number}: {answer:?}");
    }
    node.shutdown().await;
}

/// Fails if the length of a lineage has no bound, or if the last statement that fits is not told its receipt again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lineage_takes_so_much_evidence_and_no_more_and_can_still_be_quarantined() {
    let folder = tempfile::tempdir().unwrap();
    let config = of_one(folder.path(), |config| config.limits.lineage_statements = 2);
    let (node, _) = start_on(&config, PLENTY).await;
    ready(&node).await;
    let first = authorized_at("exec-1", 0, None);
    let second = authorized_at("exec-1", 1, Some(id_of(&first)));
    let third = authorized_at("exec-1", 2, Some(id_of(&second)));
    assert!(accepted(&submit(&node, first).await));
    assert!(accepted(&submit(&node, second.clone()).await));
    is_too_much(&submit(&node, third).await, Code::TooLarge, 413, "`limits.lineage_statements`");
    assert!(matches!(submit(&node, second).await, Submitted::Accepted { fresh: false, .. }));
    assert!(accepted(&submit(&node, authorization_for("exec-2")).await));
    assert!(accepted(&submit(&node, quarantine("exec-1")).await));
    node.shutdown().await;
}

/// Fails if a domain's bytes are not counted, or are forgotten by a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_that_has_taken_its_year_takes_only_restrictions_and_governance_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = of_one(folder.path(), |config| {
        (config.limits.domain_mib_per_year, config.limits.issuer_rate) = (1, 0);
    });
    let (node, _) = start_on(&config, PLENTY).await;
    ready(&node).await;
    let mut bytes = 0;
    for batch in 0..4 {
        let envelopes: Vec<Bytes> =
            (0..500).map(|number| authorization_for(&format!("exec-{batch}-{number}")).into()).collect();
        bytes += envelopes.iter().map(Bytes::len).sum::<usize>();
        let answers = node.service().submit_batch(Caller::local(), BatchMode::Each, envelopes).await;
        // The bound may be reached on the way.
        let answers = answers.unwrap_or_default();
        assert!(batch > 0 || answers.iter().all(accepted), "{answers:?}");
    }
    assert!(bytes > 1 << 20, "{bytes}");
    let mut node = node;
    for restarted in [false, true] {
        if restarted {
            node.shutdown().await;
            node = start_on(&config, PLENTY).await.0;
            ready(&node).await;
        }
        let mut number = 0;
        let answer = loop {
            let answer = submit(&node, authorization_for(&format!("more-{restarted}-{number}"))).await;
            if !accepted(&answer) {
                break answer;
            }
            number += 1;
            assert!(number < 200, "it takes more and more");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        };
        is_too_much(&answer, Code::TooLarge, 413, "`limits.domain_mib_per_year`");
        let new = key(100 + u8::from(restarted));
        assert!(accepted(&submit(&node, granted(&node, &new, Role::Attestation).await).await));
        assert!(accepted(&submit(&node, revocation(&new)).await));
        let page = get(node.client_addr(), "/metrics").await.unwrap();
        assert!(page.contains("assent_domain_year_counted 1\n"), "{page}");
    }
    node.shutdown().await;
}
