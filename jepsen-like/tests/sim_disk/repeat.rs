//! One seed gives one run.

use assent_jepsen::sim::dice::Dice;
use assent_jepsen::sim::disk::{IoFault, SimDisk, Traffic, Unsynced};

use super::support::{Acknowledged, open, work};

/// Three lives under faults: what was done, what survived, what happened and what was acknowledged.
async fn run(seed: u64) -> (u64, u64, String, Traffic, Acknowledged) {
    let dice = Dice::new(seed);
    let mut work_dice = dice.fork("work");
    let disk = SimDisk::new();
    let mut acknowledged = Acknowledged::default();
    for life in 0..3u64 {
        let Ok(store) = open(&disk).await else { break };
        disk.arm_power_cut(20 + 10 * life, Unsynced::Torn, dice.fork(&format!("cut {life}")));
        if life == 2 {
            disk.arm(IoFault::SyncFails, "", 5..6, dice.fork("sync"));
        }
        work(&store, &mut acknowledged, 20, &mut work_dice).await;
        disk.power_cut(Unsynced::Mixed, &mut work_dice);
    }
    let survived = disk.snapshot().digest();
    (disk.trace_digest(), survived, disk.counts().to_string(), disk.traffic(), acknowledged)
}

#[tokio::test]
async fn one_seed_gives_the_same_operations_and_the_same_survivors_and_another_seed_others() {
    let mut digests = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let first = run(seed).await;
        assert_eq!(first, run(seed).await, "seed {seed}");
        digests.insert((first.0, first.1));
    }
    assert_eq!(digests.len(), 20);
}
