//! A slot of an issuer's own chain: the statement that takes it, or the second one, which makes it an
//! equivocation (RFC-EG-033 §3, immutable exchange lineage).

use assent_proof::PublicKey;

use super::writer::{StatementPlace, Writer};
use crate::chain::{Chain, Half};
use crate::record::{Conflict, IssuerRow, KindSlot, LineageRow, SlotRow};
use crate::row_key;
use crate::rows::{RowError, Table};

impl Writer<'_> {
    /// Writes the issuer's next slot: its chain goes on with it, and it becomes the issuer's newest slot of
    /// its kind.
    pub(super) fn issuer_slot(
        &mut self,
        lineage: &mut LineageRow,
        issuer: &PublicKey,
        sequence: u64,
    ) -> Result<(), RowError> {
        let StatementPlace { domain, name } = self.place();
        let before = self.plan.chain.as_ref();
        if before.is_none() {
            lineage.issuers = lineage.issuers.saturating_add(1);
        }
        lineage.head = Some(self.id);
        let kind = self.statement.kind;
        let mut newest = before.map(|chain| chain.newest.clone()).unwrap_or_default();
        let place = newest.iter().position(|slot| slot.kind == kind);
        let replaced = place.map(|place| newest.swap_remove(place).sequence);
        newest.push(KindSlot { kind, sequence });
        newest.sort_unstable_by_key(|slot| slot.kind.as_str());
        let row = IssuerRow { next_sequence: sequence.saturating_add(1), head: self.id, newest };
        self.put(Table::LineageIssuers, &row_key::issuer(&domain, &name, issuer), &row)?;
        self.slot(issuer, sequence, Half::First, replaced)
    }

    /// Writes the second statement for a slot. It moves no head. Both statements lie in the slot, whichever
    /// came first.
    ///
    /// Rule R108 (RFC-EG-033 §4, inconsistent authority validation): If an issuer makes a second statement
    /// for one slot, that statement is recorded in the slot as an equivocation, moves no head and is answered
    /// with its receipt and `authority_inconsistent`, but it is refused with that code if the slot has two
    /// already or an earlier equivocation of the issuer in the lineage has no chosen half.
    pub(super) fn equivocation(
        &mut self,
        lineage: &mut LineageRow,
        issuer: &PublicKey,
        sequence: u64,
    ) -> Result<(), RowError> {
        lineage.conflicts.push(Conflict { issuer: *issuer, sequence, reconciled: None });
        lineage.conflicts.sort_unstable();
        self.slot(issuer, sequence, Half::Second, None)
    }

    /// One half of a slot, with what an evaluation needs to know of it.
    fn slot(
        &mut self,
        issuer: &PublicKey,
        sequence: u64,
        half: Half,
        before: Option<u64>,
    ) -> Result<(), RowError> {
        let row = SlotRow {
            evidence_id: self.id,
            accepted_at: self.plan.accepted_at,
            issued_at: self.statement.issued_at,
            expires_at: self.statement.expires_at,
            references: self.statement.references.clone(),
            claims: self.plan.claims.clone(),
            before,
        };
        let StatementPlace { domain, name } = self.place();
        let chain = Chain { domain: &domain, lineage: &name, issuer };
        self.put(Table::Slots, &row_key::slot(chain, sequence, half), &row)
    }
}
