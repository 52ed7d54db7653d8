//! The errors that the simulation found in the nodes, each played again by itself and without chance.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use assent_jepsen::sim::cluster::{End, SimCluster};
use assent_jepsen::sim::dice::Dice;
use assent_jepsen::sim::disk::{Image, SimDisk, Unsynced};
use assent_jepsen::sim::host::Machine;
use assent_jepsen::sim::nemesis::links::between;
use assent_jepsen::sim::operator::{OperatorQueue, Task, operate};
use assent_jepsen::sim::recorder::Recorder;
use assent_jepsen::sim::run::network;
use assent_jepsen::sim::setup::SimSetup;
use assent_jepsen::sim::workload::domains;

/// Three nodes that have just been started.
fn three_nodes(seed: u64) -> (SimCluster<'static>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let dice = Dice::new(seed);
    assent_cluster::raft::runtime::seed_this_thread(seed);
    let setup = SimSetup::write(folder.path(), 3, &domains(&mut dice.fork("domains")).unwrap()).unwrap();
    let mut cluster = SimCluster::new(network(&dice), Recorder::default());
    for id in 1..=3 {
        let dice = dice.fork(&format!("node {id}"));
        cluster.add(Machine::new(id, setup.config(id), SimDisk::default(), dice));
    }
    (cluster, folder)
}

/// Steps until something holds.
fn until(cluster: &mut SimCluster<'_>, what: &str, mut holds: impl FnMut(&SimCluster<'_>) -> bool) {
    let end = cluster.now() + Duration::from_secs(20);
    while !holds(cluster) {
        assert!(cluster.now() < end, "{what}");
        cluster.step().unwrap();
    }
}

fn pass(cluster: &mut SimCluster<'_>, time: Duration) {
    let end = cluster.now() + time;
    while cluster.now() < end {
        cluster.step().unwrap();
    }
}

/// The last entry of a node's log.
fn log_end(cluster: &SimCluster<'_>, id: u64) -> Option<u64> {
    cluster.observed(id).and_then(|seen| seen.last_log)
}

/// The founder that loses its disk is let in by one that has no membership yet, and knows no better. As soon as that one
/// learns whose store belongs to the number, the connection has to end: else the two could make a quorum without what the
/// lost disk had acknowledged.
#[test]
fn a_lost_disk_that_was_let_in_before_its_store_was_known_is_cut_off_when_it_is() {
    let (mut cluster, _folder) = three_nodes(1);
    until(&mut cluster, "a leader", |cluster| cluster.leader().is_some());
    let leader = cluster.leader().unwrap();
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    let (late, informed) = (others[0], others[1]);
    cluster.cut(&between(&[late], &[leader, informed]));
    until(&mut cluster, "one follower has the log", |cluster| log_end(cluster, informed).is_some());
    assert_eq!(log_end(&cluster, late), None, "the other has nothing");

    let mut dice = Dice::new(2);
    cluster.end(leader, End::PowerCut(Unsynced::Drop), &mut dice);
    cluster.machine(leader).unwrap().disk.wipe().unwrap();
    cluster.cut(&between(&[informed], &[leader, late]));
    cluster.mend(&between(&[late], &[leader, informed]));
    cluster.start(leader);
    // The one with the empty disk and the one that knows nothing meet.
    pass(&mut cluster, Duration::from_secs(2));

    cluster.mend(&between(&[informed], &[leader, late]));
    until(&mut cluster, "the two that have their disks go on", |cluster| {
        cluster.leader().is_some_and(|id| id != leader) && log_end(cluster, late).is_some()
    });
    pass(&mut cluster, Duration::from_secs(1));

    let term = cluster.observed(late).unwrap().term;
    cluster.cut(&between(&[informed], &[leader, late]));
    pass(&mut cluster, Duration::from_secs(5));
    for id in [leader, late] {
        let seen = cluster.observed(id);
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
    let (mut cluster, _folder, image) = (1..40)
        .filter_map(|seed| elected_anew(seed, leader, follower))
        .find(|(cluster, _, _)| {
            let told = cluster.machine(leader).and_then(|machine| machine.remembers(follower));
            told.map(|(_, index)| index) < log_end(cluster, follower)
        })
        .unwrap();
    let acknowledged = log_end(&cluster, follower);

    cluster.end(follower, End::PowerCut(Unsynced::Drop), &mut Dice::new(2));
    cluster.machine(follower).unwrap().disk.restore(&image).unwrap();
    cluster.start(follower);
    // It is replaced, as it should be, which is the first that the leader has to send it.
    let operator_queue = OperatorQueue::default();
    operator_queue.ask(Task::Remove(follower));
    let boots = cluster.boots();
    cluster.add_client(
        "operator",
        operate(
            operator_queue.clone(),
            Rc::new(RefCell::new(vec![leader])),
            Rc::default(),
            boots,
            Dice::new(3),
        ),
    );
    until(&mut cluster, "it is removed", |_| !operator_queue.take_done().is_empty());

    assert_eq!(cluster.leader(), Some(leader), "its leader goes on");
    let seen = cluster.observed(follower).unwrap();
    assert!(seen.last_log < acknowledged, "it was let in: {seen:?}");
}

/// Three nodes of which the last two have elected this leader without the first, and the other's disk as it was before it
/// acknowledged the new leader's entry. None if the other one leads. Of two nodes the one with the smaller number dials
/// at once when it starts, and it is the follower.
fn elected_anew(
    seed: u64,
    leader: u64,
    follower: u64,
) -> Option<(SimCluster<'static>, tempfile::TempDir, Image)> {
    let (mut cluster, folder) = three_nodes(seed);
    until(&mut cluster, "a log", |cluster| log_end(cluster, follower).is_some());
    cluster.cut(&between(&[1], &[2, 3]));
    until(&mut cluster, "another leader", |cluster| cluster.leader().is_some_and(|id| id != 1));
    if cluster.leader() != Some(leader) {
        return None;
    }
    let before = log_end(&cluster, follower);
    let mut images = Vec::new();
    until(&mut cluster, "the follower has the new leader's entry", |cluster| {
        images.extend(cluster.machine(follower).map(|machine| machine.disk.snapshot()));
        log_end(cluster, follower) > before
    });
    // Not with the follower: the first node lacks the entry too, and the two of them could elect one another.
    cluster.mend(&between(&[1], &[3]));
    pass(&mut cluster, Duration::from_millis(20));
    Some((cluster, folder, images.into_iter().rev().nth(1)?))
}
