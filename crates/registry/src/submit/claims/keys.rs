//! What claims say of keys: one key has one role in one domain, a revoked key never has one again, and no
//! domain loses the keys that it needs to be governed (RFC-EG-033 §3, authority proof verification).

use assent_proof::{Code, DomainName, PublicKey, Refusal, Role, Statement};

use crate::record::AuthorityRow;
use crate::rows::RowError;
use crate::submit::refuse::invalid;
use crate::submit::stop::Stop;
use crate::view::View;

/// A trust must name another registry, and keys of that registry alone: its registry's key must be none of
/// its nodes' keys, and no key may be one that this registry or a node of it signs with. Otherwise one key
/// could count as two.
///
/// Rule R115 (RFC-EG-033 §2, sovereign execution trust evidence): A trust names another registry, names no
/// key that signs this registry's checkpoints or was ever granted to one of its nodes, and names a registry
/// key that is not among the node keys that it names (`claims_invalid`).
pub(super) fn trusts_another(
    view: &View<'_>,
    statement: &Statement,
    peer: &str,
    registry_key: &PublicKey,
    node_keys: &[PublicKey],
) -> Result<(), Stop> {
    if peer == statement.registry {
        return Err(invalid("peer", format!("`{peer}` is this registry itself")).into());
    }
    if node_keys.contains(registry_key) {
        let detail = format!("{registry_key} is the key of one of its nodes too");
        return Err(invalid("registryKey", detail).into());
    }
    let own = |key: &PublicKey| -> Result<bool, RowError> {
        let signs_checkpoints = view.meta()?.is_some_and(|meta| meta.registry_key == *key);
        Ok(signs_checkpoints || view.authority(key)?.is_some_and(|row| is_node(&row)))
    };
    let named = node_keys.iter().map(|key| ("nodeKeys", key));
    for (claim, key) in std::iter::once(("registryKey", registry_key)).chain(named) {
        if own(key)? {
            return Err(invalid(claim, format!("{key} is a key of this registry or of its nodes")).into());
        }
    }
    Ok(())
}

/// Whether the key was granted to a node, revoked or not.
fn is_node(row: &AuthorityRow) -> bool {
    row.role == Role::Registry && row.domain.is_system()
}

/// A key is granted one role in one domain. A revoked key is granted none.
///
/// Rule R94 (RFC-EG-033 §4, inconsistent authority validation): One key has one role in one domain, the key
/// that signs the registry's checkpoints has no other (`authority_inconsistent`), and a revoked key is never
/// admitted again (`authority_revoked`).
///
/// Rule R96 (RFC-EG-033 §8, governance authorities): The role `governance` is never granted, and `_root`
/// grants the role `registry` only (`claims_invalid`).
pub(super) fn grant(view: &View<'_>, statement: &Statement, key: &PublicKey, role: Role) -> Result<(), Stop> {
    let in_root = statement.domain == DomainName::root();
    if role == Role::Governance {
        return Err(invalid("role", "governance keys come from `domain` and `root` only".into()).into());
    }
    if in_root && role != Role::Registry {
        return Err(invalid("role", "`_root` grants only the role `registry`, to nodes".into()).into());
    }
    let Some(row) = view.authority(key)? else { return not_registry_key(view, key) };
    if row.revoked.is_some() {
        return Err(dead(key, "predicate.claims.authority").into());
    }
    if row.role != role || row.domain != statement.domain {
        return Err(two_roles(key).into());
    }
    Ok(())
}

/// Each key must govern this domain and no other, or have no role yet.
///
/// Rule R94 (RFC-EG-033 §4, inconsistent authority validation): One key has one role in one domain, the key
/// that signs the registry's checkpoints has no other (`authority_inconsistent`), and a revoked key is never
/// admitted again (`authority_revoked`).
pub(super) fn governs(view: &View<'_>, keys: &[PublicKey], domain: &DomainName) -> Result<(), Stop> {
    for key in keys {
        match view.authority(key)? {
            None => not_registry_key(view, key)?,
            Some(row) if row.revoked.is_some() => return Err(dead(key, "predicate.claims").into()),
            Some(row) if row.role == Role::Governance && row.domain == *domain => {}
            Some(_) => return Err(two_roles(key).into()),
        }
    }
    Ok(())
}

/// The refusal of a key that was revoked.
fn dead(key: &PublicKey, field: &str) -> Refusal {
    let detail = format!("{key} was revoked, and a revoked key can never be used again");
    Refusal::at(Code::AuthorityRevoked, field, detail)
}

/// Refuses a key without a role if it signs the registry's checkpoints.
///
/// Rule R94 (RFC-EG-033 §4, inconsistent authority validation): One key has one role in one domain, the key
/// that signs the registry's checkpoints has no other (`authority_inconsistent`), and a revoked key is never
/// admitted again (`authority_revoked`).
fn not_registry_key(view: &View<'_>, key: &PublicKey) -> Result<(), Stop> {
    if view.meta()?.is_some_and(|meta| meta.registry_key == *key) {
        return Err(two_roles(key).into());
    }
    Ok(())
}

/// The refusal of a key that has a role already.
pub(super) fn two_roles(key: &PublicKey) -> Refusal {
    let detail = format!("{key} already has a role: one key has one role in one domain");
    Refusal::at(Code::AuthorityInconsistent, "predicate.claims", detail)
}

/// Enough living keys must be left without this key to reach the threshold. Otherwise a domain, or the root,
/// could never be governed again. The last keys that are needed are replaced instead, by a new `domain` or
/// `root`.
///
/// Rule R99 (RFC-EG-033 §3, Authority Proof Verification): A revocation is refused if it would leave fewer
/// living governance keys than the threshold (`threshold_not_met`): a new `domain` or `root` replaces the
/// key.
pub(super) fn still_governed(view: &View<'_>, domain: &DomainName, revoked: &PublicKey) -> Result<(), Stop> {
    let Some(row) = view.domain(domain)? else { return Ok(()) };
    if !row.governance.contains(revoked) || view.authority(revoked)?.is_none_or(|key| key.revoked.is_some()) {
        return Ok(());
    }
    let mut left: u32 = 0;
    for key in row.governance.iter().filter(|key| *key != revoked) {
        if view.authority(key)?.is_some_and(|key| key.revoked.is_none()) {
            left = left.saturating_add(1);
        }
    }
    if left >= row.threshold {
        return Ok(());
    }
    let (threshold, kind) = (row.threshold, if domain.is_system() { "root" } else { "domain" });
    let detail = format!(
        "`{domain}` would be left with {left} living governance keys of the {threshold} that it needs: replace the key \
         with a new `{kind}` statement, which revokes it"
    );
    Err(Refusal::at(Code::ThresholdNotMet, "predicate.claims.authority", detail).into())
}
