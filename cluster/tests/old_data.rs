//! Data that earlier builds left behind (`data/README.md`): this build opens it, holds the same rows, decides the same, and goes
//! on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod cluster_support;
#[path = "old_data/sparse.rs"]
mod sparse;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use assent_api::DecisionBody;
use assent_cluster::config::{Config, RaftConfig};
use assent_cluster::env::Environment;
use assent_cluster::node::Node;
use assent_cluster::peer::{PROTOCOL_VERSION, PROTOCOL_VERSION_MIN};
use assent_cluster::raft::codec;
use assent_cluster::raft::log::LogRecord;
use assent_cluster::usecase::{Caller, Submitted};
use assent_proof::{
    AttestationStatus, AuthorizeRequest, Claims, Code, Containment, DomainName, Envelope, EvidenceId,
    EvidenceKind, Millis, Of, PolicyBody, Requirement, RevocationReason, Role, Rules, Seconds, SigningKey,
    Statement,
};
use assent_registry::{Command, Rows, Table, query};
use assent_store::{
    FORMAT, LogEntry, RegistryStore, SnapshotChunk, SnapshotHeader, SnapshotSummary, Store, StoreOptions,
};
use bytes::Bytes;
use serde_json::{Value, json};

use cluster_support::*;

/// Set to 1, it has the data of the present format made if there is none; set to anything else, data of the present format with that in its
/// name.
const UPDATE: &str = "UPDATE_FIXTURES";
/// A folder in the repository is not larger than this, in bytes.
const FIXTURE_MAX: usize = 400 * 1024;
/// The name of one node's genesis file, and of its data folder's files.
const GENESIS: &str = "genesis.json";
const STORE: &str = "store";
const SNAPSHOT: &str = "snapshot.parts";
const EXPECTED: &str = "expected.json";

/// Until when everything holds that can end.
fn far() -> Seconds {
    "2200-01-01T00:00:00Z".parse().unwrap()
}

fn domain() -> DomainName {
    "prod.eu".parse().unwrap()
}

/// Attests, and attested until its key was revoked.
fn attesters() -> (SigningKey, SigningKey) {
    (key(20), key(21))
}

/// A node that is alone in its cluster.
fn alone(folder: &Path, genesis: &[u8]) -> Config {
    let mut config = configs(folder).swap_remove(0);
    config.voters.truncate(1);
    config.deadlines.authorize_ms = 1_000;
    std::fs::write(folder.join(GENESIS), genesis).unwrap();
    config
}

async fn accepted(node: &Node, envelope: Vec<u8>) -> EvidenceId {
    match node.service().submit(&Caller::Anonymous, Bytes::from(envelope)).await {
        Submitted::Accepted { receipt, .. } => receipt.evidence_id,
        Submitted::Problem(problem) => panic!("{problem:?}"),
    }
}

/// In the next slot of the domain's governance.
async fn governed(node: &Node, mut draft: Statement, keys: &[&SigningKey]) -> EvidenceId {
    let slot = node.service().read(&Caller::Anonymous, |rows, _| query::governance_slot(rows, &domain()));
    let (sequence, parent) = slot.await.unwrap();
    (draft.sequence, draft.parent) = (Some(sequence), parent);
    accepted(node, sign(draft, keys)).await
}

fn attestation(lineage: &str, measurement: &str, signer: &SigningKey) -> Vec<u8> {
    let claims = Claims::RuntimeAttestation {
        verifier: "verifier-1".to_owned(),
        status: AttestationStatus::Affirming,
        measurement: measurement.to_owned(),
    };
    let mut draft = statement(EvidenceKind::RuntimeAttestation, domain(), "program", &claims);
    draft.lineage = lineage.parse().unwrap();
    sign(draft, &[signer])
}

/// All that an execution needs.
async fn grounds(node: &Node, lineage: &str, uses: Option<u32>, attester: &SigningKey) -> EvidenceId {
    accepted(node, authorization_until(lineage, far(), uses)).await;
    accepted(node, attestation(lineage, "m1", attester)).await
}

async fn quarantine(node: &Node, lineage: &str) -> EvidenceId {
    let held = Containment::Quarantine(lineage.parse().unwrap());
    let target = held.target();
    let mut draft = statement(EvidenceKind::Containment, domain(), &target, &Claims::Containment(held));
    draft.sequence = None;
    accepted(node, sign(draft, &[&key(3)])).await
}

/// A second statement for the first slot of the attester; it is kept as proof.
async fn equivocate(node: &Node, lineage: &str, attester: &SigningKey) -> EvidenceId {
    let second = attestation(lineage, "m2", attester);
    match node.service().submit(&Caller::Anonymous, Bytes::from(second.clone())).await {
        Submitted::Problem(problem) if problem.code == Code::AuthorityInconsistent => {}
        other => panic!("{other:?}"),
    }
    Envelope::parse(&second).unwrap().id()
}

/// Evidence of every kind that decisions rest on, in lineages that each end another way.
async fn hand_in(node: &Node) {
    let governance = key(3);
    let (attester, revoked) = attesters();
    for attester in [&attester, &revoked] {
        let granted = grant_until(attester.public(), Role::Attestation, domain(), far());
        governed(node, granted, &[&governance, attester]).await;
    }
    let attested = Requirement {
        kind: EvidenceKind::RuntimeAttestation,
        of: Of::Execution,
        min_issuers: 1,
        max_age_seconds: None,
    };
    let body = PolicyBody {
        require: vec![attested],
        attestation_status: Some(vec![AttestationStatus::Affirming]),
        measurements: None,
        policy_digests: None,
        decision_ttl_seconds: 10,
        permit_always: false,
    };
    let policy = statement(EvidenceKind::Policy, domain(), domain().as_ref(), &Claims::Policy(body));
    governed(node, policy, &[&governance]).await;

    grounds(node, "plain", None, &attester).await;
    grounds(node, "counted", Some(2), &attester).await;
    grounds(node, "held", None, &attester).await;
    quarantine(node, "held").await;
    grounds(node, "released", None, &attester).await;
    let held = quarantine(node, "released").await;
    let claims = Claims::Release { containment: held };
    let release = statement(EvidenceKind::Release, domain(), &held.to_string(), &claims);
    governed(node, release, &[&governance]).await;
    grounds(node, "twice", None, &attester).await;
    equivocate(node, "twice", &attester).await;
    let canonical = grounds(node, "settled", None, &attester).await;
    let conflict = [canonical, equivocate(node, "settled", &attester).await];
    let claims = Claims::Reconciliation { conflict, canonical };
    let reconciled = statement(EvidenceKind::Reconciliation, domain(), &canonical.to_string(), &claims);
    governed(node, reconciled, &[&governance]).await;

    grounds(node, "revoked", None, &revoked).await;
    let claims = Claims::Revocation {
        authority: revoked.public(),
        reason: RevocationReason::KeyCompromise,
        invalid_since: None,
    };
    let subject = revoked.public().to_string();
    let mut revocation = statement(EvidenceKind::Revocation, domain(), &subject, &claims);
    revocation.sequence = None;
    accepted(node, sign(revocation, &[&governance])).await;
}

fn request_for(lineage: &str) -> AuthorizeRequest {
    AuthorizeRequest { lineage: Some(lineage.parse().unwrap()), ..request() }
}

/// What is asked of every build.
fn requests() -> Vec<AuthorizeRequest> {
    let lineages = ["plain", "counted", "held", "released", "twice", "settled", "revoked", "unheard-of"];
    let mut requests: Vec<AuthorizeRequest> = lineages.map(request_for).to_vec();
    requests.push(AuthorizeRequest { action: "stop".to_owned(), ..request_for("plain") });
    requests
}

/// What a node decides, once it can.
async fn decided(node: &Node, request: &AuthorizeRequest) -> Value {
    for _ in 0..40 {
        let answer = node.service().authorize(&Caller::Anonymous, vec![request.clone()]).await.remove(0);
        if answer.status != 503 {
            let body: DecisionBody = serde_json::from_slice(&answer.body).unwrap();
            let codes: Vec<Code> = body.reasons.iter().map(|reason| reason.code).collect();
            return json!({"request": request.to_json(), "status": answer.status, "codes": codes});
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nothing was decided");
}

/// What a node answers to whoever wants a permit.
async fn permitted(node: &Node, request: &AuthorizeRequest) -> Value {
    for _ in 0..40 {
        let answer = node.service().permit(&Caller::Anonymous, request.clone()).await.unwrap();
        if answer.status != 503 {
            let body: DecisionBody = serde_json::from_slice(&answer.body).unwrap();
            return json!({"request": request.to_json(), "status": answer.status, "receipt": body.permit});
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nothing was decided");
}

/// A registry as it is sent to another node: header, chunks, summary.
fn transfer(registry: &RegistryStore) -> Vec<Vec<u8>> {
    let source = registry.snapshot().unwrap();
    let mut parts = vec![source.header().encode()];
    let mut chunks = source.chunks();
    while let Some(chunk) = chunks.next_chunk().unwrap() {
        parts.push(chunk.encode());
    }
    parts.push(chunks.summary().encode());
    parts
}

/// The versions of the rows in each table that has any.
fn row_versions(registry: &RegistryStore) -> BTreeMap<&'static str, BTreeSet<u8>> {
    let view = registry.view().unwrap();
    let mut versions = BTreeMap::new();
    for table in Table::ALL {
        let rows = view.scan(*table, b"", None, usize::MAX).unwrap();
        let of_table: BTreeSet<u8> = rows.iter().filter_map(|(_, value)| value.first().copied()).collect();
        if !of_table.is_empty() {
            versions.insert(table.name(), of_table);
        }
    }
    versions
}

fn applied(registry: &RegistryStore) -> (u64, u64) {
    let position = registry.view().unwrap().applied().unwrap().unwrap();
    let (meta, highest_id) = codec::decode_position(&position).unwrap();
    (meta.last_log_id.unwrap().index, highest_id)
}

/// What lies in a stopped node's store, in the terms of `expected.json`, and its registry as it is sent.
async fn look_into(config: &Config) -> (Value, Vec<Vec<u8>>) {
    let env = environment(config).await;
    let opened =
        Store::<LogRecord>::open(env.disk.clone(), env.run_blocking(), [0; 16], StoreOptions::default());
    let store = opened.await.unwrap();
    let (first, last) = store.log.range().unwrap();
    let record = store.log.read(last, last + 1, usize::MAX).await.unwrap().remove(0).encode();
    let registry = store.registry.clone();
    let reading = move || (transfer(&registry), row_versions(&registry), applied(&registry).0);
    let (parts, rows, applied) = tokio::task::spawn_blocking(reading).await.unwrap();
    store.log.close().await.unwrap();
    store.registry.close().unwrap();
    let command = Command { proposed_at: Millis(0), groups: Vec::new() }.encode(Rules::GENESIS);
    let versions = json!({
        "format": FORMAT,
        "logRecord": record[0],
        "command": command[0],
        "snapshot": parts[0][0],
        "protocol": [PROTOCOL_VERSION_MIN, PROTOCOL_VERSION],
        "rows": rows,
    });
    (json!({"logFirst": first, "applied": applied, "versions": versions}), parts)
}

/// A database without the pages that nothing is in any more.
fn compacted(path: &Path) {
    for _ in 0..200 {
        match redb::Database::open(path) {
            Ok(mut database) => {
                while database.compact().unwrap() {}
                return;
            }
            // Whoever had it open is just letting go of it.
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => {
                std::thread::sleep(Duration::from_millis(25));
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("`{}` is still open", path.display());
}

/// Makes the data of this build.
async fn make(into: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let genesis = genesis_until(far());
    let mut config = alone(folder.path(), &genesis);
    config.raft =
        RaftConfig { snapshot_every_entries: 5, keep_entries: 5, lag_entries: 5, ..RaftConfig::default() };
    let node = start(&config).await;
    ready(&node).await;
    hand_in(&node).await;
    let once = AuthorizeRequest { nonce: Some("once".to_owned()), ..request_for("counted") };
    let permit = permitted(&node, &once).await;
    assert!(permit["status"] == 200 && permit["receipt"].is_object(), "{permit}");
    let mut answers = Vec::new();
    for request in requests() {
        answers.push(decided(&node, &request).await);
    }
    let allows = |lineage: &str| {
        let of = |answer: &&Value| answer["request"]["lineage"] == lineage;
        answers.iter().find(of).is_some_and(|answer| answer["status"] == 200)
    };
    for (lineage, expected) in
        [("plain", true), ("released", true), ("held", false), ("twice", false), ("revoked", false)]
    {
        assert_eq!(allows(lineage), expected, "{lineage}: {answers:?}");
    }
    let status = || node.service().status(&Caller::Anonymous);
    eventually("a cut log", || status().log.first > Some(1)).await;
    let digest = node.service().digest(&Caller::Anonymous).await.unwrap();
    let (term, rules) = (status().term, status().rules);
    node.shutdown().await;

    let (store, parts) = look_into(&config).await;
    let expected = json!({
        "revision": digest.revision,
        "rows": digest.rows,
        "digest": digest.digest,
        "rules": rules,
        "term": term,
        "store": store,
        "permit": permit,
        "answers": answers,
    });
    let text = format!("{}\n", serde_json::to_string_pretty(&expected).unwrap());
    let framed = parts.iter().flat_map(|part| {
        let length = u32::try_from(part.len()).unwrap();
        [&length.to_be_bytes()[..], &part[..]].concat()
    });
    let mut files = vec![
        (into.join(GENESIS), genesis),
        (into.join(EXPECTED), text.into_bytes()),
        (into.join(SNAPSHOT), framed.collect()),
    ];
    for file in std::fs::read_dir(&config.data_dir).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with('.') {
            continue;
        }
        if name.ends_with(".redb") {
            compacted(&path);
        }
        let packed = sparse::pack(&std::fs::read(&path).unwrap());
        files.push((into.join(STORE).join(format!("{name}.sparse")), packed));
    }
    let sizes: Vec<(&PathBuf, usize)> = files.iter().map(|(path, bytes)| (path, bytes.len())).collect();
    let size: usize = sizes.iter().map(|(_, size)| size).sum();
    assert!(size <= FIXTURE_MAX, "{size} bytes: {sizes:?}");
    std::fs::create_dir_all(into.join(STORE)).unwrap();
    for (path, bytes) in files {
        std::fs::write(path, bytes).unwrap();
    }
}

fn expected(fixture: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(fixture.join(EXPECTED)).unwrap()).unwrap()
}

/// Puts a copy of the data where a node of this configuration finds it.
fn restore(fixture: &Path, config: &Config) {
    std::fs::create_dir_all(&config.data_dir).unwrap();
    for file in std::fs::read_dir(fixture.join(STORE)).unwrap() {
        let path = file.unwrap().path();
        let bytes = sparse::unpack(&std::fs::read(&path).unwrap()).unwrap();
        let name = path.file_stem().unwrap();
        std::fs::write(config.data_dir.join(name), bytes).unwrap();
    }
}

/// A node of this build goes on from the data.
async fn goes_on(fixture: &Path) {
    let expected = expected(fixture);
    let folder = tempfile::tempdir().unwrap();
    let config = alone(folder.path(), &std::fs::read(fixture.join(GENESIS)).unwrap());
    restore(fixture, &config);
    let status = |node: &Node| node.service().status(&Caller::Anonymous);

    // Under its own rules: newer ones are a statement in the ledger.
    let rules = u32::try_from(expected["rules"].as_u64().unwrap()).unwrap();
    let node = start(&Config { rules_known: rules, ..config.clone() }).await;
    ready(&node).await;
    let digest = node.service().digest(&Caller::Anonymous).await.unwrap();
    assert_eq!(json!(digest.revision), expected["revision"]);
    assert_eq!(json!(digest.rows), expected["rows"]);
    assert_eq!(json!(digest.digest), expected["digest"]);
    let now = status(&node);
    assert_eq!(json!(now.rules), expected["rules"]);
    assert_eq!(json!(now.log.first), expected["store"]["logFirst"]);
    assert!(Some(now.term) > expected["term"].as_u64(), "its vote is forgotten: term {}", now.term);
    let asked =
        |answer: &Value| AuthorizeRequest::parse(&serde_json::to_vec(&answer["request"]).unwrap()).unwrap();
    for answer in expected["answers"].as_array().unwrap() {
        assert_eq!(decided(&node, &asked(answer)).await, *answer);
    }
    let permit = &expected["permit"];
    assert_eq!(permitted(&node, &asked(permit)).await, *permit);

    grounds(&node, "later", None, &attesters().0).await;
    assert_eq!(decided(&node, &request_for("later")).await["status"], 200);
    let revision = status(&node).revision;
    assert_eq!(revision, digest.revision + 2);
    node.shutdown().await;
    let node = start(&config).await;
    ready(&node).await;
    assert!(status(&node).revision >= revision);
    assert_eq!(decided(&node, &request_for("later")).await["status"], 200);
    node.shutdown().await;
}

/// The parts of a transfer, each behind its length.
fn read_parts(fixture: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(fixture.join(SNAPSHOT)).unwrap();
    let (mut parts, mut rest) = (Vec::new(), &bytes[..]);
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (part, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        parts.push(part.to_vec());
        rest = after;
    }
    assert!(rest.is_empty());
    parts
}

/// A new store takes the data as a snapshot.
async fn is_installed(fixture: &Path) {
    let expected = expected(fixture);
    let folder = tempfile::tempdir().unwrap();
    let env = Environment::real(folder.path()).unwrap();
    let opened =
        Store::<LogRecord>::open(env.disk.clone(), env.run_blocking(), [7; 16], StoreOptions::default());
    let store = opened.await.unwrap();
    let (registry, parts) = (store.registry.clone(), read_parts(fixture));
    let receiving = move || {
        let [header, chunks @ .., summary] = parts.as_slice() else { panic!("{} parts", parts.len()) };
        let mut staged = registry.stage(SnapshotHeader::decode(header).unwrap()).unwrap();
        for chunk in chunks {
            staged.write(&SnapshotChunk::decode(chunk).unwrap()).unwrap();
        }
        staged.finish(&SnapshotSummary::decode(summary).unwrap()).unwrap();
        staged
    };
    let staged = tokio::task::spawn_blocking(receiving).await.unwrap();
    store.registry.install(staged, Arc::new(|_: &dyn Rows| Ok(()))).await.unwrap();
    let digest = store.registry.view().unwrap().digest().unwrap();
    assert_eq!(json!(digest.rows), expected["rows"]);
    assert_eq!(json!(format!("blake3:{}", hex::encode(digest.digest))), expected["digest"]);
    let (index, highest_id) = applied(&store.registry);
    assert_eq!(json!(index), expected["store"]["applied"]);
    assert_eq!(highest_id, 1);
    store.log.close().await.unwrap();
    store.registry.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn this_build_goes_on_from_the_data_of_every_earlier_one() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let present = format!("format-{FORMAT}");
    if let Ok(what) = std::env::var(UPDATE) {
        let name = if what == "1" { present.clone() } else { format!("{present}-{what}") };
        if !data.join(&name).exists() {
            make(&data.join(&name)).await;
        }
    }
    let names =
        std::fs::read_dir(&data).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut fixtures: Vec<String> = names.filter(|name| name.starts_with("format-")).collect();
    fixtures.sort();
    let is_present = |name: &String| *name == present || name.starts_with(&format!("{present}-"));
    assert!(
        fixtures.iter().any(is_present),
        "there is no data of format {FORMAT}: cluster/tests/data/README.md says how it is made"
    );
    for name in fixtures {
        println!("{name}");
        goes_on(&data.join(&name)).await;
        is_installed(&data.join(&name)).await;
    }
}
