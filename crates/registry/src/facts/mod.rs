//! Whether the derived rows agree with the facts that they follow from (RFC-EG-033 §6, independently
//! reproducible validation).
//!
//! The facts are the leaves, the envelopes and what was recorded once of each at its acceptance. Every other
//! row follows from them and only makes them quick to find. [`check`] computes each such row anew, from the
//! whole ledger and in the simplest way, and compares. It reads everything, so only tests should call it:
//! they do so after every step of random ledgers.

mod expected;
mod fact;
mod governed;
mod marks;

use crate::rows::{RowError, Rows};
use crate::view::View;

use fact::{Fact, Found, fact};

/// Every row that disagrees with the ledger's facts, one line for each; empty if all agree.
///
/// # Errors
/// A row that cannot be read, or a leaf without its envelope.
pub fn check(rows: &dyn Rows) -> Result<Vec<String>, RowError> {
    Growing::default().check(rows)
}

/// Checks a ledger again and again as it grows, and reads each envelope only once.
#[derive(Debug, Clone, Default)]
pub struct Growing {
    facts: Vec<Fact>,
}

impl Growing {
    /// What [`check`] says of these rows.
    ///
    /// # Errors
    /// A row that cannot be read, or a leaf without its envelope.
    pub fn check(&mut self, rows: &dyn Rows) -> Result<Vec<String>, RowError> {
        let view = View::new(rows);
        let size = view.meta()?.map_or(0, |meta| meta.revision);
        let before = std::mem::take(&mut self.facts);
        let mut before = before.into_iter();
        for index in 0..size {
            let known = before.next();
            self.facts.push(fact(&view, index, known)?);
        }
        compare(&view, &self.facts)
    }
}

fn compare(view: &View<'_>, facts: &[Fact]) -> Result<Vec<String>, RowError> {
    let rows = view.rows();
    let mut wrong = Vec::new();
    let expected = expected::rows(view, facts)?;
    let mut found = Found::new();
    for table in expected::TABLES {
        for (key, value) in rows.scan(*table, &[], None, usize::MAX)? {
            found.insert((*table, key), value);
        }
    }
    for ((table, key), value) in &expected {
        if found.get(&(*table, key.clone())) != Some(value) {
            let is = found.get(&(*table, key.clone())).map_or("missing", |_| "another than it should be");
            wrong.push(format!("the row `{}` of table `{}` is {is}", key.escape_ascii(), table.name()));
        }
    }
    for (table, key) in found.keys().filter(|at| !expected.contains_key(*at)) {
        wrong.push(format!("table `{}` has a row `{}` too many", table.name(), key.escape_ascii()));
    }
    marks::check(view, facts, &mut wrong)?;
    Ok(wrong)
}
