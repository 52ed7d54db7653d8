//! What the simulation found in the nodes, each played again by itself, with no chance in it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::time::Duration;

use assent_jepsen::sim::dice::Dice;
use assent_jepsen::sim::disk::{SimDisk, Unsynced};
use assent_jepsen::sim::ground::Ground;
use assent_jepsen::sim::host::Machine;
use assent_jepsen::sim::nemesis::links::between;
use assent_jepsen::sim::recorder::Recorder;
use assent_jepsen::sim::run::network;
use assent_jepsen::sim::stage::{End, Stage};
use assent_jepsen::sim::workload::domains;

/// Three nodes that have just been started.
fn three_nodes(seed: u64) -> (Stage<'static>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let dice = Dice::new(seed);
    assent_cluster::raft::runtime::seed_this_thread(seed);
    let ground = Ground::lay(folder.path(), 3, &domains(&mut dice.fork("domains")).unwrap()).unwrap();
    let mut stage = Stage::new(network(&dice), Recorder::default());
    for id in 1..=3 {
        let dice = dice.fork(&format!("node {id}"));
        stage.add(Machine::new(id, ground.config(id), SimDisk::default(), dice));
    }
    (stage, folder)
}

/// Steps until something holds.
fn until(stage: &mut Stage<'_>, what: &str, mut holds: impl FnMut(&Stage<'_>) -> bool) {
    let end = stage.now() + Duration::from_secs(20);
    while !holds(stage) {
        assert!(stage.now() < end, "{what}");
        stage.step().unwrap();
    }
}

fn pass(stage: &mut Stage<'_>, time: Duration) {
    let end = stage.now() + time;
    while stage.now() < end {
        stage.step().unwrap();
    }
}

/// The last entry of a node's log.
fn log_end(stage: &Stage<'_>, id: u64) -> Option<u64> {
    stage.observed(id).and_then(|seen| seen.last_log)
}

/// The founder that loses its disk is let in by one that has no membership yet, and knows no better. As soon as that one
/// learns whose store belongs to the number, the connection has to end: else the two could make a quorum without what the
/// lost disk had acknowledged.
#[test]
fn a_lost_disk_that_was_let_in_before_its_store_was_known_is_cut_off_when_it_is() {
    let (mut stage, _folder) = three_nodes(1);
    until(&mut stage, "a leader", |stage| stage.leader().is_some());
    let leader = stage.leader().unwrap();
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    let (late, informed) = (others[0], others[1]);
    stage.cut(&between(&[late], &[leader, informed]));
    until(&mut stage, "one follower has the log", |stage| log_end(stage, informed).is_some());
    assert_eq!(log_end(&stage, late), None, "the other has nothing");

    let mut dice = Dice::new(2);
    stage.end(leader, End::PowerCut(Unsynced::Drop), &mut dice);
    stage.machine(leader).unwrap().disk.wipe().unwrap();
    stage.cut(&between(&[informed], &[leader, late]));
    stage.mend(&between(&[late], &[leader, informed]));
    stage.start(leader);
    // The one with the empty disk and the one that knows nothing meet.
    pass(&mut stage, Duration::from_secs(2));

    stage.mend(&between(&[informed], &[leader, late]));
    until(&mut stage, "the two that have their disks go on", |stage| {
        stage.leader().is_some_and(|id| id != leader) && log_end(stage, late).is_some()
    });
    pass(&mut stage, Duration::from_secs(1));

    let term = stage.observed(late).unwrap().term;
    stage.cut(&between(&[informed], &[leader, late]));
    pass(&mut stage, Duration::from_secs(5));
    for id in [leader, late] {
        let seen = stage.observed(id);
        assert!(
            seen.is_none_or(|seen| seen.state != "leader" || seen.term <= term),
            "node {id} leads with a vote that a lost disk gave: {seen:?}"
        );
        assert!(
            seen.is_none_or(|seen| seen.last_log.is_none() || id == late),
            "the lost disk took part: {seen:?}"
        );
    }
}
