//! A stopped node's data, opened: the recovery is checked against it and written to it.

use std::sync::Arc;

use openraft::alias::LogIdOf;

use assent_registry::RulesVersion;
use assent_store::Store;

use super::error::RecoverError;
use super::look::{look, survey};
use super::raft_state::{StoredRaftState, Tail};
use super::survivor::Survivor;
use crate::config::Config;
use crate::env::Environment;
use crate::node::{NodeError, OwnFiles, open_store, with_text};
use crate::raft::log::LogRecord;
use crate::raft::types::{NodeId, PeerNode, TypeConfig};
use crate::raft::verifier::{Verifier, VerifierLimits};

/// A stopped node's data, opened.
pub(super) struct Opened {
    pub(super) store: Store<LogRecord>,
    pub(super) verifier: Arc<Verifier>,
    pub(super) known: RulesVersion,
    /// The entries of the log after the applied position.
    pub(super) tail: Tail,
    pub(super) last: LogIdOf<TypeConfig>,
    pub(super) survivor: Survivor,
    /// This node's entry in the membership, with the key that it has now.
    pub(super) own: PeerNode,
    /// Another member that has this node's key in the membership.
    pub(super) twin: Option<NodeId>,
}

impl Opened {
    /// Opens the data as a start of the node does, and reads what the node holds.
    pub(super) async fn open(config: &Config, env: &Environment) -> Result<Self, RecoverError> {
        let OwnFiles { genesis, cluster_id, key, known } = OwnFiles::read(config)?;
        let key = key.public();
        let store = open_data(config, env).await?;
        let held = StoredRaftState::read(&store, cluster_id, known).await?;
        let own = held.own(config.node_id, &store.store_id)?;
        let verifier =
            Verifier::new(genesis.origin().to_owned(), env.run_blocking(), VerifierLimits::default());
        let seen = look(env, &store, &verifier, known, &held.tail, survey)
            .await
            .map_err(with_text(RecoverError::Data))?;
        let survivor = Survivor {
            node_id: config.node_id,
            key,
            cluster_id,
            origin: genesis.origin().to_owned(),
            rules: seen.rules,
            epoch: seen.epoch,
            revision: seen.revision,
            registry_time: seen.registry_time,
            log_last: held.last.index,
            term: held.term,
            voters: held.membership.voter_ids().collect(),
            sequence: seen.slot.0,
            parent: seen.slot.1,
            root_keys: seen.root_keys,
            threshold: seen.threshold,
        };
        // Root's statement names the key that this node has now.
        let own = PeerNode { key: Some(survivor.key), ..own };
        let others = held.membership.nodes().filter(|(id, _)| **id != config.node_id);
        let twin = others.filter(|(_, node)| node.key == Some(survivor.key)).map(|(id, _)| *id).min();
        Ok(Self { store, verifier, known, tail: held.tail, last: held.last, survivor, own, twin })
    }

    /// Closes the data as a clean stop does.
    pub(super) async fn close(&self) {
        // Everything that must be durable is durable. A failure here changes nothing that was reported.
        let _ = self.store.log.close().await;
        let _ = self.store.registry.close();
    }
}

async fn open_data(config: &Config, env: &Environment) -> Result<Store<LogRecord>, RecoverError> {
    let data_dir = &config.data_dir;
    let unread = |problem: String| NodeError::Store { data_dir: data_dir.clone(), problem };
    // Opening an empty directory would make a store in it, and a new store has nothing to recover.
    if !env.disk.exists("log.redb").map_err(with_text(unread))? {
        return Err(RecoverError::NoData { data_dir: data_dir.clone() });
    }
    Ok(open_store(config, env).await?)
}
