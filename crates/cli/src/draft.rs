//! A statement before it is signed: its defaults, its governance subject, its slot, and early checks.
//!
//! It never signs. The registry repeats every check that is made here.

use assent_client::Client;
use assent_proof::text::one_line;
use assent_proof::{
    Claims, Code, DomainName, Envelope, EvidenceId, EvidenceKind, Json, LineageName, PublicKey, Rules,
    STATEMENT_PAYLOAD_TYPE, Sha256, Statement,
};

use crate::exit::CliError;

/// A slot in a chain: the sequence, and the evidence before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// The number of the slot, from 0.
    pub(crate) sequence: u64,
    /// The evidence before the slot. It is `None` exactly for the first slot.
    pub(crate) parent: Option<EvidenceId>,
}

impl Slot {
    /// The first slot of a chain.
    pub(crate) const FIRST: Slot = Slot { sequence: 0, parent: None };

    /// The slot after the one with this sequence and evidence.
    pub(crate) fn after(sequence: u64, head: EvidenceId) -> Self {
        Slot { sequence: sequence.saturating_add(1), parent: Some(head) }
    }
}

/// The domain of a kind whose statements all belong to one domain.
pub(crate) fn fixed_domain(kind: EvidenceKind) -> Option<DomainName> {
    let in_root = [EvidenceKind::Root, EvidenceKind::Domain, EvidenceKind::Rules, EvidenceKind::Recovery];
    in_root.contains(&kind).then(DomainName::root)
}

/// The subject of a governance statement: the SHA-256 of the text that names the statement's target.
pub(crate) fn governance_subject(
    kind: EvidenceKind,
    origin: &str,
    domain: &DomainName,
    claims: &Json,
) -> Option<Sha256> {
    let claim = |name: &str| claims.get(name).and_then(Json::as_str);
    let target = match kind {
        EvidenceKind::Root | EvidenceKind::Recovery => origin,
        EvidenceKind::Rules => "rules",
        EvidenceKind::Domain => claim("domain")?,
        EvidenceKind::AuthorityGrant | EvidenceKind::Revocation => claim("authority")?,
        EvidenceKind::Policy => domain.as_str(),
        EvidenceKind::Reconciliation => claim("canonical")?,
        EvidenceKind::Release => claim("containment")?,
        EvidenceKind::Containment => claim("target")?,
        _ => return None,
    };
    Some(Sha256::of(target.as_bytes()))
}

/// The next free slot, as the cluster knows it.
pub(crate) async fn next_slot(
    client: &Client,
    kind: EvidenceKind,
    domain: &DomainName,
    lineage: &LineageName,
    issuer: Option<&PublicKey>,
) -> Result<Slot, CliError> {
    // One entry is the smallest page; the heads come with every page.
    let Some(page) = client.lineage(domain, lineage, None, Some(1)).await? else { return Ok(Slot::FIRST) };
    if kind.is_execution() {
        let chain = page.issuers.iter().find(|chain| Some(&chain.issuer) == issuer);
        return Ok(chain.map_or(Slot::FIRST, |chain| Slot::after(chain.sequence, chain.head)));
    }
    match (page.sequence, page.head) {
        (Some(sequence), Some(head)) => Ok(Slot::after(sequence, head)),
        _ => Ok(Slot::FIRST),
    }
}

/// Gives a statement the next free slot of its chain, as the cluster of its registry knows it.
///
/// # Errors
/// `wrong_registry` if an endpoint is not a node of that registry: its answer would give a slot that is taken there.
pub(crate) async fn take_next_slot(client: &Client, statement: &mut Statement) -> Result<(), CliError> {
    let Statement { kind, domain, lineage, issuers, registry, .. } = &*statement;
    let slot = next_slot(client, *kind, domain, lineage, issuers.first()).await?;
    // An answer that a lineage does not exist names no registry, and any endpoint may have given it.
    must_be_of(client, registry).await?;
    (statement.sequence, statement.parent) = (Some(slot.sequence), slot.parent);
    Ok(())
}

/// Checks that every endpoint that answers is a node of this registry, and that all are of one cluster.
async fn must_be_of(client: &Client, registry: &str) -> Result<(), CliError> {
    let mut cluster: Option<String> = None;
    let mut unanswered = None;
    for endpoint in &client.config().endpoints {
        let status = match client.status_at(endpoint).await {
            Ok(status) => status,
            Err(error) => {
                unanswered = Some(error);
                continue;
            }
        };
        if status.origin != registry {
            let origin = one_line(&status.origin);
            let detail =
                format!("`{endpoint}` is a node of `{origin}`, and the statement is for `{registry}`");
            return Err(wrong_registry(detail));
        }
        if cluster.as_ref().is_some_and(|cluster| *cluster != status.cluster_id) {
            return Err(wrong_registry(format!("`{endpoint}` is a node of another cluster than the others")));
        }
        cluster = Some(status.cluster_id);
    }
    match (cluster, unanswered) {
        (None, Some(error)) => Err(error.into()),
        (Some(_), _) | (None, None) => Ok(()),
    }
}

/// The error of an endpoint that must not be asked for the slots of a statement's chain.
fn wrong_registry(detail: String) -> CliError {
    let remedy =
        "nothing was signed: give only endpoints of the registry that `--origin` names, and check `--origin`";
    CliError::new(Code::WrongRegistry.as_str(), detail, remedy)
}

/// Refuses a statement that the registry would refuse for its form alone, before it is signed.
pub(crate) fn check(statement: &Statement) -> Result<(), CliError> {
    Statement::parse(&statement.to_vec())?;
    Claims::parse(Rules::NEWEST, statement.kind, &statement.claims)?;
    Ok(())
}

/// The statement in an envelope without signatures.
pub(crate) fn envelope(statement: &Statement) -> Envelope {
    Envelope::unsigned(STATEMENT_PAYLOAD_TYPE, statement.to_vec())
}
