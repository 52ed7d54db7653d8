//! A file of revocation lists: which CA has signed each list, and whether the lists may follow those that were read before.
//!
//! Each list of a CA has a number, which grows from list to list (RFC 5280, section 5.2.3). An old list is still signed
//! and may still be within its time. If it took the place of a newer one, what the newer one revokes would get in again.
//! So a program that reads the file again refuses a list whose number is not higher, unless it is the same list. What was
//! read is remembered in memory only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use assent_proof::{Seconds, Sha256};
use rustls_pki_types::CertificateRevocationListDer;
use webpki::{CertRevocationList, OwnedCertRevocationList};

use crate::files::{BUNDLE_BYTES_MAX, TlsFileProblem, sections};
use crate::x509::{RevocationList, is_signed_by, revocation_list, shown};

/// How many lists are remembered that are no longer in the file. Their CA may come back.
const GONE_MAX: usize = 1024;

/// A CA of the file of CAs.
pub(crate) struct Signer<'a> {
    /// Its name, in DER.
    pub(crate) name: &'a [u8],
    /// Its public key.
    pub(crate) key: &'a [u8],
}

/// The newest list of each scope that was read.
pub(crate) type Newest = BTreeMap<Scope, Edition>;

/// What a list is about. Lists of one scope follow one another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Scope {
    issuer: Vec<u8>,
    distribution_point: Option<Vec<u8>>,
    /// The key of the CA that has signed the list. None if it is that of an intermediate CA, which the file of CAs does
    /// not have. A CA that was made anew under the same name has another key, and begins its numbers anew.
    key: Option<Vec<u8>>,
}

/// Which of the lists of a scope a list is.
#[derive(Clone)]
pub(crate) struct Edition {
    number: Option<Number>,
    /// The second in which it was made.
    made_at: i64,
    digest: [u8; 32],
}

/// The number of a list. Decimal digits are in the order of their count first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Number {
    digits: usize,
    decimal: String,
}

/// The lists of a file.
#[derive(Default)]
pub(crate) struct Lists {
    pub(crate) lists: Vec<CertRevocationList<'static>>,
    /// The second after which the first of them has expired.
    pub(crate) next_update: Option<i64>,
    /// The lists as they were read.
    pub(crate) der: Vec<Vec<u8>>,
    /// These lists, and those that were read before and are no longer in the file.
    pub(crate) newest: Newest,
}

impl Lists {
    /// Reads a file of revocation lists. `signers` are the CAs of the file `ca`, and `before` is what was read last.
    ///
    /// # Errors
    /// If the file cannot be read, if two lists have one scope, if no CA has signed one of them, or if a list is older than
    /// one that was read before.
    pub(crate) fn read(
        path: &Path,
        ca: &Path,
        signers: &[Signer<'_>],
        before: &Newest,
    ) -> Result<Self, TlsFileProblem> {
        let sections: Vec<CertificateRevocationListDer<'static>> =
            sections(path, BUNDLE_BYTES_MAX, "X509 CRL")?;
        let (mut read, mut names, mut first) = (Lists::default(), BTreeSet::new(), None);
        for (place, section) in sections.iter().enumerate() {
            let unreadable = |why| TlsFileProblem::Unreadable { number: place.saturating_add(1), why };
            let list = OwnedCertRevocationList::from_der(section.as_ref())
                .map_err(|error| unreadable(shown(&error)))?;
            let list = CertRevocationList::from(list);
            let described = revocation_list(section.as_ref()).map_err(unreadable)?;
            let (issuer, point) = (list.issuer(), list.issuing_distribution_point().map(<[u8]>::to_vec));
            if !names.insert((issuer.to_vec(), point.clone())) {
                return Err(TlsFileProblem::TwoLists { issuer: described.issuer });
            }
            let signed = |ca: &&Signer<'_>| ca.name == issuer && is_signed_by(section.as_ref(), ca.key);
            let key = signers.iter().find(signed).map(|ca| ca.key.to_vec());
            let scope = Scope { issuer: issuer.to_vec(), distribution_point: point, key };
            let edition = Edition::of(&described, section.as_ref());
            if let Some(newest) = before.get(&scope).filter(|newest| !edition.may_follow(newest)) {
                let (offered, newest) = (edition.told(), newest.told());
                return Err(TlsFileProblem::OlderList { issuer: described.issuer, offered, newest });
            }
            read.newest.insert(scope, edition);
            read.next_update = match (read.next_update, described.next_update) {
                (Some(first), Some(next)) => Some(i64::min(first, next)),
                (first, next) => first.or(next),
            };
            first.get_or_insert(described.issuer);
            read.der.push(section.to_vec());
            read.lists.push(list);
        }
        if read.newest.keys().all(|scope| scope.key.is_none()) {
            let issuer = first.unwrap_or_default();
            return Err(TlsFileProblem::NoListOfAuthority { ca: ca.to_owned(), issuer });
        }
        let gone = before.iter().filter(|(scope, _)| !read.newest.contains_key(*scope)).take(GONE_MAX);
        let gone: Vec<(Scope, Edition)> =
            gone.map(|(scope, edition)| (scope.clone(), edition.clone())).collect();
        read.newest.extend(gone);
        Ok(read)
    }
}

impl Edition {
    fn of(list: &RevocationList, der: &[u8]) -> Self {
        let number = list.number.clone().map(|decimal| Number { digits: decimal.len(), decimal });
        Edition { number, made_at: list.this_update, digest: Sha256::of(der).0 }
    }

    /// Whether this list may take the place of `newest`.
    fn may_follow(&self, newest: &Edition) -> bool {
        if self.digest == newest.digest {
            return true;
        }
        match (&self.number, &newest.number) {
            (Some(offered), Some(newest)) => offered > newest,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            // A CA that numbers none of its lists: only the time tells which is newer.
            (None, None) => self.made_at >= newest.made_at,
        }
    }

    /// The list, for a message.
    fn told(&self) -> String {
        let made_at = Seconds(self.made_at);
        match &self.number {
            Some(number) => format!("number {}, of {made_at}", number.decimal),
            None => format!("without a number, of {made_at}"),
        }
    }
}
