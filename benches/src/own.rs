//! A cluster that this program founds itself, with or without TLS: keys, a genesis file, certificates, the table of
//! callers, and one `assent node` a node.
//!
//! Its keys are those of `assent-fixtures`, which are public knowledge, and its certificates are by a CA that is made
//! for it. All of it lies in a directory that is removed with the cluster, and the nodes listen on loopback.

use assent_client::{CertificateFiles, ClientTls, TrustedKeys};
use assent_cluster::access::{CallerConfig, Role as CallerRole};
use assent_cluster::config::{ClientTlsConfig, Config, PeerTlsConfig, VoterConfig};
use assent_fixtures::policy::attested_policy;
use assent_fixtures::{Chain, Genesis, Place, claims, key};
use assent_proof::{Claims, DomainName, PolicyBody, PublicKey, Requirement, Role, SigningKey};
use assent_registry::GenesisFile;
use assent_tls::ca::{Ca, CertificateRequest, NewCertificate};
use assent_tls::{NodeName, SpiffeId, TrustDomain};
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::args::PlaceArgs;
use crate::cluster::{Cluster, PEER_PORTS, START_TIMEOUT, all_ready, free_ports};
use crate::machine::wall_clock;
use crate::processes::{self, Nodes};

/// The registry's origin, and its one domain.
const ORIGIN: &str = "bench.local/registry";
const DOMAIN: &str = "bench.local";

/// How long grants and evidence count, in seconds: longer than any run.
const LASTS_SECONDS: u32 = 6 * 3600;

/// Nodes have the keys of these seeds: 100 and their number.
const NODE_SEED: u8 = 100;
/// Spare attestation keys have the keys of these seeds and the following.
const SPARE_SEED: u8 = 120;
/// The most spare keys: as many seeds as are left.
pub(crate) const SPARE_KEYS_MAX: u8 = u8::MAX - SPARE_SEED;

/// How often a starting cluster is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The callers of a cluster with TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallerName {
    /// Prepares what is measured and looks at the nodes: submits, asks, and reads, also the metrics.
    Bench,
    /// Asks whether something may run, and does nothing else.
    Scheduler,
    /// Asks, submits and reads more than the nodes can do. Every role may read.
    Flood,
    /// Submits revocations.
    Revoker,
}

impl CallerName {
    const ALL: [CallerName; 4] =
        [CallerName::Bench, CallerName::Scheduler, CallerName::Flood, CallerName::Revoker];

    fn as_str(self) -> &'static str {
        match self {
            CallerName::Bench => "bench",
            CallerName::Scheduler => "scheduler",
            CallerName::Flood => "flood",
            CallerName::Revoker => "revoker",
        }
    }

    fn roles(self) -> Vec<CallerRole> {
        match self {
            CallerName::Bench => vec![CallerRole::Scheduler, CallerRole::Submitter, CallerRole::Auditor],
            CallerName::Scheduler => vec![CallerRole::Scheduler],
            CallerName::Flood => vec![CallerRole::Scheduler, CallerRole::Submitter],
            CallerName::Revoker => vec![CallerRole::Submitter],
        }
    }

    fn id(self) -> Result<SpiffeId, Failure> {
        Ok(SpiffeId::parse(&format!("spiffe://{DOMAIN}/caller/{}", self.as_str()))?)
    }
}

/// What a cluster is to be.
pub(crate) struct Setup<'a> {
    /// Where it runs, and with how many nodes.
    pub(crate) place: &'a PlaceArgs,
    /// Whether the nodes speak TLS with each other and with their callers. Otherwise they serve plain HTTP.
    pub(crate) is_tls: bool,
    /// How many attestation keys there are that can be revoked.
    pub(crate) spare_keys: u8,
    /// Changes each node's configuration.
    pub(crate) tune: &'a dyn Fn(&mut Config),
}

/// For a cluster with the default configuration.
pub(crate) fn as_it_is(_: &mut Config) {}

/// A cluster that is ready, and its callers.
#[derive(Debug)]
pub(crate) struct OwnCluster {
    /// The cluster, which is asked as [`CallerName::Bench`].
    pub(crate) cluster: Cluster,
    /// The attestation keys that can be revoked.
    pub(crate) spare: Vec<PublicKey>,
    /// The folder with the callers' certificates, if there is TLS.
    certificates: Option<Certificates>,
}

impl OwnCluster {
    /// What a caller shows to the nodes; none without TLS.
    pub(crate) fn tls(&self, caller: CallerName) -> Option<ClientTls> {
        self.certificates.as_ref().map(|certificates| certificates.of(caller))
    }
}

/// The files of a cluster's CA.
#[derive(Clone, Debug)]
struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    fn ca(&self) -> PathBuf {
        self.folder.join("ca").join("ca.pem")
    }

    fn crl(&self) -> PathBuf {
        self.folder.join("ca").join("ca.crl")
    }

    fn certificate(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pem"))
    }

    fn key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}-key.pem"))
    }

    fn of(&self, caller: CallerName) -> ClientTls {
        let name = caller.as_str();
        let certificate = CertificateFiles { cert: self.certificate(name), key: self.key(name) };
        ClientTls { ca: Some(self.ca()), certificate: Some(certificate), token: None }
    }

    /// Makes the CA, and a certificate for each node and each caller.
    fn make(folder: &Path, cluster_id: [u8; 32], nodes: u16) -> Result<Certificates, Failure> {
        let certificates = Certificates { folder: folder.to_owned() };
        let trust_domain = TrustDomain::parse(DOMAIN)?;
        let now = wall_clock().0;
        // Serial numbers of one CA must differ. Nobody has to be unable to guess these.
        let mut serials = 0_u8;
        let mut serial = || {
            serials = serials.saturating_add(1);
            [serials; 16]
        };
        let mut ca = Ca::create(&folder.join("ca"), &trust_domain, now, serial())?;
        for id in 1..=u64::from(nodes) {
            let name = NodeName { trust_domain: trust_domain.clone(), cluster_id, node_id: id };
            let request = CertificateRequest::node(&name, &["127.0.0.1".to_owned()])?;
            certificates.write(&node_name(id), &ca.issue(&request, now, serial())?)?;
        }
        for caller in CallerName::ALL {
            let request = CertificateRequest::caller(caller.id()?)?;
            certificates.write(caller.as_str(), &ca.issue(&request, now, serial())?)?;
        }
        Ok(certificates)
    }

    fn write(&self, name: &str, new: &NewCertificate) -> Result<(), Failure> {
        fs::write(self.certificate(name), &new.certificate_pem)?;
        write_secret(&self.key(name), &new.key_pem)
    }

    /// Sets TLS on both ports of a node, and who may call.
    fn secure(&self, config: &mut Config) -> Result<(), Failure> {
        let name = node_name(config.node_id);
        let (cert, key, ca, crl) = (self.certificate(&name), self.key(&name), self.ca(), self.crl());
        config.peer_tls = Some(PeerTlsConfig {
            cert: cert.clone(),
            key: key.clone(),
            ca: ca.clone(),
            crl: Some(crl.clone()),
        });
        config.client_tls = Some(ClientTlsConfig { cert, key, ca: Some(ca), crl: Some(crl) });
        config.plain_http = false;
        for caller in CallerName::ALL {
            config.callers.push(CallerConfig {
                name: caller.as_str().to_owned(),
                certificate: Some(caller.id()?.to_string()),
                tokens: None,
                roles: caller.roles(),
                domains: None,
                jwt: None,
                rate: None,
                burst: None,
            });
        }
        Ok(())
    }
}

/// Founds a cluster, starts its nodes, and returns when every node is ready.
pub(crate) async fn start(setup: &Setup<'_>) -> Result<OwnCluster, Failure> {
    let assent = processes::assent(setup.place.assent.as_deref())?;
    let mut nodes = Nodes::in_directory(processes::data_directory(setup.place.data.as_deref())?);
    let folder = nodes.directory().to_owned();
    let count = setup.place.nodes;
    let port = free_ports(count)?;
    let how = if setup.is_tls { "with TLS" } else { "without TLS" };
    eprintln!("starting {count} nodes {how} on ports from {port}, data in `{}`", folder.display());

    let founded = Founded::new(count, setup.spare_keys.min(SPARE_KEYS_MAX))?;
    let genesis_file = folder.join("genesis.json");
    fs::write(&genesis_file, &founded.genesis)?;
    let certificates = match setup.is_tls {
        true => Some(Certificates::make(&folder, founded.cluster_id, count)?),
        false => None,
    };
    let voters: Vec<VoterConfig> = (0..count)
        .map(|place| VoterConfig {
            id: u64::from(place).saturating_add(1),
            peer: format!("127.0.0.1:{}", port.saturating_add(PEER_PORTS).saturating_add(place)),
            client: format!("127.0.0.1:{}", port.saturating_add(place)),
        })
        .collect();
    for voter in &voters {
        let key_file = folder.join(format!("{}-signing.pem", node_name(voter.id)));
        write_secret(&key_file, &node_key(voter.id).to_pem())?;
        let data = folder.join(format!("data-{}", voter.id));
        let mut config = Config::new(voter.id, data, genesis_file.clone(), key_file, voters.clone());
        if let Some(certificates) = &certificates {
            certificates.secure(&mut config)?;
        }
        (setup.tune)(&mut config);
        config.validate()?;
        let config_file = folder.join(format!("{}.toml", node_name(voter.id)));
        fs::write(&config_file, config.to_toml()?)?;
        nodes.start(&assent, &config_file)?;
    }

    let scheme = if setup.is_tls { "https" } else { "http" };
    let endpoints: Vec<String> = voters.iter().map(|voter| format!("{scheme}://{}", voter.client)).collect();
    let tls = certificates.as_ref().map(|certificates| certificates.of(CallerName::Bench));
    let until = Instant::now() + START_TIMEOUT;
    while !all_ready(&endpoints, &tls).await {
        nodes.must_run()?;
        if Instant::now() >= until {
            let seconds = START_TIMEOUT.as_secs();
            return Err(format!("the nodes were not ready within {seconds} s\n{}", nodes.tails()).into());
        }
        sleep(LOOK_EVERY).await;
    }
    let cluster = Cluster {
        origin: ORIGIN.to_owned(),
        domain: DOMAIN.parse()?,
        endpoints,
        tls,
        pids: nodes.pids(),
        governance: governance(),
        attestation: attestation(),
        node_keys: TrustedKeys::new(voters.iter().map(|voter| node_key(voter.id).public()))?,
        _processes: Some(Box::new(nodes)),
    };
    Ok(OwnCluster { cluster, spare: founded.spare, certificates })
}

/// What a cluster is founded with.
struct Founded {
    genesis: Vec<u8>,
    cluster_id: [u8; 32],
    spare: Vec<PublicKey>,
}

impl Founded {
    /// The nodes, a domain with an attestation key and so many spare ones, and a policy that requires an attestation.
    fn new(nodes: u16, spare_keys: u8) -> Result<Founded, Failure> {
        let now = wall_clock().to_seconds();
        let (from, until) = (now.saturating_add(-60), now.saturating_add(LASTS_SECONDS.into()));
        let grant = |key: &SigningKey, role| claims::grant(key.public(), role, from, until);
        let mut genesis = Genesis::new(ORIGIN, now, &[key(1)], 1, &key(2));
        let in_root = Place::new(ORIGIN, DomainName::root(), now);
        for id in 1..=u64::from(nodes) {
            let node = node_key(id);
            genesis.node(&node, in_root.draft(&grant(&node, Role::Registry)));
        }
        let governance = governance();
        let domain: DomainName = DOMAIN.parse()?;
        genesis.domain(&domain, std::slice::from_ref(&governance), 1);
        let in_domain = Place::new(ORIGIN, domain, now);
        let mut chain = Chain::new();
        let spare: Vec<SigningKey> =
            (0..spare_keys).map(|place| key(SPARE_SEED.saturating_add(place))).collect();
        for attester in std::iter::once(&attestation()).chain(&spare) {
            let granted = in_domain.draft(&grant(attester, Role::Attestation));
            genesis.govern(&chain.sign(granted, &[&governance, attester]));
        }
        genesis.govern(&chain.sign(in_domain.draft(&Claims::Policy(policy())), &[&governance]));
        let genesis = genesis.bytes();
        let cluster_id = GenesisFile::parse(&genesis)?.cluster_id().0;
        Ok(Founded { genesis, cluster_id, spare: spare.iter().map(SigningKey::public).collect() })
    }
}

/// The policy of `assent dev`, except that evidence does not grow too old during a long run.
fn policy() -> PolicyBody {
    let attested = attested_policy();
    let lasting =
        |requirement: Requirement| Requirement { max_age_seconds: Some(LASTS_SECONDS), ..requirement };
    PolicyBody { require: attested.require.into_iter().map(lasting).collect(), ..attested_policy() }
}

fn governance() -> SigningKey {
    key(3)
}

fn attestation() -> SigningKey {
    key(4)
}

fn node_key(id: u64) -> SigningKey {
    // There are at most 5 nodes.
    key(NODE_SEED.saturating_add(u8::try_from(id).unwrap_or(0)))
}

fn node_name(id: u64) -> String {
    format!("node-{id}")
}

/// Writes a private key, which no other user may read.
fn write_secret(path: &Path, text: &str) -> Result<(), Failure> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}
