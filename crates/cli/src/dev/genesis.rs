//! The genesis file of a development cluster: root, nodes, a domain with one authority a role, a policy.

use std::collections::BTreeMap;
use std::path::PathBuf;

use assent_proof::{
    AttestationStatus, Claims, DomainName, Envelope, EvidenceId, EvidenceKind, LineageName, Of, PolicyBody,
    PublicKey, Requirement, Role, Seconds, Sha256, SigningKey, Statement, sign_statement,
};
use assent_registry::GenesisFile;

use crate::exit::CliError;
use crate::{edge, keys};

/// How long the grants hold.
const TEN_YEARS: i64 = 10 * 365 * 24 * 3600;

/// What a cluster is founded with.
pub(super) struct Founding {
    /// The registry's origin.
    pub(super) origin: String,
    /// Its domain.
    pub(super) domain: String,
    /// The file of each role's private key.
    pub(super) keys: BTreeMap<String, PathBuf>,
    /// The file of the private key that signs checkpoints.
    pub(super) checkpoint_key: PathBuf,
    /// The nodes by number, each with the file of its private key.
    pub(super) node_keys: Vec<(u64, PathBuf)>,
}

/// The file's bytes. The keys must be there.
pub(super) fn make(founding: &Founding) -> Result<Vec<u8>, CliError> {
    let domain: DomainName = founding.domain.parse().map_err(|_| CliError::usage("the domain is no name"))?;
    let key = |role: &str| match founding.keys.get(role) {
        Some(path) => keys::read_signing(path),
        None => Err(CliError::usage(format!("there is no key for `{role}`"))),
    };
    let (root, governance) = (key("root")?, key("governance")?);
    let checkpoint = keys::read_signing(&founding.checkpoint_key)?;
    let mut writer =
        Writer { origin: founding.origin.clone(), now: edge::now_seconds(), envelopes: Vec::new() };

    let mut in_root = Chain::new(DomainName::root());
    let claims = Claims::Root { keys: vec![root.public()], threshold: 1, registry_key: checkpoint.public() };
    let origin = founding.origin.clone();
    writer.write(&mut in_root, EvidenceKind::Root, &origin, &claims, &[&root, &checkpoint])?;
    for (id, path) in &founding.node_keys {
        let node_key = keys::read_signing(path)?;
        let claims = writer.grant(node_key.public(), format!("node-{id}"), Role::Registry);
        let target = node_key.public().to_string();
        writer.write(&mut in_root, EvidenceKind::AuthorityGrant, &target, &claims, &[&root, &node_key])?;
    }
    let claims =
        Claims::Domain { domain: domain.clone(), governance: vec![governance.public()], threshold: 1 };
    writer.write(&mut in_root, EvidenceKind::Domain, domain.as_ref(), &claims, &[&root, &governance])?;

    let mut in_domain = Chain::new(domain.clone());
    for role in Role::ALL.iter().copied().filter(|role| *role != Role::Governance) {
        let holder = key(role.as_str())?;
        let claims = writer.grant(holder.public(), format!("dev {role}"), role);
        let target = holder.public().to_string();
        let signers = [&governance, &holder];
        writer.write(&mut in_domain, EvidenceKind::AuthorityGrant, &target, &claims, &signers)?;
    }
    let claims = Claims::Policy(policy());
    writer.write(&mut in_domain, EvidenceKind::Policy, domain.as_ref(), &claims, &[&governance])?;
    Ok(GenesisFile::format(&writer.envelopes)?)
}

/// One affirming attestation of the execution, no older than five minutes, with any measurement.
fn policy() -> PolicyBody {
    PolicyBody {
        require: vec![Requirement {
            kind: EvidenceKind::RuntimeAttestation,
            of: Of::Execution,
            min_issuers: 1,
            max_age_seconds: Some(300),
        }],
        attestation_status: Some(vec![AttestationStatus::Affirming]),
        measurements: None,
        policy_digests: None,
        decision_ttl_seconds: 10,
        permit_always: false,
    }
}

/// The shared chain of a domain's `_governance`.
struct Chain {
    domain: DomainName,
    next: u64,
    head: Option<EvidenceId>,
}

impl Chain {
    fn new(domain: DomainName) -> Self {
        Self { domain, next: 0, head: None }
    }
}

struct Writer {
    origin: String,
    now: Seconds,
    envelopes: Vec<Envelope>,
}

impl Writer {
    fn grant(&self, authority: PublicKey, name: String, role: Role) -> Claims {
        let not_before = Seconds(self.now.0.saturating_sub(3600));
        let not_after = Seconds(self.now.0.saturating_add(TEN_YEARS));
        Claims::AuthorityGrant { authority, name, role, not_before, not_after }
    }

    fn write(
        &mut self,
        chain: &mut Chain,
        kind: EvidenceKind,
        target: &str,
        claims: &Claims,
        signers: &[&SigningKey],
    ) -> Result<(), CliError> {
        let statement = Statement {
            subject_name: None,
            subject: Sha256::of(target.as_bytes()),
            kind,
            registry: self.origin.clone(),
            domain: chain.domain.clone(),
            lineage: LineageName::governance(),
            issuers: signers.iter().map(|key| key.public()).collect(),
            sequence: Some(chain.next),
            parent: chain.head,
            references: Vec::new(),
            issued_at: self.now,
            expires_at: None,
            claims: claims.to_json(),
        };
        let envelope = Envelope::parse(&sign_statement(&statement, signers))?;
        chain.next = chain.next.saturating_add(1);
        chain.head = Some(envelope.id());
        self.envelopes.push(envelope);
        Ok(())
    }
}
