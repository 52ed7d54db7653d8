//! Lineages: the status of one, its issuers, its equivocations, and its entries page by page.

use assent_proof::{
    DomainName, EvidenceId, EvidenceKind, History, LineageName, LineageStatus, Millis, PublicKey, Sha256,
};

use crate::row_key;
use crate::rows::{RowError, Rows, Table};
use crate::view::View;

/// A lineage with one page of its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineagePage {
    /// The history of this state. `next` means something only in it.
    pub history: History,
    /// The status. Quarantined outweighs closed.
    pub status: LineageStatus,
    /// The digests that it is about; none for `_governance`. There are several only after an equivocation of
    /// its first slot.
    pub subjects: Vec<Sha256>,
    /// The newest slotted evidence.
    pub head: Option<EvidenceId>,
    /// The newest slot of the shared chain; only in `_governance`.
    pub sequence: Option<u64>,
    /// The quarantines by containment that hold, by id; at most [`crate::limit::CONTAINMENTS_NAMED`].
    pub quarantined_by: Vec<EvidenceId>,
    /// The slots that were signed twice.
    pub conflicts: Vec<LineageConflict>,
    /// Each issuer's chain, at most 32.
    pub issuers: Vec<IssuerChain>,
    /// A page of entries, by ledger index.
    pub entries: Vec<LineageEntry>,
    /// The ledger index after which the next page starts; `None` on the last page.
    pub next: Option<u64>,
}

/// A slot that its issuer signed twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineageConflict {
    /// The issuer that signed both.
    pub issuer: PublicKey,
    /// The slot.
    pub sequence: u64,
    /// The chosen half; `None` until it is reconciled.
    pub canonical: Option<EvidenceId>,
}

/// One issuer's chain in a lineage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerChain {
    /// The issuer.
    pub issuer: PublicKey,
    /// Its newest slot.
    pub sequence: u64,
    /// Its newest evidence.
    pub head: EvidenceId,
}

/// One accepted statement of a lineage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineageEntry {
    /// Its place in the ledger.
    pub ledger_index: u64,
    /// Its id.
    pub evidence_id: EvidenceId,
    /// Its kind.
    pub kind: EvidenceKind,
    /// Its issuers, as written.
    pub issuers: Vec<PublicKey>,
    /// Its slot; none for restrictions.
    pub sequence: Option<u64>,
    /// When the registry accepted it.
    pub accepted_at: Millis,
    /// Whether it is void now.
    pub void: bool,
    /// Whether it is the second statement for its slot.
    pub equivocation: bool,
}

/// A lineage and at most `limit` of its entries after ledger index `after`.
pub fn lineage(
    rows: &dyn Rows,
    domain: &DomainName,
    lineage: &LineageName,
    after: Option<u64>,
    limit: usize,
) -> Result<Option<LineagePage>, RowError> {
    let view = View::new(rows);
    let Some(row) = view.lineage(domain, lineage)? else { return Ok(None) };
    let (entries, next) = entries(&view, domain, lineage, after, limit)?;
    view.begin();
    let quarantined_by: Vec<_> = view.quarantines(domain, lineage, &row)?.into_iter().collect();
    let conflicts: Result<Vec<_>, RowError> = row
        .conflicts
        .iter()
        .map(|conflict| {
            let canonical = view.canonical(conflict)?;
            Ok(LineageConflict { issuer: conflict.issuer, sequence: conflict.sequence, canonical })
        })
        .collect();
    let conflicts = conflicts?;
    let unresolved = conflicts.iter().any(|conflict| conflict.canonical.is_none());
    let status = match row.closed_by {
        _ if unresolved || !quarantined_by.is_empty() => LineageStatus::Quarantined,
        Some(_) => LineageStatus::Closed,
        None => LineageStatus::Open,
    };
    Ok(Some(LineagePage {
        history: view.history_in_force()?,
        status,
        quarantined_by,
        conflicts,
        subjects: row.subjects,
        head: row.head,
        sequence: row.next_sequence.checked_sub(1),
        issuers: issuers(&view, domain, lineage)?,
        entries,
        next,
    }))
}

/// The next slot of a domain's `_governance`, and the head that a statement in that slot names as its parent.
pub fn governance_slot(rows: &dyn Rows, domain: &DomainName) -> Result<(u64, Option<EvidenceId>), RowError> {
    let lineage = View::new(rows).lineage(domain, &LineageName::governance())?;
    Ok(lineage.map_or((0, None), |row| (row.next_sequence, row.head)))
}

/// How many statements of execution evidence a lineage has: the sum over its issuers' chains. The second statement for
/// a slot is not counted, nor are restrictions and permits, which take no slot.
pub fn lineage_statements(
    rows: &dyn Rows,
    domain: &DomainName,
    lineage: &LineageName,
) -> Result<u64, RowError> {
    let chains = View::new(rows).chains(domain, lineage)?;
    Ok(chains.iter().fold(0, |sum: u64, (_, chain)| sum.saturating_add(chain.next_sequence)))
}

fn issuers(
    view: &View<'_>,
    domain: &DomainName,
    lineage: &LineageName,
) -> Result<Vec<IssuerChain>, RowError> {
    let chains = view.chains(domain, lineage)?;
    let shown = chains.into_iter().map(|(issuer, row)| IssuerChain {
        issuer,
        sequence: row.next_sequence.saturating_sub(1),
        head: row.head,
    });
    Ok(shown.collect())
}

pub(crate) fn entries(
    view: &View<'_>,
    domain: &DomainName,
    lineage: &LineageName,
    after: Option<u64>,
    limit: usize,
) -> Result<(Vec<LineageEntry>, Option<u64>), RowError> {
    let prefix = row_key::in_lineage(domain, lineage);
    let first = after.map_or(0, |after| after.saturating_add(1));
    let from = row_key::entry(domain, lineage, first);
    let until = row_key::after_prefix(&prefix);
    let rows = view.rows().scan(Table::LineageEntries, &from, until.as_deref(), limit.saturating_add(1))?;
    let more = rows.len() > limit;
    let page: Result<Vec<LineageEntry>, RowError> = rows
        .into_iter()
        .take(limit)
        .map(|(key, value)| {
            let mutated = || RowError::Mutated { table: Table::LineageEntries, key: key.clone() };
            let id = EvidenceId(value.as_slice().try_into().map_err(|_| mutated())?);
            view.begin();
            entry(view, id)?.ok_or_else(mutated)
        })
        .collect();
    let page = page?;
    let next = if more { page.last().map(|entry| entry.ledger_index) } else { None };
    Ok((page, next))
}

fn entry(view: &View<'_>, id: EvidenceId) -> Result<Option<LineageEntry>, RowError> {
    let Some(row) = view.evidence(&id)? else { return Ok(None) };
    let void = view.is_void(&id)?;
    Ok(Some(LineageEntry {
        ledger_index: row.index,
        evidence_id: id,
        kind: row.kind,
        issuers: row.issuers.clone(),
        sequence: row.sequence,
        accepted_at: row.accepted_at,
        void,
        equivocation: row.equivocation,
    }))
}
