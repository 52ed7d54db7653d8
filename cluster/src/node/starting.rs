//! What the steps of a start share: the configuration, the node's files, its environment and its tasks.

use std::sync::Arc;

use super::error::NodeError;
use super::own::OwnFiles;
use crate::access::Access;
use crate::audit::Sink;
use crate::client_tls::ClientTls;
use crate::config::Config;
use crate::env::Environment;
use crate::peer::PeerTls;
use crate::tasks::Tasks;

/// A node that is starting.
pub(super) struct Starting {
    pub(super) config: Config,
    pub(super) own: OwnFiles,
    pub(super) access: Access,
    pub(super) env: Environment,
    pub(super) tasks: Tasks,
    /// TLS of the client port. `None` for plain HTTP.
    pub(super) client_tls: Option<Arc<ClientTls>>,
    /// The file of the audit trail, if there is one.
    pub(super) audit: Option<Sink>,
}

impl Starting {
    /// Checks the configuration and the files that it names, before the store is opened and before anything is bound.
    pub(super) fn check(config: Config, env: Environment) -> Result<Self, NodeError> {
        let own = OwnFiles::read(&config)?;
        let access = Access::read(&config.access()).map_err(NodeError::Access)?;
        let client_tls = match &config.client_tls {
            Some(paths) => {
                let read = ClientTls::read(paths.clone(), env.clock.clone()).map_err(NodeError::ClientTls)?;
                Some(Arc::new(read))
            }
            None => None,
        };
        let audit = Sink::open(&config.audit, env.clock.now()).map_err(NodeError::Audit)?;
        let tasks = Tasks::new();
        let (short, long) = (tasks.counted(env.blocking.clone()), tasks.counted(env.long.clone()));
        let env = Environment { blocking: short, long, ..env };
        Ok(Self { config, own, access, env, tasks, client_tls, audit })
    }

    /// TLS between the nodes, if the configuration has it.
    pub(super) fn peer_tls(&self) -> Result<Option<PeerTls>, NodeError> {
        let Some(files) = self.config.peer_tls.clone() else { return Ok(None) };
        let clock = self.env.clock.clone();
        let tls = PeerTls::load(files, self.own.cluster_id.0, self.config.node_id, clock);
        tls.map(Some).map_err(NodeError::PeerTls)
    }
}
