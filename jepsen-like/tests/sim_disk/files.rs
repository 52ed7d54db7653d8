//! The simulated disk against a plain model of one file, and what happens to names and handles.

use std::io::ErrorKind;

use assent_jepsen::sim::dice::Dice;
use assent_jepsen::sim::disk::{FaultKind, SECTOR_BYTES, SimDisk, Unsynced};
use assent_store::Disk;
use redb::StorageBackend;

/// Changes a file at random and tells what it should hold, in memory and on the medium.
fn scribble(file: &dyn StorageBackend, rounds: u64, dice: &mut Dice) -> (Vec<u8>, Vec<u8>) {
    let (mut live, mut durable) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        match dice.below(8) {
            0 => {
                file.sync_data().unwrap();
                durable = live.clone();
            }
            1 => {
                let len = dice.below(6 * SECTOR_BYTES as u64) as usize;
                file.set_len(len as u64).unwrap();
                live.resize(len, 0);
            }
            _ => {
                let at = dice.below(5 * SECTOR_BYTES as u64) as usize;
                let data = vec![dice.next_u64() as u8; dice.below(2 * SECTOR_BYTES as u64) as usize];
                file.write(at as u64, &data).unwrap();
                if !data.is_empty() {
                    live.resize(live.len().max(at + data.len()), 0);
                    live[at..at + data.len()].copy_from_slice(&data);
                }
            }
        }
    }
    (live, durable)
}

fn at(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

#[test]
fn a_power_cut_leaves_each_byte_new_or_old_as_its_policy_says() {
    let mut mixed = 0;
    for seed in 0..2000 {
        for unsynced in Unsynced::ALL {
            let disk = SimDisk::new();
            let mut dice = Dice::new(seed);
            let file = disk.mount().open("f").unwrap();
            file.sync_data().unwrap();
            let (live, durable) = scribble(file.as_ref(), 1 + seed % 20, &mut dice);
            let mut found = vec![0; live.len()];
            assert_eq!(file.len().unwrap(), live.len() as u64);
            file.read(0, &mut found).unwrap();
            assert_eq!(found, live);
            assert_eq!(disk.snapshot().file("f").unwrap(), durable, "seed {seed}");

            disk.power_cut(unsynced, &mut dice);
            let image = disk.snapshot();
            let left = image.file("f").unwrap();
            match unsynced {
                Unsynced::Keep => assert_eq!(left, live, "seed {seed}"),
                Unsynced::Drop => assert_eq!(left, durable, "seed {seed}"),
                Unsynced::Mixed | Unsynced::Torn => {
                    assert!(left.len() == live.len() || left.len() == durable.len());
                    for (place, byte) in left.iter().enumerate() {
                        let either = [self::at(&live, place), self::at(&durable, place)];
                        assert!(either.contains(byte), "seed {seed} {unsynced:?} byte {place}");
                    }
                    mixed += u32::from(left != live && left != durable);
                }
            }
            // And what is there then is what a reader finds.
            let file = disk.mount().open("f").unwrap();
            let mut found = vec![0; left.len()];
            file.read(0, &mut found).unwrap();
            assert_eq!(found, left);
        }
    }
    assert!(mixed > 500, "{mixed} files were partly new and partly old");
}

#[test]
fn without_torn_writes_a_sector_is_new_or_old_as_a_whole() {
    let mut torn = 0;
    for seed in 0..200 {
        for unsynced in [Unsynced::Mixed, Unsynced::Torn] {
            let disk = SimDisk::new();
            let file = disk.mount().open("f").unwrap();
            file.write(0, &[1; 8 * SECTOR_BYTES]).unwrap();
            file.sync_data().unwrap();
            file.write(0, &[2; 8 * SECTOR_BYTES]).unwrap();
            disk.power_cut(unsynced, &mut Dice::new(seed));
            let image = disk.snapshot();
            let whole = |sector: &[u8]| sector.iter().all(|byte| *byte == sector[0]);
            let parts = image.file("f").unwrap().chunks(SECTOR_BYTES).filter(|sector| !whole(sector)).count();
            assert_eq!(parts as u64, disk.counts().get(FaultKind::SectorTorn));
            if unsynced == Unsynced::Mixed {
                assert_eq!(parts, 0);
            }
            torn += parts;
        }
    }
    assert!(torn > 100);
}

#[test]
fn a_new_file_may_vanish_before_its_first_sync_and_never_after() {
    let left = |sync: bool, unsynced, seed| {
        let disk = SimDisk::new();
        let mount = disk.mount();
        let file = mount.open("new").unwrap();
        file.write(0, b"content").unwrap();
        if sync {
            file.sync_data().unwrap();
        }
        disk.power_cut(unsynced, &mut Dice::new(seed));
        disk.mount().exists("new").unwrap()
    };
    assert!(left(false, Unsynced::Keep, 0));
    assert!(!left(false, Unsynced::Drop, 0));
    assert!((0..50).any(|seed| left(false, Unsynced::Mixed, seed)));
    assert!((0..50).any(|seed| !left(false, Unsynced::Mixed, seed)));
    for unsynced in Unsynced::ALL {
        assert!((0..50).all(|seed| left(true, unsynced, seed)));
    }
}

#[test]
fn a_removed_file_is_gone_for_good_and_its_open_handles_stay_usable() {
    let disk = SimDisk::new();
    let mount = disk.mount();
    let old = mount.open("f").unwrap();
    old.write(0, b"old").unwrap();
    old.sync_data().unwrap();
    mount.remove("f").unwrap();
    mount.remove("f").unwrap();
    assert!(!mount.exists("f").unwrap());
    let new = mount.open("f").unwrap();
    assert_eq!((old.len().unwrap(), new.len().unwrap()), (3, 0));
    old.write(3, b"er").unwrap();
    old.sync_data().unwrap();
    assert_eq!(disk.used_bytes(), 5);
    drop(old);
    assert_eq!(disk.used_bytes(), 0);
    assert_eq!(mount.list().unwrap(), ["f"]);
    mount.remove("f").unwrap();
    disk.power_cut(Unsynced::Drop, &mut Dice::new(0));
    drop(new);
    assert!(disk.mount().list().unwrap().is_empty());
}

#[test]
fn a_dead_mount_reads_and_writes_nothing_whatever_killed_it() {
    let kills: [fn(&SimDisk); 5] = [
        |disk| disk.power_cut(Unsynced::Keep, &mut Dice::new(0)),
        SimDisk::kill,
        |disk| drop(disk.mount()),
        |disk| {
            let mount = disk.mount();
            disk.arm_power_cut(0, Unsynced::Keep, Dice::new(0));
            assert!(mount.open("f").unwrap().sync_data().is_err());
        },
        |disk| {
            let mount = disk.mount();
            disk.arm_power_cut(1, Unsynced::Drop, Dice::new(0));
            let file = mount.open("f").unwrap();
            file.write(0, b"during").unwrap();
            assert!(file.set_len(1).is_err());
        },
    ];
    for kill in kills {
        let disk = SimDisk::new();
        let mount = disk.mount();
        let file = mount.open("f").unwrap();
        file.write(0, b"before").unwrap();
        file.sync_data().unwrap();
        assert!(disk.is_mounted() && !disk.is_dead());
        kill(&disk);
        assert_eq!(disk.is_dead(), !disk.is_mounted());
        let before = disk.snapshot();
        let _alive = disk.mount();
        assert!(disk.is_mounted() && !disk.is_dead());
        assert!(file.write(0, b"after!").is_err());
        assert!(file.set_len(0).is_err());
        assert!(file.sync_data().is_err());
        assert!(file.len().is_err());
        assert!(file.read(0, &mut [0]).is_err());
        assert!(mount.open("f").is_err());
        assert!(mount.remove("f").is_err());
        assert!(mount.exists("f").is_err());
        assert!(mount.list().is_err());
        drop(file);
        assert_eq!(disk.snapshot(), before);
        assert_eq!(before.file("f"), Some(&b"before"[..]));
        assert_eq!(disk.traffic().refused, 9);
    }
}

#[test]
fn what_a_killed_process_wrote_is_readable_and_still_not_durable() {
    let disk = SimDisk::new();
    let file = disk.mount().open("f").unwrap();
    file.sync_data().unwrap();
    file.write(0, b"unsynced").unwrap();
    disk.kill();
    assert_eq!(disk.mount().open("f").unwrap().len().unwrap(), 8);
    disk.power_cut(Unsynced::Drop, &mut Dice::new(0));
    assert_eq!(disk.mount().open("f").unwrap().len().unwrap(), 0);
}

#[test]
fn a_mounted_disk_is_not_replaced_or_cut_short_behind_its_back() {
    let disk = SimDisk::new();
    let _mount = disk.mount();
    for refused in [
        disk.wipe(),
        disk.restore(&disk.snapshot()),
        disk.truncate("", &mut Dice::new(0)).map(drop),
        disk.zero_range("", &mut Dice::new(0)).map(drop),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::ResourceBusy);
    }
}

#[test]
fn a_handle_of_an_earlier_life_lets_go_of_nothing_that_a_later_one_holds() {
    let disk = SimDisk::new();
    let old = disk.mount().open("f").unwrap();
    disk.kill();
    let mount = disk.mount();
    let new = mount.open("f").unwrap();
    mount.remove("f").unwrap();
    drop(old);
    new.write(0, b"still here").unwrap();
    assert_eq!(new.len().unwrap(), 10);
}
