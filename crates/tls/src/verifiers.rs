//! What rustls asks during a handshake: is this certificate right, and was the handshake signed with its key?

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::verify_tls13_signature;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::authorities::Authorities;
use crate::certificate_error::{CertificateError, Side};
use crate::provider::provider;
use crate::spiffe::SpiffeId;

/// Whether an identity may talk here. The text says why not, for the log. It is asked in the middle of a handshake, so
/// it must answer from memory.
pub type Admit = Arc<dyn Fn(&SpiffeId) -> Result<(), String> + Send + Sync>;

/// Checks the other side by its SPIFFE id. The name or the address that was called plays no part.
pub(crate) struct ByIdentity {
    pub(crate) authorities: Arc<Authorities>,
    pub(crate) admit: Admit,
    /// Whether a client must show a certificate. A server always must.
    pub(crate) is_mandatory: bool,
}

impl ByIdentity {
    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        presented_by: Side,
        at: UnixTime,
    ) -> Result<(), Error> {
        let id = self.authorities.check_identity(leaf, intermediates, presented_by, at).map_err(refused)?;
        (self.admit)(&id).map_err(|why| refused(CertificateError::NotAdmitted { id, why }))
    }
}

impl Debug for ByIdentity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByIdentity")
            .field("authorities", &self.authorities)
            .field("is_mandatory", &self.is_mandatory)
            .finish_non_exhaustive()
    }
}

/// Checks a server by the name or the address that was called.
#[derive(Debug)]
pub(crate) struct ByName {
    pub(crate) authorities: Authorities,
}

/// The whole sentence for this side's log. The other side gets only the TLS alert `certificate_unknown`: it may be a
/// stranger.
fn refused(error: CertificateError) -> Error {
    Error::InvalidCertificate(rustls::CertificateError::Other(OtherError(Arc::new(error))))
}

/// What rustls asks every verifier besides who the other side is: the handshake is signed with the certificate's key, by
/// the rules of TLS 1.3.
macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            provider().signature_verification_algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for ByIdentity {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates, Side::Server, now)?;
        Ok(ServerCertVerified::assertion())
    }

    signatures!();
}

impl ClientCertVerifier for ByIdentity {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    /// None: which CAs this side trusts is not for strangers to know.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity, intermediates, Side::Client, now)?;
        Ok(ClientCertVerified::assertion())
    }

    signatures!();
}

impl ServerCertVerifier for ByName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.authorities.check_server_name(end_entity, intermediates, server_name, now).map_err(refused)?;
        Ok(ServerCertVerified::assertion())
    }

    signatures!();
}
