//! Whether a call that was refused or denied can be made again, and where: one table of every code in every call.
//!
//! The nodes' HTTP statuses agree with this table, `docs/codes.md` shows it, and `assent-client` uses no other one.

use assent_proof::Code;

use crate::status::Call;

/// Whether the same call can be made again, unchanged, and may then get another answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The registry has judged. Every node gives the same answer to the same call until something changes in the
    /// registry.
    Final,
    /// The cluster cannot do it now, and every node would say so. The same node can do it after its `Retry-After`, or
    /// after a short pause if it names none.
    Here,
    /// This node cannot do it now. Another node may do it at once, and this node may do it after its `Retry-After`.
    Elsewhere,
}

impl Retry {
    /// Every verdict.
    pub const ALL: [Retry; 3] = [Retry::Final, Retry::Here, Retry::Elsewhere];

    /// The verdict's word in `docs/codes.md`.
    pub fn as_str(self) -> &'static str {
        match self {
            Retry::Final => "final",
            Retry::Here => "here",
            Retry::Elsewhere => "elsewhere",
        }
    }
}

/// What a code says about making the same call again. Every code is named here, so that a new code does not compile
/// without its verdict. A code has a verdict even for a call that is never answered with it.
///
/// Rule R157 (RFC-EG-033 §4, topology reconciliation divergence): Of the codes that are answered with 409,
/// `registry_diverged`, for a peer's checkpoint that does not extend its last one, is final, and
/// `membership_busy` can be asked again at the same node.
pub fn retry_of(code: Code, call: Call) -> Retry {
    match code {
        // The node could not do it. These codes say nothing about what was asked.
        Code::NoQuorum
        | Code::EvidenceMutated
        | Code::ClockUncertain
        | Code::DeadlineExceeded
        | Code::Overloaded
        | Code::RevisionNotReached
        // The node failed because of its own defect. Other nodes may not fail.
        | Code::InternalError
        // The node can never do it again, but the other nodes can.
        | Code::MemberRemoved => Retry::Elsewhere,
        // The leader makes one change at a time, whichever node is asked.
        Code::MembershipBusy => match call {
            Call::Manage => Retry::Here,
            Call::Submission | Call::Authorize | Call::Read | Call::Feed | Call::Clock => Retry::Final,
        },
        // The endpoints may belong to several epochs of a cluster, or to several clusters. One of them may have the
        // place at which a follower of the feed is. A single read belongs to one history, and cannot continue in
        // another one.
        Code::HistoryMismatch | Code::CursorBeyondLedger => match call {
            Call::Feed => Retry::Elsewhere,
            Call::Submission | Call::Authorize | Call::Read | Call::Manage | Call::Clock => Retry::Final,
        },
        Code::UnsignedEvidence
        | Code::LineageFragmented
        | Code::RuntimeStale
        | Code::EvidenceDetached
        | Code::AuthorityInconsistent
        | Code::RegistryDiverged
        | Code::EvidenceMissing
        | Code::InheritanceUnverifiable
        | Code::Malformed
        | Code::TooLarge
        | Code::EncodingUnsupported
        | Code::SignatureInvalid
        | Code::WrongRegistry
        | Code::HeadMoved
        | Code::TimesInvalid
        | Code::ClaimsInvalid
        | Code::TargetUnknown
        | Code::AuthorityUnknown
        | Code::AuthorityRevoked
        | Code::AuthorityExpired
        | Code::RoleNotPermitted
        | Code::ThresholdNotMet
        | Code::DomainUnknown
        | Code::DomainIsolated
        | Code::LineageClosed
        | Code::SubjectMismatch
        | Code::CallerNotPermitted
        | Code::PolicyMissing
        | Code::LineageUnknown
        | Code::LineageAmbiguous
        | Code::LineageQuarantined
        | Code::EvidenceExpired
        | Code::EvidenceInvalidated
        | Code::AttestationNotAffirming
        | Code::MeasurementNotApproved
        | Code::PolicyValidationFailed
        | Code::ActionNotPermitted
        | Code::AudienceMismatch
        | Code::EnvironmentMismatch
        | Code::RuntimeMismatch
        | Code::PermitRequired
        | Code::AuthorizationConsumed
        | Code::NonceReused
        | Code::HeadMismatch
        | Code::MemberUnknown
        | Code::MemberExists
        // What these codes wait for takes longer than a call, and may never come. The caller decides whether to wait.
        | Code::MemberBehind
        | Code::QuorumAtRisk => Retry::Final,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::status_of;

    /// Rule R157.
    #[test]
    fn every_codes_status_agrees_with_its_verdict_in_every_call() {
        for code in Code::ALL {
            for call in Call::ALL {
                let (retry, status) = (retry_of(*code, call), status_of(*code, call));
                let said = format!("`{code}` {call:?}: {status}, {}", retry.as_str());
                if retry == Retry::Final {
                    assert!((400..429).contains(&status) && status != 408, "{said}");
                }
                if status == 429 || status >= 500 {
                    assert_ne!(retry, Retry::Final, "{said}");
                }
                if call == Call::Authorize {
                    let decides = retry == Retry::Final;
                    assert_eq!(status != 503, decides, "a deny with 503 decides nothing: {said}");
                }
            }
        }
    }

    /// Rule R157.
    #[test]
    fn a_peers_checkpoint_that_does_not_extend_the_last_one_is_refused_for_good() {
        let code = Code::RegistryDiverged;
        assert_eq!(retry_of(code, Call::Submission), Retry::Final);
        assert_eq!(status_of(code, Call::Submission), 409);
        assert!(code.remedy().contains("peer") && !code.remedy().contains("node"), "{}", code.remedy());
    }
}
