//! Why a JSON web token is refused.

use std::fmt;

/// Why a JSON web token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JwtRefusal {
    /// It has more than 8 KiB.
    TooLong,
    /// It is not of the form that RFC 7519 gives it, or lacks `iss`, `sub` or `aud`.
    Malformed,
    /// The node is not sure of its clock, so it accepts no token that ends.
    ClockUncertain,
    /// Its header has `crit`, and the node knows no extension.
    Critical,
    /// Its `typ` is neither `JWT` nor `JOSE`.
    OtherType,
    /// `jwt_issuers` has no issuer of this name.
    IssuerUnknown,
    /// The configuration does not pin its `alg` for the issuer.
    AlgorithmNotPinned,
    /// The issuer's JWKS file has no key of its `kid`, or it has no `kid` and the file has more than one key.
    KeyUnknown,
    /// Its `alg` does not fit the type of the key that its `kid` names.
    KeyUnfit,
    /// The node has not looked at its signature, because it has verified too many wrong ones for its caller's address, or
    /// for the addresses that share a bound with it.
    Unverified,
    /// Its signature does not verify.
    SignatureInvalid,
    /// Its `aud` does not have the audience of the configuration.
    WrongAudience,
    /// It has no `exp`.
    NoExpiry,
    /// It has expired.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// `callers` has no entry for its issuer and subject. Its signature is not looked at.
    SubjectNotListed,
}

impl JwtRefusal {
    /// Every reason.
    pub(crate) const ALL: [JwtRefusal; 16] = [
        JwtRefusal::TooLong,
        JwtRefusal::Malformed,
        JwtRefusal::ClockUncertain,
        JwtRefusal::Critical,
        JwtRefusal::OtherType,
        JwtRefusal::IssuerUnknown,
        JwtRefusal::AlgorithmNotPinned,
        JwtRefusal::KeyUnknown,
        JwtRefusal::KeyUnfit,
        JwtRefusal::Unverified,
        JwtRefusal::SignatureInvalid,
        JwtRefusal::WrongAudience,
        JwtRefusal::NoExpiry,
        JwtRefusal::Expired,
        JwtRefusal::NotYetValid,
        JwtRefusal::SubjectNotListed,
    ];

    /// The stable word for the audit trail and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            JwtRefusal::TooLong => "jwt_too_long",
            JwtRefusal::Malformed => "jwt_malformed",
            JwtRefusal::ClockUncertain => "jwt_clock_uncertain",
            JwtRefusal::Critical => "jwt_critical",
            JwtRefusal::OtherType => "jwt_other_type",
            JwtRefusal::IssuerUnknown => "jwt_issuer_unknown",
            JwtRefusal::AlgorithmNotPinned => "jwt_algorithm_not_pinned",
            JwtRefusal::KeyUnknown => "jwt_key_unknown",
            JwtRefusal::KeyUnfit => "jwt_key_unfit",
            JwtRefusal::Unverified => "jwt_unverified",
            JwtRefusal::SignatureInvalid => "jwt_signature_invalid",
            JwtRefusal::WrongAudience => "jwt_wrong_audience",
            JwtRefusal::NoExpiry => "jwt_no_expiry",
            JwtRefusal::Expired => "jwt_expired",
            JwtRefusal::NotYetValid => "jwt_not_yet_valid",
            JwtRefusal::SubjectNotListed => "jwt_subject_not_listed",
        }
    }
}

impl fmt::Display for JwtRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JwtRefusal::TooLong => "the JSON web token has more than 8192 bytes, which is the most",
            JwtRefusal::Malformed => {
                "the bearer token is not a JSON web token with `alg`, `iss`, `sub`, `aud` and `exp`"
            }
            JwtRefusal::ClockUncertain => {
                "the node is not sure of its clock, so it accepts no JSON web token: ask another node"
            }
            JwtRefusal::Critical => "the header of the JSON web token has `crit`, and the node knows no extension",
            JwtRefusal::OtherType => "the `typ` of the JSON web token is neither `JWT` nor `JOSE`",
            JwtRefusal::IssuerUnknown => {
                "`jwt_issuers` of this node's configuration does not have the `iss` of the JSON web token"
            }
            JwtRefusal::AlgorithmNotPinned => {
                "`algorithms` of this issuer in this node's configuration does not have the `alg` of the JSON web token"
            }
            JwtRefusal::KeyUnknown => {
                "the issuer's JWKS file has no key of the `kid` of the JSON web token, or it has several and the token names none"
            }
            JwtRefusal::KeyUnfit => "the `alg` of the JSON web token does not fit the key that its `kid` names",
            JwtRefusal::Unverified => {
                "the node has not looked at the signature of the JSON web token, because too many wrong ones came from the caller's address or from addresses that share its bound"
            }
            JwtRefusal::SignatureInvalid => "the signature of the JSON web token does not verify",
            JwtRefusal::WrongAudience => "the `aud` of the JSON web token does not have this registry's audience",
            JwtRefusal::NoExpiry => "the JSON web token has no `exp`, and the node accepts none without an end",
            JwtRefusal::Expired => "the JSON web token has expired: get a new one",
            JwtRefusal::NotYetValid => "the JSON web token is not valid yet by its `nbf`: check the issuer's clock",
            JwtRefusal::SubjectNotListed => {
                "`callers` of this node's configuration does not list the issuer and subject of the JSON web token"
            }
        })
    }
}
