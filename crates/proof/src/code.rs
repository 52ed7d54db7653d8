//! The one enum of codes: why a submission was refused, or a request denied.
//!
//! It owns each code's stable string, its meaning, its clause of RFC-EG-033 and its remedy of one line. The order of the
//! codes is part of the protocol: a decision lists its reasons in this order. It never decides which code applies, and
//! never maps a code to an HTTP status.

use crate::string_enum::string_enum;

/// What a code is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeUse {
    /// It refuses a submission.
    Refuses,
    /// It denies an authorize.
    Denies,
    /// It refuses a submission, or denies an authorize.
    RefusesAndDenies,
    /// It refuses a change of the cluster's membership, or says why a node is no longer a member.
    RefusesChange,
    /// It refuses a read that continues from a caller's cursor.
    RefusesRead,
    /// It refuses a read that continues from a caller's cursor, or denies an authorize.
    RefusesReadAndDenies,
}

/// Declares [`Code`] from rows of meaning, variant, string, use, clause and remedy, so that no code can lack one of them.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal, $use:ident, $clause:literal, $remedy:literal;)+) => {
        string_enum! {
            /// Why a submission was refused or an authorize denied. Stored and sent as its string.
            Code, "a code" {
                $($(#[doc = $doc])+ $variant = $text,)+
            }
        }

        impl Code {
            /// What the code means, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// What the code is used for.
            pub fn usage(self) -> CodeUse {
                match self { $(Code::$variant => CodeUse::$use,)+ }
            }

            /// The clause that requires the code, such as `RFC-EG-033 §4`.
            pub fn clause(self) -> &'static str {
                match self { $(Code::$variant => concat!("RFC-EG-033 ", $clause),)+ }
            }

            /// What the caller or the operator can do about it, in one line.
            pub fn remedy(self) -> &'static str {
                match self { $(Code::$variant => $remedy,)+ }
            }
        }
    };
}

codes! {
    /// The evidence lacks the signature of a key that must sign it.
    UnsignedEvidence = "unsigned_evidence", Refuses, "§4",
        "sign the envelope with the key of every issuer that the statement names";
    /// The chain has a gap or a wrong parent, or a stored chain is broken.
    LineageFragmented = "lineage_fragmented", RefusesAndDenies, "§4",
        "continue from the head that the answer names, or submit the missing statements first";
    /// Required evidence is older than its age limit.
    RuntimeStale = "runtime_stale", Denies, "§4",
        "submit fresh evidence of that kind";
    /// No read barrier or commit within the deadline.
    NoQuorum = "no_quorum", RefusesAndDenies, "§4",
        "try again, or ask another node; restore a majority of the nodes";
    /// A reference does not exist in the domain, or an audit event references nothing.
    EvidenceDetached = "evidence_detached", Refuses, "§4",
        "submit the referenced evidence first; an audit event must reference at least one piece of evidence";
    /// One key has two roles or domains, or one issuer signed two statements for one slot.
    AuthorityInconsistent = "authority_inconsistent", RefusesAndDenies, "§4",
        "use each key for one role in one domain; have the domain's governance reconcile an equivocation";
    /// Another registry's checkpoint is not proven to extend that registry's last accepted checkpoint.
    RegistryDiverged = "registry_diverged", Refuses, "§4",
        "have the peer prove that its tree extends its last accepted checkpoint; if the peer cannot, it has forked: make the trust in it void";
    /// A required kind of evidence is absent.
    EvidenceMissing = "evidence_missing", Denies, "§4",
        "submit evidence of the kind that the policy requires";
    /// Stored bytes do not hash to their id or checksum.
    EvidenceMutated = "evidence_mutated", Denies, "§4",
        "take the node out of service and replace its store";
    /// The evidence or key rests on a void grant, a void reference or an untrusted peer, or on more statements than one evaluation judges.
    InheritanceUnverifiable = "inheritance_unverifiable", RefusesAndDenies, "§4",
        "issue the evidence again, and rest it only on evidence and grants that stand";
    /// The input does not have the required form.
    Malformed = "malformed", Refuses, "§6",
        "correct the field that the answer names";
    /// The input exceeds a size limit.
    TooLarge = "too_large", Refuses, "§6",
        "send less, or follow the answer; the limits are in the documentation";
    /// The node does not support the encoding of the request's body.
    EncodingUnsupported = "encoding_unsupported", Refuses, "§6",
        "send the body without `Content-Encoding`, and with `Content-Length` or `Transfer-Encoding: chunked`";
    /// A signature does not verify.
    SignatureInvalid = "signature_invalid", Refuses, "§6",
        "sign exactly these bytes with the key that the statement names";
    /// The statement is meant for another registry.
    WrongRegistry = "wrong_registry", Refuses, "§10",
        "make a new statement that names this registry's origin";
    /// Another statement took the slot.
    HeadMoved = "head_moved", Refuses, "§3",
        "take the next slot after the current head, sign the statement again and resubmit it";
    /// A time lies in the future or has already passed.
    TimesInvalid = "times_invalid", Refuses, "§6",
        "check the signer's clock and the statement's times";
    /// The claims break the rules of their kind.
    ClaimsInvalid = "claims_invalid", Refuses, "§6",
        "correct the claim that the answer names";
    /// The target of the statement or of the call does not exist.
    TargetUnknown = "target_unknown", Refuses, "§3",
        "name an existing target";
    /// The key is not an authority of the domain.
    AuthorityUnknown = "authority_unknown", RefusesAndDenies, "§3",
        "have the domain's governance grant the key its role";
    /// The key is revoked.
    AuthorityRevoked = "authority_revoked", RefusesAndDenies, "§3",
        "use another key; a revoked key can never be used again";
    /// The key's grant does not cover this time.
    AuthorityExpired = "authority_expired", RefusesAndDenies, "§3",
        "have the domain's governance grant a new key";
    /// The issuer's role may not sign this kind.
    RoleNotPermitted = "role_not_permitted", RefusesAndDenies, "§8",
        "have an authority with a permitted role sign the statement";
    /// Too few of the required keys signed, or too few would remain valid.
    ThresholdNotMet = "threshold_not_met", RefusesAndDenies, "§3",
        "collect signatures from more governance or root keys, or for a `rules` statement from every voter; if a key cannot be spared, replace it instead of revoking it";
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
        "use the lineage of this subject, or start a new lineage";
    /// The node is not sure of its clock.
    ClockUncertain = "clock_uncertain", RefusesAndDenies, "§6",
        "synchronize the nodes' clocks; ask another node";
    /// The answer was not ready before its deadline.
    DeadlineExceeded = "deadline_exceeded", RefusesAndDenies, "§7",
        "try again";
    /// The node is overloaded.
    Overloaded = "overloaded", RefusesAndDenies, "§7",
        "try again, with a longer pause before each attempt";
    /// The caller may not do this.
    CallerNotPermitted = "caller_not_permitted", RefusesAndDenies, "§8",
        "use credentials that permit this call";
    /// The domain has no policy that stands.
    PolicyMissing = "policy_missing", Denies, "§7",
        "have the domain's governance publish a policy";
    /// The lineage does not exist, or no lineage has that subject.
    LineageUnknown = "lineage_unknown", Denies, "§4",
        "submit the execution's evidence first, or check the domain, the lineage and the digest";
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
        "have a valid authority issue the evidence again";
    /// The policy does not accept the status of the newest attestation.
    AttestationNotAffirming = "attestation_not_affirming", Denies, "§3",
        "repair the runtime and attest it again";
    /// The newest measurement is not in the policy's list of approved measurements.
    MeasurementNotApproved = "measurement_not_approved", Denies, "§3",
        "run an approved build, or have governance approve this measurement";
    /// The newest policy validation failed, or it is of a digest that is not approved.
    PolicyValidationFailed = "policy_validation_failed", Denies, "§3",
        "repair what the policy check found, and validate again";
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
        "run the execution on an authorized runtime, or have governance authorize this one";
    /// The authorization counts its uses, so a read cannot answer.
    PermitRequired = "permit_required", Denies, "§7",
        "ask for a permit instead";
    /// Every use of the authorization is consumed.
    AuthorizationConsumed = "authorization_consumed", Denies, "§7",
        "have governance issue a new authorization";
    /// The nonce was used for another request.
    NonceReused = "nonce_reused", Denies, "§10",
        "draw a new nonce for each request";
    /// The lineage's head is not the one that the request expects.
    HeadMismatch = "head_mismatch", Denies, "§4",
        "read the lineage again, and decide whether to ask again";
    /// The node's state is older than the revision asked for.
    RevisionNotReached = "revision_not_reached", Denies, "§5",
        "try again, or ask another node";
    /// The request or the cursor refers to another history than the one in force.
    HistoryMismatch = "history_mismatch", RefusesReadAndDenies, "§5",
        "take the history in force from the answer, read in that history what has changed, and ask again with what you read there";
    /// The cursor lies beyond the ledger that a quorum has confirmed.
    CursorBeyondLedger = "cursor_beyond_ledger", RefusesRead, "§5",
        "find out whether the cluster was founded again or its disks were restored; then read again from the beginning";
    /// There is no such member of the cluster.
    MemberUnknown = "member_unknown", RefusesChange, "§5",
        "list the members and name one of them";
    /// The node id, store, key or address is already taken; each can be used only once.
    MemberExists = "member_exists", RefusesChange, "§5",
        "give the node an id that was never used, an empty data directory and a key of its own";
    /// The member lags too far behind to vote, or cannot be reached.
    MemberBehind = "member_behind", RefusesChange, "§5",
        "wait until the member has caught up, and then promote it";
    /// After this change, the voters that answer would not be a quorum.
    QuorumAtRisk = "quorum_at_risk", RefusesChange, "§5",
        "bring the other voters back first, or remove a voter that does not answer";
    /// Another change of the membership is under way.
    MembershipBusy = "membership_busy", RefusesChange, "§5",
        "try again when that change is complete";
    /// This node was permanently removed from the cluster.
    MemberRemoved = "member_removed", RefusesChange, "§5",
        "stop this node and keep its data for the auditors; its machine can join as a new member, with an id that was never used, an empty data directory and a key of its own";
    /// The node failed because of its own defect: the call may have been carried out, and the answer says nothing about what was asked.
    InternalError = "internal_error", Refuses, "§7",
        "make the call again: the same submission, or the same permit with its nonce, is recorded only once; report what this node has logged";
}
