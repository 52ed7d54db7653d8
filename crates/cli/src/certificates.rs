//! Certificates of the small authority as files: where they go, and what its errors are to a caller of this program.
//!
//! A folder with the certificate of a node or caller has `cert.pem`, `key.pem` (mode 0600), and copies of the
//! authority's `ca.pem` and `ca.crl`.

use std::path::{Path, PathBuf};

use assent_proof::Millis;
use assent_tls::ca::{Ca, CaError, NewCertificate, Serial, Usage, serial_of_pem};
use assent_tls::secret_file::{Access, SecretFile, SecretFileProblem};
use serde_json::{Value, json};

use crate::exit::{CliError, Exit};
use crate::files;

/// The mode of a file with a private key.
const SECRET: u32 = 0o600;
/// The mode of a certificate.
const PUBLIC: u32 = 0o644;

/// The files of one certificate.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// The certificate.
    pub(crate) certificate: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
    /// The copy of the authority's certificate.
    pub(crate) authority: PathBuf,
    /// The copy of the authority's list of revoked certificates.
    pub(crate) crl: PathBuf,
}

impl Files {
    /// The files in a folder.
    pub(crate) fn of(dir: &Path) -> Self {
        Files {
            certificate: dir.join("cert.pem"),
            key: dir.join("key.pem"),
            authority: dir.join("ca.pem"),
            crl: dir.join("ca.crl"),
        }
    }

    /// Fails if the folder has a certificate or a key. It is called before a certificate is issued for the folder.
    ///
    /// # Errors
    /// `file_exists`.
    pub(crate) fn must_be_new(&self) -> Result<(), CliError> {
        match [&self.certificate, &self.key].into_iter().find(|path| path.exists()) {
            None => Ok(()),
            Some(path) => {
                let detail = format!("`{}` exists already", path.display());
                let remedy = "choose another folder for `--out`, or use `assent cert renew`";
                Err(CliError::new("file_exists", detail, remedy))
            }
        }
    }

    /// Fails unless a renewed certificate may take the place of what the folder has: nothing, or a certificate of the
    /// same authority with the same id, and its key. It is called before the certificate is issued.
    ///
    /// # Errors
    /// `file_exists`, or `key_exposed` if every user may use the key file, whose mode the new key would get.
    pub(crate) fn must_be_of(&self, ca: &Ca, renewed: &Serial) -> Result<(), CliError> {
        if self.key.exists() {
            must_be_secret(&self.key)?;
        }
        if !self.certificate.exists() {
            return self.must_be_new();
        }
        let there = serial_of_pem(&files::read(&self.certificate)?)
            .map_err(|error| CliError::from(error).in_file(&self.certificate))?;
        let id = &ca.certificate(renewed)?.id;
        match ca.certificate(&there) {
            Ok(found) if found.id == *id => Ok(()),
            Ok(_) | Err(_) => {
                let name = self.certificate.display();
                let detail = format!("`{name}` is not a certificate of `{id}` by this authority");
                let remedy = "choose another folder for `--out`: no other certificate is overwritten";
                Err(CliError::new("file_exists", detail, remedy))
            }
        }
    }

    /// Writes a new certificate with its key into a folder, and copies of the authority's certificate and list, if the
    /// folder has none.
    pub(crate) fn install(&self, dir: &Path, ca: &Ca, new: &NewCertificate) -> Result<(), CliError> {
        std::fs::create_dir_all(dir).map_err(|error| CliError::file("make", dir, &error))?;
        files::create(&self.key, new.key_pem.as_bytes(), SECRET)?;
        files::create(&self.certificate, new.certificate_pem.as_bytes(), PUBLIC)?;
        for (from, to) in [(ca.certificate_path(), &self.authority), (ca.crl_path(), &self.crl)] {
            // A file that is there may hold other authorities too.
            if !to.exists() {
                files::create(to, &files::read(from)?, PUBLIC)?;
            }
        }
        Ok(())
    }

    /// Replaces a certificate and its key while a program uses them.
    ///
    /// A program that reads both files may see the new key with the old certificate, since no file system replaces two
    /// files at once. The key and the certificate then do not belong together, and the program keeps those that it
    /// has, until it reads the files again.
    pub(crate) fn replace(&self, dir: &Path, new: &NewCertificate) -> Result<(), CliError> {
        std::fs::create_dir_all(dir).map_err(|error| CliError::file("make", dir, &error))?;
        files::replace_pair(
            (&self.key, new.key_pem.as_bytes()),
            (&self.certificate, new.certificate_pem.as_bytes()),
        )
    }
}

/// Fails if a file is not a regular file, or if every user of the machine may read, write or run it.
pub(crate) fn must_be_secret(path: &Path) -> Result<(), CliError> {
    let checked = SecretFile::open(path).and_then(|file| file.check(Access::OwnerAndGroup));
    checked.map_err(|error| {
        let code = match error.problem() {
            SecretFileProblem::Io(error) => return CliError::file("read", path, error),
            SecretFileProblem::Exposed { .. } => "key_exposed",
            SecretFileProblem::NotAFile(_) | SecretFileProblem::TooLarge { .. } => "key_invalid",
        };
        CliError::new(code, format!("`{}`: {}", path.display(), error.detail()), error.remedy())
    })
}

/// The serial number that a text names: the number itself, or a file with the certificate.
pub(crate) fn serial_named(text: &str) -> Result<Serial, CliError> {
    text.parse().or_else(|_| serial_in(Path::new(text)))
}

/// The serial number of the certificate in a file.
pub(crate) fn serial_in(path: &Path) -> Result<Serial, CliError> {
    serial_of_pem(&files::read(path)?).map_err(|error| CliError::from(error).in_file(path))
}

/// A time of a certificate, for people and for JSON.
pub(crate) fn time(ms: i64) -> String {
    Millis(ms).to_seconds().to_string()
}

/// What a certificate is for, in one word.
pub(crate) fn word(usage: Usage) -> &'static str {
    match usage {
        Usage::Node => "node",
        Usage::Caller => "caller",
    }
}

/// A certificate on record, as JSON.
pub(crate) fn json(certificate: &assent_tls::ca::IssuedCertificate) -> Value {
    json!({
        "serial": certificate.serial.to_string(),
        "id": certificate.id.as_str(),
        "usage": word(certificate.usage),
        "hosts": certificate.hosts,
        "notBefore": time(certificate.not_before_ms),
        "notAfter": time(certificate.not_after_ms),
        "revokedAt": certificate.revoked_at_ms.map(time),
    })
}

impl From<CaError> for CliError {
    fn from(error: CaError) -> Self {
        let code = match &error {
            CaError::Io { .. } => "io_failed",
            CaError::Exists(_) => "file_exists",
            CaError::InUse(_) => "directory_in_use",
            CaError::Secret(problem) => match problem.problem() {
                SecretFileProblem::Io(_) => "io_failed",
                SecretFileProblem::Exposed { .. } => "key_exposed",
                SecretFileProblem::NotAFile(_) | SecretFileProblem::TooLarge { .. } => "ca_damaged",
            },
            CaError::TooLarge { .. } | CaError::Damaged { .. } => "ca_damaged",
            CaError::Expired { .. } => "ca_expired",
            CaError::Full(_) => "ca_full",
            CaError::Unknown(_) => "certificate_unknown",
            CaError::Revoked { .. } => "certificate_revoked",
            CaError::NoCertificate(_) => "certificate_invalid",
            CaError::Clock(_) | CaError::Make(_) => "certificate_failed",
            CaError::SerialTaken(_) => "randomness_failed",
            CaError::Host { .. }
            | CaError::HostCount { .. }
            | CaError::TrustDomain { .. }
            | CaError::CallerId { .. } => {
                let error = CliError::new("malformed", error.to_string(), error.remedy());
                return CliError { exit: Exit::Usage, ..error };
            }
        };
        CliError::new(code, error.to_string(), error.remedy())
    }
}
