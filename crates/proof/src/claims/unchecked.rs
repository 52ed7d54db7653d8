//! What a policy could check and does not, in words for people.

use std::fmt::{Display, Formatter};

use super::words::Of;
use crate::kind::EvidenceKind;

/// One check that a policy could make and does not. Its text is for people and complete in itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unchecked {
    /// The policy requires no evidence of its own.
    Requirements,
    /// The policy requires nothing of the runtime.
    Runtime,
    /// Any attestation status is accepted.
    AttestationStatus,
    /// Any measurement is accepted.
    Measurements,
    /// A validation counts whatever policy was checked.
    PolicyDigests,
    /// There is a list of statuses, and no attestation is required.
    AttestationsNotRequired,
    /// There is a list of measurements, and nothing that is measured is required.
    MeasurementsNotRequired,
    /// There is a list of policy digests, and no validation is required.
    ValidationsNotRequired,
    /// Evidence that is required counts at any age.
    Age {
        /// The kind that is required.
        kind: EvidenceKind,
        /// Of the execution or of its runtime.
        of: Of,
    },
}

impl Display for Unchecked {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Unchecked::Requirements => {
                f.write_str("no kind of evidence is required besides the `execution-authorization`")
            }
            Unchecked::Runtime => {
                f.write_str("the policy requires nothing of the runtime")
            }
            Unchecked::AttestationStatus => {
                f.write_str("any attestation status is accepted, `contraindicated` too")
            }
            Unchecked::Measurements => f.write_str("any measurement is accepted"),
            Unchecked::PolicyDigests => f.write_str("a `pass` for any policy digest counts"),
            Unchecked::AttestationsNotRequired => f.write_str(
                "no `runtime-attestation` is required: its status is looked at only where there is one",
            ),
            Unchecked::MeasurementsNotRequired => f.write_str(
                "no `runtime-attestation` and no `runtime-integrity` is required: measurements are looked at only where there \
                 are any",
            ),
            Unchecked::ValidationsNotRequired => {
                f.write_str("no `policy-validation` is required, so that `policyDigests` is not looked at")
            }
            Unchecked::Age { kind, of } => write!(f, "`{kind}` of the {of} counts at any age"),
        }
    }
}
