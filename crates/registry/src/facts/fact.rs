//! The facts: each leaf with its envelope and what was recorded of it at its acceptance.

use std::collections::BTreeMap;

use assent_proof::{Claims, Envelope, EvidenceId, Millis, Rules, RulesVersion, Statement};

use crate::record::EvidenceRow;
use crate::row_key;
use crate::rows::{RowError, Table};
use crate::view::View;

/// Rows by table and key.
pub(super) type Found = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// One leaf, and what was recorded of it.
#[derive(Debug, Clone)]
pub(super) struct Fact {
    pub(super) index: u64,
    pub(super) id: EvidenceId,
    pub(super) accepted_at: Millis,
    /// The envelope, of which the next two are read.
    pub(super) body: Vec<u8>,
    pub(super) statement: Statement,
    pub(super) claims: Claims,
    pub(super) row: EvidenceRow,
}

/// The leaf at this index. If `known` is the same envelope, it is not read again.
pub(super) fn fact(view: &View<'_>, index: u64, known: Option<Fact>) -> Result<Fact, RowError> {
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
pub(super) fn is_second(facts: &[Fact], fact: &Fact) -> bool {
    fact.statement.kind.is_execution()
        && facts.iter().any(|other| other.index < fact.index && same_slot(other, fact))
}

/// Whether two statements of execution evidence were signed for one slot.
pub(super) fn same_slot(one: &Fact, other: &Fact) -> bool {
    let slot = |fact: &Fact| {
        let statement = &fact.statement;
        (statement.domain.clone(), statement.lineage.clone(), statement.issuers.clone(), statement.sequence)
    };
    one.statement.kind.is_execution() && other.statement.kind.is_execution() && slot(one) == slot(other)
}
