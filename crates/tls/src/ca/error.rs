//! What can go wrong in the small authority, and what an operator can do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::date;
use super::serial::Serial;
use crate::secret_file::{SecretFileError, SecretFileProblem};

/// Why the authority did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The system cannot read, write or make a file or a folder.
    #[error("could not {step} `{path}`: {source}")]
    Io {
        /// What was tried.
        step: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The folder has files of an authority already.
    #[error("`{0}` exists already, and a file of an authority is never overwritten")]
    Exists(PathBuf),
    /// Another process works with the folder.
    #[error("another process works with the authority in `{0}`")]
    InUse(PathBuf),
    /// The file with the authority's private key cannot be read, or must not be used.
    #[error("`{}`: {}", .0.path().display(), .0.detail())]
    Secret(SecretFileError),
    /// A file of the authority has more bytes than such a file may have.
    #[error("`{path}` has more than {bytes_max} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound.
        bytes_max: u64,
    },
    /// A file is not what the authority wrote, or the files do not belong together.
    #[error("`{path}` {detail}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The authority's own certificate is over.
    #[error("the authority's certificate expired at {}", date::text(*.not_after_ms))]
    Expired {
        /// When it expired, in unix milliseconds.
        not_after_ms: i64,
    },
    /// A host cannot be in a certificate.
    #[error("`{host}` is not the name or the IP address of a host: {detail}")]
    Host {
        /// The host as it was given.
        host: String,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// A node's certificate would name no host, or too many.
    #[error("{count} hosts were given, and the certificate of a node names 1 to {max}")]
    HostCount {
        /// How many were given.
        count: usize,
        /// The bound.
        max: usize,
    },
    /// The id belongs to another trust domain.
    #[error("`{id}` is not in the authority's trust domain `{trust_domain}`")]
    TrustDomain {
        /// The id that was asked for.
        id: String,
        /// The trust domain of the authority.
        trust_domain: String,
    },
    /// A caller may not have this id.
    #[error("a caller cannot have the id `{id}`: {detail}")]
    CallerId {
        /// The id that was asked for.
        id: String,
        /// Why not.
        detail: &'static str,
    },
    /// The authority has no record of this certificate.
    #[error("this authority has no record of a certificate with the serial number {0}")]
    Unknown(Serial),
    /// The certificate was revoked.
    #[error("the certificate {serial} was revoked at {}", date::text(*.revoked_at_ms))]
    Revoked {
        /// Its serial number.
        serial: Serial,
        /// When it was revoked, in unix milliseconds.
        revoked_at_ms: i64,
    },
    /// The bytes are not one certificate.
    #[error("{0}")]
    NoCertificate(String),
    /// The authority has issued as many certificates as it keeps a record of.
    #[error("the authority has a record of {0} certificates that have not long expired, and keeps no more")]
    Full(usize),
    /// The serial number is taken.
    #[error("a certificate with the serial number {0} was issued before, so the random source does not work")]
    SerialTaken(Serial),
    /// The clock shows no time that a certificate can have.
    #[error("the clock shows {0} unix milliseconds, which is no time that a certificate can have")]
    Clock(i64),
    /// A key or a certificate could not be made.
    #[error("the certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
}

impl CaError {
    /// The error of a file or folder that the system refuses.
    pub(super) fn io(step: &'static str, path: &Path, source: io::Error) -> Self {
        CaError::Io { step, path: path.to_owned(), source }
    }

    /// The error of a file that is not what the authority wrote.
    pub(super) fn damaged(path: &Path, detail: impl Into<String>) -> Self {
        CaError::Damaged { path: path.to_owned(), detail: detail.into() }
    }

    /// What an operator can do about it.
    pub fn remedy(&self) -> String {
        match self {
            CaError::Io { .. } => "check the path, its permissions, and the free space of its disk".to_owned(),
            CaError::Exists(_) => "choose another folder: an authority is made once".to_owned(),
            CaError::InUse(_) => "wait until that process has ended, and run the command again".to_owned(),
            CaError::Secret(error) => match error.problem() {
                SecretFileProblem::Exposed { .. } => format!(
                    "run `chmod 600 {}`; if strangers may have read the key, make a new authority and issue every \
                     certificate again",
                    error.path().display()
                ),
                SecretFileProblem::Io(_)
                | SecretFileProblem::NotAFile(_)
                | SecretFileProblem::TooLarge { .. } => error.remedy(),
            },
            CaError::TooLarge { .. } | CaError::Damaged { .. } => {
                "put the authority's folder back from a copy, all of its files together".to_owned()
            }
            CaError::Expired { .. } => {
                "make a new authority in another folder, and issue every certificate from it".to_owned()
            }
            CaError::Host { .. } => {
                "give a DNS name or an IP address, without a port, as clients write it in the node's address"
                    .to_owned()
            }
            CaError::HostCount { .. } => "give each name and address at which clients reach the node".to_owned(),
            CaError::TrustDomain { trust_domain, .. } => {
                format!("give an id that begins with `spiffe://{trust_domain}/`")
            }
            CaError::CallerId { .. } => "give a path of the caller's own, such as `/slurm/ctl`".to_owned(),
            CaError::Unknown(_) => {
                "give the folder of the authority that issued it; `assent cert list` lists what an authority issued"
                    .to_owned()
            }
            CaError::Revoked { .. } => {
                "issue a new certificate, if its holder may have one again".to_owned()
            }
            CaError::NoCertificate(_) => "give a PEM file as this command writes it".to_owned(),
            CaError::Full(_) => "make a further authority, and let the nodes trust both".to_owned(),
            CaError::SerialTaken(_) => "check the system's random source, and run the command again".to_owned(),
            CaError::Clock(_) => "set the machine's clock".to_owned(),
            CaError::Make(_) => "report this as a bug".to_owned(),
        }
    }
}
