//! Why no connection could be made over TLS, and which of the two sides refused the other.
//!
//! In TLS 1.3 a caller has finished its half of the handshake before the node has looked at the caller's certificate.
//! So this side learns that the node refused it only when it reads the answer to its first request: as an alert. The
//! node has read nothing of that request.

use assent_tls::{CertificateError, certificate_error};
use std::error::Error;
use std::io;
use tokio_rustls::rustls::{AlertDescription, Error as TlsError};

/// Which side refused the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusing {
    /// This side refused the node's certificate.
    Caller,
    /// The node refused this caller's certificate, or that the caller showed none.
    Node,
    /// Neither: the files of this side cannot be used, or the two sides do not speak the same protocol.
    Neither,
}

/// Why no connection could be made: over TLS, or without it to a port that speaks TLS. Nothing was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFailure {
    /// Which side refused the other.
    pub refusing: Refusing,
    /// What happened, at each endpoint if it is the error of a call.
    pub detail: String,
    /// What to do about it, in one line.
    pub remedy: String,
}

impl TlsFailure {
    pub(crate) fn new(refusing: Refusing, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        TlsFailure { refusing, detail: detail.into(), remedy: remedy.into() }
    }

    /// The failure that an error of TLS is, during the handshake or after it.
    pub(crate) fn of(error: &TlsError) -> Self {
        match error {
            TlsError::InvalidCertificate(_) | TlsError::NoCertificatesPresented => refused_by_caller(error),
            TlsError::AlertReceived(alert) => of_alert(*alert),
            TlsError::InvalidMessage(_) => TlsFailure::new(
                Refusing::Neither,
                format!("this port does not speak TLS: {error}"),
                "use `http://` if this is the client port of a node without `client_tls`, which only loopback addresses \
                 have; otherwise check the port",
            ),
            _ => TlsFailure::new(
                Refusing::Neither,
                format!("the TLS handshake failed: {error}"),
                "check that the endpoint is a node of Assent, and see the node's log",
            ),
        }
    }

    /// The failure in an error or in one of its causes, if there is one.
    pub(crate) fn in_causes(error: &(dyn Error + 'static)) -> Option<Self> {
        in_causes::<TlsError>(error).map(TlsFailure::of)
    }

    /// The failure of a plain connection to a port that speaks TLS, if an error or one of its causes says so.
    pub(crate) fn of_plain(error: &(dyn Error + 'static)) -> Option<Self> {
        in_causes::<SpeaksTls>(error).map(|speaks_tls| {
            let detail = format!("{speaks_tls}, and the endpoint is not written with `https://`");
            TlsFailure::new(Refusing::Neither, detail, "write the endpoint with `https://`, and give `--ca`")
        })
    }

    /// The alert of a node that refused this caller, in an error or in one of its causes.
    pub(crate) fn refusal_in(error: &(dyn Error + 'static)) -> Option<Self> {
        TlsFailure::in_causes(error).filter(|failure| failure.refusing == Refusing::Node)
    }
}

/// What a plain connection fails with if the other side answers with an alert of TLS. Such a port reads no plain HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this port speaks TLS")]
pub(crate) struct SpeaksTls;

/// The first error of this type among an error and its causes.
pub(crate) fn in_causes<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = held(cause) {
            return Some(found);
        }
        next = cause.source();
    }
    None
}

/// The error of this type that an error is or holds. An `io::Error` does not name what it holds as its cause.
fn held<'a, E: Error + 'static>(mut error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    while let Some(outer) = error.downcast_ref::<io::Error>() {
        error = outer.get_ref()?;
    }
    error.downcast_ref()
}

fn refused_by_caller(error: &TlsError) -> TlsFailure {
    let refused = certificate_error(error);
    let remedy = match refused {
        Some(CertificateError::UnknownIssuer { .. } | CertificateError::WrongSignature { .. }) => {
            "check that the file of the CA (`--ca`) is that of the CA that issued the node's certificate, and check who \
             answers at the endpoint"
        }
        Some(CertificateError::WrongName { .. }) => {
            "write the endpoint with a name or address that the node's certificate has, or issue one that has this name"
        }
        Some(CertificateError::Expired { .. }) => {
            "renew the node's certificate, and check the clock of this machine"
        }
        Some(CertificateError::NotYetValid { .. }) => {
            "check the clock of this machine, and of the one that issued the node's certificate"
        }
        Some(CertificateError::WrongUsage { .. } | CertificateError::IsAuthority { .. }) => {
            "give the node a certificate for a server"
        }
        _ => "check the node's certificate, and check who answers at the endpoint",
    };
    let why = refused.map_or_else(|| error.to_string(), ToString::to_string);
    TlsFailure::new(Refusing::Caller, format!("this side refused the node's certificate: {why}"), remedy)
}

fn of_alert(alert: AlertDescription) -> TlsFailure {
    let by_node = |what: &str, remedy: &str| {
        let detail = format!("the node refused this caller's certificate: {what} (TLS alert `{alert:?}`)");
        TlsFailure::new(Refusing::Node, detail, remedy)
    };
    match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => by_node(
            "the caller showed none",
            "give the caller's certificate and key (`--cert`, `--cert-key`)",
        ),
        AlertDescription::CertificateExpired => by_node(
            "it has expired, or is not valid yet",
            "renew the caller's certificate, and check the clocks of both machines",
        ),
        AlertDescription::CertificateRevoked => {
            by_node("it is revoked", "have a new certificate issued for the caller")
        }
        AlertDescription::UnknownCA => by_node(
            "the node does not know the CA that issued it",
            "use a certificate of the CA that the node's `client_tls.ca` names",
        ),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => by_node(
            "the node does not say why",
            "see the node's log for the reason; the certificate must be valid now, not revoked, issued by a CA in the \
             node's `client_tls.ca`, and have exactly one SPIFFE id",
        ),
        AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => TlsFailure::new(
            Refusing::Neither,
            format!("the two sides have no version or method of TLS in common (TLS alert `{alert:?}`)"),
            "check that the endpoint is a node of Assent; both sides speak TLS 1.3 only",
        ),
        AlertDescription::NoApplicationProtocol => TlsFailure::new(
            Refusing::Neither,
            "the port speaks TLS, but not HTTP",
            "give the node's client address; this may be its peer port",
        ),
        _ => TlsFailure::new(
            Refusing::Neither,
            format!("the endpoint ended the TLS connection with the alert `{alert:?}`"),
            "check that the endpoint is a node of Assent, and see the node's log",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_tls::Side;
    use std::sync::Arc;
    use tokio_rustls::rustls::{self, OtherError};

    /// As the verifier of `assent_tls` gives it to rustls.
    fn refused(error: CertificateError) -> TlsError {
        TlsError::InvalidCertificate(rustls::CertificateError::Other(OtherError(Arc::new(error))))
    }

    #[test]
    fn every_failure_names_the_side_that_refused_and_what_to_do() {
        let alert = TlsError::AlertReceived;
        let certificate = || "the certificate of node 1".to_owned();
        let unknown =
            CertificateError::UnknownIssuer { certificate: certificate(), issuer: "CN=other".into() };
        let name = CertificateError::WrongName {
            certificate: certificate(),
            expected: "node-1".into(),
            presented: "node-2".into(),
        };
        let usage = CertificateError::WrongUsage { certificate: certificate(), presented_by: Side::Server };
        for (error, refusing, says) in [
            (refused(unknown), Refusing::Caller, "--ca"),
            (refused(name), Refusing::Caller, "name or address"),
            (refused(usage), Refusing::Caller, "for a server"),
            (refused(CertificateError::None), Refusing::Caller, "who answers"),
            (TlsError::NoCertificatesPresented, Refusing::Caller, "who answers"),
            (alert(AlertDescription::CertificateRequired), Refusing::Node, "--cert"),
            (alert(AlertDescription::CertificateExpired), Refusing::Node, "renew the caller's"),
            (alert(AlertDescription::CertificateRevoked), Refusing::Node, "issued"),
            (alert(AlertDescription::UnknownCA), Refusing::Node, "client_tls.ca"),
            (alert(AlertDescription::CertificateUnknown), Refusing::Node, "SPIFFE"),
            (alert(AlertDescription::ProtocolVersion), Refusing::Neither, "TLS 1.3"),
            (alert(AlertDescription::NoApplicationProtocol), Refusing::Neither, "client address"),
            (alert(AlertDescription::InternalError), Refusing::Neither, "log"),
            (TlsError::DecryptError, Refusing::Neither, "log"),
        ] {
            let failure = TlsFailure::of(&error);
            assert_eq!(failure.refusing, refusing, "{error}");
            assert!(failure.remedy.contains(says), "{error}: {}", failure.remedy);
        }
        let peers = TlsFailure::of(&alert(AlertDescription::NoApplicationProtocol));
        assert_eq!(peers.detail, "the port speaks TLS, but not HTTP");
    }

    #[test]
    fn a_nodes_refusal_is_found_below_the_errors_around_it() {
        let held = || {
            let refused = TlsError::AlertReceived(AlertDescription::CertificateRequired);
            io::Error::new(io::ErrorKind::InvalidData, refused)
        };
        for error in [held(), io::Error::other(held())] {
            assert_eq!(TlsFailure::refusal_in(&error).unwrap().refusing, Refusing::Node);
        }
        let own = io::Error::other(refused(CertificateError::None));
        assert_eq!(TlsFailure::refusal_in(&own), None);
        assert_eq!(TlsFailure::of_plain(&own), None);
        let plain = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, SpeaksTls));
        assert_eq!(TlsFailure::of_plain(&plain).unwrap().refusing, Refusing::Neither);
        assert_eq!(TlsFailure::in_causes(&plain), None);
        assert_eq!(TlsFailure::refusal_in(&io::Error::other("closed")), None);
    }
}
