//! The walk back over an issuer's older slots, with one bound for a whole evaluation.

use super::case::Case;
use super::lineage_state::LineageState;
use crate::issuer_statements::{IssuerStatements, Slot, Walk};
use crate::limit;
use crate::rows::RowError;

/// The evaluation would have to walk back over more slots than it may.
pub(super) struct TooFar;

impl Case<'_> {
    /// The next older slot of `walk`; an error if so many slots were looked at that the result is in doubt.
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
