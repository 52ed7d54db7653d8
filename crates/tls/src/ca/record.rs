//! What an authority remembers of the certificates that it issued: the file `issued.json`.
//!
//! The file is the truth about revocation: a list of revoked certificates is made from it and never read back. It has a
//! version, and a build refuses a version that it does not know.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::CaError;
use super::files;
use super::serial::Serial;
use crate::{SpiffeId, TrustDomain};

/// The version of the file that this build writes, and the only one that it reads.
const VERSION: u32 = 1;
/// The most bytes of the file.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The most certificates of which an authority keeps a record. A list of revoked certificates then has at most about
/// 1.3 MB.
const CERTIFICATES_MAX: usize = 20_000;
/// How long after its end a certificate is still on record.
const KEPT_MS: i64 = 366 * 24 * 60 * 60 * 1000;

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Usage {
    /// A node shows it to its peers, on either side of a connection, and to its clients.
    Node,
    /// A caller shows it to nodes. It is of no use to a server.
    Caller,
}

/// A certificate that the authority issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IssuedCertificate {
    /// Its serial number.
    #[serde(with = "as_text")]
    pub serial: Serial,
    /// The id of the node or caller.
    #[serde(with = "as_text")]
    pub id: SpiffeId,
    /// What it is for.
    pub usage: Usage,
    /// The names and IP addresses of the node's host.
    pub hosts: Vec<String>,
    /// From when on it is valid, in unix milliseconds.
    pub not_before_ms: i64,
    /// Up to when it is valid, in unix milliseconds.
    pub not_after_ms: i64,
    /// When it was revoked, in unix milliseconds.
    pub revoked_at_ms: Option<i64>,
}

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Record {
    version: u32,
    #[serde(with = "as_text")]
    trust_domain: TrustDomain,
    /// The number of the newest list of revoked certificates.
    crl_number: u64,
    certificates: Vec<IssuedCertificate>,
}

/// The part of the file that is read first.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Record {
    /// The record of an authority that has issued nothing.
    pub(super) fn new(trust_domain: TrustDomain) -> Self {
        Record { version: VERSION, trust_domain, crl_number: 0, certificates: Vec::new() }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// If it is damaged, or has a version that this build does not know.
    pub(super) fn read(path: &Path) -> Result<Self, CaError> {
        let bytes = files::read(path, BYTES_MAX)?;
        let damaged = |error: serde_json::Error| CaError::damaged(path, format!("cannot be read: {error}"));
        let Versioned { version } = serde_json::from_slice(&bytes).map_err(damaged)?;
        if version != VERSION {
            let detail = format!("has the version {version}, and this build knows {VERSION} alone");
            return Err(CaError::damaged(path, detail));
        }
        serde_json::from_slice(&bytes).map_err(damaged)
    }

    /// Writes the file. When this returns, it is durable.
    pub(super) fn write(&self, path: &Path) -> Result<(), CaError> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| CaError::damaged(path, format!("cannot be written: {error}")))?;
        bytes.push(b'\n');
        files::replace(path, &bytes)
    }

    /// The trust domain of every certificate.
    pub(super) fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The certificates, in the order in which they were issued.
    pub(super) fn certificates(&self) -> &[IssuedCertificate] {
        &self.certificates
    }

    /// The certificate with this serial number.
    ///
    /// # Errors
    /// `Unknown`.
    pub(super) fn certificate(&self, serial: &Serial) -> Result<&IssuedCertificate, CaError> {
        let found = self.certificates.iter().find(|one| one.serial == *serial);
        found.ok_or_else(|| CaError::Unknown(serial.clone()))
    }

    /// Adds a certificate, and forgets those whose end is more than a year ago.
    ///
    /// # Errors
    /// `SerialTaken`, or `Full`.
    pub(super) fn add(&mut self, new: IssuedCertificate, now_ms: i64) -> Result<(), CaError> {
        if self.certificate(&new.serial).is_ok() {
            return Err(CaError::SerialTaken(new.serial));
        }
        self.certificates.retain(|one| one.not_after_ms.saturating_add(KEPT_MS) > now_ms);
        if self.certificates.len() >= CERTIFICATES_MAX {
            return Err(CaError::Full(CERTIFICATES_MAX));
        }
        self.certificates.push(new);
        Ok(())
    }

    /// Notes that a certificate is revoked. The first revocation stands.
    ///
    /// # Errors
    /// `Unknown`.
    pub(super) fn revoke(&mut self, serial: &Serial, now_ms: i64) -> Result<(), CaError> {
        let found = self.certificates.iter_mut().find(|one| one.serial == *serial);
        let found = found.ok_or_else(|| CaError::Unknown(serial.clone()))?;
        found.revoked_at_ms.get_or_insert(now_ms);
        Ok(())
    }

    /// Takes the number of the next list of revoked certificates.
    pub(super) fn next_crl_number(&mut self) -> u64 {
        self.crl_number = self.crl_number.saturating_add(1);
        self.crl_number
    }
}

/// Writes a value as its text, and reads it by its one parser.
mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr,
        T::Err: Display,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}
