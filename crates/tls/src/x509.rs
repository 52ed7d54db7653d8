//! What this crate reads from a certificate itself: names for messages, times, and the SPIFFE id.
//!
//! webpki decides whether a chain is right. x509-parser reads what webpki does not show. The SPIFFE id is read here
//! too, because webpki leaves out names that it cannot read, and a certificate with an unreadable name is refused.

use std::fmt::Display;

use assent_proof::text::one_line;
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::{parse_x509_certificate, parse_x509_crl};

use crate::certificate_error::CertificateError;
use crate::provider::provider;
use crate::spiffe::SpiffeId;

/// Longest part of a foreign name that a message quotes, in characters.
const SHOWN_CHARS_MAX: usize = 160;
/// Longest serial number that a message quotes, in bytes: RFC 5280 allows 20.
const SHOWN_SERIAL_BYTES_MAX: usize = 21;

/// The first and the last second of a certificate, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

/// Reads the whole of a certificate.
fn read<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    match parse_x509_certificate(certificate.as_ref()) {
        Ok(([], read)) => Ok(read),
        Ok(_) => Err("bytes follow the certificate".to_owned()),
        Err(error) => Err(shown(&error)),
    }
}

/// A foreign text for a message: one line, and not long.
pub(crate) fn shown(text: &impl Display) -> String {
    let text: String = text.to_string();
    let mut chars = text.chars();
    let mut start: String = chars.by_ref().take(SHOWN_CHARS_MAX).collect();
    if chars.next().is_some() {
        start.push('…');
    }
    one_line(&start).into_owned()
}

/// A name for the certificate: its first URI, or else its subject, and its serial number.
pub(crate) fn name_of(certificate: &CertificateDer<'_>) -> String {
    let Ok(read) = read(certificate) else {
        return "a certificate".to_owned();
    };
    let serial = read.raw_serial();
    let serial = hex::encode(serial.get(..SHOWN_SERIAL_BYTES_MAX).unwrap_or(serial));
    let name = uris(&read).ok().and_then(|uris| uris.first().map(shown));
    let name = name.unwrap_or_else(|| shown(read.subject()));
    format!("the certificate of `{name}` (serial number {serial})")
}

/// The subject of a certificate, for a message.
pub(crate) fn subject_of(certificate: &CertificateDer<'_>) -> String {
    read(certificate).map_or_else(|_| "?".to_owned(), |read| shown(read.subject()))
}

/// The issuer of a certificate, for a message.
pub(crate) fn issuer_of(certificate: &CertificateDer<'_>) -> String {
    read(certificate).map_or_else(|_| "?".to_owned(), |read| shown(read.issuer()))
}

/// When a certificate is valid.
///
/// # Errors
/// What is wrong with a certificate that cannot be read.
pub(crate) fn validity_of(certificate: &CertificateDer<'_>) -> Result<Validity, String> {
    let read = read(certificate)?;
    let validity = read.validity();
    Ok(Validity { not_before: validity.not_before.timestamp(), not_after: validity.not_after.timestamp() })
}

/// Whether the certificate says that it is that of a CA.
///
/// # Errors
/// What is wrong with a certificate that cannot be read.
pub(crate) fn is_authority(certificate: &CertificateDer<'_>) -> Result<bool, String> {
    let read = read(certificate)?;
    let constraints = read.basic_constraints().map_err(|error| shown(&error))?;
    Ok(constraints.is_some_and(|constraints| constraints.value.ca))
}

/// The public key of a certificate, as signatures are checked with it.
///
/// # Errors
/// What is wrong with a certificate that cannot be read.
pub(crate) fn key_of(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, String> {
    Ok(read(certificate)?.public_key().subject_public_key.data.to_vec())
}

/// What webpki does not show of a revocation list.
pub(crate) struct RevocationList {
    /// Its issuer, for a message.
    pub(crate) issuer: String,
    /// The second in which it was made.
    pub(crate) this_update: i64,
    /// The second after which it has expired, if it says so.
    pub(crate) next_update: Option<i64>,
    /// Its number in decimal digits, if it has one.
    pub(crate) number: Option<String>,
}

/// Reads a revocation list in which webpki has found nothing wrong, so its number has at most 20 bytes.
///
/// # Errors
/// What is wrong with a list that cannot be read.
pub(crate) fn revocation_list(der: &[u8]) -> Result<RevocationList, String> {
    let (_, list) = parse_x509_crl(der).map_err(|error| shown(&error))?;
    Ok(RevocationList {
        issuer: shown(list.issuer()),
        this_update: list.last_update().timestamp(),
        next_update: list.next_update().map(|time| time.timestamp()),
        number: list.crl_number().map(ToString::to_string),
    })
}

/// Whether a revocation list was signed with this public key. webpki checks that too, but not before it checks a
/// certificate.
pub(crate) fn is_signed_by(list: &[u8], key: &[u8]) -> bool {
    let Ok((_, list)) = parse_x509_crl(list) else { return false };
    let message: &[u8] = list.tbs_cert_list.as_ref();
    let signature: &[u8] = &list.signature_value.data;
    let algorithms = provider().signature_verification_algorithms.all;
    algorithms.iter().any(|algorithm| algorithm.verify_signature(key, message, signature).is_ok())
}

/// The identity of a leaf whose chain was found right.
///
/// # Errors
/// If it may sign certificates or revocation lists, if it does not say what it is for, or if it does not have exactly
/// one URI that is a SPIFFE id.
pub(crate) fn identity_of(leaf: &CertificateDer<'_>) -> Result<SpiffeId, CertificateError> {
    let certificate = || name_of(leaf);
    let unreadable = |why: String| CertificateError::Unreadable { certificate: certificate(), why };
    let read = read(leaf).map_err(unreadable)?;
    let constraints = read.basic_constraints().map_err(|error| unreadable(shown(&error)))?;
    let usage = read.key_usage().map_err(|error| unreadable(shown(&error)))?;
    let signs = usage.is_some_and(|usage| usage.value.key_cert_sign() || usage.value.crl_sign());
    if signs || constraints.is_some_and(|constraints| constraints.value.ca) {
        return Err(CertificateError::IsAuthority { certificate: certificate() });
    }
    let uris = uris(&read).map_err(unreadable)?;
    match uris.as_slice() {
        [uri] => SpiffeId::parse(uri)
            .map_err(|error| CertificateError::BadId { certificate: certificate(), error }),
        [] => Err(CertificateError::NoId { certificate: certificate() }),
        _ => Err(CertificateError::ManyIds { certificate: certificate(), count: uris.len() }),
    }
}

/// The SPIFFE id that a certificate in DER states. Who has issued it is not checked, so anyone can have written it. Use it
/// only for a certificate that is trusted for another reason, and to try the reader.
///
/// # Errors
/// If the certificate does not have exactly one SPIFFE id, or is that of a CA.
pub fn stated_id(certificate: &[u8]) -> Result<SpiffeId, CertificateError> {
    identity_of(&CertificateDer::from(certificate))
}

/// Whether the certificate says what it is for. webpki accepts one that does not for everything.
pub(crate) fn states_its_usage(leaf: &CertificateDer<'_>) -> bool {
    read(leaf).is_ok_and(|read| read.extended_key_usage().is_ok_and(|usage| usage.is_some()))
}

/// Whether clients take the certificate for that of a server: it says so, or it does not say what it is for.
///
/// # Errors
/// What is wrong with a certificate that cannot be read.
pub(crate) fn is_for_servers(leaf: &CertificateDer<'_>) -> Result<bool, String> {
    let read = read(leaf)?;
    let usage = read.extended_key_usage().map_err(|error| shown(&error))?;
    Ok(usage.is_none_or(|usage| usage.value.server_auth))
}

/// Every URI among the subject alternative names, in their order.
///
/// # Errors
/// If a name cannot be read: it could be one more URI.
fn uris<'a>(certificate: &'a X509Certificate<'_>) -> Result<Vec<&'a str>, String> {
    let names = certificate.subject_alternative_name().map_err(|error| shown(&error))?;
    let mut uris = Vec::new();
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::Invalid(..) => return Err("a subject alternative name is malformed".to_owned()),
            GeneralName::OtherName(..)
            | GeneralName::RFC822Name(_)
            | GeneralName::DNSName(_)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::IPAddress(_)
            | GeneralName::RegisteredID(_) => {}
        }
    }
    Ok(uris)
}
