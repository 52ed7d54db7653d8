//! Authorities at a moment, and among them the nodes' keys.

use assent_proof::{AuthorityStatus, Code, DomainName, EvidenceId, Millis, PublicKey, Role, Seconds};

use super::summary::registry_time;
use crate::record::AuthorityRow;
use crate::row_key;
use crate::rows::{RowError, Rows, Table};
use crate::view::View;

/// An authority and its status at a moment.
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
    /// The time from which it is valid.
    pub not_before: Seconds,
    /// The time at which its validity ends, exclusive; root and governance keys have no end.
    pub not_after: Option<Seconds>,
    /// Its status at the moment asked for.
    pub status: AuthorityStatus,
    /// The statement that admitted it.
    pub admitted_by: EvidenceId,
    /// The revocation that ended it.
    pub revoked_by: Option<EvidenceId>,
    /// Everything that it signed and the registry accepted from this time on is void.
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

/// Whether a node's key stands granted in `_root` at `now`, neither revoked nor expired.
pub fn node_key_granted(rows: &dyn Rows, key: &PublicKey, now: Millis) -> Result<bool, RowError> {
    Ok(node_key_flaw(rows, key, now)?.is_none())
}

/// Why a node's key does not stand granted in `_root` at `now`, as a code and one sentence; `None` if it
/// does.
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
