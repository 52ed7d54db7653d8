//! A statement's place in its lineage: slots, equivocations, newest statements, subjects, closing.

use assent_proof::{Claims, EvidenceKind, Sha256};

use super::{StatementPlace, Writer};
use crate::limit;
use crate::record::{
    Conflict, EarlierWord, IssuerConflict, IssuerRow, LineageRow, NewestHalf, NewestRow, OpenSubjectRow,
};
use crate::row_key;
use crate::rows::{RowError, Table};
use crate::standing::can_be_negative;
use crate::submit::Placement;

impl Writer<'_> {
    pub(super) fn lineage(&mut self) -> Result<(), RowError> {
        let mut lineage = self.plan.lineage.clone().unwrap_or_else(|| LineageRow {
            subjects: Vec::new(),
            founder: None,
            head: None,
            next_sequence: 0,
            issuers: 0,
            newest: 0,
            closed_by: None,
            conflicts: Vec::new(),
            quarantines: 0,
        });
        match self.plan.placement {
            Placement::IssuerSlot => self.issuer_slot(&mut lineage)?,
            Placement::Equivocation => self.equivocation(&mut lineage)?,
            Placement::SharedSlot => {
                lineage.head = Some(self.id);
                lineage.next_sequence = lineage.next_sequence.saturating_add(1);
            }
            Placement::Restriction | Placement::Permit | Placement::Rules | Placement::Standing(_) => {}
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
        if closes(&self.plan.claims) {
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

    fn issuer_slot(&mut self, lineage: &mut LineageRow) -> Result<(), RowError> {
        let Some(issuer) = self.statement.issuers.first().copied() else { return Ok(()) };
        let StatementPlace { domain, name } = self.place();
        let before = &self.plan.chain;
        if before.is_none() {
            lineage.issuers = lineage.issuers.saturating_add(1);
        }
        let sequence = self.statement.sequence.unwrap_or(0);
        let chain = IssuerRow {
            next_sequence: sequence.saturating_add(1),
            head: self.id,
            conflict: before.as_ref().and_then(|chain| chain.conflict.clone()),
        };
        self.put(Table::LineageIssuers, &row_key::issuer(&domain, &name, &issuer), &chain)?;
        lineage.head = Some(self.id);
        let replaced = self.view().newest_of(&domain, &name, self.statement.kind, &issuer)?;
        if replaced.is_none() {
            lineage.newest = lineage.newest.saturating_add(1);
        }
        let (before, forgotten) = replaced.map_or((Vec::new(), false), earlier_words);
        let newest = NewestRow { sequence, contested: false, halves: vec![self.half()], before, forgotten };
        let key = row_key::newest(&domain, &name, self.statement.kind, &issuer);
        self.put(Table::Newest, &key, &newest)
    }

    /// The second statement for a slot. Both halves end in the same rows, whichever came first: both are
    /// their kind's newest (unless a later one is), contested, and ordered by id.
    fn equivocation(&mut self, lineage: &mut LineageRow) -> Result<(), RowError> {
        let Some(issuer) = self.statement.issuers.first().copied() else { return Ok(()) };
        let sequence = self.statement.sequence.unwrap_or(0);
        let StatementPlace { domain, name } = self.place();
        lineage.conflicts.push(Conflict { issuer, sequence, reconciled: None });
        lineage.conflicts.sort_unstable();
        if let Some(mut chain) = self.plan.chain.clone() {
            chain.conflict = Some(IssuerConflict { sequence, second: self.id });
            self.put(Table::LineageIssuers, &row_key::issuer(&domain, &name, &issuer), &chain)?;
        }
        for kind in EvidenceKind::ALL.iter().copied().filter(|kind| kind.is_execution()) {
            let key = row_key::newest(&domain, &name, kind, &issuer);
            let mut found = self.view().newest_of(&domain, &name, kind, &issuer)?;
            let mut changed = false;
            if let Some(row) = found.as_mut().filter(|row| row.sequence == sequence) {
                row.contested = true;
                changed = true;
            }
            if kind == self.statement.kind {
                if found.is_none() {
                    lineage.newest = lineage.newest.saturating_add(1);
                }
                let row = match found {
                    Some(row) if row.sequence >= sequence => row,
                    older => {
                        let (before, forgotten) = older.map_or((Vec::new(), false), earlier_words);
                        NewestRow { sequence, contested: true, halves: Vec::new(), before, forgotten }
                    }
                };
                found = Some(self.with_half(row, sequence));
                changed = true;
            }
            if let Some(row) = found.filter(|_| changed) {
                self.put(Table::Newest, &key, &row)?;
            }
        }
        Ok(())
    }

    fn with_half(&self, mut row: NewestRow, sequence: u64) -> NewestRow {
        if row.sequence == sequence {
            row.halves.push(self.half());
            row.halves.sort_by_key(|half| half.evidence_id);
        } else if can_be_negative(self.statement.kind) {
            insert_word(&mut row, sequence, self.half());
        }
        row
    }

    fn half(&self) -> NewestHalf {
        NewestHalf {
            evidence_id: self.id,
            accepted_at: self.plan.accepted_at,
            issued_at: self.statement.issued_at,
            expires_at: self.statement.expires_at,
            references: self.statement.references.clone(),
            claims: self.plan.claims.clone(),
        }
    }
}

/// What a replaced row and those that it had replaced said, as far as it can be negative.
fn earlier_words(replaced: NewestRow) -> (Vec<EarlierWord>, bool) {
    let NewestRow { sequence, contested, halves, before: mut words, mut forgotten } = replaced;
    for half in halves {
        let repeats = !contested && repeats(&words, &half.claims);
        if can_be_negative(half.claims.kind()) && !repeats {
            words.push(EarlierWord { sequence, evidence_id: half.evidence_id, claims: half.claims });
        }
    }
    forgotten |= shorten(&mut words);
    (words, forgotten)
}

/// Whether the last word says the same, and says it alone.
fn repeats(words: &[EarlierWord], claims: &Claims) -> bool {
    match words {
        [.., before, last] => last.claims == *claims && before.sequence != last.sequence,
        [last] => last.claims == *claims,
        [] => false,
    }
}

/// Puts the second half of an older slot beside what was said then. Which of the two counts is for the reconciliation to
/// say; until they are told apart, both are looked at.
fn insert_word(row: &mut NewestRow, sequence: u64, half: NewestHalf) {
    let of_slot = row.before.iter().rev().find(|word| word.sequence <= sequence);
    let sequence = of_slot.map_or(sequence, |word| word.sequence);
    row.before.push(EarlierWord { sequence, evidence_id: half.evidence_id, claims: half.claims });
    row.before.sort_by_key(|word| (word.sequence, word.evidence_id));
    row.forgotten |= shorten(&mut row.before);
}

/// Forgets the oldest words over the bound; whether there were any.
fn shorten(words: &mut Vec<EarlierWord>) -> bool {
    let over = words.len().saturating_sub(limit::EARLIER_WORDS);
    words.drain(..over);
    over > 0
}

fn closes(claims: &Claims) -> bool {
    matches!(claims, Claims::AuditLineage { event, .. } if event == "completed" || event == "failed")
}
