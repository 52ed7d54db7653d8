//! Reading PEM files, each up to a bound. A private key is read as [`secret_file`] reads secrets, and no error quotes it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use assent_proof::Seconds;
use rustls_pki_types::pem::PemObject;

use crate::secret_file::{self, SecretFileError};

/// Largest file with a certificate and its chain, in bytes.
pub(crate) const CERTIFICATE_BYTES_MAX: usize = 64 * 1024;
/// Largest file with a private key, in bytes.
const KEY_BYTES_MAX: usize = 16 * 1024;
/// Largest file with CAs or with revocation lists, in bytes.
pub(crate) const BUNDLE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why a file with certificates, a key or revocation lists is not used.
#[derive(Debug, thiserror::Error)]
#[error("the {} `{}` {problem}", .what, .path.display())]
pub struct TlsFileError {
    what: &'static str,
    path: PathBuf,
    problem: TlsFileProblem,
}

impl TlsFileError {
    pub(crate) fn new(what: &'static str, path: &Path, problem: TlsFileProblem) -> Self {
        TlsFileError { what, path: path.to_owned(), problem }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with it.
    pub fn problem(&self) -> &TlsFileProblem {
        &self.problem
    }
}

/// What is wrong with a file. The text follows the file's name.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileProblem {
    /// The system cannot open or read the file.
    #[error("cannot be read ({0}): check the path and its permissions")]
    Io(io::Error),
    /// The file with the private key cannot be read, or must not be used.
    #[error("is not used: {0}")]
    Secret(SecretFileError),
    /// The file is longer than its bound.
    #[error("has more than {bytes_max} bytes: leave out what is not needed")]
    TooLarge {
        /// The bound.
        bytes_max: usize,
    },
    /// The file is not PEM.
    #[error("is not PEM, or is cut off: give text with `-----BEGIN {label}-----` and its end")]
    NotPem {
        /// What the file's sections are called.
        label: &'static str,
    },
    /// The file has no section of the kind.
    #[error("has no section `-----BEGIN {label}-----`: give the file with it")]
    Empty {
        /// What the file's sections are called.
        label: &'static str,
    },
    /// The file has more than one private key.
    #[error("has {count} private keys: give a file with one")]
    ManyKeys {
        /// How many keys there are.
        count: usize,
    },
    /// A section cannot be read.
    #[error("has a section, number {number}, that cannot be read ({why}): make it anew")]
    Unreadable {
        /// Which section, from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A certificate of the file of CAs is not that of a CA.
    #[error(
        "has a certificate, number {number} (`{subject}`), that is not that of a CA: give the certificates of the CAs \
         that issue, not those that they issued"
    )]
    NoAuthority {
        /// Which section, from 1.
        number: usize,
        /// Its subject.
        subject: String,
    },
    /// Two revocation lists of the file are of one issuer and for the same certificates.
    #[error(
        "has two revocation lists of `{issuer}`, and only the first would be read: leave only the newest in the file"
    )]
    TwoLists {
        /// Whose lists they are.
        issuer: String,
    },
    /// No revocation list of the file is of a CA in the file of CAs.
    #[error(
        "has no revocation list that was issued and signed by a CA of `{}` (its first list is of `{issuer}`), so every \
         certificate would be refused: give the newest list of each CA, even if it is empty, or the file of CAs that \
         belongs to these lists",
        .ca.display()
    )]
    NoListOfAuthority {
        /// The file of CAs.
        ca: PathBuf,
        /// Whose list the first one is.
        issuer: String,
    },
    /// A revocation list does not follow the one of the same issuer that was read before.
    #[error(
        "has an older revocation list of `{issuer}` ({offered}) than the one that was read before ({newest}), and would \
         let in what the newer one revokes, so the newer one stays in use: give the newest list, or publish one with a \
         higher number (`assent cert crl`); if the CA has begun its numbers anew, restart the node"
    )]
    OlderList {
        /// Whose list it is.
        issuer: String,
        /// The number of the list in the file.
        offered: String,
        /// The number of the list that was read before.
        newest: String,
    },
    /// A revocation list has the name of a CA of the file of CAs, and was not signed by it.
    #[error(
        "has a revocation list of `{issuer}` that no CA of this name in the file of CAs has signed, so the one that was read \
         before stays in use: give the list that the CA has published, without a change"
    )]
    NotSigned {
        /// Whose name the list has.
        issuer: String,
    },
    /// The certificate has expired, and would be shown to others.
    #[error(
        "has a certificate that expired at {not_after}, so every program that is shown it refuses it: renew it \
         (`assent cert renew`), or set the clock of this machine if it is wrong"
    )]
    Expired {
        /// Its last second.
        not_after: Seconds,
    },
    /// The certificate is not valid yet, and would be shown to others.
    #[error(
        "has a certificate that is not valid before {not_before}, so every program that is shown it refuses it: wait until \
         then, or set the clock of this machine if it is wrong"
    )]
    NotYetValid {
        /// Its first second.
        not_before: Seconds,
    },
    /// The certificate is not for a server, and would be shown to clients.
    #[error(
        "has a certificate that is not for server authentication (its extended key usage says so), so every client \
         would refuse it: issue one for a server (`assent cert node`)"
    )]
    NotForServers,
    /// The private key is of a kind that is not supported.
    #[error(
        "has a private key that cannot be used: give an ECDSA, Ed25519 or RSA key in PKCS #8 without a password"
    )]
    UnusableKey,
    /// The private key is not that of the certificate.
    #[error(
        "does not belong to the certificate `{}`: give the key for which it was issued; if both are being replaced, \
         read them again",
        .certificate.display()
    )]
    OtherKey {
        /// The file with the certificate.
        certificate: PathBuf,
    },
}

/// The bytes of a file that has at most `bytes_max`.
fn bytes_of(file: File, bytes_max: usize) -> Result<Vec<u8>, TlsFileProblem> {
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(TlsFileProblem::Io)?;
    if bytes.len() > bytes_max {
        return Err(TlsFileProblem::TooLarge { bytes_max });
    }
    Ok(bytes)
}

/// Every PEM section of one kind, at least one.
pub(crate) fn sections<T: PemObject>(
    path: &Path,
    bytes_max: usize,
    label: &'static str,
) -> Result<Vec<T>, TlsFileProblem> {
    sections_of(&bytes_of(File::open(path).map_err(TlsFileProblem::Io)?, bytes_max)?, label)
}

/// Every PEM section of one kind in the bytes of a file, at least one.
pub(crate) fn sections_of<T: PemObject>(bytes: &[u8], label: &'static str) -> Result<Vec<T>, TlsFileProblem> {
    let sections = T::pem_slice_iter(bytes).collect::<Result<Vec<T>, _>>();
    let sections = sections.map_err(|_| TlsFileProblem::NotPem { label })?;
    if sections.is_empty() {
        return Err(TlsFileProblem::Empty { label });
    }
    Ok(sections)
}

/// The one private key of a file that other users have no permission for.
pub(crate) fn private_key<T: PemObject>(path: &Path) -> Result<T, TlsFileProblem> {
    private_key_of(&secret_file::read(path, KEY_BYTES_MAX).map_err(TlsFileProblem::Secret)?)
}

/// The one private key in the bytes of a file.
pub(crate) fn private_key_of<T: PemObject>(bytes: &[u8]) -> Result<T, TlsFileProblem> {
    const LABEL: &str = "PRIVATE KEY";

    let keys = T::pem_slice_iter(bytes).collect::<Result<Vec<T>, _>>();
    let mut keys = keys.map_err(|_| TlsFileProblem::NotPem { label: LABEL })?;
    match (keys.pop(), keys.len()) {
        (None, _) => Err(TlsFileProblem::Empty { label: LABEL }),
        (Some(key), 0) => Ok(key),
        (Some(_), others) => Err(TlsFileProblem::ManyKeys { count: others.saturating_add(1) }),
    }
}
