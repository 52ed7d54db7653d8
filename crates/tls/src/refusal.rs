//! From rustls's errors to a sentence that says which of the two sides refused, and why.

use std::io;

use rustls::{AlertDescription, Error};

use crate::certificate_error::CertificateError;

static NOT_SHOWN: CertificateError = CertificateError::None;

/// The refusal of the other side's certificate, if that is why the handshake failed on this side.
pub fn certificate_error(error: &Error) -> Option<&CertificateError> {
    match error {
        Error::InvalidCertificate(rustls::CertificateError::Other(other)) => other.0.downcast_ref(),
        Error::NoCertificatesPresented => Some(&NOT_SHOWN),
        _ => None,
    }
}

/// Why a connection over TLS failed, for a log or a terminal: which side refused, and what to do. Any error that is not
/// one of TLS keeps its text.
pub fn explain(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    inner.map_or_else(|| error.to_string(), explain_tls)
}

fn explain_tls(error: &Error) -> String {
    if let Some(refused) = certificate_error(error) {
        return format!("this side refused the other side's certificate: {refused}");
    }
    match error {
        Error::AlertReceived(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied),
        ) => format!(
            "the other side refused this side's certificate (TLS alert `{alert:?}`): the log of the other side says why"
        ),
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the other side asks for a certificate, and this side has none: give it a certificate and a key".to_owned()
        }
        Error::AlertReceived(AlertDescription::ProtocolVersion) | Error::PeerIncompatible(_) => {
            format!("the two sides have no version of TLS or no algorithm in common ({error}): TLS 1.3 is needed")
        }
        Error::AlertReceived(AlertDescription::NoApplicationProtocol) | Error::NoApplicationProtocol => {
            "the two sides speak different protocols inside TLS: this is the wrong port".to_owned()
        }
        Error::AlertReceived(alert) => {
            format!("the other side ended the connection (TLS alert `{alert:?}`): its log says why")
        }
        Error::InvalidMessage(_) => {
            format!("the other side does not speak TLS ({error}): this is the wrong port, or it serves plain text")
        }
        Error::FailedToGetCurrentTime => {
            "this side does not know what time it is, so it cannot check a certificate: see the state of its clock"
                .to_owned()
        }
        other => format!("TLS failed: {other}"),
    }
}
