//! What the certificates and the list of an authority say.
//!
//! A certificate of a node or caller is an X509-SVID: it has exactly one URI, which is the SPIFFE id, and it is not an
//! authority.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use rustls_pki_types::DnsName;
use time::OffsetDateTime;

use super::date;
use super::error::CaError;
use super::record::{IssuedCertificate, Usage};
use super::serial::Serial;
use crate::{SpiffeId, TrustDomain};

/// How many hosts the certificate of a node may name.
pub(super) const HOSTS_MAX: usize = 32;
/// The most characters of a common name, by X.520.
const COMMON_NAME_MAX: usize = 64;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// How long the certificate of an authority is valid.
const AUTHORITY_MS: i64 = 10 * 365 * DAY_MS;
/// How long the certificate of a node or caller is valid.
const LEAF_MS: i64 = 90 * DAY_MS;
/// How long a list of revoked certificates is valid.
const CRL_MS: i64 = 30 * DAY_MS;
/// How long before it is made a certificate begins. So a machine whose clock is behind accepts a new one at once.
const BACKDATED_MS: i64 = 5 * 60 * 1000;
/// How long after its end a revoked certificate is still on the list.
const LISTED_AFTER_END_MS: i64 = 30 * DAY_MS;

/// The first and the last moment at which a certificate is valid, in unix milliseconds of whole seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    pub(super) not_before_ms: i64,
    pub(super) not_after_ms: i64,
}

impl Validity {
    /// The validity of an authority that is made now.
    pub(super) fn of_authority(now_ms: i64) -> Self {
        Validity::lasting(now_ms, AUTHORITY_MS)
    }

    /// The validity of a certificate that is issued now by an authority that ends then. It does not outlast the
    /// authority.
    ///
    /// # Errors
    /// `Expired` if the authority has ended.
    pub(super) fn of_leaf(now_ms: i64, authority_not_after_ms: i64) -> Result<Self, CaError> {
        if now_ms >= authority_not_after_ms {
            return Err(CaError::Expired { not_after_ms: authority_not_after_ms });
        }
        let validity = Validity::lasting(now_ms, LEAF_MS);
        Ok(Validity { not_after_ms: validity.not_after_ms.min(authority_not_after_ms), ..validity })
    }

    fn lasting(now_ms: i64, lasts_ms: i64) -> Self {
        let now_ms = now_ms.div_euclid(1000).saturating_mul(1000);
        Validity {
            not_before_ms: now_ms.saturating_sub(BACKDATED_MS).max(0),
            not_after_ms: now_ms.saturating_add(lasts_ms),
        }
    }
}

/// The certificate of an authority. Its name has a part of the serial number, so that two authorities of one trust
/// domain differ in name.
pub(super) fn authority(
    trust_domain: &TrustDomain,
    serial: &Serial,
    validity: Validity,
) -> Result<CertificateParams, CaError> {
    let serial_text = serial.to_string();
    let name = format!("Assent CA {} {trust_domain}", serial_text.get(..8).unwrap_or_default());
    let mut params = certificate(&name, serial, validity)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.subject_alt_names = vec![uri(&format!("spiffe://{trust_domain}"))?];
    Ok(params)
}

/// The certificate of a node or caller.
pub(super) fn leaf(of: &IssuedCertificate) -> Result<CertificateParams, CaError> {
    let validity = Validity { not_before_ms: of.not_before_ms, not_after_ms: of.not_after_ms };
    let mut params = certificate(&common_name(&of.id, of.usage), &of.serial, validity)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match of.usage {
        Usage::Node => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        Usage::Caller => vec![ExtendedKeyUsagePurpose::ClientAuth],
    };
    params.subject_alt_names = vec![uri(of.id.as_str())?];
    for name in &of.hosts {
        params.subject_alt_names.push(host(name)?);
    }
    Ok(params)
}

/// What all certificates have.
fn certificate(name: &str, serial: &Serial, validity: Validity) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.serial_number = Some(SerialNumber::from_slice(serial.bytes()));
    params.not_before = time(validity.not_before_ms)?;
    params.not_after = time(validity.not_after_ms)?;
    params.distinguished_name = DistinguishedName::new();
    let name: String = name.chars().take(COMMON_NAME_MAX).collect();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

/// A name for people; no program takes it for the identity.
fn common_name(id: &SpiffeId, usage: Usage) -> String {
    match usage {
        Usage::Node => format!("node {}", id.path().rsplit('/').next().unwrap_or_default()),
        Usage::Caller => id.path().trim_start_matches('/').to_owned(),
    }
}

fn time(ms: i64) -> Result<OffsetDateTime, CaError> {
    date::of_ms(ms).ok_or(CaError::Clock(ms))
}

fn uri(text: &str) -> Result<SanType, CaError> {
    Ok(SanType::URI(text.try_into()?))
}

/// A host as a certificate names it.
///
/// # Errors
/// `Host` if the text is neither a DNS name nor an IP address.
pub(super) fn host(text: &str) -> Result<SanType, CaError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let wrong = |detail| CaError::Host { host: text.to_owned(), detail };
    if text.contains([':', '[', ']', '/']) {
        return Err(wrong("it has a character that belongs to a port or a URL"));
    }
    if DnsName::try_from(text).is_err() {
        return Err(wrong("a name has labels of letters, digits and `-`, with dots between them"));
    }
    Ok(SanType::DnsName(text.try_into()?))
}

/// The list of revoked certificates: which are revoked, without those that expired long ago, and when the list ends in
/// unix milliseconds.
pub(super) fn revoked(
    certificates: &[IssuedCertificate],
    number: u64,
    now_ms: i64,
) -> Result<(CertificateRevocationListParams, i64), CaError> {
    let next_update_ms = now_ms.div_euclid(1000).saturating_mul(1000).saturating_add(CRL_MS);
    let mut revoked_certs = Vec::new();
    for one in certificates {
        let is_listed = one.not_after_ms.saturating_add(LISTED_AFTER_END_MS) > now_ms;
        if let Some(revoked_at_ms) = one.revoked_at_ms.filter(|_| is_listed) {
            revoked_certs.push(RevokedCertParams {
                serial_number: SerialNumber::from_slice(one.serial.bytes()),
                revocation_time: time(revoked_at_ms)?,
                reason_code: None,
                invalidity_date: None,
            });
        }
    }
    let params = CertificateRevocationListParams {
        this_update: time(now_ms)?,
        next_update: time(next_update_ms)?,
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs,
        key_identifier_method: KeyIdMethod::Sha256,
    };
    Ok((params, next_update_ms))
}
