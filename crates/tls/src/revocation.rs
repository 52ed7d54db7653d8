//! A file of revocation lists: which CA has signed each list, and whether the lists may follow those that were read before.
//!
//! Each list of a CA has a number, which grows from list to list (RFC 5280, section 5.2.3). An old list is still signed
//! and may still be within its time. If it took the place of a newer one, what the newer one revokes would get in again.
//! So a program that reads the file again does not take a list whose number is not higher, unless it is the same list: it goes
//! on with the list that it has read before, and takes the other lists of the file. What was read is remembered in memory
//! only.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use assent_proof::{Seconds, Sha256};
use rustls_pki_types::CertificateRevocationListDer;
use webpki::{CertRevocationList, OwnedCertRevocationList};

use crate::files::{BUNDLE_BYTES_MAX, TlsFileProblem, sections};
use crate::x509::{RevocationList, is_signed_by, revocation_list, shown};

/// How many lists are remembered that are no longer in the file. Their CA may come back.
const GONE_MAX: usize = 1024;
/// How many bytes of lists are remembered that are no longer in the file. Of a list beyond that, only the number is
/// remembered. An older list of the same CA is then left out, and the certificates of this CA are refused.
const GONE_BYTES_MAX: usize = BUNDLE_BYTES_MAX;

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
    /// The list itself. `None` if it is no longer in the file and there was no room for it.
    der: Option<Arc<[u8]>>,
    /// Its place among the lists that are used. `None` if it is no longer in the file.
    place: Option<usize>,
}

/// The number of a list. Decimal digits are in the order of their count first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Number {
    digits: usize,
    decimal: String,
}

/// A list that was read, and what is known of it.
struct Offered {
    list: CertRevocationList<'static>,
    /// Whose list it is, for a message.
    issuer: String,
    next_update: Option<i64>,
    scope: Scope,
    edition: Edition,
}

/// What a revocation list says, without regard to the lists that were read before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedList {
    /// Whose list it is, for a message.
    pub issuer: String,
    /// Its number in decimal digits, if it has one.
    pub number: Option<String>,
    /// The second in which it was made.
    pub made_at: Seconds,
    /// The second after which it has expired, if it says so.
    pub next_update: Option<Seconds>,
    /// Whether a CA that has its issuer's name has signed it.
    pub signed: bool,
    /// The list itself, in DER.
    pub der: Vec<u8>,
}

/// Reads one list. `signers` are the CAs of the file of CAs.
///
/// # Errors
/// What is wrong with a list that cannot be read.
pub(crate) fn stated(der: &[u8], signers: &[Signer<'_>]) -> Result<StatedList, String> {
    let Offered { list: _, issuer, next_update, scope, edition } = Offered::read(der, signers)?;
    Ok(StatedList {
        issuer,
        number: edition.number.map(|number| number.decimal),
        made_at: Seconds(edition.made_at),
        next_update: next_update.map(Seconds),
        signed: scope.key.is_some(),
        der: der.to_vec(),
    })
}

/// The certificates that a list is about: its issuer's name and its distribution point. webpki reads one list for each.
type Subject = (Vec<u8>, Option<Vec<u8>>);

/// The lists of a file.
#[derive(Default)]
pub(crate) struct Lists {
    pub(crate) lists: Vec<CertRevocationList<'static>>,
    /// The second after which the first of them has expired.
    pub(crate) next_update: Option<i64>,
    /// The lists as they were read.
    pub(crate) der: Vec<Arc<[u8]>>,
    /// These lists, and those that were read before and are no longer in the file.
    pub(crate) newest: Newest,
}

impl Lists {
    /// Reads a file of revocation lists. `signers` are the CAs of the file `ca`.
    ///
    /// # Errors
    /// If the file or one of its lists cannot be read, if two lists are about the same certificates, or if none of the lists is
    /// signed by a CA of the file `ca`.
    pub(crate) fn read(path: &Path, ca: &Path, signers: &[Signer<'_>]) -> Result<Self, TlsFileProblem> {
        let sections: Vec<CertificateRevocationListDer<'static>> =
            sections(path, BUNDLE_BYTES_MAX, "X509 CRL")?;
        let (lists, problems) = Lists::choose(&sections, ca, signers, &Newest::new());
        match problems.into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(lists),
        }
    }

    /// Reads the file again, and says what is wrong with it. `before` is what was read before. Each list is taken unless a
    /// newer one was read before, which is then used in its place. If the file cannot be read, the lists stay as they are.
    pub(crate) fn read_again(
        path: &Path,
        ca: &Path,
        signers: &[Signer<'_>],
        before: &Newest,
    ) -> (Self, Vec<TlsFileProblem>) {
        match sections::<CertificateRevocationListDer<'static>>(path, BUNDLE_BYTES_MAX, "X509 CRL") {
            Ok(sections) => Lists::choose(&sections, ca, signers, before),
            Err(problem) => {
                let kept = in_use(before, signers, &BTreeMap::new());
                (Lists::of(kept, before), vec![problem])
            }
        }
    }

    /// Chooses between the lists of a file and those that were read before. `Lists::read` takes each problem for an error.
    fn choose(
        sections: &[CertificateRevocationListDer<'static>],
        ca: &Path,
        signers: &[Signer<'_>],
        before: &Newest,
    ) -> (Self, Vec<TlsFileProblem>) {
        let (mut taken, mut problems) = (Vec::<Offered>::new(), Vec::new());
        let (mut places, mut is_damaged) = (BTreeMap::<Subject, usize>::new(), false);
        for (place, section) in sections.iter().enumerate() {
            let offered = match Offered::read(section.as_ref(), signers) {
                Ok(offered) => offered,
                Err(why) => {
                    is_damaged = true;
                    problems.push(TlsFileProblem::Unreadable { number: place.saturating_add(1), why });
                    continue;
                }
            };
            let (list, problem) = offered.or_newer(signers, before);
            problems.extend(problem);
            let Some(list) = list else { continue };
            let subject = list.scope.subject();
            match places.get(&subject).and_then(|place| taken.get_mut(*place)) {
                Some(present) => {
                    problems.push(TlsFileProblem::TwoLists { issuer: list.issuer.clone() });
                    if list.goes_before(present) {
                        *present = list;
                    }
                }
                None => {
                    places.insert(subject, taken.len());
                    taken.push(list);
                }
            }
        }
        if is_damaged {
            // What cannot be read may be one of the lists that the file seems to lack.
            taken.extend(in_use(before, signers, &places));
        }
        if taken.iter().all(|list| list.scope.key.is_none()) {
            let issuer = taken.first().map(|list| list.issuer.clone()).unwrap_or_default();
            problems.push(TlsFileProblem::NoListOfAuthority { ca: ca.to_owned(), issuer });
        }
        (Lists::of(taken, before), problems)
    }

    /// These lists, and the memory of them and of those before.
    fn of(taken: Vec<Offered>, before: &Newest) -> Self {
        let mut lists = Lists::default();
        for (place, offered) in taken.into_iter().enumerate() {
            let Offered { list, issuer: _, next_update, scope, edition } = offered;
            lists.next_update = match (lists.next_update, next_update) {
                (Some(first), Some(next)) => Some(i64::min(first, next)),
                (first, next) => first.or(next),
            };
            lists.der.extend(edition.der.clone());
            lists.newest.insert(scope, Edition { place: Some(place), ..edition });
            lists.lists.push(list);
        }
        let mut bytes: usize = 0;
        let mut gone = Vec::new();
        for (scope, edition) in
            before.iter().filter(|(scope, _)| !lists.newest.contains_key(*scope)).take(GONE_MAX)
        {
            let length = edition.der.as_ref().map_or(0, |der| der.len());
            let is_room = bytes.saturating_add(length) <= GONE_BYTES_MAX;
            if is_room {
                bytes = bytes.saturating_add(length);
            }
            let der = edition.der.clone().filter(|_| is_room);
            gone.push((scope.clone(), Edition { der, place: None, ..edition.clone() }));
        }
        lists.newest.extend(gone);
        lists
    }
}

/// The lists that are used, in their order, except those that are about the certificates of `except`. Each is judged as if it
/// were in the file. It may have been taken while its CA was not trusted, and now that the CA is trusted again, the list that
/// the CA has signed last counts.
fn in_use(before: &Newest, signers: &[Signer<'_>], except: &BTreeMap<Subject, usize>) -> Vec<Offered> {
    let mut used: Vec<(usize, Offered)> = before
        .iter()
        .filter(|(scope, _)| !except.contains_key(&scope.subject()))
        .filter_map(|(_, edition)| {
            let (list, _) = edition.again(signers)?.or_newer(signers, before);
            Some((edition.place?, list?))
        })
        .collect();
    used.sort_by_key(|(place, _)| *place);
    used.into_iter().map(|(_, list)| list).collect()
}

impl Scope {
    fn subject(&self) -> Subject {
        (self.issuer.clone(), self.distribution_point.clone())
    }
}

impl Offered {
    /// Reads a list.
    ///
    /// # Errors
    /// What is wrong with a list that cannot be read.
    fn read(der: &[u8], signers: &[Signer<'_>]) -> Result<Self, String> {
        let list = OwnedCertRevocationList::from_der(der).map_err(|error| shown(&error))?;
        let list = CertRevocationList::from(list);
        let described = revocation_list(der)?;
        let issuer = list.issuer().to_vec();
        let distribution_point = list.issuing_distribution_point().map(<[u8]>::to_vec);
        let signed = |ca: &&Signer<'_>| ca.name == issuer.as_slice() && is_signed_by(der, ca.key);
        let key = signers.iter().find(signed).map(|ca| ca.key.to_vec());
        let edition = Edition::of(&described, der);
        let scope = Scope { issuer, distribution_point, key };
        Ok(Offered { list, issuer: described.issuer, next_update: described.next_update, scope, edition })
    }

    /// This list, or the one that was read before and that is used in its place, and what is wrong with this one. Neither
    /// list if the one of before is not remembered.
    fn or_newer(self, signers: &[Signer<'_>], before: &Newest) -> (Option<Self>, Option<TlsFileProblem>) {
        // This comes first. Such a list may have been read before, while its CA was not trusted, and would follow itself.
        if let Some(newest) = self.signed_before(signers, before) {
            let problem = TlsFileProblem::NotSigned { issuer: self.issuer };
            return (newest.again(signers), Some(problem));
        }
        let Some(newest) = before.get(&self.scope) else { return (Some(self), None) };
        if self.edition.may_follow(newest) {
            return (Some(self), None);
        }
        let (offered, told) = (self.edition.told(), newest.told());
        let problem = TlsFileProblem::OlderList { issuer: self.issuer, offered, newest: told };
        (newest.again(signers), Some(problem))
    }

    /// The list that was read before of the CA whose name this list has, if this list is not signed by any CA of that name.
    fn signed_before<'n>(&self, signers: &[Signer<'_>], before: &'n Newest) -> Option<&'n Edition> {
        if self.scope.key.is_some() {
            return None;
        }
        let of_name = signers.iter().filter(|ca| ca.name == self.scope.issuer.as_slice());
        of_name
            .map(|ca| Scope { key: Some(ca.key.to_vec()), ..self.scope.clone() })
            .find_map(|scope| before.get(&scope))
    }

    /// Which of two lists of one file about the same certificates is used: the newer one, and one that a CA of the file of CAs
    /// has signed before one that none has.
    fn goes_before(&self, present: &Offered) -> bool {
        if self.scope == present.scope {
            self.edition.may_follow(&present.edition)
        } else {
            self.scope.key.is_some() && present.scope.key.is_none()
        }
    }
}

impl Edition {
    fn of(list: &RevocationList, der: &[u8]) -> Self {
        let number = list.number.clone().map(|decimal| Number { digits: decimal.len(), decimal });
        let digest = Sha256::of(der).0;
        Edition { number, made_at: list.this_update, digest, der: Some(Arc::from(der)), place: None }
    }

    /// The list itself, if it is remembered.
    fn again(&self, signers: &[Signer<'_>]) -> Option<Offered> {
        Offered::read(self.der.as_deref()?, signers).ok()
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
            // A CA that numbers none of its lists: only the time tells which is newer. Of two lists that were made in one
            // second it tells nothing, and the one that is read later is taken.
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
