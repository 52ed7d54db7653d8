//! The walk back over what an issuer said before, with its one bound for a whole evaluation.

use super::case::Case;
use super::lineage_state::LineageState;
use crate::issuer_statements::{IssuerStatements, Slot, Walk};
use crate::limit;
use crate::rows::RowError;

/// More slots were walked back over than one evaluation does.
pub(super) struct TooFar;

impl Case<'_> {
    /// The slot before those that `walk` has passed; an error if so many were looked at that it is in doubt.
    ///
    /// Rule R33 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): If one evaluation would walk back over more
    /// than 1,024 slots, it denies (`inheritance_unverifiable`).
    pub(super) fn walk(
        &self,
        lineage_state: &LineageState,
        statements: &IssuerStatements,
        walk: &mut Walk,
    ) -> Result<Result<Option<Slot>, TooFar>, RowError> {
        let next = walk.next(self.view, lineage_state.chain(self, statements), &lineage_state.lineage)?;
        if next.is_some() {
            self.walked.set(self.walked.get().saturating_add(1));
        }
        Ok(if self.walked.get() > limit::WALKED_STATEMENTS { Err(TooFar) } else { Ok(next) })
    }
}
