//! The file of CAs: the trust anchors of chains, and what webpki does not keep of them.

use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::{CertificateDer, TrustAnchor};

use crate::files::{BUNDLE_BYTES_MAX, TlsFileProblem, sections};
use crate::x509::{Validity, is_authority, key_of, shown, subject_of, validity_of};

/// The CAs of a file.
#[derive(Clone, Default)]
pub(crate) struct Anchors {
    pub(crate) anchors: Vec<TrustAnchor<'static>>,
    /// What webpki does not keep of each anchor, at the same place.
    pub(crate) described: Vec<Described>,
    /// The certificates as they were read.
    pub(crate) der: Vec<Arc<[u8]>>,
}

/// What webpki does not keep of a CA.
#[derive(Clone)]
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) key: Vec<u8>,
    pub(crate) validity: Validity,
}

impl Anchors {
    /// Reads the file.
    ///
    /// # Errors
    /// If the file cannot be read, or if one of its certificates is not that of a CA.
    pub(crate) fn read(path: &Path) -> Result<Self, TlsFileProblem> {
        let (anchors, problems) = Anchors::sound(path)?;
        match problems.into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(anchors),
        }
    }

    /// Reads the file again, to use it in place of `self`, and says what is wrong with it. A CA that is no longer in the file
    /// is gone, even if something else in the file is wrong. If the file has no CA that can be used, `self` stays.
    pub(crate) fn read_again(&self, path: &Path) -> (Self, Vec<TlsFileProblem>) {
        match Anchors::sound(path) {
            Ok((anchors, problems)) if !anchors.der.is_empty() => (anchors, problems),
            Ok((_, problems)) => (self.clone(), problems),
            Err(problem) => (self.clone(), vec![problem]),
        }
    }

    /// The certificates of the file that can be used, and what is wrong with each of the others.
    fn sound(path: &Path) -> Result<(Self, Vec<TlsFileProblem>), TlsFileProblem> {
        let certificates: Vec<CertificateDer<'static>> = sections(path, BUNDLE_BYTES_MAX, "CERTIFICATE")?;
        Ok(Anchors::of(&certificates))
    }

    /// Those of these certificates that can be used, and what is wrong with each of the others.
    pub(crate) fn of(certificates: &[CertificateDer<'static>]) -> (Self, Vec<TlsFileProblem>) {
        let (mut read, mut problems) = (Anchors::default(), Vec::new());
        for (place, certificate) in certificates.iter().enumerate() {
            if let Err(problem) = read.add(place.saturating_add(1), certificate) {
                problems.push(problem);
            }
        }
        (read, problems)
    }

    fn add(&mut self, number: usize, certificate: &CertificateDer<'_>) -> Result<(), TlsFileProblem> {
        let unreadable = |why| TlsFileProblem::Unreadable { number, why };
        let name = subject_of(certificate);
        if !is_authority(certificate).map_err(unreadable)? {
            return Err(TlsFileProblem::NoAuthority { number, subject: name });
        }
        let validity = validity_of(certificate).map_err(unreadable)?;
        let key = key_of(certificate).map_err(unreadable)?;
        let anchor =
            webpki::anchor_from_trusted_cert(certificate).map_err(|error| unreadable(shown(&error)))?;
        self.anchors.push(anchor.to_owned());
        self.der.push(Arc::from(certificate.as_ref()));
        self.described.push(Described { name, key, validity });
        Ok(())
    }
}
