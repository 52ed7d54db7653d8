//! What the simulation found in the nodes, each played again by itself, with no chance in it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use assent_jepsen::sim::dice::Dice;
use assent_jepsen::sim::disk::{Image, SimDisk, Unsynced};
use assent_jepsen::sim::ground::Ground;
use assent_jepsen::sim::host::Machine;
use assent_jepsen::sim::nemesis::links::between;
use assent_jepsen::sim::operator::{Desk, Task, operate};
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

/// What a follower acknowledged a moment ago has been told to nobody yet but its leader, who counts on it. If the follower's
/// disk loses it, openraft would end the leader; so the leader lets it in no more.
#[test]
fn a_follower_that_lost_what_it_acknowledged_a_moment_ago_is_kept_out_and_its_leader_goes_on() {
    let (leader, follower) = (3, 2);
    // The leader takes stock ten times a second: not just then.
    let (mut stage, _folder, image) = (1..40)
        .filter_map(|seed| elected_anew(seed, leader, follower))
        .find(|(stage, _, _)| {
            let told = stage.machine(leader).and_then(|machine| machine.remembers(follower));
            told.map(|(_, index)| index) < log_end(stage, follower)
        })
        .unwrap();
    let acknowledged = log_end(&stage, follower);

    stage.end(follower, End::PowerCut(Unsynced::Drop), &mut Dice::new(2));
    stage.machine(follower).unwrap().disk.restore(&image).unwrap();
    stage.start(follower);
    // It is replaced, as it should be, which is the first that the leader has to send it.
    let desk = Desk::default();
    desk.ask(Task::Remove(follower));
    let boots = stage.boots();
    stage.add_client(
        "operator",
        operate(desk.clone(), Rc::new(RefCell::new(vec![leader])), Rc::default(), boots, Dice::new(3)),
    );
    until(&mut stage, "it is removed", |_| !desk.take_done().is_empty());

    assert_eq!(stage.leader(), Some(leader), "its leader goes on");
    let seen = stage.observed(follower).unwrap();
    assert!(seen.last_log < acknowledged, "it was let in: {seen:?}");
}

/// Three nodes of which the last two have elected this leader without the first, and the other's disk as it was before it
/// acknowledged the new leader's entry. None if the other one leads. Of two nodes the one with the smaller number dials
/// at once when it starts, and it is the follower.
fn elected_anew(seed: u64, leader: u64, follower: u64) -> Option<(Stage<'static>, tempfile::TempDir, Image)> {
    let (mut stage, folder) = three_nodes(seed);
    until(&mut stage, "a log", |stage| log_end(stage, follower).is_some());
    stage.cut(&between(&[1], &[2, 3]));
    until(&mut stage, "another leader", |stage| stage.leader().is_some_and(|id| id != 1));
    if stage.leader() != Some(leader) {
        return None;
    }
    let before = log_end(&stage, follower);
    let mut images = Vec::new();
    until(&mut stage, "the follower has the new leader's entry", |stage| {
        images.extend(stage.machine(follower).map(|machine| machine.disk.snapshot()));
        log_end(stage, follower) > before
    });
    // Not with the follower: the first node lacks the entry too, and the two of them could elect one another.
    stage.mend(&between(&[1], &[3]));
    pass(&mut stage, Duration::from_millis(20));
    Some((stage, folder, images.into_iter().rev().nth(1)?))
}
