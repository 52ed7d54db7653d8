//! Three nodes in one process, on real sockets and files: they form, accept, decide, and agree.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use std::path::Path;
use std::time::Duration;

use assent_cluster::config::{Config, VoterConfig};
use assent_cluster::env::Environment;
use assent_cluster::node::Node;
use assent_cluster::usecase::{Caller, Submitted};
use assent_proof::{
    AuthorizeRequest, Claims, DomainName, Envelope, EvidenceKind, LineageName, PolicyBody, PublicKey, Role,
    Seconds, Sha256, SigningKey, Statement, sign_statement, verify_decision,
};
use assent_registry::GenesisFile;
use bytes::Bytes;

const ORIGIN: &str = "registry.test/cluster";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

#[expect(clippy::disallowed_methods, reason = "a genesis file is made with the present time")]
fn now() -> Seconds {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Seconds(i64::try_from(since.as_secs()).unwrap())
}

fn statement(kind: EvidenceKind, domain: DomainName, target: &str, claims: &Claims) -> Statement {
    Statement {
        subject_name: None,
        subject: Sha256::of(target.as_bytes()),
        kind,
        registry: ORIGIN.to_owned(),
        domain,
        lineage: LineageName::governance(),
        issuers: Vec::new(),
        sequence: Some(0),
        parent: None,
        references: Vec::new(),
        issued_at: now(),
        expires_at: None,
        claims: claims.to_json(),
    }
}

fn sign(mut statement: Statement, keys: &[&SigningKey]) -> Vec<u8> {
    statement.issuers = keys.iter().map(|key| key.public()).collect();
    sign_statement(&statement, keys)
}

fn grant(authority: PublicKey, role: Role, domain: DomainName) -> Statement {
    let claims = Claims::AuthorityGrant {
        authority,
        name: role.to_string(),
        role,
        not_before: Seconds(now().0 - 60),
        not_after: Seconds(now().0 + 3600),
    };
    statement(EvidenceKind::AuthorityGrant, domain, &authority.to_string(), &claims)
}

/// Root, three node grants, a domain with a policy that requires nothing but an authorization.
fn genesis() -> Vec<u8> {
    let (root, checkpoint, governance) = (key(1), key(2), key(3));
    let domain: DomainName = "prod.eu".parse().unwrap();
    let mut envelopes = Vec::new();
    let claims = Claims::Root { keys: vec![root.public()], threshold: 1, registry_key: checkpoint.public() };
    let first = statement(EvidenceKind::Root, DomainName::root(), ORIGIN, &claims);
    envelopes.push(sign(first, &[&root, &checkpoint]));
    let chained = |envelopes: &[Vec<u8>], mut next: Statement, from: usize| {
        let chain = &envelopes[from..];
        next.sequence = Some(chain.len() as u64);
        next.parent = chain.last().map(|bytes| Envelope::parse(bytes).unwrap().id());
        next
    };
    for node in 11..14 {
        let next = grant(key(node).public(), Role::Registry, DomainName::root());
        envelopes.push(sign(chained(&envelopes, next, 0), &[&root, &key(node)]));
    }
    let claims =
        Claims::Domain { domain: domain.clone(), governance: vec![governance.public()], threshold: 1 };
    let next = statement(EvidenceKind::Domain, DomainName::root(), domain.as_ref(), &claims);
    envelopes.push(sign(chained(&envelopes, next, 0), &[&root, &governance]));
    let body = PolicyBody {
        require: vec![],
        attestation_status: None,
        measurements: None,
        policy_digests: None,
        decision_ttl_seconds: 10,
        permit_always: false,
    };
    let policy = statement(EvidenceKind::Policy, domain.clone(), domain.as_ref(), &Claims::Policy(body));
    envelopes.push(sign(policy, &[&governance]));
    let envelopes: Vec<Envelope> = envelopes.iter().map(|bytes| Envelope::parse(bytes).unwrap()).collect();
    GenesisFile::format(&envelopes).unwrap()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn configs(folder: &Path) -> Vec<Config> {
    std::fs::write(folder.join("genesis.json"), genesis()).unwrap();
    let voters: Vec<VoterConfig> = (1..=3)
        .map(|id| VoterConfig {
            id,
            peer: format!("127.0.0.1:{}", free_port()),
            client: format!("127.0.0.1:{}", free_port()),
        })
        .collect();
    voters
        .iter()
        .map(|voter| {
            let node_key = folder.join(format!("node-{}.pem", voter.id));
            std::fs::write(&node_key, key(10 + u8::try_from(voter.id).unwrap()).to_pem()).unwrap();
            Config::new(
                voter.id,
                folder.join(format!("data-{}", voter.id)),
                folder.join("genesis.json"),
                node_key,
                voters.clone(),
            )
        })
        .collect()
}

async fn start(config: &Config) -> Node {
    // A node that was stopped in this process lets go of its directory when its last task has ended.
    for _ in 0..200 {
        if let Ok(env) = Environment::real(&config.data_dir) {
            return Node::start(config.clone(), env).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("`{}` is still in use", config.data_dir.display());
}

async fn ready(node: &Node) {
    for _ in 0..1200 {
        if node.service().ready().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not ready: {:?} {:?}", node.service().ready().await, node.service().status(&Caller::Anonymous));
}

fn authorization() -> Vec<u8> {
    let claims = Claims::ExecutionAuthorization {
        actions: vec!["run".to_owned()],
        audience: None,
        environment: None,
        not_before: Seconds(now().0 - 60),
        not_after: Seconds(now().0 + 600),
        uses: None,
    };
    let mut draft =
        statement(EvidenceKind::ExecutionAuthorization, "prod.eu".parse().unwrap(), "program", &claims);
    draft.lineage = "exec-1".parse().unwrap();
    sign(draft, &[&key(3)])
}

fn request() -> AuthorizeRequest {
    AuthorizeRequest {
        domain: "prod.eu".parse().unwrap(),
        lineage: Some("exec-1".parse().unwrap()),
        runtime: None,
        action: "run".to_owned(),
        subject: Sha256::of(b"program"),
        audience: None,
        environment: None,
        nonce: None,
        expected_head: None,
        min_revision: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_form_a_cluster_and_answer_alike() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    let mut nodes = Vec::new();
    for config in &configs {
        nodes.push(start(config).await);
    }
    for node in &nodes {
        ready(node).await;
    }
    let before = nodes[1].service().authorize(&Caller::Anonymous, vec![request()]).await;
    assert_eq!(before[0].status, 403);
    let bytes = Bytes::from(authorization());
    for (place, node) in nodes.iter().enumerate() {
        match node.service().submit(&Caller::Anonymous, bytes.clone()).await {
            Submitted::Accepted { fresh, .. } => assert_eq!(fresh, place == 0),
            other => panic!("{other:?}"),
        }
    }
    let trusted: Vec<PublicKey> = (11..14).map(|seed| key(seed).public()).collect();
    for node in &nodes {
        let answers = node.service().authorize(&Caller::Anonymous, vec![request(), request()]).await;
        for answer in answers {
            assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
            assert!(verify_decision(&answer.body, &trusted).unwrap().allow);
        }
    }
    // All of them stop and start again on the same data: nothing is lost, and nobody needs a command.
    for node in nodes {
        node.shutdown().await;
    }
    let mut nodes = Vec::new();
    for config in &configs {
        nodes.push(start(config).await);
    }
    for node in &nodes {
        ready(node).await;
        let answer = node.service().authorize(&Caller::Anonymous, vec![request()]).await;
        assert_eq!(answer[0].status, 200, "{}", String::from_utf8_lossy(&answer[0].body));
    }
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_disk_never_rejoins_as_itself() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    let mut nodes = Vec::new();
    for config in &configs {
        nodes.push(start(config).await);
    }
    for node in &nodes {
        ready(node).await;
    }
    nodes.remove(2).shutdown().await;
    std::fs::remove_dir_all(&configs[2].data_dir).unwrap();
    let wiped = start(&configs[2]).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(wiped.service().ready().await.is_err());
    let status = wiped.service().status(&Caller::Anonymous);
    assert!(status.voters.is_empty(), "{status:?}");
    ready(&nodes[0]).await;
    let answer = wiped.service().authorize(&Caller::Anonymous, vec![request()]).await;
    assert_eq!(answer[0].status, 503);
    wiped.shutdown().await;
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test]
async fn a_node_whose_key_is_not_granted_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    std::fs::write(&configs[0].node_key, key(99).to_pem()).unwrap();
    let env = Environment::real(&configs[0].data_dir).unwrap();
    let error = Node::start(configs[0].clone(), env).await.err().unwrap();
    assert!(error.to_string().contains("is not granted"), "{error}");
}
