//! A CA that issues the certificates of a node and of its callers, and the configuration of a node that serves TLS.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each of those that include it uses its own part"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use assent_client::{CertificateFiles, ClientTls};
use assent_cluster::access::{CallerConfig, Role, Token};
use assent_cluster::config::{ClientTlsConfig, Config};
use assent_tls::ca::{Ca, CertificateRequest, IssuedCertificate};
use assent_tls::{NodeName, SpiffeId, TrustDomain};

use super::now;

pub const OPS: &str = "spiffe://example.org/ops";
pub const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

pub fn now_ms() -> i64 {
    now().0 * 1_000
}

/// A CA in a folder, and how many certificates it has issued.
pub struct Authority {
    pub ca: Ca,
    folder: PathBuf,
    issued: u8,
}

impl Authority {
    pub fn new(folder: &Path, name: &str) -> Self {
        let folder = folder.join(name);
        let domain = TrustDomain::parse("example.org").unwrap();
        fs::create_dir_all(&folder).unwrap();
        // The name of a CA has the begin of its serial number, so that two of a test have two names.
        let serial = [90 + u8::try_from(folder.file_name().unwrap().len()).unwrap(); 16];
        let ca = Ca::create(&folder.join("ca"), &domain, now_ms() - 200 * DAY_MS, serial).unwrap();
        Authority { ca, folder, issued: 0 }
    }

    pub fn issue(&mut self, request: &CertificateRequest) -> (CertificateFiles, IssuedCertificate) {
        self.issued += 1;
        let new = self.ca.issue(request, now_ms() - DAY_MS, [self.issued; 16]).unwrap();
        let path = |kind: &str| self.folder.join(format!("{}.{kind}", self.issued));
        let files = CertificateFiles { cert: path("pem"), key: path("key") };
        put(&files.cert, new.certificate_pem.as_bytes());
        put(&files.key, new.key_pem.as_bytes());
        (files, new.certificate)
    }

    pub fn node(&mut self) -> CertificateFiles {
        let trust_domain = TrustDomain::parse("example.org").unwrap();
        let name = NodeName { trust_domain, cluster_id: [7; 32], node_id: 1 };
        self.issue(&CertificateRequest::node(&name, &["127.0.0.1".to_owned()]).unwrap()).0
    }

    pub fn caller(&mut self, id: &str) -> (CertificateFiles, IssuedCertificate) {
        self.issue(&CertificateRequest::caller(SpiffeId::parse(id).unwrap()).unwrap())
    }

    /// A client that trusts this CA's nodes and shows a certificate, or none.
    pub fn shows(&self, certificate: Option<CertificateFiles>) -> ClientTls {
        ClientTls { ca: Some(self.ca.certificate_path().to_owned()), certificate, token: None }
    }
}

/// Writes a secret, and gives it its name when it is complete.
pub fn put(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, bytes).unwrap();
    fs::set_permissions(&new, Permissions::from_mode(0o600)).unwrap();
    fs::rename(&new, path).unwrap();
}

pub fn caller(name: &str, roles: &[Role]) -> CallerConfig {
    let name = name.to_owned();
    let roles = roles.to_vec();
    CallerConfig {
        name,
        certificate: None,
        tokens: None,
        roles,
        domains: None,
        jwt: None,
        rate: None,
        burst: None,
    }
}

/// Serves TLS: operators show a certificate, and an auditor shows a token.
pub fn serve_tls(config: &mut Config, authority: &mut Authority, tokens: &Path) -> CertificateFiles {
    let own = authority.node();
    authority.ca.write_crl(now_ms() - DAY_MS).unwrap();
    config.plain_http = false;
    config.client_tls = Some(ClientTlsConfig {
        cert: own.cert.clone(),
        key: own.key.clone(),
        ca: Some(authority.ca.certificate_path().to_owned()),
        crl: Some(authority.ca.crl_path().to_owned()),
    });
    config.callers = vec![
        CallerConfig { certificate: Some(OPS.to_owned()), ..caller("ops", &[Role::Operator]) },
        CallerConfig { tokens: Some(tokens.to_owned()), ..caller("audit", &[Role::Auditor]) },
    ];
    own
}

/// A token, and the file that lists its digest.
pub fn token(folder: &Path) -> (Token, PathBuf) {
    let token = Token::generate(|bytes| bytes.fill(7));
    let file = folder.join("tokens");
    put(&file, format!("{}\n", token.digest()).as_bytes());
    (token, file)
}
