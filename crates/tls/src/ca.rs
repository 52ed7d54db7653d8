//! A small certificate authority, for operators who have none.
//!
//! An authority is a folder: its private key (`ca.key`, mode 0600), its certificate (`ca.pem`), the record of what it
//! issued (`issued.json`) and its list of revoked certificates (`ca.crl`). It issues certificates of nodes and of
//! callers, and nothing else: no further authorities. Every change is in the record, durably, before its result leaves
//! this module. So a crash never leaves a certificate that the record does not have, and cannot lose a revocation that
//! was reported.
//!
//! It reads no clock and draws no serial number: callers pass the time and the random bytes. Keys come from rcgen, which
//! takes them from the system. It never prints or logs a private key.

mod date;
mod error;
mod files;
mod own_key;
mod profile;
mod record;
mod serial;

use std::fs::File;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, Issuer, PublicKeyData};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use zeroize::Zeroizing;

pub use error::CaError;
use own_key::OwnKey;
use profile::{HOSTS_MAX, Validity};
use record::Record;
pub use record::{IssuedCertificate, Usage};
pub use serial::{Serial, SerialError};

use crate::{NodeName, SpiffeId, TrustDomain, secret_file};

/// The most bytes of a file with certificates.
const CERTIFICATE_BYTES_MAX: u64 = 64 * 1024;
/// The most bytes of the file with the private key.
const KEY_BYTES_MAX: usize = 16 * 1024;
/// The paths of ids that no caller may have begin with this: nodes have them.
const NODES_PATH: &str = "/assent/";

/// The files in an authority's folder.
#[derive(Clone, Debug)]
struct Paths {
    dir: PathBuf,
    key: PathBuf,
    certificate: PathBuf,
    record: PathBuf,
    crl: PathBuf,
}

impl Paths {
    fn of(dir: &Path) -> Self {
        Paths {
            dir: dir.to_owned(),
            key: dir.join("ca.key"),
            certificate: dir.join("ca.pem"),
            record: dir.join("issued.json"),
            crl: dir.join("ca.crl"),
        }
    }
}

/// An authority. As long as this value lives, no other process works with the same folder.
#[derive(Debug)]
pub struct Ca {
    paths: Paths,
    issuer: Issuer<'static, OwnKey>,
    not_after_ms: i64,
    record: Record,
    _lock: File,
}

/// What a certificate is asked for.
#[derive(Clone, Debug)]
pub struct CertificateRequest {
    id: SpiffeId,
    usage: Usage,
    hosts: Vec<String>,
}

/// A new certificate with its private key.
pub struct NewCertificate {
    /// What is on record.
    pub certificate: IssuedCertificate,
    /// The certificate, as PEM.
    pub certificate_pem: String,
    /// The private key, as PKCS#8 PEM.
    pub key_pem: Zeroizing<String>,
}

impl std::fmt::Debug for NewCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewCertificate").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// A list of revoked certificates that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenCrl {
    /// Its file.
    pub path: PathBuf,
    /// Its number, which grows with each list.
    pub number: u64,
    /// When it ends, in unix milliseconds. After that, nodes that use it refuse every certificate of the authority.
    pub next_update_ms: i64,
    /// How many certificates it has.
    pub revoked: usize,
}

impl CertificateRequest {
    /// The certificate of a node, whose clients reach it under these names and IP addresses.
    ///
    /// # Errors
    /// If there is no host, if there are more than 32, or if one is neither a DNS name nor an IP address.
    pub fn node(name: &NodeName, hosts: &[String]) -> Result<Self, CaError> {
        let mut unique: Vec<String> = Vec::new();
        for host in hosts {
            profile::host(host)?;
            if !unique.contains(host) {
                unique.push(host.clone());
            }
        }
        if unique.is_empty() || unique.len() > HOSTS_MAX {
            return Err(CaError::HostCount { count: unique.len(), max: HOSTS_MAX });
        }
        Ok(CertificateRequest { id: name.to_id(), usage: Usage::Node, hosts: unique })
    }

    /// The certificate of a caller with this id.
    ///
    /// # Errors
    /// If the id has no path, or if its path begins with `/assent/`: a caller with the id of a node could speak to
    /// nodes as that node.
    pub fn caller(id: SpiffeId) -> Result<Self, CaError> {
        let wrong = |detail| Err(CaError::CallerId { id: id.to_string(), detail });
        if id.path().is_empty() {
            return wrong("it has no path");
        }
        if id.path().starts_with(NODES_PATH) {
            return wrong("paths that begin with `/assent/` are those of nodes");
        }
        Ok(CertificateRequest { id, usage: Usage::Caller, hosts: Vec::new() })
    }
}

impl Ca {
    /// Makes an authority for a trust domain in a folder, with an empty list of revoked certificates. Its certificate
    /// is valid for ten years of 365 days.
    ///
    /// # Errors
    /// `Exists` if the folder has one of an authority's files. If a crash ended an earlier call, the folder may have
    /// some of them; no certificate was issued then, so they can be removed.
    pub fn create(
        dir: &Path,
        trust_domain: &TrustDomain,
        now_ms: i64,
        random: [u8; 16],
    ) -> Result<Self, CaError> {
        files::make_folder(dir)?;
        let lock = files::lock(dir)?;
        let paths = Paths::of(dir);
        files::must_be_absent(&[&paths.key, &paths.certificate, &paths.record, &paths.crl])?;
        let validity = Validity::of_authority(now_ms);
        let params = profile::authority(trust_domain, &Serial::of_random(random), validity)?;
        let key = OwnKey::generate()?;
        let certificate = params.self_signed(&key)?;
        files::create_secret(&paths.key, key.to_pem().as_bytes())?;
        let record = Record::new(trust_domain.clone());
        record.write(&paths.record)?;
        files::replace(&paths.certificate, certificate.pem().as_bytes())?;
        let issuer = Issuer::new(params, key);
        let mut ca = Ca { paths, issuer, not_after_ms: validity.not_after_ms, record, _lock: lock };
        ca.write_crl(now_ms)?;
        Ok(ca)
    }

    /// Opens the authority in a folder.
    ///
    /// # Errors
    /// If a file is missing or damaged, if the key is not that of the certificate, if the key's file is not a regular
    /// file, if every user of the machine may use it, or if another process works with the folder.
    pub fn open(dir: &Path) -> Result<Self, CaError> {
        let paths = Paths::of(dir);
        // In a folder that is no authority, such as one with a copy of its certificate, not even the lock is made.
        let certificate = files::read(&paths.certificate, CERTIFICATE_BYTES_MAX)?;
        files::must_be_there(&paths.record)?;
        let lock = files::lock(dir)?;
        let record = Record::read(&paths.record)?;
        let key_pem = secret_file::read(&paths.key, KEY_BYTES_MAX).map_err(CaError::Secret)?;
        let key = OwnKey::from_pem(&key_pem)
            .map_err(|problem| CaError::damaged(&paths.key, format!("has no private key: {problem}")))?;
        let damaged = |detail: String| CaError::damaged(&paths.certificate, detail);
        let der = CertificateDer::from_pem_slice(&certificate)
            .map_err(|_| damaged("has no certificate: it is not PEM, or is cut short".to_owned()))?;
        let found = parsed(&der).ok_or_else(|| damaged("has no certificate that can be read".to_owned()))?;
        if !found.is_ca() {
            return Err(damaged("is not the certificate of an authority".to_owned()));
        }
        if found.public_key().raw != key.subject_public_key_info() {
            return Err(damaged(format!("is not the certificate of the key `{}`", paths.key.display())));
        }
        let not_after_ms = found.validity().not_after.timestamp().saturating_mul(1000);
        let issuer = Issuer::from_ca_cert_der(&der, key)?;
        Ok(Ca { paths, issuer, not_after_ms, record, _lock: lock })
    }

    /// The trust domain of every certificate that it issues.
    pub fn trust_domain(&self) -> &TrustDomain {
        self.record.trust_domain()
    }

    /// Up to when its own certificate is valid, in unix milliseconds.
    pub fn not_after_ms(&self) -> i64 {
        self.not_after_ms
    }

    /// The file with its certificate.
    pub fn certificate_path(&self) -> &Path {
        &self.paths.certificate
    }

    /// The file with its list of revoked certificates.
    pub fn crl_path(&self) -> &Path {
        &self.paths.crl
    }

    /// The certificates on record, in the order in which they were issued: all but those that ended over a year ago.
    pub fn certificates(&self) -> &[IssuedCertificate] {
        self.record.certificates()
    }

    /// The certificate with this serial number.
    ///
    /// # Errors
    /// `Unknown` if the authority has no record of it.
    pub fn certificate(&self, serial: &Serial) -> Result<&IssuedCertificate, CaError> {
        self.record.certificate(serial)
    }

    /// Issues a certificate for a new key. It is valid for 90 days, and not longer than the authority.
    ///
    /// # Errors
    /// If the id is not in the authority's trust domain, if the authority's certificate is over, or if the record
    /// cannot be written.
    pub fn issue(
        &mut self,
        request: &CertificateRequest,
        now_ms: i64,
        random: [u8; 16],
    ) -> Result<NewCertificate, CaError> {
        if request.id.trust_domain() != self.trust_domain() {
            let (id, trust_domain) = (request.id.to_string(), self.trust_domain().to_string());
            return Err(CaError::TrustDomain { id, trust_domain });
        }
        let validity = Validity::of_leaf(now_ms, self.not_after_ms)?;
        let certificate = IssuedCertificate {
            serial: Serial::of_random(random),
            id: request.id.clone(),
            usage: request.usage,
            hosts: request.hosts.clone(),
            not_before_ms: validity.not_before_ms,
            not_after_ms: validity.not_after_ms,
            revoked_at_ms: None,
        };
        let params: CertificateParams = profile::leaf(&certificate)?;
        let key = OwnKey::generate()?;
        let certificate_pem = params.signed_by(&key, &self.issuer)?.pem();
        let key_pem = key.to_pem();
        let mut record = self.record.clone();
        record.add(certificate.clone(), now_ms)?;
        self.keep(record)?;
        Ok(NewCertificate { certificate, certificate_pem, key_pem })
    }

    /// Issues a certificate with the id, usage and hosts of an earlier one, for a new key. The earlier one stays valid
    /// up to its end, or until it is revoked.
    ///
    /// # Errors
    /// `Revoked` if the earlier one was revoked, and as [`issue`](Self::issue).
    pub fn renew(
        &mut self,
        serial: &Serial,
        now_ms: i64,
        random: [u8; 16],
    ) -> Result<NewCertificate, CaError> {
        // The names come from the record, and not from a file, which anyone could have written.
        let earlier = self.certificate(serial)?;
        if let Some(revoked_at_ms) = earlier.revoked_at_ms {
            return Err(CaError::Revoked { serial: serial.clone(), revoked_at_ms });
        }
        let (id, usage, hosts) = (earlier.id.clone(), earlier.usage, earlier.hosts.clone());
        self.issue(&CertificateRequest { id, usage, hosts }, now_ms, random)
    }

    /// Revokes a certificate, and writes the list that has it. A certificate that is revoked already keeps its time,
    /// and the list is written again.
    ///
    /// # Errors
    /// `Unknown` if the authority has no record of the certificate. If the list cannot be written, the revocation is
    /// on record all the same, and [`write_crl`](Self::write_crl) writes the list.
    pub fn revoke(
        &mut self,
        serial: &Serial,
        now_ms: i64,
    ) -> Result<(IssuedCertificate, WrittenCrl), CaError> {
        let mut record = self.record.clone();
        record.revoke(serial, now_ms)?;
        self.keep(record)?;
        let crl = self.write_crl(now_ms)?;
        Ok((self.certificate(serial)?.clone(), crl))
    }

    /// Writes the list of revoked certificates. It ends in 30 days, and has the next number.
    ///
    /// # Errors
    /// If the record or the list cannot be written.
    pub fn write_crl(&mut self, now_ms: i64) -> Result<WrittenCrl, CaError> {
        let mut record = self.record.clone();
        let number = record.next_crl_number();
        // A number that was taken and never appears on a list is harmless; a number on two lists is not.
        self.keep(record)?;
        let (params, next_update_ms) = profile::revoked(self.certificates(), number, now_ms)?;
        let pem = params.signed_by(&self.issuer)?.pem()?;
        files::replace(&self.paths.crl, pem.as_bytes())?;
        let revoked = params.revoked_certs.len();
        Ok(WrittenCrl { path: self.paths.crl.clone(), number, next_update_ms, revoked })
    }

    /// Writes the record, and goes on with it.
    fn keep(&mut self, record: Record) -> Result<(), CaError> {
        record.write(&self.paths.record)?;
        self.record = record;
        Ok(())
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.paths.dir
    }
}

/// The serial number of the first certificate in a PEM text, by which an authority finds it on record.
///
/// # Errors
/// `NoCertificate` if the text has none.
pub fn serial_of_pem(pem: &[u8]) -> Result<Serial, CaError> {
    let none = CaError::NoCertificate;
    // The parser's own error quotes the line at fault. If the file is a private key by mistake, that may be the key.
    let der = CertificateDer::from_pem_slice(pem)
        .map_err(|_| none("it has no certificate in PEM, or is cut short".to_owned()))?;
    let found = parsed(&der).ok_or_else(|| none("its certificate cannot be read".to_owned()))?;
    Serial::of_certificate(found.raw_serial()).ok_or_else(|| none("its serial number is too long".to_owned()))
}

/// A certificate that fills its bytes.
fn parsed<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], found)) => Some(found),
        Ok(_) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests;
