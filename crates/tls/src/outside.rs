//! The readers of PEM files that have no other public way in, for programs that feed them arbitrary bytes.
//!
//! No node uses this module. It reads nothing in another way than [`Authorities`](crate::Authorities) and
//! [`OwnCertificate`](crate::OwnCertificate) do, and it opens no file.

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::anchors::Anchors;
use crate::authorities::signers;
use crate::files::{TlsFileProblem, private_key_of, sections_of};
use crate::revocation::stated;

pub use crate::revocation::StatedList;

/// The certificates of a file, in their order.
///
/// # Errors
/// What is wrong with the file.
pub fn stated_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsFileProblem> {
    sections_of(pem, "CERTIFICATE")
}

/// The names of the CAs of a file of CAs.
///
/// # Errors
/// What is wrong with the file, or with the first of its certificates that is not that of a CA.
pub fn stated_authorities(pem: &[u8]) -> Result<Vec<String>, TlsFileProblem> {
    Ok(anchors(pem)?.described.into_iter().map(|described| described.name).collect())
}

/// The lists of a file of revocation lists, in their order. `ca` are the bytes of the file of CAs.
///
/// # Errors
/// What is wrong with one of the files, or with the first list that cannot be read.
pub fn stated_lists(pem: &[u8], ca: &[u8]) -> Result<Vec<StatedList>, TlsFileProblem> {
    let anchors = anchors(ca)?;
    let signers = signers(&anchors);
    let sections: Vec<CertificateRevocationListDer<'static>> = sections_of(pem, "X509 CRL")?;
    let mut lists = Vec::new();
    for (place, section) in sections.iter().enumerate() {
        let unreadable = |why| TlsFileProblem::Unreadable { number: place.saturating_add(1), why };
        lists.push(stated(section.as_ref(), &signers).map_err(unreadable)?);
    }
    Ok(lists)
}

/// The public half of the one private key of a file. None if the key is of a kind that does not tell it.
///
/// # Errors
/// What is wrong with the file or the key.
pub fn stated_key(pem: &[u8]) -> Result<Option<Vec<u8>>, TlsFileProblem> {
    let secret = Zeroizing::new(private_key_of::<PrivateKeyDer<'static>>(pem)?);
    let signer = any_supported_type(&secret).map_err(|_| TlsFileProblem::UnusableKey)?;
    Ok(signer.public_key().map(|public| public.as_ref().to_vec()))
}

fn anchors(pem: &[u8]) -> Result<Anchors, TlsFileProblem> {
    let (anchors, problems) = Anchors::of(&stated_chain(pem)?);
    match problems.into_iter().next() {
        Some(problem) => Err(problem),
        None => Ok(anchors),
    }
}
