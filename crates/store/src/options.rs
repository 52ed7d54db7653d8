//! The store's bounds.

/// The most that the store queues, caches and leaves unflushed.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Operations in one commit of the log.
    pub commit_ops_max: usize,
    /// Bytes of entries in one commit of the log. A single append may exceed it.
    pub commit_bytes_max: usize,
    /// Operations that wait for the log's committer. Beyond that, callers wait.
    pub queue_ops_max: usize,
    /// Bytes of entries that wait for the log's committer. Beyond that, appends wait.
    pub queue_bytes_max: usize,
    /// Bytes of recent entries kept in memory once they are durable.
    pub recent_bytes_max: usize,
    /// Batches of the registry after which one is committed durably.
    pub flush_batches: u32,
    /// Bytes of rows after which a batch of the registry is committed durably.
    pub flush_bytes: usize,
    /// redb's page cache for the log, in bytes.
    pub log_cache_bytes: usize,
    /// redb's page cache for the registry, in bytes.
    pub registry_cache_bytes: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            commit_ops_max: 1024,
            commit_bytes_max: 8 << 20,
            queue_ops_max: 4096,
            queue_bytes_max: 32 << 20,
            recent_bytes_max: 32 << 20,
            flush_batches: 256,
            flush_bytes: 8 << 20,
            log_cache_bytes: 32 << 20,
            registry_cache_bytes: 256 << 20,
        }
    }
}
