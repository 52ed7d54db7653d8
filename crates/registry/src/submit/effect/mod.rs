//! What accepting a statement writes: its leaf, its place in its lineage, and what its kind changes.
//!
//! The checks found every row that this builds on. A row that is gone by now is damage, and the node stops: otherwise the
//! statement would get its receipt without having its effect.

mod chain;
mod contain;
mod kind;
mod peer;

use std::rc::Rc;

use assent_proof::{
    Claims, DomainName, EvidenceId, LineageName, PublicKey, RulesVersion, Statement, VerifiedEnvelope,
};

use super::{Placement, Plan, receipt_of, slot};
use crate::codec::{Versioned, encode};
use crate::command::{Outcome, Receipt};
use crate::kinds::{RegistryChange, Restriction, effects};
use crate::record::{AuthorityRow, DomainRow, EvidenceRow, FIRST_EPOCH, LeafRow, LineageRow, MetaRow};
use crate::row_key;
use crate::rows::{RowError, RowsMut, Table};
use crate::view::View;

/// Writes what the plan says, and answers with the receipt.
pub(super) fn write(
    rows: &mut dyn RowsMut,
    envelope: &VerifiedEnvelope,
    plan: Plan,
) -> Result<Outcome, RowError> {
    if let Placement::Standing(id) = plan.placement {
        return match receipt_of(&View::new(rows), &id)? {
            Some(receipt) => Ok(Outcome::Accepted { receipt, fresh: false }),
            None => Err(RowError::Mutated { table: Table::Evidence, key: id.0.to_vec() }),
        };
    }
    let id = envelope.id();
    let statement = envelope.statement();
    let index = plan.meta.as_ref().map_or(0, |meta| meta.revision);
    let mut writer = Writer { rows, id, statement, plan: &plan, index };
    writer.leaf(envelope.bytes())?;
    writer.lineage()?;
    writer.kind()?;
    writer.advance()?;
    let receipt = Receipt {
        evidence_id: id,
        ledger_index: index,
        revision: index.saturating_add(1),
        accepted_at: plan.accepted_at,
    };
    if plan.placement.is_second() {
        return Ok(Outcome::Equivocation { receipt, refusal: slot::equivocated(statement) });
    }
    Ok(Outcome::Accepted { receipt, fresh: true })
}

/// What the checks found, and this write builds on. If it is missing, the row at `key` is damaged.
fn must<T>(found: Option<T>, table: Table, key: &[u8]) -> Result<T, RowError> {
    found.ok_or_else(|| RowError::Mutated { table, key: key.to_vec() })
}

/// One statement being written.
struct Writer<'a> {
    rows: &'a mut dyn RowsMut,
    id: EvidenceId,
    statement: &'a Statement,
    plan: &'a Plan,
    index: u64,
}

impl Writer<'_> {
    fn put<T: Versioned>(&mut self, table: Table, key: &[u8], row: &T) -> Result<(), RowError> {
        self.rows.put(table, key, &encode(row, self.plan.rules))
    }

    fn view(&self) -> View<'_> {
        View::new(&*self.rows)
    }

    /// Accepted evidence, which must be there.
    fn found_evidence(&self, id: &EvidenceId) -> Result<Rc<EvidenceRow>, RowError> {
        must(self.view().evidence(id)?, Table::Evidence, &id.0)
    }

    /// An authority, which must be there.
    fn found_authority(&self, key: &PublicKey) -> Result<Rc<AuthorityRow>, RowError> {
        must(self.view().authority(key)?, Table::Authorities, key.as_bytes())
    }

    /// A domain, which must be there.
    fn found_domain(&self, domain: &DomainName) -> Result<Rc<DomainRow>, RowError> {
        must(self.view().domain(domain)?, Table::Domains, &row_key::domain(domain))
    }

    /// A lineage, which must be there.
    fn found_lineage(&self, domain: &DomainName, name: &LineageName) -> Result<LineageRow, RowError> {
        must(self.view().lineage(domain, name)?, Table::Lineages, &row_key::lineage(domain, name))
    }

    fn leaf(&mut self, body: &[u8]) -> Result<(), RowError> {
        let index = row_key::index(self.index);
        let leaf = LeafRow { evidence_id: self.id, accepted_at: self.plan.accepted_at };
        self.put(Table::Leaves, &index, &leaf)?;
        self.rows.put(Table::Bodies, &index, body)?;
        let statement = self.statement;
        let row = EvidenceRow {
            index: self.index,
            accepted_at: self.plan.accepted_at,
            rules: self.plan.rules.version().0,
            kind: statement.kind,
            domain: statement.domain.clone(),
            lineage: statement.lineage.clone(),
            issuers: statement.issuers.clone(),
            counted: self.plan.counted.clone(),
            threshold: self.plan.threshold,
            sequence: statement.sequence,
            references: statement.references.clone(),
            equivocation: self.plan.placement.is_second(),
            containment: match effects(&self.plan.claims).restricts {
                Some(Restriction::Contains(containment)) => Some(containment.clone()),
                Some(Restriction::Revokes { .. }) | None => None,
            },
            invalidated_by: None,
            rejected_by: None,
            released_by: None,
            consumed: 0,
        };
        let id = self.id;
        self.put(Table::Evidence, &id.0, &row)?;
        let entry = row_key::entry(&statement.domain, &statement.lineage, self.index);
        self.rows.put(Table::LineageEntries, &entry, &id.0)
    }

    fn place(&self) -> StatementPlace {
        StatementPlace { domain: self.statement.domain.clone(), name: self.statement.lineage.clone() }
    }

    /// The ledger is one leaf longer.
    fn advance(&mut self) -> Result<(), RowError> {
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
}

impl Writer<'_> {
    /// The registry's first row; only a genesis file's root statement has what it takes.
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

struct StatementPlace {
    domain: DomainName,
    name: LineageName,
}
