//! Why a node ends if root has recovered the cluster without it.

/// Root has recovered the cluster without this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "root has recovered the cluster without this node, in epoch {epoch}: this node holds a history that has ended; \
     keep its data for the auditors, and let it join as a new member with an empty directory"
)]
pub struct EndedError {
    /// The epoch that the recovery began.
    pub epoch: u64,
}
