//! The versions of the data on a disk and of a snapshot's parts, and whether there is data of every version that this
//! build writes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use assent_cluster::config::Config;
use assent_cluster::raft::codec;
use assent_registry::{Rows, Table, query};
use assent_store::{LogEntry, RegistryStore};
use redb::{ReadableDatabase, TableDefinition};
use serde_json::{Value, json};

use crate::cluster_support::record::{Record, closed, records, store_of};

/// The versions of everything that has one, by its name.
pub(crate) type Versions = BTreeMap<String, BTreeSet<u32>>;

/// Tables whose rows have no version: an envelope's bytes, an evidence id, and twice nothing.
const RAW: [Table; 4] = [Table::Bodies, Table::LineageEntries, Table::DomainAuthorities, Table::Containments];
/// What has a version, besides the rows.
const BESIDE_ROWS: [&str; 12] = [
    "format of `log.redb`",
    "format of the registry",
    "state of the log",
    "log record",
    "command",
    "vote",
    "committed position",
    "purged position",
    "memory of the voters",
    "applied position",
    "snapshot",
    "rules",
];
/// Tables with rows of several types.
const OF_PEERS: [&str; 3] = ["count of lists", "ends of a list", "slot"];

/// The stores' own rows, each behind a checksum.
const STORE: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("store");
const CHECKSUM_BYTES: usize = 8;

fn note(versions: &mut Versions, what: &str, version: impl Into<u32>) {
    versions.entry(what.to_owned()).or_default().insert(version.into());
}

/// The name of a row's type.
fn row_type(table: Table, key: &[u8]) -> String {
    if table != Table::Peers {
        return format!("row of `{}`", table.name());
    }
    // Domain and origin end in a NUL each; then come issuer and trust, and then when the slot was taken.
    let rest = key.splitn(3, |byte| *byte == 0).nth(2).unwrap();
    let [count, ends, slot] = OF_PEERS;
    let which = match rest.len() {
        0 => count,
        64 => ends,
        80 => slot,
        other => panic!("a key of `peers` with {other} bytes behind the origin"),
    };
    format!("row of `peers`, {which}")
}

/// What a build that misses nothing writes.
fn names() -> Vec<String> {
    let versioned = Table::ALL.iter().filter(|table| !RAW.contains(table) && **table != Table::Peers);
    let rows = versioned.map(|table| row_type(*table, b""));
    let of_peers = OF_PEERS.iter().map(|which| format!("row of `peers`, {which}"));
    let beside = BESIDE_ROWS.iter().map(|what| (*what).to_owned());
    beside.chain(rows).chain(of_peers).collect()
}

/// A database that another handle in this process may just be letting go of.
pub(crate) fn opened(path: &Path) -> redb::Database {
    for _ in 0..200 {
        match redb::Database::open(path) {
            Ok(database) => return database,
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => {
                std::thread::sleep(Duration::from_millis(25));
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("`{}` is still open", path.display());
}

/// The first byte of one of a store's own rows.
fn own_row(database: &redb::Database, key: &str) -> u8 {
    let read = database.begin_read().unwrap();
    let table = read.open_table(STORE).unwrap();
    let row = table.get(key).unwrap().unwrap();
    row.value()[CHECKSUM_BYTES]
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

/// The applied position's bytes; none before anything was applied.
fn applied(registry: &RegistryStore) -> Option<Vec<u8>> {
    registry.view().unwrap().applied().unwrap()
}

/// The log index and the largest node id of an applied position.
pub(crate) fn read_applied(registry: &RegistryStore) -> Option<(u64, u64)> {
    let (meta, highest_id) = codec::decode_position(&applied(registry)?).unwrap();
    Some((meta.last_log_id.unwrap().index, highest_id))
}

/// Notes the versions in a registry.
fn look_into_rows(registry: &RegistryStore) -> Versions {
    let mut versions = Versions::new();
    let view = registry.view().unwrap();
    for table in Table::ALL.iter().filter(|table| !RAW.contains(table)) {
        for (key, value) in view.scan(*table, b"", None, usize::MAX).unwrap() {
            // An open lineage is a key alone.
            if let Some(version) = value.first() {
                note(&mut versions, &row_type(*table, &key), *version);
            }
        }
    }
    note(&mut versions, "rules", query::summary(&view).unwrap().unwrap().rules_version);
    if let Some(position) = applied(registry) {
        note(&mut versions, "applied position", position[0]);
    }
    versions
}

/// Notes the versions in a log.
fn look_into_records(records: &[Record], versions: &mut Versions) {
    for record in records {
        note(versions, "log record", record.version());
        if let Some(command) = record.command() {
            note(versions, "command", command[0]);
        }
    }
}

/// What lies in a stopped node's store, in the terms of `expected.json`, and its registry as it is sent.
pub(crate) async fn look_into(config: &Config) -> (Value, Vec<Vec<u8>>) {
    let store = store_of(config).await;
    let registry = store.registry.clone();
    let reading = move || (transfer(&registry), look_into_rows(&registry), read_applied(&registry));
    let (parts, mut versions, applied) = tokio::task::spawn_blocking(reading).await.unwrap();
    for part in &parts {
        note(&mut versions, "snapshot", part[0]);
    }
    let records = records(&store).await;
    look_into_records(&records, &mut versions);
    for (what, value) in [
        ("vote", store.log.vote()),
        ("committed position", store.log.committed()),
        ("purged position", store.log.purged()),
        ("memory of the voters", store.log.remembered()),
    ] {
        if let Some(value) = value {
            note(&mut versions, what, value[0]);
        }
    }
    closed(store).await;
    for file in std::fs::read_dir(&config.data_dir).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "log.redb" {
            let database = opened(&path);
            note(&mut versions, "format of `log.redb`", own_row(&database, "identity"));
            note(&mut versions, "state of the log", own_row(&database, "state"));
        } else if name.ends_with(".redb") {
            note(&mut versions, "format of the registry", own_row(&opened(&path), "identity"));
        }
    }
    let held = json!({
        "logFirst": records.first().map(LogEntry::index),
        "logLast": records.last().map(LogEntry::index),
        "applied": applied.map(|(index, _)| index),
        "versions": versions,
    });
    (held, parts)
}

/// The versions that are recorded of one store.
pub(crate) fn recorded(held: &Value) -> Versions {
    serde_json::from_value(held["versions"].clone()).unwrap()
}

pub(crate) fn add(versions: &mut Versions, more: Versions) {
    for (what, more) in more {
        versions.entry(what).or_default().extend(more);
    }
}

/// What the data that a build writes is short of, by name: nothing, or this test looks at less than it should.
pub(crate) fn left_out(written: &Versions) -> Vec<String> {
    names().into_iter().filter(|name| !written.contains_key(name)).collect()
}

/// What this build writes and no fixture holds, type by type.
pub(crate) fn without_fixture(written: &Versions, fixtures: &Versions) -> Vec<String> {
    let mut missing = Vec::new();
    for (what, versions) in written {
        for version in versions {
            if !fixtures.get(what).is_some_and(|held| held.contains(version)) {
                missing.push(format!("{what}: version {version}"));
            }
        }
    }
    missing
}

#[test]
fn a_version_that_no_fixture_holds_is_named_with_its_type() {
    let versions = |of: &[(&str, u32)]| {
        let mut versions = Versions::new();
        for (what, version) in of {
            note(&mut versions, what, *version);
        }
        versions
    };
    let written = versions(&[("command", 1), ("command", 2), ("vote", 1), ("log record", 3)]);
    let held = versions(&[("command", 1), ("command", 3), ("vote", 1), ("rules", 9)]);
    assert_eq!(without_fixture(&written, &held), ["command: version 2", "log record: version 3"]);
    assert!(without_fixture(&held, &held).is_empty());
    assert!(left_out(&held).contains(&"row of `leaves`".to_owned()));
}
