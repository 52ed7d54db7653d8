//! What the steps of a start share: the configuration, the node's files, its environment and its tasks.

use super::error::NodeError;
use super::own::OwnFiles;
use crate::client_port::ClientPort;
use crate::config::Config;
use crate::env::Environment;
use crate::tasks::Tasks;

/// A node that is starting.
pub(super) struct Starting {
    pub(super) config: Config,
    pub(super) own: OwnFiles,
    pub(super) env: Environment,
    pub(super) tasks: Tasks,
    /// How the node knows its callers.
    pub(super) client_port: ClientPort,
}

impl Starting {
    /// Checks the configuration and the files that it names, before the store is opened and before anything is bound.
    pub(super) fn check(config: Config, env: Environment) -> Result<Self, NodeError> {
        let own = OwnFiles::read(&config)?;
        let client_port = ClientPort::read(&config, env.clock.clone()).map_err(NodeError::Callers)?;
        let tasks = Tasks::new();
        let env = Environment { blocking: tasks.counted(env.blocking.clone()), ..env };
        Ok(Self { config, own, env, tasks, client_port })
    }
}
