//! The CAs that this side trusts, the lists of what they have revoked, and the check of a chain against both.
//!
//! **Revocation fails closed.** Without a file of revocation lists nothing is checked for revocation. With one, every
//! certificate of a chain, except that of the CA in the file of CAs, must be covered by a list of its issuer: a CA
//! without a list in the file is refused, not passed over. A list that has expired covers nothing, and neither does one
//! that was not signed by its issuer. webpki reads only the first list that has the issuer's name, so a file with two of
//! them is refused: the newer one, with the newer revocations, could be the second. A file in which none of the lists is
//! signed by a CA of the file of CAs covers no chain at all, and is refused too.
//!
//! **A program that reads the files again refuses none of them as a whole.** A CA that is gone from the file is not trusted any
//! more, and each newer list is used, whatever else is wrong with the files: otherwise a mistake in one of them would keep a
//! stolen CA or a revoked certificate trusted.

use std::fmt::{self, Debug, Formatter};
use std::path::Path;
use std::sync::Arc;

use assent_proof::Seconds;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth, RevocationOptions,
    RevocationOptionsBuilder, UnknownStatusPolicy, VerifiedPath,
};

use crate::anchors::Anchors;
use crate::certificate_error::{CertificateError, Side};
use crate::files::{TlsFileError, TlsFileProblem};
use crate::provider::provider;
use crate::revocation::{Lists, Newest, Signer};
use crate::spiffe::SpiffeId;
use crate::x509::{Validity, identity_of, issuer_of, name_of, shown, states_its_usage, validity_of};

/// Most certificates of a chain, the leaf included, that are looked at.
const CHAIN_MAX: usize = 8;

/// CAs and their revocation lists. A clone shares them.
#[derive(Clone)]
pub struct Authorities {
    all: Arc<All>,
}

struct All {
    anchors: Anchors,
    /// Whether a file of lists was given. If it was, a certificate that no list covers is refused.
    checks_revocation: bool,
    /// Empty if no file of lists was given.
    lists: Vec<CertRevocationList<'static>>,
    next_update: Option<i64>,
    /// The lists that no older one may follow.
    newest: Newest,
    /// The lists as they were read.
    lists_der: Vec<Arc<[u8]>>,
}

/// What [`Authorities::read_again`] has found.
#[derive(Debug)]
pub struct RereadAuthorities {
    /// What to use from now on.
    pub authorities: Authorities,
    /// What is wrong with the file of CAs. What could be used of it is used.
    pub ca: Vec<TlsFileError>,
    /// What is wrong with the file of revocation lists. What could be used of it is used.
    pub crl: Vec<TlsFileError>,
}

const CAS: &str = "file of CAs";
const LISTS: &str = "file of revocation lists";

impl Authorities {
    /// Reads a file of CAs, and a file of their revocation lists. Each has at most 4 MiB of PEM.
    ///
    /// # Errors
    /// If a file cannot be read, is too large or has none of what it is for; if a certificate of the file of CAs is not
    /// that of a CA; if two revocation lists are of one issuer and for the same certificates; or if none of the lists is
    /// signed by a CA of the file of CAs, so that every certificate would be refused.
    pub fn read(ca: &Path, crl: Option<&Path>) -> Result<Self, TlsFileError> {
        let anchors = Anchors::read(ca).map_err(|problem| TlsFileError::new(CAS, ca, problem))?;
        let lists = match crl {
            Some(crl) => Lists::read(crl, ca, &signers(&anchors))
                .map_err(|problem| TlsFileError::new(LISTS, crl, problem))?,
            None => Lists::default(),
        };
        Ok(Authorities::of(anchors, crl.is_some(), lists))
    }

    /// Reads the files again, to use them in place of `self`. What `self` and those before it have read of revocation lists is
    /// kept.
    ///
    /// What withdraws trust is always taken: a CA that is no longer in the file is not trusted any more, even if no list is
    /// signed by the CAs that are left, and each list that is newer than the one of before is used. What cannot be used is left
    /// out: a certificate that is not that of a CA, and a list that cannot be read. In place of a list that is older than one
    /// that was read before, or that is not signed by the CA whose name it has, the one of before is used. A file that cannot
    /// be read at all, or that has none of what it is for, changes nothing, and does not keep the other file from being read.
    pub fn read_again(&self, ca: &Path, crl: Option<&Path>) -> RereadAuthorities {
        let told = |what: &'static str, path: &Path, problems: Vec<TlsFileProblem>| {
            problems.into_iter().map(|problem| TlsFileError::new(what, path, problem)).collect::<Vec<_>>()
        };
        let (anchors, problems) = self.all.anchors.read_again(ca);
        let of_ca = told(CAS, ca, problems);
        let (lists, of_crl) = match crl {
            Some(crl) => {
                let (lists, problems) = Lists::read_again(crl, ca, &signers(&anchors), &self.all.newest);
                (lists, told(LISTS, crl, problems))
            }
            None => (Lists::default(), Vec::new()),
        };
        let authorities = Authorities::of(anchors, crl.is_some(), lists);
        RereadAuthorities { authorities, ca: of_ca, crl: of_crl }
    }

    fn of(anchors: Anchors, checks_revocation: bool, lists: Lists) -> Self {
        let Lists { lists, next_update, der: lists_der, newest } = lists;
        Authorities {
            all: Arc::new(All { anchors, checks_revocation, lists, next_update, newest, lists_der }),
        }
    }

    /// Whether both were read from the same certificates and lists.
    pub fn is_same(&self, other: &Self) -> bool {
        self.all.anchors.der == other.all.anchors.der && self.all.lists_der == other.all.lists_der
    }

    /// When the first of the revocation lists expires, in milliseconds since 1970. After that, the certificates that it
    /// covers are refused. None without a file of lists.
    pub fn next_update_ms(&self) -> Option<i64> {
        self.all.next_update.map(|seconds| seconds.saturating_mul(1000))
    }

    /// Who shows `chain`, the leaf first, at the time `at`: the chain leads to one of the CAs, every certificate of it
    /// and the CA's own are valid at that time, none is revoked, the leaf is for `presented_by`, and it is an X509-SVID:
    /// not that of a CA, and with exactly one URI, which is the id.
    ///
    /// # Errors
    /// The first rule that the chain breaks. An empty chain is an error too.
    pub fn check(
        &self,
        chain: &[CertificateDer<'_>],
        presented_by: Side,
        at: UnixTime,
    ) -> Result<SpiffeId, CertificateError> {
        let (leaf, intermediates) = chain.split_first().ok_or(CertificateError::None)?;
        self.check_identity(leaf, intermediates, presented_by, at)
    }

    /// Whether one of the CAs has issued `chain`, the leaf first, whatever the time is and whatever was revoked since.
    ///
    /// # Errors
    /// Why no CA is found for the chain.
    pub fn covers(&self, chain: &[CertificateDer<'_>]) -> Result<(), CertificateError> {
        let (leaf, intermediates) = chain.split_first().ok_or(CertificateError::None)?;
        let count = chain.len();
        if count > CHAIN_MAX {
            return Err(CertificateError::TooManyCertificates { count, max: CHAIN_MAX });
        }
        // A moment at which the whole chain was valid.
        let mut begin: i64 = 0;
        for certificate in chain {
            let validity = validity_of(certificate)
                .map_err(|why| CertificateError::Unreadable { certificate: name_of(certificate), why })?;
            begin = begin.max(validity.not_before);
        }
        let at = unix_time(begin);
        let explain = |error| {
            Explained { all: &self.all, leaf, intermediates, presented_by: Side::Client, at }.refusal(error)
        };
        let read = EndEntityCert::try_from(leaf).map_err(explain)?;
        let tried = |usage: KeyUsage| {
            let algorithms = provider().signature_verification_algorithms.all;
            read.verify_for_usage(algorithms, &self.all.anchors.anchors, intermediates, at, usage, None, None)
                .map(drop)
        };
        match (tried(KeyUsage::server_auth()), tried(KeyUsage::client_auth())) {
            (Ok(()), _) | (_, Ok(())) => Ok(()),
            // It is not for servers, which is not the question.
            (Err(webpki::Error::RequiredEkuNotFoundContext(_)), Err(error)) | (Err(error), Err(_)) => {
                Err(explain(error))
            }
        }
    }

    /// [`Authorities::check`] for a chain in the two parts that rustls gives.
    pub(crate) fn check_identity(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        presented_by: Side,
        at: UnixTime,
    ) -> Result<SpiffeId, CertificateError> {
        self.check_chain(leaf, intermediates, presented_by, at)?;
        if !states_its_usage(leaf) {
            return Err(CertificateError::WrongUsage { certificate: name_of(leaf), presented_by });
        }
        identity_of(leaf)
    }

    /// Checks the chain of a server, and that its certificate has the name or the address that was called.
    pub(crate) fn check_server_name(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        at: UnixTime,
    ) -> Result<(), CertificateError> {
        let read = self.check_chain(leaf, intermediates, Side::Server, at)?;
        read.verify_is_valid_for_subject_name(name).map_err(|error| match error {
            webpki::Error::CertNotValidForName(names) if !names.presented.is_empty() => {
                CertificateError::WrongName {
                    certificate: name_of(leaf),
                    expected: shown(&name.to_str()),
                    presented: shown(&names.presented.join(", ")),
                }
            }
            webpki::Error::CertNotValidForName(_) => CertificateError::WrongName {
                certificate: name_of(leaf),
                expected: shown(&name.to_str()),
                presented: "no name or address at all".to_owned(),
            },
            error => CertificateError::Other { certificate: name_of(leaf), why: shown(&error) },
        })
    }

    /// Time, issuers, usage and revocation of a whole chain.
    fn check_chain<'c>(
        &self,
        leaf: &'c CertificateDer<'c>,
        intermediates: &'c [CertificateDer<'c>],
        presented_by: Side,
        at: UnixTime,
    ) -> Result<EndEntityCert<'c>, CertificateError> {
        let count = intermediates.len().saturating_add(1);
        if count > CHAIN_MAX {
            return Err(CertificateError::TooManyCertificates { count, max: CHAIN_MAX });
        }
        let explain =
            |error| Explained { all: &self.all, leaf, intermediates, presented_by, at }.refusal(error);
        let read = EndEntityCert::try_from(leaf).map_err(explain)?;
        let usage = match presented_by {
            Side::Client => KeyUsage::client_auth(),
            Side::Server => KeyUsage::server_auth(),
        };
        let lists: Vec<&CertRevocationList<'_>> = self.all.lists.iter().collect();
        if self.all.checks_revocation && lists.is_empty() {
            // Without a list webpki would check nothing.
            return Err(explain(webpki::Error::UnknownRevocationStatus));
        }
        let anchor_is_valid = |path: &VerifiedPath<'_>| self.all.anchor_is_valid(path, at);
        // Only to learn whether the chain is right: the path borrows `read`, which is the caller's.
        let checked = read.verify_for_usage(
            provider().signature_verification_algorithms.all,
            &self.all.anchors.anchors,
            intermediates,
            at,
            usage,
            revocation(&lists),
            Some(&anchor_is_valid),
        );
        checked.map(drop).map_err(explain)?;
        Ok(read)
    }
}

/// The CAs, as the signers of revocation lists.
pub(crate) fn signers(anchors: &Anchors) -> Vec<Signer<'_>> {
    let known = anchors.anchors.iter().zip(&anchors.described);
    known.map(|(anchor, described)| Signer { name: anchor.subject.as_ref(), key: &described.key }).collect()
}

/// How revocation is checked: every certificate of a chain, each by a list that has not expired, and a certificate
/// that no list covers is refused. None if no lists were given.
fn revocation<'a>(lists: &'a [&'a CertRevocationList<'a>]) -> Option<RevocationOptions<'a>> {
    let options = RevocationOptionsBuilder::new(lists).ok()?;
    Some(
        options
            .with_depth(RevocationCheckDepth::Chain)
            .with_status_policy(UnknownStatusPolicy::Deny)
            .with_expiration_policy(ExpirationPolicy::Enforce)
            .build(),
    )
}

impl All {
    /// webpki does not look at the time of the CA itself. Of two certificates of one CA and key, one valid one is
    /// enough.
    fn anchor_is_valid(&self, path: &VerifiedPath<'_>, at: UnixTime) -> Result<(), webpki::Error> {
        let mut error = webpki::Error::UnknownIssuer;
        for (anchor, described) in self.anchors.anchors.iter().zip(&self.anchors.described) {
            if anchor == path.anchor() {
                match time_of(described.validity, at) {
                    Ok(()) => return Ok(()),
                    Err(wrong) => error = wrong,
                }
            }
        }
        Err(error)
    }
}

/// Whether `at` lies in the time of a certificate.
fn time_of(validity: Validity, at: UnixTime) -> Result<(), webpki::Error> {
    let now = seconds(at).0;
    if now < validity.not_before {
        Err(webpki::Error::CertNotValidYet { time: at, not_before: unix_time(validity.not_before) })
    } else if now > validity.not_after {
        Err(webpki::Error::CertExpired { time: at, not_after: unix_time(validity.not_after) })
    } else {
        Ok(())
    }
}

fn unix_time(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

fn seconds(time: UnixTime) -> Seconds {
    Seconds(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}

impl Debug for Authorities {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> =
            self.all.anchors.described.iter().map(|described| described.name.as_str()).collect();
        f.debug_struct("Authorities").field("cas", &names).field("lists", &self.all.lists.len()).finish()
    }
}

/// A chain that webpki refused, with all that is needed to say why.
struct Explained<'c> {
    all: &'c All,
    leaf: &'c CertificateDer<'c>,
    intermediates: &'c [CertificateDer<'c>],
    presented_by: Side,
    at: UnixTime,
}

impl Explained<'_> {
    /// webpki's error in a sentence that names the certificate at fault.
    fn refusal(&self, error: webpki::Error) -> CertificateError {
        use webpki::Error;

        let at = seconds(self.at);
        match error {
            Error::CertExpired { not_after, .. } => {
                let not_after = seconds(not_after);
                let certificate = self.timed(|validity| validity.not_after == not_after.0);
                CertificateError::Expired { certificate, not_after, at }
            }
            Error::CertNotValidYet { not_before, .. } => {
                let not_before = seconds(not_before);
                let certificate = self.timed(|validity| validity.not_before == not_before.0);
                CertificateError::NotYetValid { certificate, not_before, at }
            }
            Error::UnknownIssuer => {
                // A chain is shown in its order, so its last certificate is the one that leads nowhere.
                let last = self.intermediates.last().unwrap_or(self.leaf);
                CertificateError::UnknownIssuer { certificate: name_of(self.leaf), issuer: issuer_of(last) }
            }
            Error::InvalidSignatureForPublicKey => CertificateError::WrongSignature {
                certificate: name_of(self.leaf),
                issuer: issuer_of(self.intermediates.last().unwrap_or(self.leaf)),
            },
            Error::CertRevoked => {
                let revoked = self.chain().find(|certificate| self.is_listed(certificate));
                let revoked = revoked.unwrap_or(self.leaf);
                CertificateError::Revoked { certificate: name_of(revoked), issuer: issuer_of(revoked) }
            }
            Error::UnknownRevocationStatus => {
                let uncovered = self.chain().find(|certificate| !self.has_list(certificate));
                let uncovered = uncovered.unwrap_or(self.leaf);
                CertificateError::UnknownStatus {
                    certificate: name_of(uncovered),
                    issuer: issuer_of(uncovered),
                }
            }
            Error::CrlExpired { next_update, .. } => CertificateError::ListExpired {
                certificate: name_of(self.leaf),
                next_update: seconds(next_update),
                at,
            },
            Error::InvalidCrlSignatureForPublicKey
            | Error::IssuerNotCrlSigner
            | Error::UnsupportedCrlSignatureAlgorithmContext(_)
            | Error::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => {
                CertificateError::ListUnusable {
                    certificate: name_of(self.leaf),
                    issuer: issuer_of(self.leaf),
                    why: shown(&error),
                }
            }
            Error::CaUsedAsEndEntity => CertificateError::IsAuthority { certificate: name_of(self.leaf) },
            Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => CertificateError::WrongUsage {
                certificate: name_of(self.leaf),
                presented_by: self.presented_by,
            },
            Error::BadDer | Error::BadDerTime | Error::TrailingData(_) | Error::UnsupportedCertVersion => {
                CertificateError::Unreadable { certificate: name_of(self.leaf), why: shown(&error) }
            }
            error => CertificateError::Other { certificate: name_of(self.leaf), why: shown(&error) },
        }
    }

    fn chain(&self) -> impl Iterator<Item = &CertificateDer<'_>> {
        std::iter::once(self.leaf).chain(self.intermediates)
    }

    /// The certificate of the chain, or else the CA, whose time `is_at_fault`.
    fn timed(&self, is_at_fault: impl Fn(Validity) -> bool) -> String {
        let shown = self.chain().find(|certificate| validity_of(certificate).is_ok_and(&is_at_fault));
        let ca = || self.all.anchors.described.iter().find(|described| is_at_fault(described.validity));
        match shown {
            Some(certificate) => name_of(certificate),
            None => match ca() {
                Some(ca) => format!("the certificate of the CA `{}`", ca.name),
                None => name_of(self.leaf),
            },
        }
    }

    fn is_listed(&self, certificate: &CertificateDer<'_>) -> bool {
        EndEntityCert::try_from(certificate).is_ok_and(|read| {
            self.all.lists.iter().any(|list| {
                list.issuer() == read.issuer()
                    && list.find_serial(read.serial()).is_ok_and(|found| found.is_some())
            })
        })
    }

    fn has_list(&self, certificate: &CertificateDer<'_>) -> bool {
        EndEntityCert::try_from(certificate)
            .is_ok_and(|read| self.all.lists.iter().any(|list| list.issuer() == read.issuer()))
    }
}
