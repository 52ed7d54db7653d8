//! Leaves of the ledger: envelopes as submitted, receipts, ids and times.

use assent_proof::{Envelope, EvidenceId, Millis};

use crate::command::Receipt;
use crate::row_key;
use crate::rows::{RowError, Rows, Table};
use crate::view::View;

/// An accepted envelope's bytes, as submitted.
pub fn envelope(rows: &dyn Rows, id: &EvidenceId) -> Result<Option<Vec<u8>>, RowError> {
    match View::new(rows).evidence(id)? {
        None => Ok(None),
        Some(row) => {
            let key = row_key::index(row.index);
            let body = rows.get(Table::Bodies, &key)?;
            // A leaf without its body, or with another leaf's body, is damage and never an absence.
            let intact = |body: &Vec<u8>| Envelope::parse(body).is_ok_and(|envelope| envelope.id() == *id);
            match body.filter(intact) {
                Some(body) => Ok(Some(body)),
                None => Err(RowError::Mutated { table: Table::Bodies, key: key.to_vec() }),
            }
        }
    }
}

/// The receipt of an accepted envelope.
pub fn receipt(rows: &dyn Rows, id: &EvidenceId) -> Result<Option<Receipt>, RowError> {
    View::new(rows).receipt(id)
}

/// The id and time of a leaf of the ledger.
pub fn leaf(rows: &dyn Rows, index: u64) -> Result<Option<(EvidenceId, Millis)>, RowError> {
    Ok(View::new(rows).leaf(index)?.map(|row| (row.evidence_id, row.accepted_at)))
}
