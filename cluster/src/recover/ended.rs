//! Why a node that root has recovered the cluster without does not go on.

/// Root has recovered the cluster without this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "root has recovered the cluster without this node, in epoch {epoch}: what this node holds is a history that ended; \
     keep its data for the auditors, and let it join as a new member with an empty directory"
)]
pub struct EndedError {
    /// The epoch that the recovery has begun.
    pub epoch: u64,
}
