//! A CA of a test, and what it issues: certificates of nodes and callers, right and wrong, as files.

use std::fs::Permissions;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use assent_cluster::config::PeerTlsConfig;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};

/// A CA with its own folder.
pub struct TestCa {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
    name: String,
    /// The number of the newest list of revoked certificates.
    list: AtomicU64,
}

/// What a certificate says. The default is right for a node: it can be used on both sides, from an hour ago for a day.
pub struct Says {
    pub uris: Vec<String>,
    pub ips: Vec<IpAddr>,
    pub usages: Vec<ExtendedKeyUsagePurpose>,
    pub from_s: i64,
    pub until_s: i64,
    pub is_ca: bool,
    pub serial: u64,
}

impl Says {
    pub fn uri(uri: impl Into<String>) -> Self {
        Self {
            uris: vec![uri.into()],
            ips: vec![IpAddr::from([127, 0, 0, 1])],
            usages: vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            from_s: -3_600,
            until_s: 86_400,
            is_ca: false,
            serial: 1,
        }
    }

    /// The certificate of a node.
    pub fn node(cluster_id: [u8; 32], node_id: u64) -> Self {
        let cluster = hex::encode(cluster_id);
        Self::uri(format!("spiffe://example.org/assent/{cluster}/node/{node_id}"))
    }

    pub fn serial(self, serial: u64) -> Self {
        Self { serial, ..self }
    }
}

/// Seconds from now, as a certificate says a time.
fn at(seconds: i64) -> time::OffsetDateTime {
    time::OffsetDateTime::now_utc() + time::Duration::seconds(seconds)
}

impl TestCa {
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        (params.not_before, params.not_after) = (at(-86_400), at(10 * 86_400));
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let (folder, name, list) = (folder.to_owned(), name.to_owned(), AtomicU64::new(0));
        let ca = Self { issuer, folder, name, list };
        std::fs::write(ca.ca_file(), certificate.pem()).unwrap();
        ca
    }

    pub fn ca_file(&self) -> PathBuf {
        self.folder.join(format!("{}.pem", self.name))
    }

    pub fn crl_file(&self) -> PathBuf {
        self.folder.join(format!("{}-crl.pem", self.name))
    }

    /// Writes a certificate and its key as `file`, and returns the configuration with both.
    pub fn issue(&self, file: &str, says: &Says) -> PeerTlsConfig {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        for uri in &says.uris {
            params.subject_alt_names.push(SanType::URI(uri.as_str().try_into().unwrap()));
        }
        for ip in &says.ips {
            params.subject_alt_names.push(SanType::IpAddress(*ip));
        }
        params.extended_key_usages.clone_from(&says.usages);
        params.serial_number = Some(SerialNumber::from(says.serial));
        (params.not_before, params.not_after) = (at(says.from_s), at(says.until_s));
        if says.is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (cert, key_file) =
            (self.folder.join(format!("{file}.pem")), self.folder.join(format!("{file}-key.pem")));
        write_private(&key_file, &key.serialize_pem());
        replace(&cert, &certificate.pem());
        PeerTlsConfig { cert, key: key_file, ca: self.ca_file(), crl: None }
    }

    /// Writes the list of revoked certificates with the next number, which counts from a minute ago for so many seconds
    /// from now.
    pub fn revoke(&self, serials: &[u64], until_s: i64) -> PathBuf {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: at(-60),
            reason_code: None,
            invalidity_date: None,
        };
        let number = self.list.fetch_add(1, Ordering::Relaxed) + 1;
        let list = CertificateRevocationListParams {
            this_update: at(-60),
            next_update: at(until_s),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        replace(&self.crl_file(), &list.signed_by(&self.issuer).unwrap().pem().unwrap());
        self.crl_file()
    }
}

/// Writes a file in the place of another one, so that no reader sees half of it.
pub fn replace(path: &Path, text: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, text).unwrap();
    std::fs::rename(next, path).unwrap();
}

fn write_private(path: &Path, text: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, text).unwrap();
    std::fs::set_permissions(&next, Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(next, path).unwrap();
}

/// How long it may take until every node has read its files again.
pub const REREAD: Duration = Duration::from_secs(12);
