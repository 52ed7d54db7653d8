//! redb on the simulated disk: a commit is complete or absent, whenever the power is cut.

use assent_jepsen::sim::dice::Dice;
use assent_jepsen::sim::disk::{FaultCounts, FaultKind, Image, SimDisk, Unsynced};
use redb::Durability;

use super::support::{commit, database, keys};

const OLD: std::ops::Range<u64> = 0..20;
const NEW: std::ops::Range<u64> = 20..40;

/// A disk on which `OLD` is committed.
fn base() -> Image {
    let disk = SimDisk::new();
    let database = database(&disk).unwrap();
    commit(&database, OLD, b"a value", Durability::Immediate).unwrap();
    disk.power_cut(Unsynced::Drop, &mut Dice::new(0));
    disk.snapshot()
}

#[test]
fn a_commit_is_whole_or_absent_wherever_in_it_the_power_goes() {
    let base = base();
    let mut counts = FaultCounts::default();
    let (mut absent, mut whole_and_unanswered) = (0, 0);
    for unsynced in Unsynced::ALL {
        for seed in 0..200 {
            for after_ops in 0.. {
                let disk = SimDisk::new();
                disk.restore(&base).unwrap();
                let open = database(&disk).unwrap();
                let mut dice = Dice::new(seed * 1000 + after_ops);
                disk.arm_power_cut(after_ops, unsynced, dice.fork("cut"));
                let value = vec![7; 1 + dice.below(600) as usize];
                let committed = commit(&open, NEW, &value, Durability::Immediate);
                assert_eq!(disk.is_dead(), committed.is_err());
                disk.power_cut(unsynced, &mut dice);
                drop(open);
                let found = keys(&database(&disk).unwrap());
                let whole = found == (OLD.start..NEW.end).collect::<Vec<_>>();
                assert!(
                    whole || found == OLD.collect::<Vec<_>>(),
                    "{unsynced:?} {seed} {after_ops}: {found:?}"
                );
                counts.add_all(&disk.counts());
                if committed.is_ok() {
                    assert!(whole, "{unsynced:?} {seed} {after_ops}");
                    break;
                }
                absent += u32::from(!whole);
                whole_and_unanswered += u32::from(whole);
            }
        }
    }
    assert!(absent > 1000 && whole_and_unanswered > 50, "{absent} {whole_and_unanswered}");
    for kind in [
        FaultKind::CutBefore,
        FaultKind::CutMidWrite,
        FaultKind::CutMidSync,
        FaultKind::SectorKept,
        FaultKind::SectorDropped,
        FaultKind::SectorTorn,
    ] {
        assert!(counts.get(kind) > 100, "{counts}");
    }
}

#[test]
fn a_commit_without_durability_is_lost_and_nothing_else_is() {
    for unsynced in Unsynced::ALL {
        for seed in 0..20 {
            let disk = SimDisk::new();
            disk.restore(&base()).unwrap();
            let open = database(&disk).unwrap();
            commit(&open, NEW, b"in memory", Durability::None).unwrap();
            assert_eq!(keys(&open).len(), 40);
            disk.power_cut(unsynced, &mut Dice::new(seed));
            drop(open);
            assert_eq!(keys(&database(&disk).unwrap()), OLD.collect::<Vec<_>>(), "{unsynced:?}");
        }
    }
}

#[test]
fn a_database_that_is_dropped_after_a_power_cut_changes_nothing() {
    for unsynced in Unsynced::ALL {
        let disk = SimDisk::new();
        disk.restore(&base()).unwrap();
        let open = database(&disk).unwrap();
        commit(&open, NEW, b"in memory", Durability::None).unwrap();
        disk.power_cut(unsynced, &mut Dice::new(1));
        let (left, digest) = (disk.snapshot(), disk.trace_digest());
        assert_eq!(disk.traffic().refused, 0);
        drop(open);
        assert!(disk.traffic().refused > 0, "it tried");
        assert_eq!((disk.snapshot(), disk.trace_digest()), (left, digest));
    }
    // While the power is on, the same drop makes the commit durable.
    let disk = SimDisk::new();
    let open = database(&disk).unwrap();
    commit(&open, NEW, b"in memory", Durability::None).unwrap();
    drop(open);
    disk.power_cut(Unsynced::Drop, &mut Dice::new(1));
    assert_eq!(keys(&database(&disk).unwrap()), NEW.collect::<Vec<_>>());
}
