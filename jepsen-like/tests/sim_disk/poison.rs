//! Errors of the disk: after the first one the store acknowledges nothing, and it loses nothing that it acknowledged
//! before.

use std::time::Duration;

use assent_jepsen::sim::dice::Dice;
use assent_jepsen::sim::disk::{FaultKind, IoFault, SimDisk, Unsynced};
use assent_store::{Disk, StoreError};

use super::support::{Acknowledged, TestEntry, append, entries, missing, open, work};

#[test]
fn after_a_failed_sync_the_next_one_succeeds_and_the_data_never_becomes_durable() {
    let mut sprung = 0;
    for seed in 0..50 {
        let disk = SimDisk::new();
        let file = disk.mount().open("f").unwrap();
        file.write(0, b"old").unwrap();
        file.sync_data().unwrap();
        disk.arm(IoFault::SyncFails, "f", 0..1, Dice::new(seed));
        file.write(0, b"new").unwrap();
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        let mut seen = [0; 3];
        file.read(0, &mut seen).unwrap();
        assert_eq!(&seen, b"new");
        let lost = disk.counts().get(FaultKind::SectorLost) > 0;
        assert_eq!(disk.counts().get(FaultKind::SyncLied), u64::from(lost));
        // A sector that is written again can be made durable again.
        let healed = seed % 2 == 0;
        if healed {
            file.write(0, b"new").unwrap();
            file.sync_data().unwrap();
        }
        disk.power_cut(Unsynced::Keep, &mut Dice::new(0));
        let expected: &[u8] = if lost && !healed { b"old" } else { b"new" };
        assert_eq!(disk.snapshot().file("f"), Some(expected), "seed {seed}");
        sprung += u32::from(expected == b"old");
    }
    assert!(sprung > 5, "{sprung}");
}

/// Works until `fault` comes, once or for good, and checks that the store stops then and has everything it acknowledged
/// when it is started again after a power cut.
async fn stops_at(fault: IoFault, kind: FaultKind, file: &str) {
    let mut met = 0;
    for seed in 0..120 {
        let case = format!("{fault:?} on `{file}`, seed {seed}");
        let disk = SimDisk::new();
        let mut dice = Dice::new(seed);
        let store = open(&disk).await.unwrap();
        let mut noted = Acknowledged::default();
        work(&store, &mut noted, 3, &mut dice).await;
        let call = dice.below(30);
        let until = if dice.chance(1, 2) { call + 1 } else { u64::MAX };
        disk.arm(fault, file, call..until, dice.fork("fault"));
        work(&store, &mut noted, 20, &mut dice).await;
        if disk.counts().get(kind) > 0 {
            met += 1;
            assert!(store.health().poisoned().is_some(), "{case}");
            let at = noted.entries.len() as u64;
            assert!(append(&store, TestEntry(at, Vec::new())).await.is_err());
            assert!(store.log.save_vote(Vec::new().into()).await.is_err());
            assert!(store.registry.flush().is_err());
            assert!(store.log.close().await.is_err());
            assert!(store.registry.close().is_err());
            if fault == IoFault::SyncFails && !file.is_empty() {
                assert_eq!(disk.counts().get(kind), 1, "it was tried again: {case}");
            }
        }
        drop(store);
        assert_eq!(disk.counts().get(FaultKind::SyncLied), 0, "it was tried again: {case}");
        let unsynced = *dice.pick(&Unsynced::ALL).unwrap();
        disk.power_cut(unsynced, &mut dice);
        disk.disarm();
        let store = open(&disk).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(missing(&store, &noted).await, None, "{case}");
    }
    assert!(met > 40, "{fault:?} on `{file}` came {met} times");
}

#[tokio::test]
async fn a_store_stops_at_the_first_sync_that_fails_and_never_tries_it_again() {
    for file in ["", "log.redb", "registry"] {
        stops_at(IoFault::SyncFails, FaultKind::SyncFailed, file).await;
    }
}

#[tokio::test]
async fn a_store_stops_at_the_first_write_that_fails() {
    for file in ["", "log.redb", "log.mark", "registry"] {
        stops_at(IoFault::WriteFails, FaultKind::WriteFailed, file).await;
    }
}

#[tokio::test]
async fn a_store_stops_at_the_first_write_that_finds_the_disk_full() {
    for file in ["", "log.redb", "log.mark", "registry"] {
        stops_at(IoFault::WriteFull, FaultKind::DiskFull, file).await;
    }
}

#[tokio::test]
async fn a_disk_that_fills_up_stops_the_store_and_loses_nothing() {
    for seed in 0..20 {
        let disk = SimDisk::new();
        let mut dice = Dice::new(seed);
        let store = open(&disk).await.unwrap();
        let mut noted = Acknowledged::default();
        disk.set_capacity(Some(disk.used_bytes() + 50_000 * seed));
        while store.health().poisoned().is_none() && noted.entries.len() < 5000 {
            work(&store, &mut noted, 50, &mut dice).await;
        }
        assert!(disk.counts().get(FaultKind::DiskFull) > 0);
        assert!(store.health().poisoned().is_some());
        disk.power_cut(Unsynced::Torn, &mut dice);
        disk.set_capacity(None);
        assert_eq!(missing(&open(&disk).await.unwrap(), &noted).await, None, "seed {seed}");
    }
}

#[tokio::test]
async fn a_slow_sync_tells_how_long_it_took_and_is_durable_when_it_is_over() {
    let disk = SimDisk::new();
    let store = open(&disk).await.unwrap();
    assert!(disk.take_stall().is_none());
    disk.arm(IoFault::SyncStalls(Duration::from_secs(5)), "log.redb", 0..1, Dice::new(0));
    append(&store, TestEntry(0, b"a".to_vec())).await.unwrap();
    let stall = disk.take_stall().unwrap();
    assert_eq!(stall.lasts(), Duration::from_secs(5));
    assert!(disk.take_stall().is_none());
    drop(stall);
    append(&store, TestEntry(1, b"b".to_vec())).await.unwrap();
    assert!(disk.take_stall().is_none());
    assert_eq!(disk.counts().get(FaultKind::SyncStalled), 1);
    disk.power_cut(Unsynced::Drop, &mut Dice::new(0));
    assert_eq!(entries(&open(&disk).await.unwrap()).await.len(), 2);
}

/// How many entries are there after a power cut, or a kill, inside the slow sync of the second.
async fn cut_inside_a_slow_sync(end: impl FnOnce(&SimDisk)) -> usize {
    let disk = SimDisk::new();
    let store = open(&disk).await.unwrap();
    append(&store, TestEntry(0, b"a".to_vec())).await.unwrap();
    disk.arm(IoFault::SyncStalls(Duration::from_secs(5)), "", 0..u64::MAX, Dice::new(0));
    append(&store, TestEntry(1, b"b".to_vec())).await.unwrap();
    let stall = disk.take_stall();
    end(&disk);
    drop((stall, store));
    disk.disarm();
    entries(&open(&disk).await.unwrap()).await.len()
}

#[tokio::test]
async fn a_power_cut_inside_a_slow_sync_leaves_what_was_there_when_it_began() {
    assert_eq!(cut_inside_a_slow_sync(|disk| disk.power_cut(Unsynced::Drop, &mut Dice::new(0))).await, 1);
    for seed in 0..50 {
        for unsynced in Unsynced::ALL {
            // Whatever is kept of the commit, the mark that follows it is not: the log opens.
            cut_inside_a_slow_sync(|disk| disk.power_cut(unsynced, &mut Dice::new(seed))).await;
        }
    }
}

#[tokio::test]
async fn a_kill_inside_a_slow_sync_loses_nothing() {
    assert_eq!(cut_inside_a_slow_sync(SimDisk::kill).await, 2);
}

#[tokio::test]
async fn a_sync_that_takes_no_time_ends_the_slow_ones_before_it() {
    let disk = SimDisk::new();
    let store = open(&disk).await.unwrap();
    disk.arm(IoFault::SyncStalls(Duration::from_secs(5)), "", 0..1, Dice::new(0));
    append(&store, TestEntry(0, b"a".to_vec())).await.unwrap();
    let stall = disk.take_stall();
    append(&store, TestEntry(1, b"b".to_vec())).await.unwrap();
    disk.power_cut(Unsynced::Drop, &mut Dice::new(0));
    drop((stall, store));
    assert_eq!(entries(&open(&disk).await.unwrap()).await.len(), 2);
}

/// A node that stopped at a failed sync, was started again while the power stayed on, worked on and then lost its power.
/// Answers how often it was worked on what was not on the medium, and how often it did not start in the end.
async fn restarted_after_a_failed_sync(drop_cache: bool) -> (u32, u32) {
    let (mut lied, mut refused) = (0, 0);
    for seed in 0..100 {
        let disk = SimDisk::new();
        let mut dice = Dice::new(seed);
        let mut noted = Acknowledged::default();
        let store = open(&disk).await.unwrap();
        let call = dice.below(12);
        disk.arm(IoFault::SyncFails, "", call..call + 1, dice.fork("fault"));
        work(&store, &mut noted, 12, &mut dice).await;
        disk.kill();
        drop(store);
        if drop_cache {
            disk.drop_cache();
        }
        let store = open(&disk).await.unwrap();
        assert_eq!(missing(&store, &noted).await, None, "seed {seed}");
        work(&store, &mut noted, 3, &mut dice).await;
        lied += u32::from(disk.counts().get(FaultKind::SyncLied) > 0);
        disk.power_cut(Unsynced::Drop, &mut dice);
        match open(&disk).await {
            Ok(store) => assert_eq!(missing(&store, &noted).await, None, "seed {seed}"),
            Err(StoreError::Damaged { .. }) => refused += 1,
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    (lied, refused)
}

#[tokio::test]
async fn a_node_restarted_on_a_lying_cache_may_be_lost_but_notices_it() {
    let (lied, refused) = restarted_after_a_failed_sync(false).await;
    assert!(lied > 20 && refused > 0, "{lied} {refused}");
}

#[tokio::test]
async fn a_node_restarted_after_a_failed_sync_loses_nothing_if_the_cache_was_dropped() {
    assert_eq!(restarted_after_a_failed_sync(true).await, (0, 0));
}
