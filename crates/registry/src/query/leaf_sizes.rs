//! How much each leaf of the ledger takes. A node counts with it how fast each domain grows.

use assent_proof::{DomainName, EvidenceKind, Millis};

use crate::codec;
use crate::record::LeafRow;
use crate::row_key;
use crate::rows::{RowError, Rows, Table};
use crate::view::View;

/// The size of one accepted envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafSize {
    /// The kind of its statement.
    pub kind: EvidenceKind,
    /// Its domain.
    pub domain: DomainName,
    /// When the registry accepted it.
    pub accepted_at: Millis,
    /// The envelope's size as submitted, in bytes.
    pub bytes: u64,
}

/// The sizes of the leaves from this index on, in order, at most `limit`. Fewer only at the end of the ledger.
///
/// # Errors
/// A leaf, its evidence or its envelope is missing or cannot be read, which is damage.
pub fn leaf_sizes(rows: &dyn Rows, from: u64, limit: usize) -> Result<Vec<LeafSize>, RowError> {
    let view = View::new(rows);
    let revision = view.meta()?.map_or(0, |meta| meta.revision);
    let there = usize::try_from(revision.saturating_sub(from)).unwrap_or(usize::MAX).min(limit);
    if there == 0 {
        return Ok(Vec::new());
    }
    let (first, end) = (row_key::index(from), row_key::index(revision));
    let leaves = rows.scan(Table::Leaves, &first, Some(&end), there)?;
    let bodies = rows.scan(Table::Bodies, &first, Some(&end), there)?;
    let mutated = |table, index: u64| RowError::Mutated { table, key: row_key::index(index).to_vec() };
    for (table, found) in [(Table::Leaves, leaves.len()), (Table::Bodies, bodies.len())] {
        if found != there {
            return Err(mutated(table, from));
        }
    }
    let mut sizes = Vec::with_capacity(there);
    for (index, ((key, leaf), (of, body))) in (from..).zip(leaves.into_iter().zip(bodies)) {
        if key != row_key::index(index) || of != key {
            return Err(mutated(Table::Leaves, index));
        }
        let leaf: LeafRow =
            codec::decode(&leaf).map_err(|error| RowError::undecoded(Table::Leaves, &key, error))?;
        let row = view.evidence(&leaf.evidence_id)?.filter(|row| row.index == index);
        let row = row
            .ok_or_else(|| RowError::Mutated { table: Table::Evidence, key: leaf.evidence_id.0.to_vec() })?;
        sizes.push(LeafSize {
            kind: row.kind,
            domain: row.domain.clone(),
            accepted_at: leaf.accepted_at,
            bytes: u64::try_from(body.len()).unwrap_or(u64::MAX),
        });
    }
    Ok(sizes)
}
