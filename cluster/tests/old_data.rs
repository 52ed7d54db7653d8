//! Data that earlier builds left (`data/README.md`): this build opens the data, holds the same rows, makes the same
//! decisions, and continues. Such data exists for every version that this build writes.

mod content;
mod sparse;
mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use assent_api::{DecisionBody, StatusBody};
use assent_cluster::config::{Config, RaftConfig};
use assent_cluster::env::Environment;
use assent_cluster::node::Node;
use assent_cluster::raft::log::LogRecord;
use assent_cluster::raft::remembered::Remembered;
use assent_cluster::usecase::Caller;
use assent_proof::{AuthorizeRequest, Code};
use assent_registry::{Rows, RulesVersion};
use assent_store::{FORMAT, SnapshotChunk, SnapshotHeader, SnapshotSummary, Store, StoreOptions};
use serde_json::{Value, json};

use crate::cluster_support::*;
use content::{far, grounds, hand_in, request_for, requests};
use versions::{Versions, add, left_out, look_into, opened, read_applied, recorded, without_fixture};

/// Set to 1, it has the data of the present format made if there is none; set to anything else, data of the present format with that in its
/// name.
const UPDATE: &str = "UPDATE_FIXTURES";
/// A folder in the repository is not larger than this, in bytes.
const FIXTURE_MAX: usize = 800 * 1024;
/// The name of the genesis file, and of the folders with a node's files, stopped in order and cut off in the middle.
const GENESIS: &str = "genesis.json";
const STORE: &str = "store";
const UNFLUSHED: &str = "store-unflushed";
const STORES: [&str; 2] = [STORE, UNFLUSHED];
const SNAPSHOT: &str = "snapshot.parts";
const EXPECTED: &str = "expected.json";
/// In it, what the node's memory holds; not in data that was made before this was recorded.
const REMEMBERED: &str = "remembered";
/// The members that have said that the node was removed, as its memory has it.
const SAY_REMOVED: [u64; 2] = [2, 3];
/// So many entries at least lie in the log of the second store and not in its registry.
const UNFLUSHED_MIN: u64 = 20;

/// A node that is alone in its cluster.
fn alone(folder: &Path, genesis: &[u8]) -> Config {
    let mut config = configs(folder).swap_remove(0);
    config.voters.truncate(1);
    config.deadlines.authorize_ms = 1_000;
    std::fs::write(folder.join(GENESIS), genesis).unwrap();
    config
}

fn status(node: &Node) -> StatusBody {
    node.service().status(Caller::local())
}

/// What a node decides, once it can.
async fn decided(node: &Node, request: &AuthorizeRequest) -> Value {
    for _ in 0..40 {
        let answer = node.service().authorize(Caller::local(), vec![request.clone()]).await.remove(0);
        if answer.status != 503 {
            let body: DecisionBody = serde_json::from_slice(&answer.body).unwrap();
            let codes: Vec<Code> = body.reasons.iter().map(|reason| reason.code).collect();
            return json!({"request": request.to_json(), "status": answer.status, "codes": codes});
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nothing was decided");
}

/// What a node answers to a request for a permit.
async fn permitted(node: &Node, request: &AuthorizeRequest) -> Value {
    for _ in 0..40 {
        let answer = node.service().permit(Caller::local(), request.clone()).await.unwrap();
        if answer.status != 503 {
            let body: DecisionBody = serde_json::from_slice(&answer.body).unwrap();
            let mut receipt = json!(body.permit);
            if let Some(fields) = receipt.as_object_mut() {
                // It is the answer's, not what was stored: receipts of those builds did not say it.
                fields.remove("history");
            }
            return json!({"request": request.to_json(), "status": answer.status, "receipt": receipt});
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nothing was decided");
}

/// Of what a node holds, everything that another build has to find too.
async fn state(node: &Node) -> Value {
    let digest = node.service().digest(Caller::local()).await.unwrap();
    json!({
        "revision": digest.revision,
        "rows": digest.rows,
        "digest": digest.digest,
        "rules": status(node).rules,
    })
}

/// The files in a node's data folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.starts_with('.') {
            files.insert(name, std::fs::read(&path).unwrap());
        }
    }
    files
}

/// Copies the files of a node that runs, at a moment at which it does not write: what a crash of the process leaves behind.
async fn copy_of_running(from: &Path, to: &Path) {
    let mut before = files(from);
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let after = files(from);
        if after == before {
            std::fs::create_dir_all(to).unwrap();
            for (name, bytes) in after {
                std::fs::write(to.join(name), bytes).unwrap();
            }
            return;
        }
        before = after;
    }
    panic!("the node never stopped writing");
}

/// The sparse files of a data folder, its databases without the pages that nothing is in any more.
fn packed(folder: &Path, under: &str) -> Vec<(PathBuf, Vec<u8>)> {
    for name in files(folder).into_keys().filter(|name| name.ends_with(".redb")) {
        let mut database = opened(&folder.join(name));
        while database.compact().unwrap() {}
    }
    let pack = |(name, bytes): (String, Vec<u8>)| {
        (Path::new(under).join(format!("{name}.sparse")), sparse::pack(&bytes))
    };
    files(folder).into_iter().map(pack).collect()
}

/// A stopped node's store.
async fn store_of(config: &Config) -> Store<LogRecord> {
    let env = environment(config).await;
    let opened =
        Store::<LogRecord>::open(env.disk.clone(), env.run_blocking(), [0; 16], StoreOptions::default());
    opened.await.unwrap()
}

async fn closed(store: Store<LogRecord>) {
    store.log.close().await.unwrap();
    store.registry.close().unwrap();
}

/// Has a stopped node's log remember something of every kind: a node that is alone is asked for no signature, and nobody tells it that it
/// was removed.
async fn remember(config: &Config, rules: u32) {
    let store = store_of(config).await;
    let memory = Remembered::load(store.log.clone()).unwrap();
    memory.sign(rules).await.unwrap();
    memory.set_removed_by(BTreeSet::from(SAY_REMOVED));
    memory.save(true, |_| true).await.unwrap();
    closed(store).await;
}

/// What a stopped node's log remembers.
async fn remembered(config: &Config) -> Value {
    let store = store_of(config).await;
    let memory = Remembered::load(store.log.clone()).unwrap();
    let held = json!({
        "ended": memory.ended(),
        "signed": memory.signed(),
        "known": memory.known(1),
        "removedBy": memory.removed_by(),
    });
    closed(store).await;
    held
}

/// What this build leaves behind.
struct Made {
    /// By their path in the fixture.
    files: Vec<(PathBuf, Vec<u8>)>,
    versions: Versions,
}

impl Made {
    fn write(&self, into: &Path) {
        let sizes: Vec<(&PathBuf, usize)> =
            self.files.iter().map(|(path, bytes)| (path, bytes.len())).collect();
        let size: usize = sizes.iter().map(|(_, size)| size).sum();
        assert!(size <= FIXTURE_MAX, "{size} bytes: {sizes:?}");
        for store in STORES {
            std::fs::create_dir_all(into.join(store)).unwrap();
        }
        for (path, bytes) in &self.files {
            std::fs::write(into.join(path), bytes).unwrap();
        }
    }
}

/// Makes the data of this build: under the newest rules that are in a release, of a node whose registry is flushed as late as can
/// be and copied before that, and then of the same node with its log cut, stopped in order.
async fn make() -> Made {
    let folder = tempfile::tempdir().unwrap();
    let genesis = genesis_until(far());
    let mut config = alone(folder.path(), &genesis);
    config.limits.registry_flush_ms = 60_000;
    config.limits.disk_reserve_mib = 0;
    let node = start_confirmed(&config).await;
    ready(&node).await;
    hand_in(&node).await;
    eventually("the newest rules", || status(&node).rules == RulesVersion::NEWEST.0).await;
    grounds(&node, "newest").await;
    let once = AuthorizeRequest { nonce: Some("once".to_owned()), ..request_for("counted") };
    let permit = permitted(&node, &once).await;
    assert!(permit["status"] == 200 && permit["receipt"].is_object(), "{permit}");
    let mut answers = Vec::new();
    for (request, allow) in requests() {
        let answer = decided(&node, &request).await;
        assert_eq!(answer["status"] == 200, allow, "{answer}");
        answers.push(answer);
    }
    let unflushed_state = state(&node).await;
    let unflushed = Config { data_dir: folder.path().join(UNFLUSHED), ..config.clone() };
    copy_of_running(&config.data_dir, &unflushed.data_dir).await;
    node.shutdown().await;
    let (unflushed_held, _) = look_into(&unflushed).await;
    assert!(not_applied(&unflushed_held) >= UNFLUSHED_MIN, "{unflushed_held}");

    config.raft =
        RaftConfig { snapshot_every_entries: 5, keep_entries: 5, lag_entries: 5, ..RaftConfig::default() };
    let node = start_confirmed(&config).await;
    ready(&node).await;
    for number in 0..50 {
        if status(&node).log.first > Some(1) {
            break;
        }
        grounds(&node, &format!("later-{number}")).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(status(&node).log.first > Some(1), "the log was not cut");
    let stopped_state = state(&node).await;
    let (term, rules) = (status(&node).term, status(&node).rules);
    node.shutdown().await;
    remember(&config, rules).await;
    let memory = remembered(&config).await;
    assert!(memory["known"].is_array() && memory["removedBy"] == json!(SAY_REMOVED), "{memory}");
    let (stopped_held, parts) = look_into(&config).await;

    let mut versions = recorded(&stopped_held);
    add(&mut versions, recorded(&unflushed_held));
    let expected = json!({
        STORE: {"state": stopped_state, "held": stopped_held, REMEMBERED: memory},
        UNFLUSHED: {"state": unflushed_state, "held": unflushed_held},
        "term": term,
        "permit": permit,
        "answers": answers,
    });
    let text = format!("{}\n", serde_json::to_string_pretty(&expected).unwrap());
    let framed = parts.iter().flat_map(|part| {
        let length = u32::try_from(part.len()).unwrap();
        [&length.to_be_bytes()[..], &part[..]].concat()
    });
    let mut files = vec![
        (PathBuf::from(GENESIS), genesis),
        (PathBuf::from(EXPECTED), text.into_bytes()),
        (PathBuf::from(SNAPSHOT), framed.collect()),
    ];
    files.extend(packed(&config.data_dir, STORE));
    files.extend(packed(&unflushed.data_dir, UNFLUSHED));
    Made { files, versions }
}

/// How many entries a store's log has beyond its registry.
fn not_applied(held: &Value) -> u64 {
    held["logLast"].as_u64().unwrap() - held["applied"].as_u64().unwrap_or(0)
}

fn expected(fixture: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(fixture.join(EXPECTED)).unwrap()).unwrap()
}

/// Puts a copy of one of the stores where a node of this configuration finds it.
fn restore(fixture: &Path, store: &str, config: &Config) {
    std::fs::create_dir_all(&config.data_dir).unwrap();
    for file in std::fs::read_dir(fixture.join(store)).unwrap() {
        let path = file.unwrap().path();
        let bytes = sparse::unpack(&std::fs::read(&path).unwrap()).unwrap();
        let name = path.file_stem().unwrap();
        std::fs::write(config.data_dir.join(name), bytes).unwrap();
    }
}

fn asked(answer: &Value) -> AuthorizeRequest {
    AuthorizeRequest::parse(&serde_json::to_vec(&answer["request"]).unwrap()).unwrap()
}

/// The node answers as the build did that left the data behind.
async fn answers_the_same(node: &Node, expected: &Value) {
    for answer in expected["answers"].as_array().unwrap() {
        assert_eq!(decided(node, &asked(answer)).await, *answer);
    }
    let permit = &expected["permit"];
    assert_eq!(permitted(node, &asked(permit)).await, *permit);
}

/// Starts a node that knows no newer rules than those of the data: newer ones are a statement in the ledger.
async fn start_as_it_was(config: &Config, state: &Value) -> Node {
    let rules = u32::try_from(state["rules"].as_u64().unwrap()).unwrap();
    let node = start_confirmed(&Config { rules_known: rules, ..config.clone() }).await;
    ready(&node).await;
    node
}

/// A node of this build goes on from the data of one that was stopped in order.
async fn goes_on(fixture: &Path) {
    let expected = expected(fixture);
    let folder = tempfile::tempdir().unwrap();
    let config = alone(folder.path(), &std::fs::read(fixture.join(GENESIS)).unwrap());
    restore(fixture, STORE, &config);
    let was = &expected[STORE];
    // Of the folder `format-6`.
    let of_format_6 = json!({"ended": null, "signed": 0, "known": [1, 50], "removedBy": []});
    assert_eq!(remembered(&config).await, *was.get(REMEMBERED).unwrap_or(&of_format_6));
    let node = start_as_it_was(&config, &was["state"]).await;
    assert_eq!(state(&node).await, was["state"]);
    let now = status(&node);
    assert_eq!(json!(now.log.first), was["held"]["logFirst"]);
    assert!(Some(now.term) > expected["term"].as_u64(), "its vote is forgotten: term {}", now.term);
    answers_the_same(&node, &expected).await;

    let before = status(&node).revision;
    grounds(&node, "after").await;
    assert_eq!(decided(&node, &request_for("after")).await["status"], 200);
    let revision = status(&node).revision;
    assert_eq!(revision, before + 2);
    node.shutdown().await;
    let node = start_confirmed(&config).await;
    ready(&node).await;
    assert!(status(&node).revision >= revision);
    assert_eq!(decided(&node, &request_for("after")).await["status"], 200);
    node.shutdown().await;
    is_raised(&config, &expected).await;
}

/// Rules that are in no release, under which commands and leaves have a second version, follow on the rules of the data.
async fn is_raised(config: &Config, expected: &Value) {
    let next = RulesVersion::TEST.0;
    let node = start_confirmed(&Config { rules_known: next, ..config.clone() }).await;
    ready(&node).await;
    eventually("the next rules", || status(&node).rules == next).await;
    answers_the_same(&node, expected).await;
    grounds(&node, "raised").await;
    assert_eq!(decided(&node, &request_for("raised")).await["status"], 200);
    node.shutdown().await;
}

/// A node of this build applies what lies in the log alone.
async fn applies_the_rest(fixture: &Path) {
    let expected = expected(fixture);
    let folder = tempfile::tempdir().unwrap();
    let config = alone(folder.path(), &std::fs::read(fixture.join(GENESIS)).unwrap());
    restore(fixture, UNFLUSHED, &config);
    let was = &expected[UNFLUSHED];
    let (held, _) = look_into(&config).await;
    assert_eq!(held["logLast"], was["held"]["logLast"]);
    assert_eq!(held["applied"], was["held"]["applied"]);
    assert!(not_applied(&held) >= UNFLUSHED_MIN, "{held}");
    let node = start_as_it_was(&config, &was["state"]).await;
    assert!(status(&node).applied >= held["logLast"].as_u64());
    assert_eq!(state(&node).await, was["state"]);
    answers_the_same(&node, &expected).await;
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
    let was = &expected[STORE];
    let digest = store.registry.view().unwrap().digest().unwrap();
    assert_eq!(json!(digest.rows), was["state"]["rows"]);
    assert_eq!(json!(format!("blake3:{}", hex::encode(digest.digest))), was["state"]["digest"]);
    let (index, highest_id) = read_applied(&store.registry).unwrap();
    assert_eq!(json!(index), was["held"]["applied"]);
    assert_eq!(highest_id, 1);
    store.log.close().await.unwrap();
    store.registry.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn this_build_reads_the_data_of_every_earlier_build_and_writes_only_versions_with_test_data() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let present = format!("format-{FORMAT}");
    let made = make().await;
    assert!(left_out(&made.versions).is_empty(), "the data made here has no {:?}", left_out(&made.versions));
    if let Ok(what) = std::env::var(UPDATE) {
        let name = if what == "1" { present.clone() } else { format!("{present}-{what}") };
        if !data.join(&name).exists() {
            made.write(&data.join(&name));
        }
    }
    let names =
        std::fs::read_dir(&data).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut fixtures: Vec<String> = names.filter(|name| name.starts_with("format-")).collect();
    fixtures.sort();
    let mut held = Versions::new();
    for fixture in fixtures.iter().map(|name| expected(&data.join(name))) {
        for store in STORES {
            add(&mut held, recorded(&fixture[store]["held"]));
        }
    }
    let missing = without_fixture(&made.versions, &held);
    assert!(
        missing.is_empty(),
        "this build writes what no data in cluster/tests/data has ({}): set {UPDATE} to 1 if there is no folder \
         `{present}`, otherwise to a name for what has changed, run `cargo test -p assent-cluster --test all old_data` and \
         commit the folder (cluster/tests/data/README.md)",
        missing.join("; ")
    );
    for name in fixtures {
        println!("{name}");
        goes_on(&data.join(&name)).await;
        applies_the_rest(&data.join(&name)).await;
        is_installed(&data.join(&name)).await;
    }
}
