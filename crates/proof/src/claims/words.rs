//! The words of claims and policies: each a closed list.

use crate::string_enum::string_enum;

string_enum! {
    /// What a verifier concluded about a runtime (the tiers of IETF RATS' attestation results).
    AttestationStatus, "an attestation status" {
        /// Trustworthy.
        Affirming = "affirming",
        /// Doubtful.
        Warning = "warning",
        /// Not trustworthy.
        Contraindicated = "contraindicated",
        /// No conclusion.
        None = "none",
    }
}

string_enum! {
    /// The verdict of a policy check.
    PolicyVerdict, "a policy verdict" {
        /// Passed.
        Pass = "pass",
        /// Failed.
        Fail = "fail",
    }
}

string_enum! {
    /// Why a key is revoked.
    RevocationReason, "a reason for a revocation" {
        /// Another party may have the key.
        KeyCompromise = "keyCompromise",
        /// Another key takes its place.
        Superseded = "superseded",
        /// The authority ends its work.
        Cessation = "cessation",
        /// No reason is given.
        Unspecified = "unspecified",
    }
}

string_enum! {
    /// Whose evidence a requirement asks for.
    Of, "`execution` or `runtime`" {
        /// Evidence in the execution's lineage.
        Execution = "execution",
        /// Evidence in the lineage of the runtime that the request names.
        Runtime = "runtime",
    }
}
