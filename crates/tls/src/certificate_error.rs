//! Why a certificate is refused, in sentences on which an operator can act.

use assent_proof::Seconds;

use crate::spiffe::{SpiffeId, SpiffeIdError};

/// Which side of a connection shows a certificate. It decides what the certificate must be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The side that opens the connection.
    Client,
    /// The side that accepts the connection.
    Server,
}

impl Side {
    /// The extended key usage that this side's certificate must have.
    fn usage(self) -> &'static str {
        match self {
            Side::Client => "client authentication",
            Side::Server => "server authentication",
        }
    }
}

/// Why a certificate is refused. `certificate` names it: its SPIFFE id or else its subject, and its serial number.
/// These names come from the certificate, which may be forged. They are bounded, and control characters are escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The other side showed none.
    #[error("no certificate was shown: give that side a certificate and key of a CA that this side trusts")]
    None,
    /// The chain has more certificates than are checked.
    #[error(
        "the chain has {count} certificates, and at most {max} are checked: leave out what is not needed"
    )]
    TooManyCertificates {
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// The certificate cannot be read.
    #[error("{certificate} cannot be read as an X.509 certificate of version 3 ({why}): issue it anew")]
    Unreadable {
        /// Which certificate.
        certificate: String,
        /// What is wrong with it.
        why: String,
    },
    /// The certificate is that of a CA, or may sign certificates or revocation lists.
    #[error(
        "{certificate} is the certificate of a CA, which must not speak for itself: issue a certificate for the node \
         or the caller, and keep the key of the CA elsewhere"
    )]
    IsAuthority {
        /// Which certificate.
        certificate: String,
    },
    /// The certificate's time is over.
    #[error(
        "{certificate} expired at {not_after}, and here it is {at}: renew it, or set the clock if it is wrong"
    )]
    Expired {
        /// Which certificate.
        certificate: String,
        /// Its last second.
        not_after: Seconds,
        /// The time of the check.
        at: Seconds,
    },
    /// The certificate's time has not begun.
    #[error(
        "{certificate} is valid from {not_before}, and here it is {at}: set the clock of this machine or that of the \
         CA, whichever is wrong"
    )]
    NotYetValid {
        /// Which certificate.
        certificate: String,
        /// Its first second.
        not_before: Seconds,
        /// The time of the check.
        at: Seconds,
    },
    /// No CA of the file has issued the certificate.
    #[error(
        "the chain of {certificate} ends at `{issuer}`, and no CA of that name is in this side's file of CAs: add that \
         CA if it is trusted, or issue the certificate by a CA that is"
    )]
    UnknownIssuer {
        /// Which certificate.
        certificate: String,
        /// Who says that they issued it.
        issuer: String,
    },
    /// A CA of the file has the issuer's name, and another key.
    #[error(
        "{certificate} names `{issuer}` as its issuer, but it was not signed with the key of the CA that has this name \
         here: the CA was made anew under the same name, or the certificate is forged"
    )]
    WrongSignature {
        /// Which certificate.
        certificate: String,
        /// Who is said to have issued it.
        issuer: String,
    },
    /// The certificate has been revoked.
    #[error("{certificate} has been revoked by `{issuer}`: if its holder may still talk, issue a new one")]
    Revoked {
        /// Which certificate.
        certificate: String,
        /// The CA that revoked it.
        issuer: String,
    },
    /// No revocation list covers the certificate.
    #[error(
        "no list in this side's file of revocation lists covers `{issuer}`, so it is unknown whether {certificate} is \
         revoked: add the list of that CA to the file, even if it is empty"
    )]
    UnknownStatus {
        /// Which certificate.
        certificate: String,
        /// Whose list is missing.
        issuer: String,
    },
    /// The revocation list's time is over.
    #[error(
        "the revocation list that covers {certificate} expired at {next_update}, and here it is {at}: publish a new \
         list (`assent cert crl`), or set the clock if it is wrong"
    )]
    ListExpired {
        /// Which certificate.
        certificate: String,
        /// When the next list was due.
        next_update: Seconds,
        /// The time of the check.
        at: Seconds,
    },
    /// The revocation list was not signed by the CA, or the CA may sign none.
    #[error(
        "the revocation list of `{issuer}` cannot be relied on, so it is unknown whether {certificate} is revoked \
         ({why}): publish a new list with the key of that CA"
    )]
    ListUnusable {
        /// Which certificate.
        certificate: String,
        /// Whose list it claims to be.
        issuer: String,
        /// What is wrong with it.
        why: String,
    },
    /// The certificate is not for this side of a connection.
    #[error(
        "{certificate} is not for {}: its extended key usage must say so",
        .presented_by.usage()
    )]
    WrongUsage {
        /// Which certificate.
        certificate: String,
        /// The side that showed it.
        presented_by: Side,
    },
    /// The server's certificate is not for the name that was called.
    #[error(
        "{certificate} is not for `{expected}` but for {presented}: call the server by a name that it has, or \
             issue a certificate with this name"
    )]
    WrongName {
        /// Which certificate.
        certificate: String,
        /// The name or the address that was called.
        expected: String,
        /// The names that the certificate has.
        presented: String,
    },
    /// The certificate has no SPIFFE id.
    #[error("{certificate} has no SPIFFE id: its subject alternative names must have one URI, `spiffe://…`")]
    NoId {
        /// Which certificate.
        certificate: String,
    },
    /// The certificate has several URIs.
    #[error(
        "{certificate} has {count} URIs among its subject alternative names, and an identity has exactly one: issue \
         one certificate for each identity"
    )]
    ManyIds {
        /// Which certificate.
        certificate: String,
        /// How many URIs it has.
        count: usize,
    },
    /// The certificate's URI is not a SPIFFE id.
    #[error("the URI in {certificate} is no SPIFFE id: {error}")]
    BadId {
        /// Which certificate.
        certificate: String,
        /// The rule that the URI breaks.
        error: SpiffeIdError,
    },
    /// The certificate is right, and this side does not talk with its holder.
    #[error("`{id}` may not talk here: {why}")]
    NotAdmitted {
        /// Who was refused.
        id: SpiffeId,
        /// What the caller of this crate says about it.
        why: String,
    },
    /// The certificate or its chain breaks another rule.
    #[error(
        "{certificate} was refused by a rule of X.509 (`{why}`): issue it anew without what breaks the rule"
    )]
    Other {
        /// Which certificate.
        certificate: String,
        /// The rule, by its name in webpki.
        why: String,
    },
}
