//! The foundation of a simulated cluster: keys, the genesis file, each node's configuration.
//!
//! Every key follows from a number, so that a seed's run signs the same bytes each time.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use assent_cluster::config::{Config, VoterConfig};
use assent_fixtures::{Chain, Genesis, Place, claims};
use assent_proof::{Claims, DomainName, EvidenceId, PolicyBody, PublicKey, Role, Seconds, SigningKey};
use assent_registry::RulesVersion;

use super::clock::BEGIN_MS;

/// The registry's name.
pub const ORIGIN: &str = "registry.example/simulated";
/// Where clients reach a node.
pub const CLIENT_PORT: u16 = 7000;
/// Where peers reach a node.
pub const PEER_PORT: u16 = 7001;
/// Where peers reach a node that has moved, and has not moved back.
pub const PEER_PORT_MOVED: u16 = 7002;
/// How many nodes may be members of one run: those of the beginning and those that join.
pub const NODES_MAX: u64 = 9;
/// When the genesis file was signed: so recently that the nodes trust their clocks at once.
pub const FOUNDED: Seconds = Seconds(BEGIN_MS / 1000 - 300);
/// Until when the grants of the beginning are valid.
pub const GRANTED_UNTIL: Seconds = Seconds(BEGIN_MS / 1000 + 30 * 24 * 3600);

/// What went wrong before the simulation began.
#[derive(Debug, thiserror::Error)]
pub enum SimSetupError {
    /// A file could not be written.
    #[error("writing `{0}`: {1}")]
    Io(PathBuf, std::io::Error),
    /// A name is not a name: a mistake in this file.
    #[error("`{0}` is not a name")]
    Name(String),
}

/// The key of a part with a number, such as `node` 3 or `attestation` 1.
pub fn key(part: &str, number: u64) -> SigningKey {
    SigningKey::from_seed(*blake3::hash(format!("{part} {number}").as_bytes()).as_bytes())
}

/// A node's key.
pub fn node_key(id: u64) -> SigningKey {
    key("node", id)
}

/// A node's host name in the simulated network.
pub fn node_name(id: u64) -> String {
    format!("node-{id}")
}

/// The next slot of a chain, and its head.
pub type Head = (u64, EvidenceId);

/// What a simulated registry begins with, and where its files are.
pub struct SimSetup {
    folder: PathBuf,
    heads: Vec<Head>,
    voters: Vec<VoterConfig>,
}

impl SimSetup {
    /// Writes the genesis file and the keys into `folder`.
    pub fn write(folder: &Path, nodes: u64, domains: &[DomainPlan]) -> Result<Self, SimSetupError> {
        let (genesis, heads) = genesis(domains);
        let write = |name: String, bytes: &[u8]| {
            let path = folder.join(name);
            // A node refuses a key file that every user may read.
            std::fs::write(&path, bytes)
                .and_then(|()| std::fs::set_permissions(&path, Permissions::from_mode(0o600)))
                .map_err(|error| SimSetupError::Io(path, error))
        };
        write("genesis.json".to_owned(), &genesis.bytes())?;
        for id in 1..=NODES_MAX {
            write(format!("node-{id}.pem"), node_key(id).to_pem().as_bytes())?;
        }
        let voters = (1..=nodes).map(|id| VoterConfig {
            id,
            peer: format!("{}:{PEER_PORT}", node_name(id)),
            client: format!("{}:{CLIENT_PORT}", node_name(id)),
        });
        Ok(Self { folder: folder.to_owned(), heads, voters: voters.collect() })
    }

    /// The next slot and the head of each domain's governance.
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// A node's configuration, with the defaults of the product.
    pub fn config(&self, id: u64) -> Config {
        let mut config = Config::new(
            id,
            // Used in messages only: the disk is simulated, and a folder's name would differ from run to run.
            PathBuf::from(format!("disk-{id}")),
            self.folder.join("genesis.json"),
            self.folder.join(format!("node-{id}.pem")),
            self.voters.clone(),
        );
        config.client_listen = format!("0.0.0.0:{CLIENT_PORT}");
        config.peer_listen = format!("0.0.0.0:{PEER_PORT}");
        config.client_advertise = Some(format!("{}:{CLIENT_PORT}", node_name(id)));
        config.peer_advertise = Some(format!("{}:{PEER_PORT}", node_name(id)));
        // A simulated host listens on all of its addresses, and none of them is a real one.
        config.simulated_network = true;
        config.rules_known = RulesVersion::GENESIS.0;
        config
    }
}

/// Puts a node at its other port for peers, from its next start on.
pub fn move_peer_port(config: &mut Config) {
    let is_at_first = config.peer_listen.ends_with(&format!(":{PEER_PORT}"));
    let port = if is_at_first { PEER_PORT_MOVED } else { PEER_PORT };
    config.peer_listen = format!("0.0.0.0:{port}");
    config.peer_advertise = Some(format!("{}:{port}", node_name(config.node_id)));
}

/// A domain of the beginning.
#[derive(Debug, Clone)]
pub struct DomainPlan {
    /// Its name.
    pub name: DomainName,
    /// Its governance keys.
    pub governance: Vec<SigningKey>,
    /// How many of them must sign a governance statement.
    pub threshold: u32,
    /// The other keys that have a role in it.
    pub authorities: Vec<(SigningKey, Role)>,
    /// Its policy.
    pub policy: PolicyBody,
}

/// The claims of a grant that is valid for the whole run.
pub fn grant_claims(authority: PublicKey, role: Role) -> Claims {
    claims::grant(authority, role, FOUNDED, GRANTED_UNTIL)
}

/// The genesis file, and each domain's head.
fn genesis(domains: &[DomainPlan]) -> (Genesis, Vec<Head>) {
    let of_root = Place::new(ORIGIN, DomainName::root(), FOUNDED);
    let mut genesis = Genesis::new(ORIGIN, FOUNDED, &[key("root", 1)], 1, &key("checkpoint", 1));
    for id in 1..=NODES_MAX {
        let node = node_key(id);
        genesis.node(&node, of_root.draft(&grant_claims(node.public(), Role::Registry)));
    }
    let mut heads = Vec::new();
    for plan in domains {
        genesis.domain(&plan.name, &plan.governance, plan.threshold);
        let place = Place::new(ORIGIN, plan.name.clone(), FOUNDED);
        let mut chain = Chain::new();
        let signers: Vec<&SigningKey> = plan.governance.iter().take(plan.threshold as usize).collect();
        let policy = place.draft(&Claims::Policy(plan.policy.clone()));
        genesis.govern(&chain.sign(policy, &signers));
        for (authority, role) in &plan.authorities {
            let grant = place.draft(&grant_claims(authority.public(), *role));
            let mut keys = signers.clone();
            keys.push(authority);
            genesis.govern(&chain.sign(grant, &keys));
        }
        let (next, head) = chain.next_slot();
        heads.extend(head.map(|head| (next, head)));
    }
    (genesis, heads)
}
