//! Faults of the network.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::cluster::SimCluster;
use super::super::dice::Dice;
use super::Undo;
use super::kind::Kind;
use super::links::{Way, between, from_to};

/// The longest time that a message usually takes.
pub(in crate::sim) const USUAL_DELAY: Duration = Duration::from_millis(3);

pub(super) fn begin(kind: Kind, cluster: &mut SimCluster<'_>, dice: &mut Dice) -> Option<(Vec<u64>, Undo)> {
    let mut ids = cluster.ids();
    dice.shuffle(&mut ids);
    // Half of the time it is the leader.
    if let (Some(leader), true) = (cluster.leader(), dice.chance(1, 2)) {
        ids.retain(|id| *id != leader);
        ids.insert(0, leader);
    }
    let (first, rest) = ids.split_first()?;
    let (first, rest) = (*first, rest.to_vec());
    // The nodes that it keeps from a majority: all of them, unless it leaves a majority.
    let mut struck = ids.clone();
    let ways = match kind {
        Kind::Partition => {
            let minority =
                usize::try_from(dice.between(1, u64::try_from(ids.len().saturating_sub(1) / 2).ok()?))
                    .ok()?;
            let (some, others) = ids.split_at_checked(minority)?;
            struck = some.to_vec();
            between(some, others)
        }
        Kind::Isolate => between(&[first], &rest),
        Kind::OneWay if dice.chance(1, 2) => from_to(&[first], &rest),
        Kind::OneWay => from_to(&rest, &[first]),
        Kind::Bridge => {
            let (left, right) = rest.split_at_checked(rest.len() / 2)?;
            between(left, right)
        }
        Kind::Ring => ring(&ids),
        Kind::LeaderWithOne => between(&[first], rest.get(1..)?),
        Kind::Flap => between(&[first], rest.get(..1)?),
        Kind::Delay => {
            let long = Duration::from_millis(dice.between(20, 400));
            let slow: Vec<Way> = rest.iter().map(|other| (first, *other)).collect();
            for (a, b) in &slow {
                cluster.delay(*a, *b, long);
            }
            return Some((vec![first], Undo::Delays(slow)));
        }
        Kind::Hold | Kind::Repeat | Kind::Lie => {
            let wires = cluster.machine(first).map(|machine| machine.wires.clone())?;
            if !wires.are_free() || cluster.is_down(first) {
                return None;
            }
            match kind {
                Kind::Repeat => wires.repeat(dice.fork("repeat")),
                Kind::Lie => wires.lie(dice.fork("lie"), ids),
                _ => wires.hold(),
            }
            return Some((vec![first], Undo::Wires(vec![first])));
        }
        _ => return None,
    };
    if ways.is_empty() {
        return None;
    }
    cluster.cut(&ways);
    if matches!(kind, Kind::Isolate | Kind::OneWay) {
        struck = vec![first];
    }
    Some((struck, Undo::Ways(ways)))
}

/// Every direction except those between neighbours.
fn ring(ids: &[u64]) -> BTreeSet<Way> {
    let mut ways = between(ids, ids);
    for (at, id) in ids.iter().enumerate() {
        if let Some(next) = ids.get(at.saturating_add(1) % ids.len().max(1)) {
            ways.remove(&(*id, *next));
            ways.remove(&(*next, *id));
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_ring_each_hears_its_two_neighbours() {
        let ways = ring(&[1, 2, 3, 4, 5]);
        for from in 1..=5 {
            assert_eq!(ways.iter().filter(|(a, _)| *a == from).count(), 2);
        }
        assert!(ring(&[1, 2, 3]).is_empty());
    }
}
