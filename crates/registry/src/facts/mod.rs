//! Whether what is summed up agrees with what it sums up.
//!
//! The facts are the leaves, the envelopes and what was recorded once of each at its acceptance. Every other row follows from
//! them: it is there to be found quickly. [`check`] works each out anew, from the whole ledger and as simply as it can be
//! said, and compares. Tests call it after every step of random ledgers; it reads everything, so nothing else should.

mod expected;
mod marks;

use std::collections::BTreeMap;

use assent_proof::{Claims, Envelope, EvidenceId, Millis, Rules, RulesVersion, Statement};

use crate::record::EvidenceRow;
use crate::row_key;
use crate::rows::{RowError, Rows, Table};
use crate::view::View;

/// Rows by table and key.
type Found = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// One leaf, and what was recorded of it.
#[derive(Debug, Clone)]
struct Fact {
    index: u64,
    id: EvidenceId,
    accepted_at: Millis,
    /// The envelope, of which the next two are read.
    body: Vec<u8>,
    statement: Statement,
    claims: Claims,
    row: EvidenceRow,
}

/// Every row that disagrees with the ledger's facts, each told in a line; none if all agree.
///
/// # Errors
/// A row that cannot be read, or a leaf without its envelope.
pub fn check(rows: &dyn Rows) -> Result<Vec<String>, RowError> {
    Growing::default().check(rows)
}

/// Checks a ledger again and again as it grows, and reads each envelope once.
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

/// The leaf at this index; what was read of the same envelope before is not read again.
fn fact(view: &View<'_>, index: u64, known: Option<Fact>) -> Result<Fact, RowError> {
    let key = row_key::index(index);
    let mutated = |table| RowError::Mutated { table, key: key.to_vec() };
    let leaf = view.leaf(index)?.ok_or_else(|| mutated(Table::Leaves))?;
    let row = view.evidence(&leaf.evidence_id)?.ok_or_else(|| mutated(Table::Evidence))?;
    let body = view.rows().get(Table::Bodies, &key)?.ok_or_else(|| mutated(Table::Bodies))?;
    let (statement, claims) = match known.filter(|known| *known.body == *body) {
        Some(known) => (known.statement, known.claims),
        None => {
            let envelope = Envelope::parse(&body).map_err(|_| mutated(Table::Bodies))?;
            let statement = Statement::parse_stored(&envelope.payload).map_err(|_| mutated(Table::Bodies))?;
            let rules = Rules::of(RulesVersion(row.rules)).ok_or_else(|| mutated(Table::Evidence))?;
            let claims = Claims::parse(rules.stored(), statement.kind, &statement.claims);
            (statement, claims.map_err(|_| mutated(Table::Bodies))?)
        }
    };
    let (id, accepted_at, row) = (leaf.evidence_id, leaf.accepted_at, (*row).clone());
    Ok(Fact { index, id, accepted_at, body, statement, claims, row })
}

/// Whether a statement is the second one for its slot, as the ledger's order tells.
fn is_second(facts: &[Fact], fact: &Fact) -> bool {
    fact.statement.kind.is_execution()
        && facts.iter().any(|other| other.index < fact.index && same_slot(other, fact))
}

/// Whether two statements of execution evidence were signed for one slot.
fn same_slot(one: &Fact, other: &Fact) -> bool {
    let slot = |fact: &Fact| {
        let statement = &fact.statement;
        (statement.domain.clone(), statement.lineage.clone(), statement.issuers.clone(), statement.sequence)
    };
    one.statement.kind.is_execution() && other.statement.kind.is_execution() && slot(one) == slot(other)
}
