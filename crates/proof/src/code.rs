//! The one enum of codes: why something was refused or denied.
//!
//! Codes are stable strings. Each has its clause of RFC-EG-033 and a remedy of one line. Their order is part
//! of the protocol: a decision lists its reasons in this order.

use crate::string_enum::string_enum;

/// Which calls answer with a code, and what the code means there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeUse {
    /// It refuses a submission.
    Refuses,
    /// It denies an authorize.
    Denies,
    /// It does either.
    RefusesAndDenies,
    /// It refuses a change of the cluster's membership, or says why a node is not a member.
    RefusesChange,
    /// It refuses to continue a read from the position that the caller gives.
    RefusesRead,
    /// It refuses to continue a read from the position that the caller gives, and denies an authorize.
    RefusesReadAndDenies,
}

/// Declares [`Code`] from rows of meaning, variant, string, use, clause and remedy, so that no code can lack
/// any of them.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal, $use:ident, $clause:literal, $remedy:literal;)+) => {
        string_enum! {
            /// Why a submission was refused or an authorize denied. Stored and sent as its string.
            Code, "a code" {
                $($(#[doc = $doc])+ $variant = $text,)+
            }
        }

        impl Code {
            /// What it means, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// Whether it refuses, denies, or does either.
            pub fn usage(self) -> CodeUse {
                match self { $(Code::$variant => CodeUse::$use,)+ }
            }

            /// The clause that asks for this, such as `RFC-EG-033 §4`.
            pub fn clause(self) -> &'static str {
                match self { $(Code::$variant => concat!("RFC-EG-033 ", $clause),)+ }
            }

            /// What to do about it, in one line.
            pub fn remedy(self) -> &'static str {
                match self { $(Code::$variant => $remedy,)+ }
            }
        }
    };
}

codes! {
    /// No signature by a named issuer.
    UnsignedEvidence = "unsigned_evidence", Refuses, "§4",
        "sign the envelope with the key of every issuer that the statement names";
    /// A gap, a wrong parent, or a stored chain that does not join.
    LineageFragmented = "lineage_fragmented", RefusesAndDenies, "§4",
        "continue from the head that the answer names, or submit what is missing first";
    /// Required evidence is older than its age limit.
    RuntimeStale = "runtime_stale", Denies, "§4",
        "submit fresh evidence of that kind";
    /// No read barrier or commit within the deadline.
    NoQuorum = "no_quorum", RefusesAndDenies, "§4",
        "try again, or ask another node; restore a majority of the nodes";
    /// A reference that does not exist in the domain, or an audit event that references nothing.
    EvidenceDetached = "evidence_detached", Refuses, "§4",
        "submit the referenced evidence first, and reference at least one piece in an audit event";
    /// One key under two roles or domains, or two statements of one issuer for one slot.
    AuthorityInconsistent = "authority_inconsistent", RefusesAndDenies, "§4",
        "use one key for one role in one domain; an equivocation needs a reconciliation by the domain's governance";
    /// Another registry's checkpoint is not proven to extend its last one that was accepted.
    RegistryDiverged = "registry_diverged", Refuses, "§4",
        "have the peer prove that its tree extends its last accepted checkpoint; if it cannot, it has forked: make its trust void";
    /// A required kind of evidence is absent.
    EvidenceMissing = "evidence_missing", Denies, "§4",
        "submit evidence of the kind that the policy requires";
    /// Stored bytes do not hash to their id or checksum.
    EvidenceMutated = "evidence_mutated", Denies, "§4",
        "take the node out of service and replace its store";
    /// Rests on a void grant or reference, or an untrusted peer, or on more statements than one evaluation judges.
    InheritanceUnverifiable = "inheritance_unverifiable", RefusesAndDenies, "§4",
        "issue the evidence anew on evidence and grants that stand";
    /// The input does not have the required form.
    Malformed = "malformed", Refuses, "§6",
        "correct the field that the answer names";
    /// The input is over a size limit.
    TooLarge = "too_large", Refuses, "§6",
        "send less, or follow the answer; the limits are in the documentation";
    /// The request's body is encoded in a way that the node does not read.
    EncodingUnsupported = "encoding_unsupported", Refuses, "§6",
        "send the body as it is: without `Content-Encoding`, and with `Content-Length` or `Transfer-Encoding: chunked`";
    /// A signature that does not verify.
    SignatureInvalid = "signature_invalid", Refuses, "§6",
        "sign exactly these bytes with the key that the statement names";
    /// The statement is meant for another registry.
    WrongRegistry = "wrong_registry", Refuses, "§10",
        "make a statement that names this registry's origin";
    /// Another statement took the slot.
    HeadMoved = "head_moved", Refuses, "§3",
        "take the next slot after the current head, sign again and resubmit";
    /// A time lies in the future or has already passed.
    TimesInvalid = "times_invalid", Refuses, "§6",
        "check the signer's clock and the statement's times";
    /// The claims break the rules of their kind.
    ClaimsInvalid = "claims_invalid", Refuses, "§6",
        "correct the claim that the answer names";
    /// What the statement is about does not exist.
    TargetUnknown = "target_unknown", Refuses, "§3",
        "name an existing target";
    /// The key is no authority of the domain.
    AuthorityUnknown = "authority_unknown", RefusesAndDenies, "§3",
        "have the domain's governance grant the key its role";
    /// The key is revoked.
    AuthorityRevoked = "authority_revoked", RefusesAndDenies, "§3",
        "use another key; a revoked key never comes back";
    /// The key's grant does not cover this time.
    AuthorityExpired = "authority_expired", RefusesAndDenies, "§3",
        "have the domain's governance grant a new key";
    /// The issuer's role may not sign this kind.
    RoleNotPermitted = "role_not_permitted", RefusesAndDenies, "§8",
        "have an authority with a permitted role sign it";
    /// Too few of the required keys signed, or a revocation would leave too few of them.
    ThresholdNotMet = "threshold_not_met", RefusesAndDenies, "§3",
        "collect the signatures of more governance or root keys, or of all voters for rules; replace a key that cannot be spared instead of revoking it";
    /// The domain does not exist.
    DomainUnknown = "domain_unknown", RefusesAndDenies, "§8",
        "check the name, or have the root keys create the domain";
    /// The domain is isolated.
    DomainIsolated = "domain_isolated", RefusesAndDenies, "§7",
        "have the domain's governance release the isolation";
    /// The lineage was closed by a final audit event.
    LineageClosed = "lineage_closed", RefusesAndDenies, "§3",
        "start a new lineage";
    /// The subject is not the one that the lineage began with.
    SubjectMismatch = "subject_mismatch", RefusesAndDenies, "§6",
        "use the lineage of this subject, or start a new one";
    /// The node is not sure of its clock.
    ClockUncertain = "clock_uncertain", RefusesAndDenies, "§6",
        "synchronize the nodes' clocks; ask another node";
    /// The answer was not ready before its deadline.
    DeadlineExceeded = "deadline_exceeded", RefusesAndDenies, "§7",
        "try again";
    /// The node has too much to do.
    Overloaded = "overloaded", RefusesAndDenies, "§7",
        "try again after a pause that grows";
    /// The caller may not do this.
    CallerNotPermitted = "caller_not_permitted", RefusesAndDenies, "§8",
        "use credentials that permit this";
    /// The domain has no policy that stands.
    PolicyMissing = "policy_missing", Denies, "§7",
        "have the domain's governance publish a policy";
    /// There is no such lineage, or none of that subject.
    LineageUnknown = "lineage_unknown", Denies, "§4",
        "submit the execution's evidence first, or check domain, lineage and digest";
    /// More than one open lineage has that subject.
    LineageAmbiguous = "lineage_ambiguous", Denies, "§4",
        "name the lineage in the request";
    /// The lineage is quarantined.
    LineageQuarantined = "lineage_quarantined", Denies, "§7",
        "have the domain's governance reconcile or release the lineage";
    /// The newest evidence is expired or not yet valid.
    EvidenceExpired = "evidence_expired", Denies, "§6",
        "submit evidence that is valid now";
    /// The newest evidence is void.
    EvidenceInvalidated = "evidence_invalidated", Denies, "§7",
        "have a standing authority issue it anew";
    /// The newest attestation's status is not accepted by the policy.
    AttestationNotAffirming = "attestation_not_affirming", Denies, "§3",
        "repair the runtime and attest it again";
    /// The newest measurement is not in the policy's list.
    MeasurementNotApproved = "measurement_not_approved", Denies, "§3",
        "run an approved build, or have governance approve this measurement";
    /// The newest policy validation failed or is of a digest that is not approved.
    PolicyValidationFailed = "policy_validation_failed", Denies, "§3",
        "repair what the policy check found and validate again";
    /// No execution-authorization names this action.
    ActionNotPermitted = "action_not_permitted", Denies, "§7",
        "have governance authorize the action";
    /// The authorization is for another audience.
    AudienceMismatch = "audience_mismatch", Denies, "§7",
        "ask for the authorized audience, or have governance authorize this one";
    /// The authorization is for another environment.
    EnvironmentMismatch = "environment_mismatch", Denies, "§7",
        "ask for the authorized environment, or have governance authorize this one";
    /// The authorization is for other runtimes.
    RuntimeMismatch = "runtime_mismatch", Denies, "§7",
        "run it on an authorized runtime, or have governance authorize this one";
    /// The authorization counts its uses, so a read cannot answer.
    PermitRequired = "permit_required", Denies, "§7",
        "ask for a permit instead";
    /// Every use of the authorization is consumed.
    AuthorizationConsumed = "authorization_consumed", Denies, "§7",
        "have governance issue a new authorization";
    /// The nonce was used for another request.
    NonceReused = "nonce_reused", Denies, "§10",
        "draw a new nonce for each request";
    /// The lineage's head is not the expected one.
    HeadMismatch = "head_mismatch", Denies, "§4",
        "read the lineage again and decide whether to ask again";
    /// The node's state is older than the revision asked for.
    RevisionNotReached = "revision_not_reached", Denies, "§5",
        "try again, or ask another node";
    /// The request or the cursor points into another history than the one in force.
    HistoryMismatch = "history_mismatch", RefusesReadAndDenies, "§5",
        "take the history in force from the answer, read again what has changed in it, and ask with what you read there";
    /// The cursor lies beyond the ledger that a quorum has confirmed.
    CursorBeyondLedger = "cursor_beyond_ledger", RefusesRead, "§5",
        "find out whether the cluster was founded anew or its disks were put back; then read again from the beginning";
    /// There is no such member of the cluster.
    MemberUnknown = "member_unknown", RefusesChange, "§5",
        "list the members and name one of them";
    /// The node id, store, key or address is taken: each is used once.
    MemberExists = "member_exists", RefusesChange, "§5",
        "give the node an id that was never used, an empty data directory and a key of its own";
    /// The member lags too far behind to vote, or cannot be reached.
    MemberBehind = "member_behind", RefusesChange, "§5",
        "wait until it has caught up, and promote it then";
    /// After this change the voters that answer would not be a quorum.
    QuorumAtRisk = "quorum_at_risk", RefusesChange, "§5",
        "bring the other voters back first, or remove one that does not answer";
    /// Another change of the membership is under way.
    MembershipBusy = "membership_busy", RefusesChange, "§5",
        "try again when it is done";
    /// This node was removed from the cluster, for good.
    MemberRemoved = "member_removed", RefusesChange, "§5",
        "stop this node and keep its data for the auditors; its machine may join as a new member, with an id that was never used, an empty data directory and a key of its own";
    /// A defect of the node's own: the call may have been carried out, and nothing is said of what was asked.
    InternalError = "internal_error", Refuses, "§7",
        "make the call again: the same submission, and the same permit with its nonce, is recorded once; report what this node has logged";
}
