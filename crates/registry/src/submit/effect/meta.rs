//! The registry as a whole: its size, its time, its key, its rules and its epoch.

use assent_proof::{Claims, RulesVersion};

use super::writer::Writer;
use crate::kinds::{RegistryChange, effects};
use crate::record::{FIRST_EPOCH, MetaRow};
use crate::row_key;
use crate::rows::{RowError, Table};

impl Writer<'_> {
    /// Writes the registry's row with a ledger that is one leaf longer.
    ///
    /// Rule R154 (RFC-EG-033 §3, Immutable Proof Persistence): A `rules` statement raises the rules from the
    /// next envelope on, a `recovery` begins the next epoch, and neither is ever undone.
    pub(super) fn advance(&mut self) -> Result<(), RowError> {
        let mut meta = match &self.plan.meta {
            Some(meta) => (**meta).clone(),
            None => self.founded()?,
        };
        meta.revision = self.index.saturating_add(1);
        meta.registry_time = meta.registry_time.max(self.plan.accepted_at);
        match effects(&self.plan.claims).registry {
            RegistryChange::Nothing => {}
            RegistryChange::Key(registry_key) => meta.registry_key = registry_key,
            RegistryChange::Rules(version) => meta.rules_version = version,
            RegistryChange::Epoch(epoch) => meta.epoch = epoch,
        }
        self.put(Table::Meta, row_key::META, &meta)
    }

    /// The registry's first row. Only a genesis file's root statement has everything that it needs.
    fn founded(&self) -> Result<MetaRow, RowError> {
        match (&self.plan.claims, self.plan.founds) {
            (Claims::Root { registry_key, .. }, Some(cluster_id)) => Ok(MetaRow {
                revision: 0,
                registry_time: self.plan.accepted_at,
                rules_version: RulesVersion::GENESIS.0,
                epoch: FIRST_EPOCH,
                origin: self.statement.registry.clone(),
                cluster_id,
                registry_key: *registry_key,
            }),
            _ => Err(RowError::Mutated { table: Table::Meta, key: row_key::META.to_vec() }),
        }
    }
}
