//! The classes of entries.

use assent_api::Call;
use serde::{Deserialize, Serialize};

/// The class of an entry of the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditClass {
    /// A request for a decision or a permit.
    Decision,
    /// Signed envelopes that were handed in.
    Submission,
    /// A call that only reads.
    Read,
    /// A change of the cluster, or a confirmation of a clock. It cannot be turned off.
    Admin,
    /// A call that its caller may not make, or may not make now. It cannot be turned off.
    Refused,
}

impl AuditClass {
    /// Every class.
    pub const ALL: [AuditClass; 5] = [
        AuditClass::Decision,
        AuditClass::Submission,
        AuditClass::Read,
        AuditClass::Admin,
        AuditClass::Refused,
    ];

    /// The class of calls of this kind, if they are permitted.
    pub(crate) fn of(call: Call) -> Self {
        match call {
            Call::Submission => AuditClass::Submission,
            Call::Authorize => AuditClass::Decision,
            Call::Read | Call::Feed => AuditClass::Read,
            Call::Manage | Call::Clock => AuditClass::Admin,
        }
    }

    /// Whether the configuration may turn it off.
    pub(crate) fn may_be_off(self) -> bool {
        match self {
            AuditClass::Decision | AuditClass::Submission | AuditClass::Read => true,
            AuditClass::Admin | AuditClass::Refused => false,
        }
    }

    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            AuditClass::Decision => "decision",
            AuditClass::Submission => "submission",
            AuditClass::Read => "read",
            AuditClass::Admin => "admin",
            AuditClass::Refused => "refused",
        }
    }
}
