//! What issuers stated: their slots, read one by one, newest first (RFC-EG-033 §7, no best-effort evidence
//! continuity).
//!
//! A slot's rows are written once and never change, so they cannot disagree with the ledger later. An
//! issuer's statements of one kind are linked: each first half names the slot before it whose first half is
//! of that kind. Second halves are found through the lineage's list of equivocations. A link that leads to no
//! row is damage, never an end.

use assent_proof::{EvidenceKind, PublicKey};

use crate::chain::{Chain, Half};
use crate::record::{IssuerRow, LineageRow, SlotRow};
use crate::row_key;
use crate::rows::{RowError, Table};
use crate::view::View;

/// A slot and everything that was signed for it.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    first: SlotRow,
    second: Option<SlotRow>,
}

impl Slot {
    /// What was signed for it.
    pub(crate) fn halves(&self) -> impl Iterator<Item = &SlotRow> {
        std::iter::once(&self.first).chain(&self.second)
    }

    /// The statements that were signed for it and are of this kind.
    pub(crate) fn of_kind(&self, kind: EvidenceKind) -> impl Iterator<Item = &SlotRow> {
        self.halves().filter(move |half| half.claims.kind() == kind)
    }
}

/// The slots in which an issuer has a statement of one kind, newest first.
#[derive(Debug, Clone)]
pub(crate) struct Walk {
    kind: EvidenceKind,
    /// The next slot whose first half is of the kind.
    linked: Option<u64>,
    /// The slots whose second half is of the kind, oldest first.
    seconds: Vec<u64>,
}

/// One issuer's statements of one kind.
#[derive(Debug, Clone)]
pub(crate) struct IssuerStatements {
    pub(crate) kind: EvidenceKind,
    pub(crate) issuer: PublicKey,
    /// The newest slot with a statement of the kind, in either half.
    pub(crate) newest: Slot,
    /// The slots before that one.
    pub(crate) earlier: Walk,
}

impl View<'_> {
    /// One statement of a slot; `None` if there is none.
    pub(crate) fn half(
        &self,
        chain: Chain<'_>,
        sequence: u64,
        half: Half,
    ) -> Result<Option<SlotRow>, RowError> {
        self.read(Table::Slots, &row_key::slot(chain, sequence, half))
    }

    /// A slot that must be there. If it does not have as many rows as the lineage says, it is damaged.
    ///
    /// Rule R25 (RFC-EG-033 §4, unauthorized evidence mutation): An open lineage or a containment that is
    /// counted and not found, or a slot that another row leads to and that is not found, is damage
    /// (`evidence_mutated`).
    pub(crate) fn slot(
        &self,
        chain: Chain<'_>,
        lineage: &LineageRow,
        sequence: u64,
    ) -> Result<Slot, RowError> {
        let missing =
            |half| RowError::Mutated { table: Table::Slots, key: row_key::slot(chain, sequence, half) };
        let first = self.half(chain, sequence, Half::First)?.ok_or_else(|| missing(Half::First))?;
        let second = match lineage.conflict(chain.issuer, sequence) {
            None => None,
            Some(_) => Some(self.half(chain, sequence, Half::Second)?.ok_or_else(|| missing(Half::Second))?),
        };
        Ok(Slot { first, second })
    }

    /// Everything that an issuer stated in a lineage, kind by kind.
    pub(crate) fn statements(
        &self,
        chain: Chain<'_>,
        row: &IssuerRow,
        lineage: &LineageRow,
    ) -> Result<Vec<IssuerStatements>, RowError> {
        let mut walks: Vec<Walk> = row
            .newest
            .iter()
            .map(|newest| Walk { kind: newest.kind, linked: Some(newest.sequence), seconds: Vec::new() })
            .collect();
        for conflict in lineage.contested(chain.issuer) {
            let slot = self.slot(chain, lineage, conflict.sequence)?;
            let Some(second) = &slot.second else { continue };
            let kind = second.claims.kind();
            match walks.iter_mut().find(|walk| walk.kind == kind) {
                Some(walk) => walk.seconds.push(conflict.sequence),
                None => walks.push(Walk { kind, linked: None, seconds: vec![conflict.sequence] }),
            }
        }
        let mut statements = Vec::with_capacity(walks.len());
        for mut earlier in walks {
            if let Some(newest) = earlier.next(self, chain, lineage)? {
                statements.push(IssuerStatements {
                    kind: earlier.kind,
                    issuer: *chain.issuer,
                    newest,
                    earlier,
                });
            }
        }
        Ok(statements)
    }
}

impl Walk {
    /// The next older slot in which the issuer has a statement of the kind.
    ///
    /// Rule R25 (RFC-EG-033 §4, unauthorized evidence mutation): An open lineage or a containment that is
    /// counted and not found, or a slot that another row leads to and that is not found, is damage
    /// (`evidence_mutated`).
    pub(crate) fn next(
        &mut self,
        view: &View<'_>,
        chain: Chain<'_>,
        lineage: &LineageRow,
    ) -> Result<Option<Slot>, RowError> {
        let Some(sequence) = self.linked.max(self.seconds.last().copied()) else { return Ok(None) };
        let slot = view.slot(chain, lineage, sequence)?;
        if self.linked == Some(sequence) {
            let before = slot.first.before;
            if slot.first.claims.kind() != self.kind || before.is_some_and(|before| before >= sequence) {
                let key = row_key::slot(chain, sequence, Half::First);
                return Err(RowError::Mutated { table: Table::Slots, key });
            }
            self.linked = before;
        }
        self.seconds.pop_if(|second| *second == sequence);
        Ok(Some(slot))
    }
}
