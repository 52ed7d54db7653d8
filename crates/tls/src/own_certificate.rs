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
    /// The first second at which the whole chain is valid.
    not_before: i64,
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
        let (mut not_before, mut not_after) = (i64::MIN, i64::MAX);
        for (place, certificate) in chain.iter().enumerate() {
            let validity = validity_of(certificate).map_err(|why| {
                let number = place.saturating_add(1);
                TlsFileError::new(CERTIFICATE, cert, TlsFileProblem::Unreadable { number, why })
            })?;
            not_before = not_before.max(validity.not_before);
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
        let not_after_ms = not_after.saturating_mul(1000);
        Ok(OwnCertificate { certified: Arc::new(certified), not_before, not_after_ms })
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

    /// Whether clients can take the certificate, which was read from the file `cert`, for that of a server. Its time, its
    /// issuer and its names are not checked: which names a client wants is not known here.
    ///
    /// # Errors
    /// If the certificate says that it is for other uses only.
    pub fn check_for_server(&self, cert: &Path) -> Result<(), TlsFileError> {
        let wrong = |problem| TlsFileError::new(CERTIFICATE, cert, problem);
        let Some(leaf) = self.chain().first() else {
            return Err(wrong(TlsFileProblem::Empty { label: "CERTIFICATE" }));
        };
        match is_for_servers(leaf) {
            Ok(true) => Ok(()),
            Ok(false) => Err(wrong(TlsFileProblem::NotForServers)),
            Err(why) => Err(wrong(TlsFileProblem::Unreadable { number: 1, why })),
        }
    }

    /// Whether the certificate, which was read from the file `cert`, and its whole chain are valid at the time `at`.
    ///
    /// # Errors
    /// If one of them has expired, or is not valid yet.
    pub fn check_time(&self, cert: &Path, at: UnixTime) -> Result<(), TlsFileError> {
        let wrong = |problem| Err(TlsFileError::new(CERTIFICATE, cert, problem));
        let now = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
        let (not_before, not_after) = (self.not_before, self.not_after_ms.saturating_div(1000));
        if now > not_after {
            return wrong(TlsFileProblem::Expired { not_after: Seconds(not_after) });
        }
        if now < not_before {
            return wrong(TlsFileProblem::NotYetValid { not_before: Seconds(not_before) });
        }
        Ok(())
    }

    /// Whether this certificate, which was read from the file `cert`, may be shown in place of `before` at the time `at`: it is
    /// valid then. One that has expired may be shown too if `before` ends earlier: then this machine's clock may be wrong, and the
    /// other side may still take this one.
    ///
    /// # Errors
    /// If it has expired and ends no later than `before`, or is not valid yet.
    pub fn may_follow(&self, before: &Self, cert: &Path, at: UnixTime) -> Result<(), TlsFileError> {
        match self.check_time(cert, at) {
            Err(error)
                if matches!(error.problem(), TlsFileProblem::Expired { .. })
                    && self.not_after_ms > before.not_after_ms =>
            {
                Ok(())
            }
            checked => checked,
        }
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
