//! A CA whose certificates can be wrong in every way, and the files that it writes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use assent_tls::{Authorities, OwnCertificate, TimeProvider, UnixTime};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};
use tempfile::TempDir;

/// 2026-06-01T00:00:00Z: when every check of these tests happens.
pub(crate) const NOW: u64 = 1_780_272_000;
pub(crate) const ID: &str = "spiffe://example.org/slurm/ctl";

/// A clock that stands still.
#[derive(Debug)]
pub(crate) struct Stopped(pub(crate) u64);

impl TimeProvider for Stopped {
    fn current_time(&self) -> Option<UnixTime> {
        Some(at(self.0))
    }
}

pub(crate) fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

pub(crate) fn now() -> Arc<dyn TimeProvider> {
    Arc::new(Stopped(NOW))
}

pub(crate) struct Ca {
    folder: TempDir,
    files: AtomicU32,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// What a right certificate has: one SPIFFE id, two names, both usages, and May to July of 2026.
pub(crate) fn right() -> CertificateParams {
    with_uris(&[ID])
}

pub(crate) fn with_uris(uris: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2026, 5, 1);
    params.not_after = date_time_ymd(2026, 7, 30);
    params.serial_number = Some(SerialNumber::from(7_u64));
    params.distinguished_name.push(DnType::CommonName, "a subject");
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    for uri in uris {
        params.subject_alt_names.push(SanType::URI((*uri).try_into().unwrap()));
    }
    params
}

/// A CA of the years 2026 to 2035.
pub(crate) fn of_ca(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2036, 1, 1);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        Ca::from_params(of_ca(name))
    }

    pub(crate) fn from_params(params: CertificateParams) -> Self {
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Ca { folder: TempDir::new().unwrap(), files: AtomicU32::new(0), issuer }
    }

    /// A CA that this one has issued a certificate to.
    pub(crate) fn below_with(&self, params: CertificateParams) -> Ca {
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::signed_by(params, key, &*self.issuer).unwrap();
        Ca { folder: TempDir::new().unwrap(), files: AtomicU32::new(0), issuer }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A file that only its owner may read, with a name of its own.
    pub(crate) fn file(&self, text: &str) -> PathBuf {
        let path = self.folder.path().join(self.files.fetch_add(1, Ordering::Relaxed).to_string());
        fs::write(&path, text).unwrap();
        set_mode(&path, 0o600);
        path
    }

    /// The PEM of a certificate, and of its key.
    pub(crate) fn issue_pem(&self, params: &CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &*self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    pub(crate) fn issue(&self, params: &CertificateParams) -> OwnCertificate {
        let (certificate, key) = self.issue_pem(params);
        self.own(&certificate, &key)
    }

    pub(crate) fn own(&self, chain: &str, key: &str) -> OwnCertificate {
        OwnCertificate::read(&self.file(chain), &self.file(key)).unwrap()
    }

    /// A list that revokes these serial numbers, published in May and due on the first of the month. Its number is 1.
    pub(crate) fn list(&self, revoked: &[u64], due_month: u8) -> String {
        self.numbered_list(1, revoked, due_month)
    }

    /// The same with a number.
    pub(crate) fn numbered_list(&self, number: u64, revoked: &[u64], due_month: u8) -> String {
        let revoked_certs = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2026, 5, 2),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 5, 1),
            next_update: date_time_ymd(2026, due_month, 1),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&*self.issuer).unwrap().pem().unwrap()
    }

    /// Trust in this CA alone, without revocation lists.
    pub(crate) fn trusted(&self) -> Arc<Authorities> {
        Arc::new(Authorities::read(&self.file(&self.pem()), None).unwrap())
    }

    /// Trust in this CA alone, with these lists.
    pub(crate) fn trusted_with(&self, lists: &str) -> Arc<Authorities> {
        Arc::new(Authorities::read(&self.file(&self.pem()), Some(&self.file(lists))).unwrap())
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
