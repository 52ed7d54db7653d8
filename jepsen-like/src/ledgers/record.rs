//! A ledger as a history, for the checks that judge histories.

use assent_registry::query;
use serde_json::{Value, json};

use super::both::{Both, LedgerError};
use crate::history::{Op, Outcome, Record};

impl Both {
    /// What the registry holds, as the last record of a history.
    ///
    /// # Errors
    /// The rules cannot read their rows.
    pub fn ledger(&self) -> Result<Record, LedgerError> {
        let revision = query::revision(&self.rows)?;
        let mut leaves = Vec::new();
        for index in 0..revision {
            let missing = || LedgerError::unexpected(format!("leaf {index} is missing"));
            let (id, at) = query::leaf(&self.rows, index)?.ok_or_else(missing)?;
            let envelope = query::envelope(&self.rows, &id)?.ok_or_else(missing)?;
            leaves.push(json!({"index": index, "evidenceId": id.to_string(), "acceptedAt": at.0,
                "envelope": String::from_utf8_lossy(&envelope)}));
        }
        Ok(Record {
            op: Op::Ledger,
            client: 0,
            node: 1,
            key: String::new(),
            input: Value::Null,
            output: json!({"revision": revision, "leaves": leaves}),
            invoke_ns: u64::MAX,
            return_ns: Some(u64::MAX),
            outcome: Outcome::Ok,
        })
    }

    /// Records what was done, if records are kept. Each operation has a moment of its own.
    pub(super) fn record(&mut self, op: Op, key: &str, input: Value, output: Value, outcome: Outcome) {
        let Some(records) = &mut self.records else { return };
        let moment = u64::try_from(records.len()).unwrap_or(0).saturating_mul(100).saturating_add(1000);
        records.push(Record {
            op,
            client: 1,
            node: 1,
            key: key.to_owned(),
            input,
            output,
            invoke_ns: moment,
            return_ns: Some(moment),
            outcome,
        });
    }

    /// Keeps a record of each operation from now on.
    pub fn keep_records(&mut self) {
        self.records.get_or_insert_default();
    }

    /// Returns the records of the operations so far, and begins anew.
    pub fn take_records(&mut self) -> Vec<Record> {
        self.records.as_mut().map(std::mem::take).unwrap_or_default()
    }
}
