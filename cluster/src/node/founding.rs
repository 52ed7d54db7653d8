//! The registry of a starting node. A new one is founded from the genesis file, and an existing one must belong to
//! that file's cluster.

use assent_registry::{ClusterId, Rows, RulesVersion, bootstrap, query, rules_known};
use assent_store::RegistryStore;

use super::error::{NodeError, with_text};
use super::starting::Starting;
use crate::env::blocking;

/// Founds a new registry from the genesis file, or checks that an existing one is of the same file. Whether the
/// node's key is granted shows later, because the grant may be among the entries that the node still lacks.
pub(super) async fn found_registry(starting: &Starting, registry: &RegistryStore) -> Result<(), NodeError> {
    let registry = registry.clone();
    let (genesis, cluster_id, known) =
        (starting.own.genesis.clone(), starting.own.cluster_id, starting.own.known);
    let founded = blocking(&*starting.env.blocking, move || {
        let view = registry.view().map_err(|error| error.to_string())?;
        if query::summary(&view).map_err(|error| error.to_string())?.is_none() {
            drop(view);
            // A crash before the flush leaves a registry without rows, which is founded again.
            registry.write(None, |rows| bootstrap(rows, &genesis)).map_err(|error| error.to_string())?;
            registry.flush().map_err(|error| error.to_string())?;
        }
        let view = registry.view().map_err(|error| error.to_string())?;
        belongs_to(&view, cluster_id, known)
    });
    founded.await.map_err(with_text(NodeError::Founding))?.map_err(NodeError::Founding)
}

/// Checks that rows belong to the cluster of this genesis file, and follow rules that this node knows.
pub(crate) fn belongs_to(rows: &dyn Rows, cluster_id: ClusterId, known: RulesVersion) -> Result<(), String> {
    rules_known(rows, known).map_err(|error| error.to_string())?;
    let found = query::summary(rows).map_err(|error| error.to_string())?;
    match found.map(|summary| ClusterId(summary.cluster_id)) {
        Some(found) if found == cluster_id => Ok(()),
        Some(found) => Err(format!(
            "the registry belongs to cluster `{found}`, and the genesis file is that of `{cluster_id}`: start with \
             the genesis file that the data was made with"
        )),
        None => Err("the registry has no genesis".to_owned()),
    }
}
