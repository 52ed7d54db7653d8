//! A statement's place in its lineage: slots, equivocations, subjects, closing.

use assent_proof::{PublicKey, Sha256};

use super::{StatementPlace, Writer};
use crate::kinds::effects;
use crate::record::{Conflict, Contained, IssuerRow, KindSlot, LineageRow, OpenSubjectRow, SlotRow};
use crate::row_key;
use crate::rows::{RowError, Table};
use crate::said::{Chain, Half};
use crate::submit::Placement;

impl Writer<'_> {
    pub(super) fn lineage(&mut self) -> Result<(), RowError> {
        let mut lineage = self.plan.lineage.clone().unwrap_or_else(|| LineageRow {
            subjects: Vec::new(),
            founder: None,
            head: None,
            next_sequence: 0,
            issuers: 0,
            closed_by: None,
            conflicts: Vec::new(),
            quarantines: Contained::default(),
        });
        match self.plan.placement {
            Placement::IssuerSlot { issuer, sequence } => {
                self.issuer_slot(&mut lineage, &issuer, sequence)?;
            }
            Placement::Equivocation { issuer, sequence } => {
                self.equivocation(&mut lineage, &issuer, sequence)?;
            }
            Placement::SharedSlot => {
                lineage.head = Some(self.id);
                lineage.next_sequence = lineage.next_sequence.saturating_add(1);
            }
            Placement::Restriction | Placement::Permit(_) | Placement::Rules | Placement::Standing(_) => {}
        }
        if self.statement.kind.is_execution() {
            self.subject_and_closing(&mut lineage)?;
        }
        let key = row_key::lineage(&self.statement.domain, &self.statement.lineage);
        self.put(Table::Lineages, &key, &lineage)
    }

    /// The lineage's subjects, whether this closes it, and with both its place among the open ones.
    fn subject_and_closing(&mut self, lineage: &mut LineageRow) -> Result<(), RowError> {
        if lineage.founder.is_none() {
            lineage.founder = self.statement.issuers.first().copied();
        }
        if !lineage.subjects.contains(&self.statement.subject) {
            lineage.subjects.push(self.statement.subject);
            lineage.subjects.sort_unstable();
        }
        if effects(&self.plan.claims).closes {
            // Two closing halves of one equivocation: the smaller id, whichever came first.
            let by = lineage.closed_by.map_or(self.id, |before| before.min(self.id));
            lineage.closed_by = Some(by);
        }
        let before = self.plan.lineage.as_ref().filter(|before| before.closed_by.is_none());
        let listed = before.map_or(&[][..], |before| &before.subjects);
        let lists = if lineage.closed_by.is_some() { &[][..] } else { &lineage.subjects };
        for subject in lists.iter().filter(|subject| !listed.contains(subject)) {
            self.open_subject(subject, true)?;
        }
        for subject in listed.iter().filter(|subject| !lists.contains(subject)) {
            self.open_subject(subject, false)?;
        }
        Ok(())
    }

    /// Puts the lineage among the open ones of `subject`, or takes it away.
    fn open_subject(&mut self, subject: &Sha256, open: bool) -> Result<(), RowError> {
        let StatementPlace { domain, name } = self.place();
        let key = row_key::open_subject(&domain, subject, &name);
        let before = self.view().open_count(&domain, subject)?;
        let count = if open {
            self.rows.put(Table::OpenSubjects, &key, &[])?;
            before.saturating_add(1)
        } else {
            self.rows.delete(Table::OpenSubjects, &key)?;
            before.saturating_sub(1)
        };
        let key = row_key::of_subject(&domain, subject);
        if count == 0 {
            // Whether there was ever one must not show, since it depends on the order of arrival.
            return self.rows.delete(Table::OpenSubjects, &key);
        }
        self.put(Table::OpenSubjects, &key, &OpenSubjectRow { open: count })
    }

    fn issuer_slot(
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

    /// The second statement for a slot. It moves no head, and whichever of the two came first, both lie in the slot.
    fn equivocation(
        &mut self,
        lineage: &mut LineageRow,
        issuer: &PublicKey,
        sequence: u64,
    ) -> Result<(), RowError> {
        lineage.conflicts.push(Conflict { issuer: *issuer, sequence, reconciled: None });
        lineage.conflicts.sort_unstable();
        self.slot(issuer, sequence, Half::Second, None)
    }

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
