//! The HTTP status of each code in each kind of call.

use assent_proof::Code;

/// The kind of call that a status answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `POST /v1/envelopes`, and each result of `:batch`.
    Submission,
    /// `POST /v1/authorize`, and permits. 403 is a deny, and 503 is a deny because the registry cannot know.
    Authorize,
    /// Every call that only reads, except the feed.
    Read,
    /// `GET /v1/events`: a read that continues from a cursor.
    Feed,
    /// Changes of the cluster's membership.
    Manage,
    /// `POST /v1/clock/confirm`.
    Clock,
}

impl Call {
    /// Every kind of call.
    pub const ALL: [Call; 6] =
        [Call::Submission, Call::Authorize, Call::Read, Call::Feed, Call::Manage, Call::Clock];

    /// The call's word in `docs/codes.md`.
    pub fn as_str(self) -> &'static str {
        match self {
            Call::Submission => "submission",
            Call::Authorize => "authorize",
            Call::Read => "read",
            Call::Feed => "feed",
            Call::Manage => "membership",
            Call::Clock => "clock",
        }
    }
}

/// The HTTP status of a code in a kind of call. An accepted submission (201, 200) and an allow
/// (200) have no code; a submission that may have been accepted is 504, [`Problem::unknown_outcome`].
///
/// The status agrees with [`retry_of`](crate::retry_of): a final code has a status 4xx other than 429, and 429 and 503
/// are never final.
///
/// [`Problem::unknown_outcome`]: crate::Problem::unknown_outcome
pub fn status_of(code: Code, call: Call) -> u16 {
    match code {
        Code::Malformed => 400,
        Code::TooLarge => 413,
        Code::EncodingUnsupported => 415,
        Code::Overloaded if call == Call::Submission => 429,
        // The registry cannot know, or cannot take it now. Nothing was proposed.
        Code::NoQuorum
        | Code::DeadlineExceeded
        | Code::Overloaded
        | Code::ClockUncertain
        | Code::EvidenceMutated
        | Code::RevisionNotReached
        // The node can never do it again, but another node can.
        | Code::MemberRemoved => 503,
        // As the reason of a deny, a defect of the node decides nothing.
        Code::InternalError if call == Call::Authorize => 503,
        // The call may have been carried out.
        Code::InternalError => 500,
        _ if call == Call::Authorize => 403,
        // A conflict about the slot, the head or the nonce, an equivocation, or a peer's tree that does not extend the
        // one before.
        Code::LineageFragmented
        | Code::RegistryDiverged
        | Code::HeadMoved
        | Code::HeadMismatch
        // The caller is in another history, or beyond the ledger of this one.
        | Code::HistoryMismatch
        | Code::CursorBeyondLedger
        | Code::NonceReused
        | Code::AuthorityInconsistent
        | Code::MemberExists
        | Code::MemberBehind
        | Code::QuorumAtRisk
        | Code::MembershipBusy => 409,
        Code::AuthorityUnknown if matches!(call, Call::Read | Call::Feed) => 404,
        Code::TargetUnknown
        | Code::MemberUnknown
        | Code::DomainUnknown
        | Code::LineageUnknown
        | Code::PolicyMissing
        | Code::EvidenceMissing => 404,
        Code::AuthorityUnknown
        | Code::AuthorityRevoked
        | Code::AuthorityExpired
        | Code::RoleNotPermitted
        | Code::ThresholdNotMet
        | Code::CallerNotPermitted => 403,
        // Each code is named, so that a new code does not compile without its status.
        Code::UnsignedEvidence
        | Code::RuntimeStale
        | Code::EvidenceDetached
        | Code::InheritanceUnverifiable
        | Code::SignatureInvalid
        | Code::WrongRegistry
        | Code::TimesInvalid
        | Code::ClaimsInvalid
        | Code::DomainIsolated
        | Code::LineageClosed
        | Code::SubjectMismatch
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
        | Code::AuthorizationConsumed => 400,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authorize_error_is_never_a_success() {
        for code in Code::ALL {
            assert!(matches!(status_of(*code, Call::Authorize), 400 | 413 | 415 | 403 | 503), "{code}");
        }
    }

    #[test]
    fn no_code_is_a_success_anywhere() {
        for code in Code::ALL {
            for call in Call::ALL {
                assert!((400..600).contains(&status_of(*code, call)), "{code}");
            }
        }
    }

    /// Rule R156.
    #[test]
    fn every_code_has_its_documented_status() {
        use Code::*;
        let cannot_know = [
            NoQuorum,
            DeadlineExceeded,
            Overloaded,
            ClockUncertain,
            EvidenceMutated,
            RevisionNotReached,
            MemberRemoved,
            InternalError,
        ];
        for code in Code::ALL {
            let cannot = cannot_know.contains(code);
            assert_eq!(status_of(*code, Call::Authorize) == 503, cannot, "{code}");
        }
        for (code, status) in [
            (TooLarge, 413),
            (EncodingUnsupported, 415),
            (Malformed, 400),
            (SignatureInvalid, 400),
            (UnsignedEvidence, 400),
            (WrongRegistry, 400),
            (LineageFragmented, 409),
            (HeadMoved, 409),
            (AuthorityInconsistent, 409),
            (RegistryDiverged, 409),
            (DomainUnknown, 404),
            (TargetUnknown, 404),
            (AuthorityRevoked, 403),
            (AuthorityUnknown, 403),
            (ThresholdNotMet, 403),
            (RoleNotPermitted, 403),
            (Overloaded, 429),
            (NoQuorum, 503),
            (ClockUncertain, 503),
            (InternalError, 500),
            (HistoryMismatch, 409),
        ] {
            assert_eq!(status_of(code, Call::Submission), status, "{code}");
        }
        for (call, status) in [(Call::Authorize, 403), (Call::Read, 409)] {
            assert_eq!(status_of(HistoryMismatch, call), status);
            assert_eq!(status_of(CursorBeyondLedger, call), status);
        }
        assert_eq!(status_of(AuthorityUnknown, Call::Read), 404);
    }
}
