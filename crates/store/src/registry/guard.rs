//! What is asked of a received registry before it takes the place of the one in use.

use std::sync::Arc;

use assent_registry::Rows;

/// Looks at a received registry and says why it must not be installed, if so.
pub type SnapshotGuard = Arc<dyn Fn(&dyn Rows) -> Result<(), String> + Send + Sync>;
