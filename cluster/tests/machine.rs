//! The state machine on disk: it gives the rules' own result, whatever is cut off, killed, replayed or sent as a
//! snapshot.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::support::*;
use assent_cluster::env::Environment;
use assent_cluster::raft::log::{LogRecord, RaftLog};
use assent_cluster::raft::machine::{AppliedAt, Machine, SnapshotData};
use assent_cluster::raft::types::{PeerNode, Proposal, TypeConfig};
use assent_cluster::raft::verifier::{Verifier, VerifierLimits};
use assent_proof::{Millis, Role, Rules, SigningKey};
use assent_registry::{
    Checked, Command, GenesisFile, Group, MemoryRows, Rows, RulesVersion, Table, apply, bootstrap, query,
};
use assent_store::{RunBlocking, SnapshotGuard, Store, StoreOptions};
use bytes::Bytes;
use futures_util::stream;
use openraft::alias::{EntryOf, LogIdOf};
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogStorage, RaftStateMachine};
use openraft::{EntryPayload, Membership, RaftSnapshotBuilder};

/// Every row: table, key, value.
type AllRows = Vec<(Table, Vec<u8>, Vec<u8>)>;

struct Replica {
    store: Store<LogRecord>,
    machine: Machine,
}

impl Replica {
    async fn open(dir: &Path, guard: SnapshotGuard) -> Self {
        Self::knowing(dir, guard, RulesVersion::NEWEST).await
    }

    async fn knowing(dir: &Path, guard: SnapshotGuard, known: RulesVersion) -> Self {
        let env = Environment::real(dir).unwrap();
        let run = env.run_blocking();
        let store: Store<LogRecord> =
            Store::open(env.disk.clone(), run.clone(), *b"0123456789abcdef", StoreOptions::default())
                .await
                .unwrap();
        let genesis = GenesisFile::parse(&genesis_bytes(&World::new().keys, 1)).unwrap();
        if query::summary(&store.registry.view().unwrap()).unwrap().is_none() {
            store.registry.write(None, |rows| bootstrap(rows, &genesis)).unwrap();
            store.registry.flush().unwrap();
        }
        let verifier = Verifier::new(ORIGIN.to_owned(), run.clone(), VerifierLimits::default());
        let machine = Machine::new(store.registry.clone(), verifier, run, guard, known).unwrap();
        Self { store, machine }
    }

    async fn apply(&mut self, entries: &[EntryOf<TypeConfig>]) {
        self.try_to_apply(entries).await.unwrap();
    }

    async fn try_to_apply(&mut self, entries: &[EntryOf<TypeConfig>]) -> std::io::Result<()> {
        let items: Vec<_> = entries.iter().cloned().map(|entry| Ok((entry, None))).collect();
        self.machine.apply(stream::iter(items)).await
    }

    fn rows(&self) -> AllRows {
        rows(&self.store.registry.view().unwrap())
    }

    fn at(&self) -> AppliedAt {
        *self.machine.applied().borrow()
    }
}

fn rows(rows: &dyn Rows) -> AllRows {
    let of = |table: &Table| {
        let found = rows.scan(*table, b"", None, usize::MAX).unwrap();
        found.into_iter().map(|(key, value)| (*table, key, value)).collect::<Vec<_>>()
    };
    Table::ALL.iter().flat_map(of).collect()
}

fn agree() -> SnapshotGuard {
    Arc::new(|_| Ok(()))
}

fn entry(index: u64, payload: EntryPayload<Proposal, u64, PeerNode>) -> EntryOf<TypeConfig> {
    EntryOf::<TypeConfig>::new(LogIdOf::<TypeConfig>::new(1.into(), index), payload)
}

/// A log of everything that a test world accepted after its genesis, with noise in between, and the rows that
/// the rules alone make of it.
fn history() -> (Vec<EntryOf<TypeConfig>>, AllRows) {
    let mut world = World::new();
    world.grounds();
    let genesis = GenesisFile::parse(&genesis_bytes(&world.keys, 1)).unwrap();
    let mut model = MemoryRows::new();
    bootstrap(&mut model, &genesis).unwrap();
    let first = query::revision(&model).unwrap();

    let node = PeerNode { peer_addr: "a:1".into(), client_addr: "a:2".into(), store_id: [7; 16], key: None };
    let membership = Membership::new(
        vec![std::collections::BTreeSet::from([1])],
        std::collections::BTreeMap::from([(1, node)]),
    )
    .unwrap();
    let mut payloads = vec![EntryPayload::Membership(membership), EntryPayload::Blank];
    for index in first..world.revision() {
        let (id, accepted_at) = query::leaf(&world.rows, index).unwrap().unwrap();
        let envelope = query::envelope(&world.rows, &id).unwrap().unwrap();
        let mut forged = envelope.clone();
        let last = forged.iter().rposition(|byte| byte.is_ascii_alphanumeric()).unwrap();
        forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
        for (envelopes, atomic) in
            [(vec![forged.clone(), envelope.clone()], false), (vec![envelope, forged], true)]
        {
            payloads.push(command(accepted_at, atomic, &envelopes));
            let envelopes = envelopes.iter().map(|bytes| unverified(bytes)).collect();
            let group = Group { atomic, envelopes };
            apply(&mut model, RulesVersion::NEWEST, accepted_at, &[group]).unwrap();
        }
        payloads.push(EntryPayload::Normal(Proposal(Bytes::from_static(b"\x01no command at all"))));
    }
    let entries = payloads.into_iter().zip(0..).map(|(payload, index)| entry(index, payload)).collect();
    (entries, rows(&model))
}

fn command(
    proposed_at: Millis,
    atomic: bool,
    envelopes: &[Vec<u8>],
) -> EntryPayload<Proposal, u64, PeerNode> {
    let envelopes = envelopes.iter().map(|bytes| Bytes::copy_from_slice(bytes)).collect();
    let command = Command { proposed_at, groups: vec![Group { atomic, envelopes }] };
    EntryPayload::Normal(Proposal(command.encode(Rules::GENESIS).into()))
}

fn copy_files(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applying_a_log_gives_what_the_rules_give_and_forged_or_unreadable_entries_leave_no_trace() {
    let (entries, expected) = history();
    let dir = tempfile::tempdir().unwrap();
    let mut replica = Replica::open(dir.path(), agree()).await;
    replica.apply(&entries).await;
    assert!(replica.rows() == expected);
    let last = entries.last().unwrap().log_id();
    let summary = query::summary(&replica.store.registry.view().unwrap()).unwrap().unwrap();
    let (revision, registry_time) = (summary.revision, Some(summary.registry_time));
    assert!(revision > 3);
    assert_eq!(
        replica.at(),
        AppliedAt { log_index: Some(last.index), revision, registry_time, ..replica.at() }
    );
    let (applied, membership) = replica.machine.applied_state().await.unwrap();
    assert_eq!(applied, Some(last));
    assert_eq!(membership.voter_ids().collect::<Vec<_>>(), [1]);
}

/// The entry, as a build would write it whose commands have this version.
fn of_version(version: u8, entry: &EntryOf<TypeConfig>) -> EntryOf<TypeConfig> {
    let EntryPayload::Normal(Proposal(command)) = &entry.payload else { panic!("a command") };
    let command = [&[version][..], &command[1..]].concat();
    EntryOf::<TypeConfig>::new(entry.log_id(), EntryPayload::Normal(Proposal(command.into())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_stops_at_a_command_of_an_unknown_version_and_a_later_build_continues() {
    let (entries, expected) = history();
    // The first command of the history is after the two entries of Raft's own.
    for (before, met) in [(2, 3), (2, 5), (0, 2), (entries.len() - 6, entries.len() - 2)] {
        for version in [2, 255] {
            let dir = tempfile::tempdir().unwrap();
            let mut replica = Replica::open(dir.path(), agree()).await;
            replica.apply(&entries[..before]).await;
            let (rows, at) = (replica.rows(), replica.at());

            let mut log = entries.clone();
            log[met] = of_version(version, &entries[met]);
            let stopped = replica.try_to_apply(&log[before..]).await.unwrap_err().to_string();
            assert_eq!(
                stopped,
                format!(
                    "a command in the log has version {version}, and this build reads version 1: start this node with a newer build"
                )
            );
            assert!(replica.rows() == rows, "something of the batch was kept");
            assert_eq!(replica.at(), at);

            // A build that knows the version makes of the entry what its writer meant, and skips none.
            replica.store.registry.flush().unwrap();
            let stopped = tempfile::tempdir().unwrap();
            copy_files(dir.path(), stopped.path());
            let mut later = Replica::open(stopped.path(), agree()).await;
            assert_eq!(later.at().log_index, at.log_index);
            later.apply(&entries[before..]).await;
            assert!(later.rows() == expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_of_a_known_version_that_does_not_decode_changes_nothing_and_stops_no_node() {
    let (entries, expected) = history();
    let dir = tempfile::tempdir().unwrap();
    let mut replica = Replica::open(dir.path(), agree()).await;
    replica.apply(&entries).await;
    let next = entries.len() as u64;
    for (garbage, index) in
        [&b""[..], b"\x01", b"\x01no command", b"\x01\x92\x00\x90 and more"].into_iter().zip(next..)
    {
        let payload = EntryPayload::Normal(Proposal(Bytes::copy_from_slice(garbage)));
        replica.apply(&[entry(index, payload)]).await;
        assert!(replica.rows() == expected);
        assert_eq!(replica.at().log_index, Some(index));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_of_the_next_version_is_not_kept_in_the_log_and_the_node_stops() {
    let (entries, _) = history();
    let dir = tempfile::tempdir().unwrap();
    let replica = Replica::open(dir.path(), agree()).await;
    let verifier = Verifier::new(ORIGIN.to_owned(), inline(), VerifierLimits::default());
    let mut log = RaftLog::new(replica.store.log.clone(), verifier, RulesVersion::NEWEST, 1);
    let arriving = [entries[2].clone(), of_version(2, &entries[3])];
    let stopped = log.append(arriving, IOFlushed::noop()).await.unwrap_err().to_string();
    assert_eq!(
        stopped,
        "the command at log index 3 has version 2, and this build reads version 1: start this node with a newer build"
    );
    assert_eq!(replica.store.log.range(), None, "nothing of the append was kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_replica_goes_on_from_its_last_flush_and_ends_with_the_same_rows() {
    let (entries, expected) = history();
    for flushed in [0, 2, 5, entries.len() - 1] {
        let dir = tempfile::tempdir().unwrap();
        let killed = tempfile::tempdir().unwrap();
        let mut replica = Replica::open(dir.path(), agree()).await;
        replica.apply(&entries[..flushed]).await;
        replica.store.registry.flush().unwrap();
        replica.apply(&entries[flushed..]).await;
        // What the files hold while the process runs is what kill -9 leaves.
        copy_files(dir.path(), killed.path());

        let mut replica = Replica::open(killed.path(), agree()).await;
        let (applied, _) = replica.machine.applied_state().await.unwrap();
        let next = applied.map_or(0, |applied| applied.index as usize + 1);
        assert_eq!(next, flushed, "back at the flush");
        replica.apply(&entries[next..]).await;
        assert!(replica.rows() == expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_and_the_tail_give_what_the_whole_log_gives() {
    let (entries, expected) = history();
    let half = entries.len() / 2;
    let (dir_a, dir_b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut sender = Replica::open(dir_a.path(), agree()).await;
    sender.apply(&entries[..half]).await;
    let snapshot = sender.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    // What is applied later is not in it.
    sender.apply(&entries[half..]).await;
    assert_eq!(snapshot.meta.last_log_id, Some(entries[half - 1].log_id()));

    let mut receiver = Replica::open(dir_b.path(), agree()).await;
    let SnapshotData::Source(source) = &snapshot.snapshot else { panic!("built as {:?}", snapshot.snapshot) };
    let mut other = snapshot.meta.clone();
    other.last_log_id = Some(entries[half].log_id());
    let refused = receiver.machine.install_snapshot(&other, SnapshotData::Source(source.clone())).await;
    assert!(refused.unwrap_err().to_string().contains("not at the position"));

    receiver.machine.install_snapshot(&snapshot.meta, snapshot.snapshot).await.unwrap();
    assert_eq!(receiver.machine.applied_state().await.unwrap().0, Some(entries[half - 1].log_id()));
    assert_eq!(receiver.at().log_index, Some(half as u64 - 1));
    receiver.apply(&entries[half..]).await;
    assert!(receiver.rows() == expected);
    assert!(sender.rows() == expected);
    assert_eq!(receiver.at(), sender.at());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_the_guard_refuses_is_not_installed() {
    let (entries, _) = history();
    let (dir_a, dir_b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut sender = Replica::open(dir_a.path(), agree()).await;
    sender.apply(&entries).await;
    let snapshot = sender.machine.get_current_snapshot().await.unwrap().unwrap();
    let mut receiver = Replica::open(dir_b.path(), Arc::new(|_| Err("another cluster's".to_owned()))).await;
    let before = receiver.rows();
    let refused = receiver.machine.install_snapshot(&snapshot.meta, snapshot.snapshot).await;
    assert!(refused.unwrap_err().to_string().contains("another cluster's"));
    assert!(receiver.rows() == before);
    assert_eq!(receiver.at().log_index, None);
}

fn inline() -> RunBlocking {
    Arc::new(|work| {
        work();
        Box::pin(std::future::ready(()))
    })
}

#[tokio::test]
async fn what_a_small_cache_forgot_is_verified_again_with_the_same_result() {
    let mut world = World::new();
    let keys = world.keys.clone();
    world.grounds();
    let good = affirming().slot(1, None).sign(&[&keys.attestation]);
    let mut forged = good.clone();
    let last = forged.iter().rposition(|byte| byte.is_ascii_alphanumeric()).unwrap();
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    for limits in [
        VerifierLimits::default(),
        VerifierLimits { envelopes_max: 1, ..VerifierLimits::default() },
        VerifierLimits { bytes_max: 0, ..VerifierLimits::default() },
    ] {
        let verifier = Verifier::new(ORIGIN.to_owned(), inline(), limits);
        for _ in 0..3 {
            assert!(
                matches!(verifier.check(&good, Rules::GENESIS), Checked::Verified(envelope) if envelope.id() == id_of(&good))
            );
            assert!(matches!(verifier.check(&forged, Rules::GENESIS), Checked::Refused(_)));
            assert!(matches!(verifier.check(b"nonsense", Rules::GENESIS), Checked::Refused(_)));
        }
    }
    let elsewhere = Verifier::new("registry.test/2".to_owned(), inline(), VerifierLimits::default());
    assert!(matches!(elsewhere.check(&good, Rules::GENESIS), Checked::Refused(_)));
}

#[tokio::test]
async fn a_prefetched_envelope_is_verified_once() {
    let world = World::new();
    let envelope = affirming().slot(0, None).sign(&[&world.keys.attestation]);
    let verifier = Verifier::new(ORIGIN.to_owned(), inline(), VerifierLimits::default());
    let EntryPayload::Normal(Proposal(bytes)) = command(ms(0), false, std::slice::from_ref(&envelope)) else {
        panic!("a command is a normal entry")
    };
    verifier.prefetch(vec![Bytes::from_static(b"no command"), bytes]);
    let (Checked::Verified(first), Checked::Verified(second)) =
        (verifier.check(&envelope, Rules::GENESIS), verifier.check(&envelope, Rules::GENESIS))
    else {
        panic!("it verifies")
    };
    assert!(Arc::ptr_eq(&first, &second));
}

/// A membership entry of nodes 1, 2, …, each with its key, in these groups of voters.
fn members(keys: &[&SigningKey], groups: &[&[u64]]) -> EntryPayload<Proposal, u64, PeerNode> {
    let node = |(key, id): (&&SigningKey, u64)| {
        let [peer_addr, client_addr] = [format!("{id}:1"), format!("{id}:2")];
        (id, PeerNode { peer_addr, client_addr, store_id: [7; 16], key: Some(key.public()) })
    };
    let groups = groups.iter().map(|group| group.iter().copied().collect()).collect();
    EntryPayload::Membership(
        Membership::new(groups, keys.iter().zip(1..).map(node).collect::<BTreeMap<_, _>>()).unwrap(),
    )
}

/// The version of the rules after a log of these payloads, by a replica that knows `known`.
async fn rules_after(known: RulesVersion, payloads: &[EntryPayload<Proposal, u64, PeerNode>]) -> u32 {
    let mut versions = Vec::new();
    // Together and one by one: where a batch ends is each replica's own affair.
    for together in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let mut replica = Replica::knowing(dir.path(), agree(), known).await;
        let log: Vec<_> =
            payloads.iter().cloned().zip(0..).map(|(payload, index)| entry(index, payload)).collect();
        for part in log.chunks(if together { log.len() } else { 1 }) {
            replica.apply(part).await;
        }
        let view = replica.store.registry.view().unwrap();
        versions.push(query::summary(&view).unwrap().unwrap().rules_version);
    }
    assert_eq!(versions[0], versions[1]);
    versions[0]
}

/// Rule R149.
#[tokio::test]
async fn rules_in_the_log_that_a_voter_has_not_signed_are_refused_and_stop_nobody() {
    let mut world = World::new();
    let (first, second, third) = (world.keys.node.clone(), key(61), key(62));
    let founded = world.revision();
    for node in [&second, &third] {
        let granted = grant(node.public(), Role::Registry).domain("_root");
        accepted(&world.submit_to_root(0, granted, &[&world.keys.root.clone(), node]));
    }
    let mut log = Vec::new();
    for index in founded..world.revision() {
        let (id, accepted_at) = query::leaf(&world.rows, index).unwrap().unwrap();
        log.push(command(accepted_at, false, &[query::envelope(&world.rows, &id).unwrap().unwrap()]));
    }
    let all = [&first, &second, &third];
    let raise = |signers: &[&SigningKey]| command(ms(0), false, &[rules(2).sign(signers)]);
    let with = |more: Vec<EntryPayload<Proposal, u64, PeerNode>>| [log.clone(), more].concat();

    // A build that does not know them goes on: nothing tells it that it has to stop.
    let old = RulesVersion::NEWEST;
    for signers in [&all[..1], &all[1..2], &all[..2], &all[1..]] {
        let log = with(vec![members(&all, &[&[1, 2, 3]]), raise(signers)]);
        assert_eq!(rules_after(old, &log).await, 1);
    }
    let new = RulesVersion::TEST;
    let cases = [
        // The membership by the entry itself counts, not one before or after it.
        (vec![members(&all, &[&[1, 2, 3]]), raise(&all)], 2),
        (vec![members(&all, &[&[1, 2, 3]]), raise(&all[..2])], 1),
        (vec![members(&all, &[&[1, 2]]), raise(&all[..2])], 2),
        (vec![members(&all, &[&[1, 2]]), raise(&all)], 2),
        (vec![members(&all, &[&[1, 2]]), members(&all, &[&[1, 2, 3]]), raise(&all[..2])], 1),
        (vec![members(&all, &[&[1, 2, 3]]), members(&all, &[&[1, 2]]), raise(&all[..2])], 2),
        (vec![members(&all, &[&[1, 2]]), raise(&all[1..]), members(&all, &[&[2, 3]])], 1),
        // Halfway through a change, who voted before and who will afterwards.
        (vec![members(&all, &[&[1, 2], &[2, 3]]), raise(&all[1..])], 1),
        (vec![members(&all, &[&[1, 2], &[2, 3]]), raise(&all)], 2),
        // Nobody votes, so nobody has said anything.
        (vec![raise(&all)], 1),
    ];
    for (number, (more, version)) in cases.into_iter().enumerate() {
        assert_eq!(rules_after(new, &with(more)).await, version, "case {number}");
    }
    // A voter without a key can say nothing.
    let nameless =
        PeerNode { peer_addr: "a:1".into(), client_addr: "a:2".into(), store_id: [7; 16], key: None };
    let nameless = Membership::new(vec![[1].into()], BTreeMap::from([(1, nameless)])).unwrap();
    assert_eq!(rules_after(new, &with(vec![EntryPayload::Membership(nameless), raise(&all)])).await, 1);
}
