//! What a simulated cluster is founded on: keys, the genesis file, each node's configuration.
//!
//! Every key follows from a number, so that a seed's run signs the same bytes again.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use assent_cluster::config::{Config, VoterConfig};
use assent_proof::{
    Claims, DomainName, Envelope, EvidenceId, EvidenceKind, LineageName, PolicyBody, PublicKey, Refusal,
    Role, Seconds, Sha256, SigningKey, Statement, sign_statement,
};
use assent_registry::{GenesisFile, RulesVersion};

use super::clock::BEGIN_MS;

/// The registry's name.
pub const ORIGIN: &str = "registry.example/simulated";
/// Where clients reach a node.
pub const CLIENT_PORT: u16 = 7000;
/// Where peers reach a node.
pub const PEER_PORT: u16 = 7001;
/// Where peers reach a node that has moved, and has not moved back.
pub const PEER_PORT_MOVED: u16 = 7002;
/// How many nodes may ever be members of one run: those of the beginning and those that join.
pub const NODES_MAX: u64 = 9;
/// When the genesis file was signed: so lately that the nodes' clocks are trusted at once.
pub const FOUNDED: Seconds = Seconds(BEGIN_MS / 1000 - 300);
/// Until when the grants of the beginning hold.
pub const GRANTED_UNTIL: Seconds = Seconds(BEGIN_MS / 1000 + 30 * 24 * 3600);

/// What went wrong before anything was simulated.
#[derive(Debug, thiserror::Error)]
pub enum GroundError {
    /// A file could not be written.
    #[error("writing `{0}`: {1}")]
    Io(PathBuf, std::io::Error),
    /// The genesis statements make no registry: a mistake in this file.
    #[error("founding the simulated registry: {0}")]
    Genesis(#[from] Refusal),
    /// A name is not a name: a mistake in this file.
    #[error("`{0}` is not a name")]
    Name(String),
}

/// The key of a part that somebody plays, such as `node` 3 or `attestation` 1.
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

/// What a simulated registry begins with, and where its files lie.
pub struct Ground {
    folder: PathBuf,
    heads: Vec<Head>,
    voters: Vec<VoterConfig>,
}

impl Ground {
    /// Writes the genesis file and the keys into `folder`.
    pub fn lay(folder: &Path, nodes: u64, domains: &[DomainPlan]) -> Result<Self, GroundError> {
        let (envelopes, heads) = genesis(domains)?;
        let write = |name: String, bytes: &[u8]| {
            let path = folder.join(name);
            // A node reads no key that everybody may read.
            std::fs::write(&path, bytes)
                .and_then(|()| std::fs::set_permissions(&path, Permissions::from_mode(0o600)))
                .map_err(|error| GroundError::Io(path, error))
        };
        write("genesis.json".to_owned(), &GenesisFile::format(&envelopes)?)?;
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
            // For messages only: the disk is simulated, and a folder's name would differ from run to run.
            PathBuf::from(format!("disk-{id}")),
            self.folder.join("genesis.json"),
            self.folder.join(format!("node-{id}.pem")),
            self.voters.clone(),
        );
        config.client_listen = format!("0.0.0.0:{CLIENT_PORT}");
        config.peer_listen = format!("0.0.0.0:{PEER_PORT}");
        config.client_advertise = Some(format!("{}:{CLIENT_PORT}", node_name(id)));
        config.peer_advertise = Some(format!("{}:{PEER_PORT}", node_name(id)));
        config.insecure_network = true;
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
    /// How many of them a governance statement takes.
    pub threshold: u32,
    /// Who else has a role in it.
    pub authorities: Vec<(SigningKey, Role)>,
    /// Its policy.
    pub policy: PolicyBody,
}

/// A chain of statements in one `_governance`.
struct Chain {
    domain: DomainName,
    signed: Vec<Envelope>,
}

impl Chain {
    fn sign(
        &mut self,
        kind: EvidenceKind,
        target: &str,
        claims: &Claims,
        keys: &[&SigningKey],
    ) -> Result<(), GroundError> {
        let statement = Statement {
            subject_name: None,
            subject: Sha256::of(target.as_bytes()),
            kind,
            registry: ORIGIN.to_owned(),
            domain: self.domain.clone(),
            lineage: LineageName::governance(),
            issuers: keys.iter().map(|key| key.public()).collect(),
            sequence: Some(self.signed.len() as u64),
            parent: self.signed.last().map(Envelope::id),
            references: Vec::new(),
            issued_at: FOUNDED,
            expires_at: None,
            claims: claims.to_json(),
        };
        let bytes = sign_statement(&statement, keys);
        let envelope = Envelope::parse(&bytes).map_err(|error| GroundError::Name(error.to_string()))?;
        self.signed.push(envelope);
        Ok(())
    }
}

/// The claims of a grant that holds for the whole run.
pub fn grant_claims(authority: PublicKey, role: Role) -> Claims {
    Claims::AuthorityGrant {
        authority,
        name: role.to_string(),
        role,
        not_before: FOUNDED,
        not_after: GRANTED_UNTIL,
    }
}

/// The genesis statements, and each domain's head.
fn genesis(domains: &[DomainPlan]) -> Result<(Vec<Envelope>, Vec<Head>), GroundError> {
    let (root, checkpoints) = (key("root", 1), key("checkpoint", 1));
    let mut of_root = Chain { domain: DomainName::root(), signed: Vec::new() };
    let claims = Claims::Root { keys: vec![root.public()], threshold: 1, registry_key: checkpoints.public() };
    of_root.sign(EvidenceKind::Root, ORIGIN, &claims, &[&root, &checkpoints])?;
    for id in 1..=NODES_MAX {
        let node = node_key(id);
        let claims = grant_claims(node.public(), Role::Registry);
        of_root.sign(EvidenceKind::AuthorityGrant, &node.public().to_string(), &claims, &[&root, &node])?;
    }
    let mut own = Vec::new();
    let mut heads = Vec::new();
    for plan in domains {
        let governance: Vec<PublicKey> = plan.governance.iter().map(SigningKey::public).collect();
        let claims = Claims::Domain { domain: plan.name.clone(), governance, threshold: plan.threshold };
        let mut keys = vec![&root];
        keys.extend(&plan.governance);
        of_root.sign(EvidenceKind::Domain, plan.name.as_ref(), &claims, &keys)?;
        let mut chain = Chain { domain: plan.name.clone(), signed: Vec::new() };
        let signers: Vec<&SigningKey> = plan.governance.iter().take(plan.threshold as usize).collect();
        let policy = Claims::Policy(plan.policy.clone());
        chain.sign(EvidenceKind::Policy, plan.name.as_ref(), &policy, &signers)?;
        for (authority, role) in &plan.authorities {
            let claims = grant_claims(authority.public(), *role);
            let mut keys = signers.clone();
            keys.push(authority);
            chain.sign(EvidenceKind::AuthorityGrant, &authority.public().to_string(), &claims, &keys)?;
        }
        heads.extend(chain.signed.last().map(|last| (chain.signed.len() as u64, last.id())));
        own.extend(chain.signed);
    }
    of_root.signed.extend(own);
    Ok((of_root.signed, heads))
}
