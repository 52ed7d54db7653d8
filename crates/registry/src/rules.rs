//! The versions of the rules, and what differs between them.
//!
//! The state says which version it follows, and a `rules` statement raises it by one. Old versions stay here for good: a
//! ledger is replayed under the rules that each of its leaves was accepted under, so it gives the same rows on every
//! build that knows them all. To change a rule: add a field to [`Rules`], give it the old behaviour in the versions that
//! are there, and the new one in a version of its own.

use std::fmt;

use crate::rows::{RowError, Rows};
use crate::view::View;

/// A version of the rules that `apply` follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RulesVersion(pub u32);

impl RulesVersion {
    /// The version that every registry begins with, whatever the build that founds it knows.
    pub const GENESIS: RulesVersion = RulesVersion(1);

    /// The newest version that this build knows.
    pub const NEWEST: RulesVersion = RulesVersion(1);

    /// A version that is in no release, to test what a raise does.
    #[cfg(feature = "test-rules")]
    pub const TEST: RulesVersion = RulesVersion(2);

    /// Whether somebody who knows the rules up to this version can follow `version`.
    pub(crate) fn reaches(self, version: u32) -> Result<(), RowError> {
        if version <= self.0 { Ok(()) } else { Err(RowError::RulesUnknown { version, known: self.0 }) }
    }
}

impl fmt::Display for RulesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the versions differ in; everything else is the same in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Whether an audit event must carry `detail`.
    pub(crate) audit_event_needs_detail: bool,
}

impl Rules {
    /// The rules of a version.
    fn of(version: RulesVersion) -> Result<Self, RowError> {
        match version {
            RulesVersion::GENESIS => Ok(Rules { audit_event_needs_detail: false }),
            #[cfg(feature = "test-rules")]
            RulesVersion::TEST => Ok(Rules { audit_event_needs_detail: true }),
            RulesVersion(version) => Err(RowError::RulesUnknown { version, known: RulesVersion::NEWEST.0 }),
        }
    }
}

impl View<'_> {
    /// The version of the rules that this state follows.
    pub(crate) fn rules_version(&self) -> Result<RulesVersion, RowError> {
        Ok(self.meta()?.map_or(RulesVersion::GENESIS, |meta| RulesVersion(meta.rules_version)))
    }

    /// The rules that this state follows. A state under rules that this build does not have is none that it can judge.
    pub(crate) fn rules(&self) -> Result<Rules, RowError> {
        Rules::of(self.rules_version()?)
    }
}

/// Whether somebody who knows the rules up to `known` can follow those of this state. To be asked of a state before it is
/// served or taken over: when a node starts, and of a snapshot before it is installed.
///
/// # Errors
/// [`RowError::RulesUnknown`] if not, otherwise what reading gives.
pub fn rules_known(rows: &dyn Rows, known: RulesVersion) -> Result<(), RowError> {
    known.reaches(View::new(rows).rules_version()?.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use assent_proof::{AuthorizeRequest, Code, Millis, Sha256, SigningKey};

    use super::*;
    use crate::codec::encode;
    use crate::record::MetaRow;
    use crate::rows::{MemoryRows, RowsMut, Table};
    use crate::{authorize, row_key};

    #[test]
    fn a_state_under_rules_of_another_build_allows_nothing_and_applies_nothing() {
        let meta = MetaRow {
            revision: 1,
            registry_time: Millis(0),
            rules_version: 9,
            epoch: 1,
            origin: "registry.example".to_owned(),
            cluster_id: [0; 32],
            registry_key: SigningKey::from_seed([7; 32]).public(),
        };
        let mut rows = MemoryRows::new();
        rows.put(Table::Meta, row_key::META, &encode(&meta)).unwrap();
        let request = AuthorizeRequest {
            domain: "prod.eu".parse().unwrap(),
            lineage: None,
            runtime: None,
            action: "run".to_owned(),
            subject: Sha256::of(b"trainer"),
            audience: None,
            environment: None,
            nonce: None,
            expected_head: None,
            min_revision: None,
        };
        let decision = authorize(&View::new(&rows), &request, Millis(0));
        let reasons: Vec<Code> = decision.reasons.iter().map(|reason| reason.code).collect();
        assert_eq!(reasons, [Code::EvidenceMutated]);
        let known = RulesVersion::NEWEST;
        let unknown = RowError::RulesUnknown { version: 9, known: known.0 };
        assert_eq!(rules_known(&rows, known), Err(unknown.clone()));
        assert_eq!(crate::apply(&mut rows, known, Millis(0), &[]), Err(unknown));
    }
}
