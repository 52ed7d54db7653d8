//! The certificate and the private key by which this program says who it is.

use std::fmt::{self, Debug, Formatter};
use std::path::Path;
use std::sync::Arc;

use assent_proof::Seconds;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Error, InconsistentKeys};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use zeroize::Zeroizing;

use crate::certificate_error::CertificateError;
use crate::files::{CERTIFICATE_BYTES_MAX, TlsFileError, TlsFileProblem, private_key, sections};
use crate::spiffe::SpiffeId;
use crate::x509::{identity_of, is_for_servers, shown, validity_of};

const CERTIFICATE: &str = "certificate file";

/// A certificate, the chain to its CA, and its private key. `Debug` shows the identity only.
#[derive(Clone)]
pub struct OwnCertificate {
    certified: Arc<CertifiedKey>,
    not_after_ms: i64,
}

impl OwnCertificate {
    /// Reads a certificate with its chain (at most 64 KiB of PEM, the certificate itself first) and its private key
    /// (at most 16 KiB).
    ///
    /// # Errors
    /// If a file cannot be read or is too large; if the key file is not a regular file; if any other user of the machine has a permission for the key file
    /// (any of the permission bits 007); or if the key is not that of the certificate. A reader that rereads both
    /// files while they are replaced can see an old and a new one together. It keeps what it has and reads again.
    pub fn read(cert: &Path, key: &Path) -> Result<Self, TlsFileError> {
        let chain: Vec<CertificateDer<'static>> = sections(cert, CERTIFICATE_BYTES_MAX, "CERTIFICATE")
            .map_err(|problem| TlsFileError::new(CERTIFICATE, cert, problem))?;
        let mut not_after = i64::MAX;
        for (place, certificate) in chain.iter().enumerate() {
            let validity = validity_of(certificate).map_err(|why| {
                let number = place.saturating_add(1);
                TlsFileError::new(CERTIFICATE, cert, TlsFileProblem::Unreadable { number, why })
            })?;
            not_after = not_after.min(validity.not_after);
        }
        let of_key = |problem| TlsFileError::new("private key file", key, problem);
        let secret = Zeroizing::new(private_key::<PrivateKeyDer<'static>>(key).map_err(of_key)?);
        let signer = any_supported_type(&secret).map_err(|_| of_key(TlsFileProblem::UnusableKey))?;
        let certified = CertifiedKey::new(chain, signer);
        match certified.keys_match() {
            // A kind of key that does not tell its public half: the handshake shows whether it fits.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => {
                return Err(of_key(TlsFileProblem::OtherKey { certificate: cert.to_owned() }));
            }
            Err(error) => {
                let problem = TlsFileProblem::Unreadable { number: 1, why: shown(&error) };
                return Err(TlsFileError::new(CERTIFICATE, cert, problem));
            }
        }
        Ok(OwnCertificate { certified: Arc::new(certified), not_after_ms: not_after.saturating_mul(1000) })
    }

    /// The certificate, and after it those that lead to its CA.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// The SPIFFE id of the certificate. Neither the time nor who issued it is checked.
    ///
    /// # Errors
    /// If the certificate does not have exactly one SPIFFE id, or is that of a CA.
    pub fn id(&self) -> Result<SpiffeId, CertificateError> {
        self.chain().first().ok_or(CertificateError::None).and_then(identity_of)
    }

    /// Whether clients can take the certificate, which was read from the file `cert`, for that of a server at the time
    /// `at`. Its issuer and its names are not checked: which of them a client wants is not known here.
    ///
    /// # Errors
    /// If the certificate has expired, or says that it is for other uses only.
    pub fn check_for_server(&self, cert: &Path, at: UnixTime) -> Result<(), TlsFileError> {
        let wrong = |problem| TlsFileError::new(CERTIFICATE, cert, problem);
        let unreadable = |why| wrong(TlsFileProblem::Unreadable { number: 1, why });
        let Some(leaf) = self.chain().first() else {
            return Err(wrong(TlsFileProblem::Empty { label: "CERTIFICATE" }));
        };
        if !is_for_servers(leaf).map_err(unreadable)? {
            return Err(wrong(TlsFileProblem::NotForServers));
        }
        let not_after = validity_of(leaf).map_err(unreadable)?.not_after;
        if i64::try_from(at.as_secs()).unwrap_or(i64::MAX) > not_after {
            return Err(wrong(TlsFileProblem::Expired { not_after: Seconds(not_after) }));
        }
        Ok(())
    }

    /// The last moment at which the certificate and its whole chain are valid, in milliseconds since 1970.
    pub fn not_after_ms(&self) -> i64 {
        self.not_after_ms
    }

    /// What rustls shows the other side.
    pub(crate) fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from(self.certified.clone()))
    }
}

impl Debug for OwnCertificate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnCertificate")
            .field("id", &self.id())
            .field("not_after_ms", &self.not_after_ms)
            .finish_non_exhaustive()
    }
}
