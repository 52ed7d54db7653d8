//! What accepting a statement writes: its leaf, its place in its lineage, and what its kind changes.

mod chain;
mod contain;
mod kind;
mod peer;

use assent_proof::{Claims, DomainName, EvidenceId, LineageName, Statement, VerifiedEnvelope};

use super::{Placement, Plan, receipt_of, slot};
use crate::codec::{Versioned, encode};
use crate::command::{Outcome, Receipt};
use crate::record::{EvidenceRow, FIRST_EPOCH, LeafRow, MetaRow};
use crate::row_key;
use crate::rows::{RowError, RowsMut, Table};
use crate::rules::RulesVersion;
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
    Ok(match plan.placement {
        Placement::Equivocation => Outcome::Equivocation { receipt, refusal: slot::equivocated(statement) },
        _ => Outcome::Accepted { receipt, fresh: true },
    })
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
        self.rows.put(table, key, &encode(row))
    }

    fn view(&self) -> View<'_> {
        View::new(&*self.rows)
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
            kind: statement.kind,
            domain: statement.domain.clone(),
            lineage: statement.lineage.clone(),
            issuers: statement.issuers.clone(),
            counted: self.plan.counted.clone(),
            threshold: self.plan.threshold,
            sequence: statement.sequence,
            references: statement.references.clone(),
            equivocation: self.plan.placement == Placement::Equivocation,
            containment: match &self.plan.claims {
                Claims::Containment(containment) => Some(containment.clone()),
                _ => None,
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
        match &self.plan.claims {
            Claims::Root { registry_key, .. } => meta.registry_key = *registry_key,
            Claims::Rules { version } => meta.rules_version = *version,
            Claims::Recovery { epoch, .. } => meta.epoch = *epoch,
            _ => {}
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
