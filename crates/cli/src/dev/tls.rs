//! The certificates and tokens of a development cluster with TLS.
//!
//! Everything is in the folder `tls`: the authority in `ca`, and a folder for each node and for each caller. A
//! certificate is issued anew if less than 30 days of it are left. A token stays as it is. This module owns these files.
//! It never prints a private key or a token.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assent_cluster::access::{CallerConfig, Role};
use assent_cluster::config::{ClientTlsConfig, PeerTlsConfig};
use assent_tls::ca::{Ca, CertificateRequest, serial_of_pem};
use assent_tls::{NodeName, OwnCertificate, SpiffeId, TrustDomain};
use serde::{Deserialize, Serialize};

use crate::certificates::{self, Files};
use crate::exit::CliError;
use crate::tokens::{self, DigestFile};
use crate::{edge, files};

/// The trust domain of every certificate.
const TRUST_DOMAIN: &str = "dev.local";
/// Where the nodes are, as their certificates say it.
const HOSTS: [&str; 2] = ["127.0.0.1", "localhost"];
/// A certificate of which less than this is left is issued anew: 30 days, in milliseconds.
const RENEWED_BEFORE_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// The roles that have a caller of their own, which is called like its role.
const ROLES: [Role; 5] = [Role::Operator, Role::Scheduler, Role::Gateway, Role::Submitter, Role::Auditor];
/// The caller that has all these roles.
const DEVELOPER: &str = "developer";

/// The files by which the nodes know a caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CallerFiles {
    /// Its certificate.
    pub(crate) cert: PathBuf,
    /// The certificate's private key.
    pub(crate) key: PathBuf,
    /// Its bearer token. A request that has a token needs no certificate.
    pub(crate) token: PathBuf,
}

/// The folder of a cluster's certificates and tokens.
#[derive(Clone, Debug)]
pub(super) struct TlsFolder {
    root: PathBuf,
}

/// A certificate that there must be.
struct Wanted {
    folder: PathBuf,
    id: SpiffeId,
    hosts: Vec<String>,
    request: CertificateRequest,
}

impl TlsFolder {
    /// The folder in a cluster's directory.
    pub(super) fn of(directory: &Path) -> Self {
        TlsFolder { root: directory.join("tls") }
    }

    /// The certificate of the authority that issues all certificates.
    pub(super) fn ca(&self) -> PathBuf {
        self.root.join("ca/ca.pem")
    }

    /// The caller that has every role of the others.
    pub(super) fn developer(&self) -> CallerFiles {
        self.caller(DEVELOPER)
    }

    /// A caller for each role.
    pub(super) fn clients(&self) -> BTreeMap<String, CallerFiles> {
        ROLES.iter().map(|role| (role.as_str().to_owned(), self.caller(role.as_str()))).collect()
    }

    /// The table of callers for the nodes' configurations: each caller with its certificate, and with its token.
    pub(super) fn callers(&self) -> Vec<CallerConfig> {
        let mut table = Vec::new();
        for (name, roles) in named_roles() {
            let by_certificate = CallerConfig {
                name: name.to_owned(),
                certificate: Some(id_text(name)),
                tokens: None,
                roles,
                domains: None,
                jwt: None,
                rate: None,
                burst: None,
            };
            let tokens = Some(self.digests(name));
            table.push(CallerConfig { certificate: None, tokens, ..by_certificate.clone() });
            table.push(by_certificate);
        }
        table
    }

    /// What a node's configuration says about TLS with its peers.
    pub(super) fn peer_tls(&self, id: u64) -> PeerTlsConfig {
        let Files { certificate: cert, key, .. } = Files::of(&self.node_folder(id));
        PeerTlsConfig { cert, key, ca: self.ca(), crl: Some(self.crl()) }
    }

    /// What a node's configuration says about TLS with its clients.
    pub(super) fn client_tls(&self, id: u64) -> ClientTlsConfig {
        let Files { certificate: cert, key, .. } = Files::of(&self.node_folder(id));
        ClientTlsConfig { cert, key, ca: Some(self.ca()), crl: Some(self.crl()) }
    }

    /// Makes what is missing, and issues the certificates anew that end soon. The list of revoked certificates is
    /// written anew too. A program that uses the files meanwhile sees each pair of files whole, or reads again.
    ///
    /// # Errors
    /// If a file cannot be read or written, or if every user may use the file of a key that would be replaced.
    pub(super) fn renew(&self, cluster_id: [u8; 32], nodes: &[u64], now_ms: i64) -> Result<(), CliError> {
        let mut ca = self.authority(now_ms)?;
        for wanted in self.wanted(cluster_id, nodes)? {
            if !wanted.is_due(&ca, now_ms) {
                continue;
            }
            let there = Files::of(&wanted.folder);
            if there.key.exists() {
                certificates::must_be_secret(&there.key)?;
            }
            let new = ca.issue(&wanted.request, now_ms, edge::random()?)?;
            there.replace(&wanted.folder, &new)?;
        }
        ca.write_crl(now_ms)?;
        for (name, _) in named_roles() {
            self.make_token(name)?;
        }
        Ok(())
    }

    /// Opens the authority, or makes it.
    fn authority(&self, now_ms: i64) -> Result<Ca, CliError> {
        let folder = self.root.join("ca");
        if self.ca().exists() {
            return Ok(Ca::open(&folder)?);
        }
        // A crash may have ended an earlier call before its certificate was there. Then nothing was issued.
        for half in ["ca.key", "issued.json"].map(|name| folder.join(name)) {
            if half.exists() {
                std::fs::remove_file(&half).map_err(|error| CliError::file("remove", &half, &error))?;
            }
        }
        let domain = TrustDomain::parse(TRUST_DOMAIN).map_err(|error| bug(&error.to_string()))?;
        Ok(Ca::create(&folder, &domain, now_ms, edge::random()?)?)
    }

    /// Every certificate that there must be.
    fn wanted(&self, cluster_id: [u8; 32], nodes: &[u64]) -> Result<Vec<Wanted>, CliError> {
        let trust_domain = TrustDomain::parse(TRUST_DOMAIN).map_err(|error| bug(&error.to_string()))?;
        let hosts = HOSTS.map(str::to_owned).to_vec();
        let mut wanted = Vec::new();
        for node_id in nodes {
            let name = NodeName { trust_domain: trust_domain.clone(), cluster_id, node_id: *node_id };
            let request = CertificateRequest::node(&name, &hosts)?;
            let (folder, id) = (self.node_folder(*node_id), name.to_id());
            wanted.push(Wanted { folder, id, hosts: hosts.clone(), request });
        }
        for (name, _) in named_roles() {
            let id = SpiffeId::parse(&id_text(name)).map_err(|error| bug(&error.to_string()))?;
            let request = CertificateRequest::caller(id.clone())?;
            wanted.push(Wanted { folder: self.caller_folder(name), id, hosts: Vec::new(), request });
        }
        Ok(wanted)
    }

    /// Makes a caller's token, unless it is there and the nodes have a file for it.
    fn make_token(&self, name: &str) -> Result<(), CliError> {
        let CallerFiles { token, .. } = self.caller(name);
        let digests = self.digests(name);
        if token.exists() {
            if digests.exists() {
                return Ok(());
            }
            // No node knows it: a crash came before its digest was written, or somebody has removed the file of digests.
            std::fs::remove_file(&token).map_err(|error| CliError::file("remove", &token, &error))?;
        }
        DigestFile::open(&digests)?.add(&tokens::create(&token)?)
    }

    fn caller(&self, name: &str) -> CallerFiles {
        let folder = self.caller_folder(name);
        let Files { certificate: cert, key, .. } = Files::of(&folder);
        CallerFiles { cert, key, token: folder.join("token") }
    }

    /// The file with the digests of a caller's tokens.
    fn digests(&self, name: &str) -> PathBuf {
        self.caller_folder(name).join("tokens")
    }

    fn crl(&self) -> PathBuf {
        self.root.join("ca/ca.crl")
    }

    fn node_folder(&self, id: u64) -> PathBuf {
        self.root.join(format!("node-{id}"))
    }

    fn caller_folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

impl Wanted {
    /// Whether a new certificate must take the place of what the folder has.
    ///
    /// One that was revoked stays: a person has locked its holder out, and a start must not let the holder in again.
    fn is_due(&self, ca: &Ca, now_ms: i64) -> bool {
        let there = Files::of(&self.folder);
        let serial = files::read(&there.certificate).ok().and_then(|pem| serial_of_pem(&pem).ok());
        let Some(known) = serial.and_then(|serial| ca.certificate(&serial).ok()) else { return true };
        if known.id != self.id {
            return true;
        }
        if known.revoked_at_ms.is_some() {
            return false;
        }
        let left_ms = known.not_after_ms.saturating_sub(now_ms);
        known.hosts != self.hosts
            || left_ms < RENEWED_BEFORE_MS
            // A crash between the two renames leaves a new key with the old certificate.
            || OwnCertificate::read(&there.certificate, &there.key).is_err()
    }
}

/// Every caller with its roles.
fn named_roles() -> impl Iterator<Item = (&'static str, Vec<Role>)> {
    let single = ROLES.into_iter().map(|role| (role.as_str(), vec![role]));
    single.chain([(DEVELOPER, ROLES.to_vec())])
}

/// A caller's SPIFFE id.
fn id_text(name: &str) -> String {
    format!("spiffe://{TRUST_DOMAIN}/{name}")
}

fn bug(what: &str) -> CliError {
    CliError::new("internal", what, "report this as a bug")
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_tls::ca::IssuedCertificate;
    use std::fs;

    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    const START_MS: i64 = 1_800_000_000_000;

    struct Home {
        folder: TlsFolder,
        _directory: tempfile::TempDir,
    }

    fn home() -> Home {
        let directory = tempfile::tempdir().unwrap();
        Home { folder: TlsFolder::of(directory.path()), _directory: directory }
    }

    impl Home {
        fn renew(&self, day: i64) {
            self.folder.renew([7; 32], &[1, 2, 3], START_MS + day * DAY_MS).unwrap();
        }

        /// The bytes of every certificate, key and token, by path.
        fn held(&self) -> BTreeMap<PathBuf, Vec<u8>> {
            let callers = self.folder.clients().into_values().chain([self.folder.developer()]);
            let callers = callers.flat_map(|files| [files.cert, files.key, files.token]);
            let nodes = [1, 2, 3].into_iter().flat_map(|id| {
                let PeerTlsConfig { cert, key, .. } = self.folder.peer_tls(id);
                [cert, key]
            });
            callers.chain(nodes).map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
        }

        fn issued(&self) -> Vec<IssuedCertificate> {
            Ca::open(&self.folder.root.join("ca")).unwrap().certificates().to_vec()
        }
    }

    #[test]
    fn certificates_are_issued_anew_in_their_last_30_days_and_tokens_stay() {
        let home = home();
        home.renew(0);
        let first = home.held();
        assert_eq!((first.len(), home.issued().len()), (6 * 3 + 3 * 2, 6 + 3));
        home.renew(59);
        assert_eq!(home.held(), first);
        home.renew(61);
        for (path, bytes) in home.held() {
            let is_token = path.ends_with("token");
            assert_eq!(bytes == first[&path], is_token, "{}", path.display());
        }
        assert_eq!(home.issued().len(), 2 * (6 + 3));
    }

    #[test]
    fn the_certificate_of_another_cluster_is_replaced_and_a_revoked_one_is_not() {
        let home = home();
        home.renew(0);
        let serial =
            home.issued().iter().find(|one| one.id.as_str().ends_with("/scheduler")).unwrap().serial.clone();
        Ca::open(&home.folder.root.join("ca")).unwrap().revoke(&serial, START_MS).unwrap();
        let before = home.held();
        home.renew(80);
        let scheduler = home.folder.caller("scheduler").cert;
        let operator = home.folder.caller("operator").cert;
        assert_eq!(home.held()[&scheduler], before[&scheduler]);
        assert_ne!(home.held()[&operator], before[&operator]);
        let before = home.held();
        home.folder.renew([8; 32], &[1, 2, 3], START_MS + 80 * DAY_MS).unwrap();
        let node = home.folder.peer_tls(1).cert;
        assert_ne!(home.held()[&node], before[&node]);
        assert_eq!(home.held()[&operator], before[&operator]);
    }

    #[test]
    fn what_a_crash_left_half_done_is_made_whole() {
        let home = home();
        let ca = home.folder.root.join("ca");
        fs::create_dir_all(&ca).unwrap();
        fs::write(ca.join("ca.key"), "the first file of an authority").unwrap();
        home.renew(0);
        let (one, two) = (home.folder.caller("auditor"), home.folder.caller("gateway"));
        // A new key with the old certificate, and a token whose digest was not written.
        fs::copy(&two.key, &one.key).unwrap();
        fs::remove_file(home.folder.digests("gateway")).unwrap();
        let token = fs::read(&two.token).unwrap();
        home.renew(0);
        OwnCertificate::read(&one.cert, &one.key).unwrap();
        assert_ne!(fs::read(&two.token).unwrap(), token);
        assert!(home.folder.digests("gateway").exists());
    }

    #[test]
    fn each_role_has_a_caller_and_the_developer_has_them_all() {
        let table = home().folder.callers();
        assert_eq!(table.len(), 2 * (ROLES.len() + 1));
        for role in ROLES {
            let own = table.iter().filter(|entry| entry.name == role.as_str());
            assert_eq!(own.map(|entry| entry.roles.as_slice()).collect::<Vec<_>>(), [[role]; 2]);
        }
        let developer = table.iter().filter(|entry| entry.name == DEVELOPER);
        assert!(developer.clone().count() == 2 && developer.clone().all(|entry| entry.roles == ROLES));
        assert!(table.iter().all(|entry| entry.certificate.is_some() != entry.tokens.is_some()));
    }
}
