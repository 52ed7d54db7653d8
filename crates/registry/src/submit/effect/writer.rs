//! One statement being written: the rows, what the checks found, and the ways to read and change what is there.

use std::rc::Rc;

use assent_proof::{DomainName, EvidenceId, LineageName, PublicKey, Statement};

use crate::codec::{Versioned, encode};
use crate::record::{AuthorityRow, DomainRow, EvidenceRow, LineageRow};
use crate::row_key;
use crate::rows::{RowError, RowsMut, Table};
use crate::submit::plan::Plan;
use crate::view::View;

/// What the checks found and this write builds on. If it is missing, the row at `key` is damaged.
///
/// Rule R125 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): A row that the checks found and that is missing
/// as the statement is written is damage, and the node stops.
pub(super) fn must<T>(found: Option<T>, table: Table, key: &[u8]) -> Result<T, RowError> {
    found.ok_or_else(|| RowError::Mutated { table, key: key.to_vec() })
}

/// One statement being written.
pub(super) struct Writer<'a> {
    pub(super) rows: &'a mut dyn RowsMut,
    pub(super) id: EvidenceId,
    pub(super) statement: &'a Statement,
    pub(super) plan: &'a Plan,
    pub(super) index: u64,
}

impl Writer<'_> {
    /// Writes a row, in the version that the rules name.
    pub(super) fn put<T: Versioned>(&mut self, table: Table, key: &[u8], row: &T) -> Result<(), RowError> {
        self.rows.put(table, key, &encode(row, self.plan.rules))
    }

    /// The rows as they are by now.
    pub(super) fn view(&self) -> View<'_> {
        View::new(&*self.rows)
    }

    /// Accepted evidence, which must be there.
    pub(super) fn found_evidence(&self, id: &EvidenceId) -> Result<Rc<EvidenceRow>, RowError> {
        must(self.view().evidence(id)?, Table::Evidence, &id.0)
    }

    /// An authority, which must be there.
    pub(super) fn found_authority(&self, key: &PublicKey) -> Result<Rc<AuthorityRow>, RowError> {
        must(self.view().authority(key)?, Table::Authorities, key.as_bytes())
    }

    /// A domain, which must be there.
    pub(super) fn found_domain(&self, domain: &DomainName) -> Result<Rc<DomainRow>, RowError> {
        must(self.view().domain(domain)?, Table::Domains, &row_key::domain(domain))
    }

    /// A lineage, which must be there.
    pub(super) fn found_lineage(
        &self,
        domain: &DomainName,
        name: &LineageName,
    ) -> Result<LineageRow, RowError> {
        must(self.view().lineage(domain, name)?, Table::Lineages, &row_key::lineage(domain, name))
    }

    /// Changes the row of accepted evidence.
    pub(super) fn mark(
        &mut self,
        id: &EvidenceId,
        change: impl FnOnce(&mut EvidenceRow),
    ) -> Result<(), RowError> {
        let mut row = (*self.found_evidence(id)?).clone();
        change(&mut row);
        self.put(Table::Evidence, &id.0, &row)
    }

    /// Where the statement lies.
    pub(super) fn place(&self) -> StatementPlace {
        StatementPlace { domain: self.statement.domain.clone(), name: self.statement.lineage.clone() }
    }
}

/// Where a statement lies.
pub(super) struct StatementPlace {
    pub(super) domain: DomainName,
    pub(super) name: LineageName,
}
