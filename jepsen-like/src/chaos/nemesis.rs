//! Makes the planned faults, one after another, and heals each before the next.

use std::time::Duration;

use tokio::task::block_in_place;
use tokio::time::sleep;

use super::fault::{Fault, Kind, Struck};
use super::plan::Planned;
use super::recorder::Recorder;
use crate::cluster::Cluster;
use crate::error::HarnessError;

/// The longest time until all nodes are ready again.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Makes one fault, heals it and records it. It returns once every node is ready.
///
/// # Errors
/// A process did not do what it was told, for example a graceful stop ended with an exit code other than 0.
pub async fn strike(
    cluster: &mut Cluster,
    planned: &Planned,
    recorder: &Recorder,
    say: impl Fn(&str),
) -> Result<(), HarnessError> {
    let leader = cluster.leader().await?;
    let victims = victims(planned, leader, &cluster.nodes.iter().map(|node| node.id).collect::<Vec<_>>());
    say(&format!(
        "{} of the {}: {victims:?} for {} ms",
        planned.kind.name(),
        planned.struck.name(),
        planned.hold.as_millis()
    ));
    let begun = recorder.at();
    block_in_place(|| begin(cluster, planned.kind, &victims))?;
    let effective = recorder.at();
    sleep(planned.hold).await;
    let healing = recorder.at();
    for id in &victims {
        match planned.kind {
            Kind::Pause => cluster.resume(*id)?,
            Kind::Kill | Kind::Stop => cluster.restart(*id)?,
        }
    }
    cluster.ready(READY_WITHIN).await?;
    let over = recorder.at();
    let Planned { kind, struck, .. } = *planned;
    recorder.fault(&Fault { kind, struck, victims, begun, effective, healing, over });
    Ok(())
}

fn begin(cluster: &mut Cluster, kind: Kind, victims: &[u64]) -> Result<(), HarnessError> {
    match kind {
        Kind::Kill => victims.iter().try_for_each(|id| cluster.kill(*id)),
        Kind::Pause => victims.iter().try_for_each(|id| cluster.pause(*id)),
        Kind::Stop => {
            // All are told at the same time, so that none can hand over to another one that stays.
            victims.iter().try_for_each(|id| cluster.terminate(*id))?;
            for id in victims {
                let code = cluster.ended(*id)?;
                if code != Some(0) {
                    let log = cluster.node_log(*id);
                    let problem = format!("node {id} was told to stop and ended with {code:?}:\n{log}");
                    return Err(HarnessError::Unexpected(problem));
                }
            }
            Ok(())
        }
    }
}

/// Which nodes are struck while `leader` leads.
fn victims(planned: &Planned, leader: u64, nodes: &[u64]) -> Vec<u64> {
    let mut turned = nodes.to_vec();
    let place = planned.pick.checked_rem(u64::try_from(nodes.len()).unwrap_or(1)).unwrap_or(0);
    turned.rotate_left(usize::try_from(place).unwrap_or(0));
    match planned.struck {
        Struck::Leader => vec![leader],
        Struck::Follower => turned.into_iter().filter(|id| *id != leader).take(1).collect(),
        Struck::Majority => turned.into_iter().take(nodes.len() / 2 + 1).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(struck: Struck, pick: u64) -> Planned {
        Planned { kind: Kind::Kill, struck, pick, hold: Duration::ZERO, calm: Duration::ZERO }
    }

    #[test]
    fn the_leader_one_follower_or_just_a_majority_is_struck() {
        for pick in 0..20 {
            assert_eq!(victims(&planned(Struck::Leader, pick), 2, &[1, 2, 3]), [2]);
            let follower = victims(&planned(Struck::Follower, pick), 2, &[1, 2, 3]);
            assert!(follower == [1] || follower == [3], "{follower:?}");
            assert_eq!(victims(&planned(Struck::Majority, pick), 2, &[1, 2, 3]).len(), 2);
            assert_eq!(victims(&planned(Struck::Majority, pick), 2, &[1, 2, 3, 4, 5]).len(), 3);
        }
    }
}
