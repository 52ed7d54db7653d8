//! Settings by seed: small thresholds and queues, short and long timeouts, so that events are common that are rare
//! with the defaults.

use assent_cluster::config::Config;

use super::dice::Dice;
use super::workload::a_crowd_comes;

/// How long clocks settle here, in milliseconds: longer than they are left wrong together, and shorter than the ten
/// seconds in which a cluster without faults must serve.
pub(super) const SETTLE_MS: u64 = 2_500;

/// Changes a node's configuration by the seed; the change is the same for every node of a run.
pub(super) fn tune(config: &mut Config, dice: &Dice) {
    config.clock_settle_ms = SETTLE_MS;
    // The default depends on the machine, and a seed has the same history on each.
    config.limits.caller_work = 8;
    if a_crowd_comes(dice) && dice.fork("crowd's room").chance(1, 2) {
        // As small as it may be, so that some calls of a crowd find no place.
        config.limits.authorize_queue = 2_000;
        config.limits.submit_queue = 2_000;
        config.limits.verifications = 1;
    }
    let mut dice = dice.fork("tuning");
    if dice.chance(3, 4) {
        let every = dice.between(10, 120);
        config.raft.snapshot_every_entries = every;
        config.raft.keep_entries = dice.between(1, every);
        config.raft.lag_entries = config.raft.keep_entries.saturating_add(dice.between(0, 20));
    }
    if dice.chance(1, 4) {
        // From ten times faster to four times slower.
        let (num, den) = *dice.pick(&[(1, 10), (1, 5), (1, 2), (2, 1), (4, 1)]).unwrap_or(&(1, 1));
        config.raft.heartbeat_ms = config.raft.heartbeat_ms * num / den;
        config.raft.election_min_ms = config.raft.election_min_ms * num / den;
        config.raft.election_max_ms = config.raft.election_max_ms * num / den;
    }
    if dice.chance(1, 4) {
        config.limits.barriers = 1;
        config.limits.authorize_batch = 1;
    }
    if dice.chance(1, 4) {
        config.limits.proposals = 1;
        config.limits.submit_batch = 1;
    }
    if dice.chance(1, 2) {
        config.limits.registry_flush_ms = dice.between(20, 2_000);
    }
}
