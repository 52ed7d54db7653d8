//! The mark beside the log: the number of its last acknowledged commit.
//!
//! redb commits with one fsync, so after a crash it takes the newer of two commits whose checksums hold. That
//! is right for a torn commit that was not acknowledged, and wrong for an acknowledged one in which a bit has
//! flipped: the log would lose it without notice. The mark tells the two apart. It is written after the
//! commit's fsync and before any callback, so it is never ahead of what is durable. A log that is behind its
//! mark has lost what it acknowledged, and refuses to open.
//!
//! Once written, the mark survives the end of the process. A task of its own syncs it, so that it also
//! survives a loss of power and no caller waits for a second fsync. Only damage to both a commit and its mark
//! within that one fsync goes unnoticed.
//!
//! The file has two slots of 40 bytes, at 0 and 4096, written in turn: number (8, big endian) ‖ store id (16)
//! ‖ the first 16 bytes of BLAKE3 over those. A slot whose hash does not match is ignored.

use std::io;
use std::sync::Arc;

use redb::StorageBackend;
use tokio::sync::watch;

use crate::blocking::{RunBlocking, blocking};
use crate::disk::Disk;
use crate::{Health, StoreError};

/// The mark's file.
pub(crate) const MARK_FILE: &str = "log.mark";

const SLOT_BYTES: usize = 40;
const SLOT_DISTANCE: u64 = 4096;

/// The open mark.
pub(crate) struct Mark {
    file: Box<dyn StorageBackend>,
    store_id: [u8; 16],
}

impl Mark {
    /// Opens the mark of this store. Answers it with the highest number in it.
    pub(crate) fn open(disk: &dyn Disk, store_id: [u8; 16]) -> Result<(Self, Option<u64>), StoreError> {
        let failed = |error: io::Error| StoreError::Unusable(format!("`{MARK_FILE}`: {error}"));
        let file = disk.open(MARK_FILE).map_err(failed)?;
        if file.len().map_err(failed)? < 2 * SLOT_DISTANCE {
            file.set_len(2 * SLOT_DISTANCE).map_err(failed)?;
        }
        let mut highest = None;
        for slot in 0..2 {
            let mut bytes = [0; SLOT_BYTES];
            file.read(slot * SLOT_DISTANCE, &mut bytes).map_err(failed)?;
            highest = highest.max(decode(&store_id, &bytes));
        }
        Ok((Self { file, store_id }, highest))
    }

    /// Notes that commit `number` is durable.
    pub(crate) fn write(&self, number: u64) -> Result<(), StoreError> {
        self.file
            .write((number % 2) * SLOT_DISTANCE, &encode(&self.store_id, number))
            .map_err(|error| StoreError::Unusable(format!("`{MARK_FILE}`: {error}")))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(|error| StoreError::Unusable(format!("`{MARK_FILE}`: {error}")))
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // No write depends on this: what was written survives the end of the process.
        let _ = self.file.close();
    }
}

/// Syncs the mark after each commit, one fsync at a time: commits in the meantime share the next one. It ends
/// with the committer, and at the first failure, which poisons the store.
pub(super) async fn keep_synced(
    mark: Arc<Mark>,
    mut commits: watch::Receiver<()>,
    health: Health,
    run: RunBlocking,
) {
    while commits.changed().await.is_ok() && health.check().is_ok() {
        let mark = mark.clone();
        let synced = blocking(&run, move || mark.sync()).await;
        if let Err(error) = synced.flatten() {
            health.poison(&error);
        }
    }
}

fn encode(store_id: &[u8; 16], number: u64) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    let (signed, check) = bytes.split_at_mut(24);
    let (head, tail) = signed.split_at_mut(8);
    head.copy_from_slice(&number.to_be_bytes());
    tail.copy_from_slice(store_id);
    blake3::Hasher::new().update(signed).finalize_xof().fill(check);
    bytes
}

fn decode(store_id: &[u8; 16], bytes: &[u8; SLOT_BYTES]) -> Option<u64> {
    let number = u64::from_be_bytes(*bytes.first_chunk()?);
    (encode(store_id, number) == *bytes).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_these_bytes() {
        let bytes = encode(b"0123456789abcdef", 7);
        assert_eq!(
            hex::encode(bytes),
            "00000000000000073031323334353637383961626364656615fd5b8fbe636a6d7e3e3157f755f4e5"
        );
        assert_eq!(decode(b"0123456789abcdef", &bytes), Some(7));
    }

    #[test]
    fn a_torn_slot_or_another_stores_says_nothing() {
        let mut bytes = encode(b"0123456789abcdef", 7);
        assert_eq!(decode(b"0123456789abcdeX", &bytes), None);
        bytes[30] ^= 1;
        assert_eq!(decode(b"0123456789abcdef", &bytes), None);
        assert_eq!(decode(b"0123456789abcdef", &[0; SLOT_BYTES]), None);
    }
}
