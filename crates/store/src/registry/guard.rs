//! The check of a received registry before it replaces the one in use.

use std::sync::Arc;

use assent_registry::Rows;

/// Checks a received registry. Answers why it must not be installed, if it must not.
pub type SnapshotGuard = Arc<dyn Fn(&dyn Rows) -> Result<(), String> + Send + Sync>;
