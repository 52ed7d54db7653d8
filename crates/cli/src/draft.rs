//! A statement on its way to being signed: defaults, the governance subject, the slot, early checks.
//!
//! It never signs, and what it checks early the registry checks again.

use assent_client::Client;
use assent_proof::{
    Claims, DomainName, Envelope, EvidenceId, EvidenceKind, Json, LineageName, PublicKey, Rules,
    STATEMENT_PAYLOAD_TYPE, Sha256, Statement,
};

use crate::exit::CliError;

/// A place in a chain: the sequence, and the evidence before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// From 0.
    pub(crate) sequence: u64,
    /// None exactly for the first.
    pub(crate) parent: Option<EvidenceId>,
}

impl Slot {
    /// The first of a chain.
    pub(crate) const FIRST: Slot = Slot { sequence: 0, parent: None };

    /// The one after this.
    pub(crate) fn after(sequence: u64, head: EvidenceId) -> Self {
        Slot { sequence: sequence.saturating_add(1), parent: Some(head) }
    }
}

/// The domain that a kind belongs to, if the kind says it by itself.
pub(crate) fn fixed_domain(kind: EvidenceKind) -> Option<DomainName> {
    let in_root = [EvidenceKind::Root, EvidenceKind::Domain, EvidenceKind::Rules, EvidenceKind::Recovery];
    in_root.contains(&kind).then(DomainName::root)
}

/// The subject that a governance statement has: SHA-256 of the text that names its target.
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
    // One entry is as few as can be asked for: heads stand beside the entries.
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

/// Gives a statement the next free slot of its chain, as the cluster knows it.
pub(crate) async fn take_next_slot(client: &Client, statement: &mut Statement) -> Result<(), CliError> {
    let Statement { kind, domain, lineage, issuers, .. } = &*statement;
    let slot = next_slot(client, *kind, domain, lineage, issuers.first()).await?;
    (statement.sequence, statement.parent) = (Some(slot.sequence), slot.parent);
    Ok(())
}

/// Refuses early what the registry would refuse for its form alone, so that nobody signs it.
pub(crate) fn check(statement: &Statement) -> Result<(), CliError> {
    Statement::parse(&statement.to_vec())?;
    Claims::parse(Rules::NEWEST, statement.kind, &statement.claims)?;
    Ok(())
}

/// The statement in an envelope without signatures.
pub(crate) fn envelope(statement: &Statement) -> Envelope {
    Envelope::unsigned(STATEMENT_PAYLOAD_TYPE, statement.to_vec())
}
