//! The row of each restriction.

use super::writer::{StatementPlace, Writer};
use crate::kinds::Restriction;
use crate::record::RestrictionRow;
use crate::row_key;
use crate::rows::{RowError, Table};

impl Writer<'_> {
    /// Records the restriction, so that a later one that adds nothing to it is recognised.
    pub(super) fn restriction(&mut self, restriction: &Restriction<'_>) -> Result<(), RowError> {
        let target = restriction.target();
        let StatementPlace { domain, .. } = self.place();
        let key = row_key::restriction(&domain, self.statement.kind, &target, &self.statement.issuers);
        let row = RestrictionRow { evidence_id: self.id, invalid_since: restriction.invalid_since() };
        self.put(Table::Restrictions, &key, &row)
    }
}
