//! Putting a received snapshot in place of the registry, whole or not at all.

use std::sync::PoisonError;

use super::guard::SnapshotGuard;
use super::view::RegistryView;
use super::{RegistryStore, Writer};
use crate::StoreError;
use crate::blocking::blocking;
use crate::snapshot::StagedSnapshot;

impl RegistryStore {
    /// Replaces the registry by `staged`, if it is complete and `guard` accepts it. Open views keep showing
    /// the old one. The caller must let nothing be written in the meantime; a write that comes anyway is
    /// refused.
    pub async fn install(&self, staged: StagedSnapshot, guard: SnapshotGuard) -> Result<(), StoreError> {
        let mut installing = Installing::begin(self)?;
        let store = self.clone();
        let run = &self.inner.run;
        let staged = blocking(run, move || store.prepare(staged, &guard)).await??;

        // This one durable step decides. A crash before it leaves the old generation, and a file that the
        // next start removes. A crash after it leaves the new generation, and the old file to be removed. If
        // the step fails or is dropped halfway, either may be on disk, so both files stay and the store
        // stops.
        installing.decided = true;
        self.inner.flips.flip(staged.number()).await?;

        let store = self.clone();
        blocking(run, move || store.swap(staged, installing)).await?
    }

    /// Checks the snapshot with `guard`, and makes its file durable and ready.
    fn prepare(
        &self,
        mut staged: StagedSnapshot,
        guard: &SnapshotGuard,
    ) -> Result<StagedSnapshot, StoreError> {
        if !staged.is_finished() {
            return Err(StoreError::Snapshot("it is not complete".to_owned()));
        }
        let view = RegistryView::open(staged.generation()?)?;
        guard(&view).map_err(StoreError::Snapshot)?;
        drop(view);
        // A crash before or after this leaves the old generation: nothing names the new file yet.
        staged
            .generation()?
            .make_ready(self.inner.store_id, Some(staged.applied()).filter(|applied| !applied.is_empty()))
            .map_err(|error| self.poisoned(error))?;
        staged.keep_file();
        Ok(staged)
    }

    /// Makes the new generation visible to every reader.
    fn swap(&self, staged: StagedSnapshot, mut installing: Installing) -> Result<(), StoreError> {
        let new = staged.generation()?;
        let old = {
            let mut writer = self.writer();
            *writer = Writer::default();
            let mut current = self.inner.current.write().unwrap_or_else(PoisonError::into_inner);
            current.replace(new)
        };
        installing.decided = false;
        drop(installing);
        if let Some(old) = old
            && let Err(error) = self.inner.disk.remove(&old.file)
        {
            // This need not succeed: the next start removes the file, as it does after a crash here.
            tracing::warn!(file = old.file, %error, "an old registry file could not be removed");
        }
        Ok(())
    }
}

/// Keeps writers out until it is dropped.
struct Installing {
    store: RegistryStore,
    /// The new generation may be the one on disk while the old one is the one in use.
    decided: bool,
}

impl Installing {
    fn begin(store: &RegistryStore) -> Result<Self, StoreError> {
        let mut writer = store.writer();
        store.inner.health.check()?;
        if writer.installing {
            return Err(StoreError::Unusable("another snapshot is being installed".to_owned()));
        }
        writer.installing = true;
        Ok(Self { store: store.clone(), decided: false })
    }
}

impl Drop for Installing {
    fn drop(&mut self) {
        if self.decided {
            let cause = StoreError::Unusable("the installation of a snapshot was interrupted".to_owned());
            self.store.inner.health.poison(&cause);
        }
        self.store.writer().installing = false;
    }
}
