//! Which history a state belongs to, and where a place of another history lies in it (RFC-EG-033 §4,
//! synchronization ambiguity).
//!
//! A recovery continues with the ledger of one node and adds the leaf that begins the next epoch. So a
//! history and the next one are the same up to that leaf. Nothing is known of what other nodes held beyond
//! it.

use assent_proof::{Cursor, DomainName, EvidenceId, EvidenceKind, History, LineageName};

use crate::record::FIRST_EPOCH;
use crate::row_key;
use crate::rows::{RowError, Rows, Table};
use crate::view::View;

/// How many entries of `_root`'s `_governance` are read at a time.
const PAGE: usize = 256;

/// Where a place in a ledger lies, as seen from this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Located {
    /// In this ledger, or at its end.
    Here,
    /// In this history, beyond the end of this ledger.
    Beyond {
        /// The ledger's size here.
        revision: u64,
    },
    /// In another history.
    Elsewhere {
        /// The one in force here.
        in_force: History,
        /// The revision up to which, inclusive, both histories are the same. It is 0 for another cluster, and
        /// `None` if this state cannot tell because it has not reached the place's epoch.
        shared: Option<u64>,
    },
}

/// The history in force; `None` before genesis.
pub fn history(rows: &dyn Rows) -> Result<Option<History>, RowError> {
    View::new(rows).history()
}

/// Where a place lies, as seen from this state.
///
/// # Errors
/// An error in reading; a state without a genesis is unreadable.
pub fn locate(rows: &dyn Rows, place: Cursor) -> Result<Located, RowError> {
    let view = View::new(rows);
    let in_force = view.history_in_force()?;
    let Cursor { history, revision } = place;
    if history.cluster() != in_force.cluster() {
        return Ok(Located::Elsewhere { in_force, shared: Some(0) });
    }
    if history.epoch() > in_force.epoch() {
        return Ok(Located::Elsewhere { in_force, shared: None });
    }
    if history.epoch() < in_force.epoch() {
        let shared = before_epoch(&view, history.epoch().saturating_add(1))?;
        return Ok(Located::Elsewhere { in_force, shared: Some(shared) });
    }
    let size = view.meta()?.map_or(0, |meta| meta.revision);
    Ok(if revision > size { Located::Beyond { revision: size } } else { Located::Here })
}

/// The ledger's size before the leaf that began an epoch that has begun.
fn before_epoch(view: &View<'_>, epoch: u64) -> Result<u64, RowError> {
    let (root, governance) = (DomainName::root(), LineageName::governance());
    let until = row_key::after_prefix(&row_key::in_lineage(&root, &governance));
    let mut from = row_key::entry(&root, &governance, 0);
    let mut begun = FIRST_EPOCH;
    loop {
        let rows = view.rows().scan(Table::LineageEntries, &from, until.as_deref(), PAGE)?;
        let Some((last, _)) = rows.last() else {
            // The epoch has begun, so the leaf that began it must be there.
            return Err(RowError::Mutated { table: Table::LineageEntries, key: from });
        };
        from.clone_from(last);
        from.push(0);
        for (key, value) in rows {
            let mutated = || RowError::Mutated { table: Table::LineageEntries, key: key.clone() };
            let id = EvidenceId(value.as_slice().try_into().map_err(|_| mutated())?);
            let row = view.evidence(&id)?.ok_or_else(mutated)?;
            if row.kind != EvidenceKind::Recovery {
                continue;
            }
            begun = begun.saturating_add(1);
            if begun == epoch {
                return Ok(row.index);
            }
        }
    }
}
