//! The files that define which node of which cluster this is: the genesis file and the node's key.

use std::path::Path;

use assent_proof::SigningKey;
use assent_registry::{ClusterId, GenesisFile, RulesVersion};

use super::error::{NodeError, with_text};
use crate::config::Config;
use crate::key_file;

/// Which node of which cluster this is, by its files.
pub(crate) struct OwnFiles {
    pub(crate) genesis: GenesisFile,
    pub(crate) cluster_id: ClusterId,
    pub(crate) key: SigningKey,
    /// The newest rules that this build knows.
    pub(crate) known: RulesVersion,
}

impl OwnFiles {
    /// Checks the configuration and reads the files that it names.
    pub(crate) fn read(config: &Config) -> Result<Self, NodeError> {
        config.validate().map_err(NodeError::Config)?;
        let genesis = read_genesis(&config.genesis)?;
        let key = read_key(&config.node_key)?;
        let (cluster_id, known) = (genesis.cluster_id(), RulesVersion(config.rules_known));
        Ok(Self { genesis, cluster_id, key, known })
    }
}

fn read_genesis(path: &Path) -> Result<GenesisFile, NodeError> {
    let unusable = |problem: String| NodeError::Genesis { path: path.to_owned(), problem };
    let bytes = std::fs::read(path).map_err(with_text(unusable))?;
    GenesisFile::parse(&bytes).map_err(with_text(unusable))
}

fn read_key(path: &Path) -> Result<SigningKey, NodeError> {
    let found = key_file::read(path).map_err(|error| {
        let problem = format!("{error}; {}", error.remedy());
        NodeError::Key { path: path.to_owned(), problem }
    })?;
    if found.is_open_to_group {
        tracing::info!(file = %path.display(), "the file's group may use the node's key too");
    }
    Ok(found.key)
}
