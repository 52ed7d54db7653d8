//! The subjects of a lineage, whether it is closed, and its place among the open lineages of its subjects.

use assent_proof::Sha256;

use super::writer::{StatementPlace, Writer};
use crate::kinds::effects;
use crate::record::{LineageRow, OpenSubjectRow};
use crate::row_key;
use crate::rows::{RowError, Table};

impl Writer<'_> {
    /// Writes the lineage's subjects, whether this statement closes it, and its place among the open ones.
    ///
    /// Rule R127 (RFC-EG-033 §2, audit lineage evidence): An audit event `completed` or `failed` closes its
    /// lineage for good, even if it is one half of an equivocation or becomes void.
    pub(super) fn subject_and_closing(&mut self, lineage: &mut LineageRow) -> Result<(), RowError> {
        if lineage.founder.is_none() {
            lineage.founder = self.statement.issuers.first().copied();
        }
        if !lineage.subjects.contains(&self.statement.subject) {
            lineage.subjects.push(self.statement.subject);
            lineage.subjects.sort_unstable();
        }
        if effects(&self.plan.claims).closes {
            // If both halves of an equivocation close the lineage, the smaller id wins, whichever came first.
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

    /// Puts the lineage among the open ones of `subject`, or removes it.
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
            // The rows must not show whether there ever was one, because that depends on the order of
            // arrival.
            return self.rows.delete(Table::OpenSubjects, &key);
        }
        self.put(Table::OpenSubjects, &key, &OpenSubjectRow { open: count })
    }
}
