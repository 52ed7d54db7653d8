//! Reading what the registry holds: lineages, domains, authorities, policies, envelopes. Pages are bounded
//! by the caller's limit and go on after the last key given.

mod ends;
mod events;
mod history;

use assent_proof::{
    Code, DomainName, Envelope, EvidenceId, EvidenceKind, History, LineageName, Millis, PolicyBody,
    PublicKey, Role, Seconds, Sha256,
};

use crate::authorize::JudgedBy;
use crate::codec;
use crate::command::Receipt;
use crate::record::{AuthorityRow, DomainRow};
use crate::row_key;
use crate::rows::{RowError, Rows, Table};
use crate::standing::AuthorityStatus;
use crate::submit;
use crate::view::View;

pub use ends::{KeyEndsPage, key_ends};
pub use events::{Event, EventFilter, EventPage, Restricts, events};
pub use history::{Located, history, locate};

/// The registry's name and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The ledger's size.
    pub revision: u64,
    /// The largest time of acceptance so far.
    pub registry_time: Millis,
    /// The origin that evidence must name.
    pub origin: String,
    /// The genesis file's digest.
    pub cluster_id: [u8; 32],
    /// The version of the rules.
    pub rules_version: u32,
    /// Which life of the cluster this is: 1 as founded, and one more after each recovery.
    pub epoch: u64,
}

/// The registry as a whole; none before genesis.
pub fn summary(rows: &dyn Rows) -> Result<Option<Summary>, RowError> {
    Ok(View::new(rows).meta()?.map(|meta| Summary {
        revision: meta.revision,
        registry_time: meta.registry_time,
        origin: meta.origin.clone(),
        cluster_id: meta.cluster_id,
        rules_version: meta.rules_version,
        epoch: meta.epoch,
    }))
}

/// The ledger's size; 0 before genesis.
pub fn revision(rows: &dyn Rows) -> Result<u64, RowError> {
    Ok(summary(rows)?.map_or(0, |summary| summary.revision))
}

/// The largest time of acceptance so far; 0 before genesis.
pub fn registry_time(rows: &dyn Rows) -> Result<Millis, RowError> {
    Ok(summary(rows)?.map_or(Millis(0), |summary| summary.registry_time))
}

/// How a lineage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineageStatus {
    /// It takes evidence.
    Open,
    /// An audit event closed it.
    Closed,
    /// It denies until its containments are released and its equivocations reconciled.
    Quarantined,
}

/// A lineage with one page of its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineagePage {
    /// The history in which it is so, and in which `next` means something.
    pub history: History,
    /// How it is. Quarantined outweighs closed.
    pub status: LineageStatus,
    /// What it is about; none for `_governance`. More than one only after an equivocation of its first slot.
    pub subjects: Vec<Sha256>,
    /// The newest slotted evidence.
    pub head: Option<EvidenceId>,
    /// The newest slot of the shared chain; only in `_governance`.
    pub sequence: Option<u64>,
    /// The quarantines by containment that hold, by id; at most [`crate::limit::CONTAINMENTS_NAMED`].
    pub quarantined_by: Vec<EvidenceId>,
    /// The slots that were signed twice.
    pub conflicts: Vec<LineageConflict>,
    /// Each issuer's chain, at most 32.
    pub issuers: Vec<IssuerChain>,
    /// A page of entries, by ledger index.
    pub entries: Vec<LineageEntry>,
    /// Where the next page starts after; none on the last page.
    pub next: Option<u64>,
}

/// A slot that its issuer signed twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineageConflict {
    /// Who signed both.
    pub issuer: PublicKey,
    /// For which slot.
    pub sequence: u64,
    /// The half that stands; none until it is reconciled.
    pub canonical: Option<EvidenceId>,
}

/// One issuer's chain in a lineage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerChain {
    /// Whose.
    pub issuer: PublicKey,
    /// Its newest slot.
    pub sequence: u64,
    /// Its newest evidence.
    pub head: EvidenceId,
}

/// One accepted statement of a lineage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineageEntry {
    /// Its place in the ledger.
    pub ledger_index: u64,
    /// Its id.
    pub evidence_id: EvidenceId,
    /// Its kind.
    pub kind: EvidenceKind,
    /// Its issuers, as written.
    pub issuers: Vec<PublicKey>,
    /// Its slot; none for restrictions.
    pub sequence: Option<u64>,
    /// When the registry accepted it.
    pub accepted_at: Millis,
    /// Whether it is void now.
    pub void: bool,
    /// Whether it is the second statement for its slot.
    pub equivocation: bool,
}

/// A lineage and at most `limit` of its entries after ledger index `after`.
pub fn lineage(
    rows: &dyn Rows,
    domain: &DomainName,
    lineage: &LineageName,
    after: Option<u64>,
    limit: usize,
) -> Result<Option<LineagePage>, RowError> {
    let view = View::new(rows);
    let Some(row) = view.lineage(domain, lineage)? else { return Ok(None) };
    let (entries, next) = entries(&view, domain, lineage, after, limit)?;
    view.begin();
    let quarantined_by: Vec<_> = view.quarantines(domain, lineage, &row)?.into_iter().collect();
    let conflicts: Result<Vec<_>, RowError> = row
        .conflicts
        .iter()
        .map(|conflict| {
            let canonical = view.canonical(conflict)?;
            Ok(LineageConflict { issuer: conflict.issuer, sequence: conflict.sequence, canonical })
        })
        .collect();
    let conflicts = conflicts?;
    let unresolved = conflicts.iter().any(|conflict| conflict.canonical.is_none());
    let status = match row.closed_by {
        _ if unresolved || !quarantined_by.is_empty() => LineageStatus::Quarantined,
        Some(_) => LineageStatus::Closed,
        None => LineageStatus::Open,
    };
    Ok(Some(LineagePage {
        history: view.history_in_force()?,
        status,
        quarantined_by,
        conflicts,
        subjects: row.subjects,
        head: row.head,
        sequence: row.next_sequence.checked_sub(1),
        issuers: issuers(&view, domain, lineage)?,
        entries,
        next,
    }))
}

/// The next slot of a domain's `_governance`, and the head that what takes it names as its parent.
pub fn governance_slot(rows: &dyn Rows, domain: &DomainName) -> Result<(u64, Option<EvidenceId>), RowError> {
    let lineage = View::new(rows).lineage(domain, &LineageName::governance())?;
    Ok(lineage.map_or((0, None), |row| (row.next_sequence, row.head)))
}

fn issuers(
    view: &View<'_>,
    domain: &DomainName,
    lineage: &LineageName,
) -> Result<Vec<IssuerChain>, RowError> {
    let chains = view.chains(domain, lineage)?;
    let shown = chains.into_iter().map(|(issuer, row)| IssuerChain {
        issuer,
        sequence: row.next_sequence.saturating_sub(1),
        head: row.head,
    });
    Ok(shown.collect())
}

pub(crate) fn entries(
    view: &View<'_>,
    domain: &DomainName,
    lineage: &LineageName,
    after: Option<u64>,
    limit: usize,
) -> Result<(Vec<LineageEntry>, Option<u64>), RowError> {
    let prefix = row_key::in_lineage(domain, lineage);
    let first = after.map_or(0, |after| after.saturating_add(1));
    let from = row_key::entry(domain, lineage, first);
    let until = row_key::after_prefix(&prefix);
    let rows = view.rows().scan(Table::LineageEntries, &from, until.as_deref(), limit.saturating_add(1))?;
    let more = rows.len() > limit;
    let page: Result<Vec<LineageEntry>, RowError> = rows
        .into_iter()
        .take(limit)
        .map(|(key, value)| {
            let mutated = || RowError::Mutated { table: Table::LineageEntries, key: key.clone() };
            let id = EvidenceId(value.as_slice().try_into().map_err(|_| mutated())?);
            view.begin();
            entry(view, id)?.ok_or_else(mutated)
        })
        .collect();
    let page = page?;
    let next = if more { page.last().map(|entry| entry.ledger_index) } else { None };
    Ok((page, next))
}

fn entry(view: &View<'_>, id: EvidenceId) -> Result<Option<LineageEntry>, RowError> {
    let Some(row) = view.evidence(&id)? else { return Ok(None) };
    let void = view.is_void(&id)?;
    Ok(Some(LineageEntry {
        ledger_index: row.index,
        evidence_id: id,
        kind: row.kind,
        issuers: row.issuers.clone(),
        sequence: row.sequence,
        accepted_at: row.accepted_at,
        void,
        equivocation: row.equivocation,
    }))
}

/// A domain and who governs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainEntry {
    /// Its name.
    pub domain: DomainName,
    /// Its governance keys; in `_root` the root keys.
    pub governance: Vec<PublicKey>,
    /// How many must sign together.
    pub threshold: u32,
    /// The statement that says so.
    pub admitted_by: EvidenceId,
    /// The isolations that hold, by id; at most [`crate::limit::CONTAINMENTS_NAMED`].
    pub isolated_by: Vec<EvidenceId>,
    /// The policy that judges in it; without one, nothing is allowed.
    pub policy: Option<JudgedBy>,
}

/// At most `limit` domains after `after`, by name; and whether there are more.
pub fn domains(
    rows: &dyn Rows,
    after: Option<&DomainName>,
    limit: usize,
) -> Result<(Vec<DomainEntry>, bool), RowError> {
    let view = View::new(rows);
    let from = after.map_or_else(Vec::new, row_key::in_domain);
    let found = rows.scan(Table::Domains, &from, None, limit.saturating_add(1))?;
    let more = found.len() > limit;
    let page: Result<Vec<DomainEntry>, RowError> = found
        .into_iter()
        .take(limit)
        .map(|(key, value)| {
            let mutated = || RowError::Mutated { table: Table::Domains, key: key.clone() };
            let domain = std::str::from_utf8(&key).ok().and_then(|name| name.parse().ok());
            let row: DomainRow =
                codec::decode(&value).map_err(|error| RowError::undecoded(Table::Domains, &key, error))?;
            let domain = domain.ok_or_else(mutated)?;
            view.begin();
            Ok(DomainEntry {
                isolated_by: view.isolations(&domain, &row)?.into_iter().collect(),
                policy: view.policy(&domain)?.map(|policy| JudgedBy::new(policy.evidence_id, &policy.body)),
                domain,
                governance: row.governance,
                threshold: row.threshold,
                admitted_by: row.admitted_by,
            })
        })
        .collect();
    Ok((page?, more))
}

/// An authority as it is at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityEntry {
    /// Its id.
    pub key: PublicKey,
    /// A name for people.
    pub name: String,
    /// Its one role.
    pub role: Role,
    /// Its one domain.
    pub domain: DomainName,
    /// It is valid from then.
    pub not_before: Seconds,
    /// It is valid until then, exclusive; root and governance keys have no end.
    pub not_after: Option<Seconds>,
    /// How it is at the moment asked for.
    pub status: AuthorityStatus,
    /// The statement that admitted it.
    pub admitted_by: EvidenceId,
    /// The revocation that ended it.
    pub revoked_by: Option<EvidenceId>,
    /// What it signed and the registry accepted from then on is void.
    pub invalid_since: Option<Seconds>,
}

/// An authority at `now`.
pub fn authority(rows: &dyn Rows, key: &PublicKey, now: Millis) -> Result<Option<AuthorityEntry>, RowError> {
    Ok(View::new(rows).authority(key)?.map(|row| authority_entry(*key, &row, now)))
}

/// At most `limit` authorities of a domain after `after`, by key; and whether there are more.
pub fn authorities(
    rows: &dyn Rows,
    domain: &DomainName,
    after: Option<&PublicKey>,
    limit: usize,
    now: Millis,
) -> Result<(Vec<AuthorityEntry>, bool), RowError> {
    let view = View::new(rows);
    let prefix = row_key::in_domain(domain);
    let from = match after {
        None => prefix.clone(),
        Some(after) => {
            let mut from = row_key::domain_authority(domain, after);
            from.push(0);
            from
        }
    };
    let until = row_key::after_prefix(&prefix);
    let found = rows.scan(Table::DomainAuthorities, &from, until.as_deref(), limit.saturating_add(1))?;
    let more = found.len() > limit;
    let page: Result<Vec<AuthorityEntry>, RowError> = found
        .into_iter()
        .take(limit)
        .map(|(key, _)| {
            let mutated = || RowError::Mutated { table: Table::DomainAuthorities, key: key.clone() };
            let authority = public_key(&key, prefix.len()).ok_or_else(mutated)?;
            let row = view.authority(&authority)?.ok_or_else(mutated)?;
            Ok(authority_entry(authority, &row, now))
        })
        .collect();
    Ok((page?, more))
}

fn authority_entry(key: PublicKey, row: &AuthorityRow, now: Millis) -> AuthorityEntry {
    AuthorityEntry {
        key,
        name: row.name.clone(),
        role: row.role,
        domain: row.domain.clone(),
        not_before: row.not_before,
        not_after: row.not_after,
        status: row.status(now),
        admitted_by: row.admitted_by,
        revoked_by: row.revoked.as_ref().map(|revoked| revoked.by),
        invalid_since: row.invalid_since,
    }
}

/// A domain's policy and the statement that set it.
pub fn policy(rows: &dyn Rows, domain: &DomainName) -> Result<Option<(EvidenceId, PolicyBody)>, RowError> {
    Ok(View::new(rows).policy(domain)?.map(|row| (row.evidence_id, row.body.clone())))
}

/// An accepted envelope's bytes, as submitted.
pub fn envelope(rows: &dyn Rows, id: &EvidenceId) -> Result<Option<Vec<u8>>, RowError> {
    match View::new(rows).evidence(id)? {
        None => Ok(None),
        Some(row) => {
            let key = row_key::index(row.index);
            let body = rows.get(Table::Bodies, &key)?;
            // A leaf without its body, or with another's, is no absence but damage.
            let intact = |body: &Vec<u8>| Envelope::parse(body).is_ok_and(|envelope| envelope.id() == *id);
            match body.filter(intact) {
                Some(body) => Ok(Some(body)),
                None => Err(RowError::Mutated { table: Table::Bodies, key: key.to_vec() }),
            }
        }
    }
}

/// The receipt of an accepted envelope.
pub fn receipt(rows: &dyn Rows, id: &EvidenceId) -> Result<Option<Receipt>, RowError> {
    submit::receipt_of(&View::new(rows), id)
}

/// The id and time of a leaf of the ledger.
pub fn leaf(rows: &dyn Rows, index: u64) -> Result<Option<(EvidenceId, Millis)>, RowError> {
    Ok(View::new(rows).leaf(index)?.map(|row| (row.evidence_id, row.accepted_at)))
}

/// Whether a node's key stands granted in `_root` at `now`, neither revoked nor expired.
pub fn node_key_granted(rows: &dyn Rows, key: &PublicKey, now: Millis) -> Result<bool, RowError> {
    Ok(node_key_flaw(rows, key, now)?.is_none())
}

/// Why a node's key does not stand granted in `_root` at `now`, as a code and one sentence; none if it does.
pub fn node_key_flaw(
    rows: &dyn Rows,
    key: &PublicKey,
    now: Millis,
) -> Result<Option<(Code, String)>, RowError> {
    let now = now.max(registry_time(rows)?);
    View::new(rows).node_key_flaw(key, now)
}

fn public_key(key: &[u8], from: usize) -> Option<PublicKey> {
    Some(PublicKey::from_stored_bytes(key.get(from..)?.try_into().ok()?))
}
