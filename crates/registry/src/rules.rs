//! Which version of the rules a state follows (RFC-EG-033 §3, deterministic proof resolution).
//!
//! The state names the version, and a `rules` statement raises it by one. [`assent_proof::Rules`] says how
//! the versions differ, because that is where an envelope meets them first.

use assent_proof::{Rules, RulesVersion};

use crate::rows::RowError;
use crate::view::View;

/// Whether a build that knows the rules up to `known` can follow `version`.
///
/// Rule R153 (RFC-EG-033 §3, Cryptographic Proof Validation): A replica whose build does not know the rules
/// that a `rules` statement raises stops, and neither refuses the statement nor goes on without it.
pub(crate) fn reaches(known: RulesVersion, version: u32) -> Result<(), RowError> {
    if version <= known.0 { Ok(()) } else { Err(RowError::RulesUnknown { version, known: known.0 }) }
}

impl View<'_> {
    /// The version of the rules that this state follows.
    pub(crate) fn rules_version(&self) -> Result<RulesVersion, RowError> {
        Ok(self.meta()?.map_or(RulesVersion::GENESIS, |meta| RulesVersion(meta.rules_version)))
    }

    /// The rules that this state follows. If this build does not have them, it cannot judge the state.
    ///
    /// Rule R11 (RFC-EG-033 §3, Cryptographic Proof Validation): A build that does not know the version of
    /// the rules that the state follows applies nothing and allows nothing.
    pub(crate) fn rules(&self) -> Result<Rules, RowError> {
        let version = self.rules_version()?;
        let known = RulesVersion::NEWEST.0;
        Rules::of(version).ok_or(RowError::RulesUnknown { version: version.0, known })
    }
}

/// The rules that this state follows: those under which the next envelope is verified.
///
/// # Errors
/// [`RowError::RulesUnknown`] if this build does not know them, otherwise an error in reading.
pub fn rules_in_force(rows: &dyn crate::Rows) -> Result<Rules, RowError> {
    View::new(rows).rules()
}

/// Whether a build that knows the rules up to `known` can follow those of this state. Ask this before a state
/// is served or taken over: when a node starts, and before a snapshot is installed.
///
/// Rule R11 (RFC-EG-033 §3, Cryptographic Proof Validation): A build that does not know the version of the
/// rules that the state follows applies nothing and allows nothing.
///
/// # Errors
/// [`RowError::RulesUnknown`] if not, otherwise an error in reading.
pub fn rules_known(rows: &dyn crate::Rows, known: RulesVersion) -> Result<(), RowError> {
    reaches(known, View::new(rows).rules_version()?.0)
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

    /// Rule R11.
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
        rows.put(Table::Meta, row_key::META, &encode(&meta, Rules::GENESIS)).unwrap();
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
            history: None,
        };
        let decision = authorize(&View::new(&rows), &request, Millis(0));
        let reasons: Vec<Code> = decision.reasons.iter().map(|reason| reason.code).collect();
        assert_eq!(reasons, [Code::EvidenceMutated]);
        let known = RulesVersion::NEWEST;
        let unknown = RowError::RulesUnknown { version: 9, known: known.0 };
        assert_eq!(rules_known(&rows, known), Err(unknown.clone()));
        assert_eq!(crate::apply::<crate::Unverified<'_>>(&mut rows, known, Millis(0), &[]), Err(unknown));
    }
}
