//! The last resort after a quorum is lost for good: a cluster of one, from the data of one surviving node.
//!
//! It works on the data of a stopped node. Root must sign a `recovery` statement for the next epoch that names the
//! node's key. Two log entries are then written: a membership of this node alone, and the statement as a command. At
//! its next start the node elects itself and commits what its log holds. The statement becomes a leaf, after which
//! another node's history may differ. Everything is checked before anything is written, and both entries become
//! durable in one commit. `write.rs` explains what a crash leaves at each step.
//!
//! What only the lost nodes held is lost, acknowledged or not. The other nodes of the old membership are not members
//! any more.

mod check;
mod ended;
mod error;
mod look;
mod notice;
mod opened;
mod raft_state;
mod survivor;
mod write;

use assent_proof::Seconds;

use self::opened::Opened;
use crate::config::Config;
use crate::env::Environment;

pub use self::ended::EndedError;
pub use self::error::RecoverError;
pub(crate) use self::notice::follow_epoch;
pub use self::survivor::Survivor;

/// Reports what a stopped node holds. It changes nothing.
pub async fn inspect(config: &Config, env: &Environment) -> Result<Survivor, RecoverError> {
    let opened = Opened::open(config, env).await?;
    opened.close().await;
    Ok(opened.survivor)
}

/// Makes the node a cluster of one in the next epoch, by root's statement. Returns what the node then holds.
///
/// # Errors
/// If the statement or the data is not as it must be, or the data leaves no term to lead in, nothing is written. If the
/// log cannot be written, [`RecoverError::may_be_done`] tells whether the recovery may be on the disk all the same.
pub async fn recover(config: &Config, env: &Environment, envelope: &[u8]) -> Result<Survivor, RecoverError> {
    recover_at(config, env, envelope, None).await
}

/// Like [`recover`], after an operator has confirmed that this machine's clock, which shows about `confirmed`, is
/// right, however far it is ahead of registry time. The recovery is stamped with this clock, and registry time never
/// goes back.
///
/// # Errors
/// Those of [`recover`]. If `confirmed` is not within a minute of the clock, nothing is written.
pub async fn recover_at(
    config: &Config,
    env: &Environment,
    envelope: &[u8],
    confirmed: Option<Seconds>,
) -> Result<Survivor, RecoverError> {
    let opened = Opened::open(config, env).await?;
    let outcome = match opened.check(env, envelope, confirmed).await {
        Ok(checked) => opened.write(checked).await,
        Err(error) => Err(error),
    };
    opened.close().await;
    outcome?;
    let Survivor { epoch, revision, log_last, .. } = opened.survivor;
    Ok(Survivor {
        epoch: epoch.saturating_add(1),
        revision: revision.saturating_add(1),
        log_last: log_last.saturating_add(2),
        voters: vec![config.node_id],
        ..opened.survivor
    })
}
