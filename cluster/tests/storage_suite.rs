//! openraft's own storage tests on the real store, in a directory on disk.

use std::sync::Arc;

use assent_cluster::env::Environment;
use assent_cluster::raft::log::{LogRecord, RaftLog};
use assent_cluster::raft::machine::Machine;
use assent_cluster::raft::types::TypeConfig;
use assent_cluster::raft::verifier::{Verifier, VerifierLimits};
use assent_registry::{Rows, RulesVersion};
use assent_store::{Store, StoreOptions};
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

struct OnDisk {
    options: StoreOptions,
}

impl StoreBuilder<TypeConfig, RaftLog, Machine, TempDir> for OnDisk {
    async fn build(&self) -> Result<(TempDir, RaftLog, Machine), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().unwrap();
        let env = Environment::real(dir.path()).unwrap();
        let run = env.run_blocking();
        let store: Store<LogRecord> =
            Store::open(env.disk.clone(), run.clone(), *b"0123456789abcdef", self.options.clone())
                .await
                .unwrap();
        let verifier = Verifier::new("registry.example".into(), run.clone(), VerifierLimits::default());
        let log = RaftLog::new(store.log.clone(), verifier.clone(), RulesVersion::NEWEST, 0);
        let guard = Arc::new(|_: &dyn Rows| Ok(()));
        let machine =
            Machine::new(store.registry.clone(), verifier, run, guard, RulesVersion::NEWEST).unwrap();
        Ok((dir, log, machine))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_passes_openrafts_suite() {
    Suite::test_all(OnDisk { options: StoreOptions::default() }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_passes_openrafts_suite_with_nothing_cached_and_every_batch_durable() {
    let options = StoreOptions {
        commit_ops_max: 1,
        queue_ops_max: 1,
        queue_bytes_max: 1,
        recent_bytes_max: 0,
        flush_batches: 1,
        ..StoreOptions::default()
    };
    Suite::test_all(OnDisk { options }).await.unwrap();
}
