//! A stopped node's log, record by record as it is stored on disk.

use assent_cluster::config::Config;
use assent_store::{EntryError, LogEntry, Store, StoreOptions};

use super::environment;

/// Before an entry's payload: version, kind, term and index.
const HEAD_BYTES: usize = 18;
/// The kind of an entry whose payload is a command.
const NORMAL: u8 = 1;

/// A record of the log: version, kind, term and index, and what follows.
#[derive(Debug, Clone)]
pub struct Record(pub Vec<u8>);

impl Record {
    /// The record's own version.
    pub fn version(&self) -> u8 {
        self.0[0]
    }

    /// The bytes of its command, if it has one.
    pub fn command(&self) -> Option<&[u8]> {
        (self.0[1] == NORMAL).then(|| &self.0[HEAD_BYTES..])
    }
}

impl LogEntry for Record {
    fn index(&self) -> u64 {
        u64::from_be_bytes(self.0[10..HEAD_BYTES].try_into().unwrap())
    }

    fn size(&self) -> usize {
        self.0.len()
    }

    fn encode(&self) -> Vec<u8> {
        self.0.clone()
    }

    fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.len() < HEAD_BYTES {
            return Err(EntryError::Damaged("it is cut short".to_owned()));
        }
        Ok(Self(bytes.to_vec()))
    }
}

/// A stopped node's store.
pub async fn store_of(config: &Config) -> Store<Record> {
    let env = environment(config).await;
    let opened =
        Store::<Record>::open(env.disk.clone(), env.run_blocking(), [0; 16], StoreOptions::default());
    opened.await.unwrap()
}

/// Every record of a log.
pub async fn records(store: &Store<Record>) -> Vec<Record> {
    match store.log.range() {
        Some((first, last)) => store.log.read(first, last + 1, usize::MAX).await.unwrap(),
        None => Vec::new(),
    }
}

pub async fn closed(store: Store<Record>) {
    store.log.close().await.unwrap();
    store.registry.close().unwrap();
}
