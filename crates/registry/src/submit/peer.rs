//! The checks of another registry's checkpoints. A checkpoint counts only under a trust that stands and is
//! not over. It must be signed by that registry and a majority of its nodes, and extend the last standing one
//! that the domain has accepted of it (RFC-EG-033 §4, topology reconciliation divergence; §5, distributed
//! proof synchronization).

use std::collections::{BTreeMap, BTreeSet};

use assent_proof::{
    Claims, Code, DomainName, EvidenceId, Millis, PublicKey, Refusal, Rules, Statement, TreeHash,
    merkle::verify_consistency, verify_checkpoint,
};

use super::plan::Placement;
use super::stop::Stop;
use crate::chain::Chain;
use crate::issuer_statements::Slot;
use crate::kinds::{OfPeer, effects};
use crate::limit;
use crate::record::{CheckpointRow, PeerRow, TrustRow};
use crate::row_key;
use crate::rows::{RowError, Table};
use crate::view::View;

/// Checks a `synchronization-continuity`; nothing for any other kind.
///
/// Only a statement that takes the next slot must extend the last checkpoint: the second half of an
/// equivocation must get the same answer whichever half came first. The checkpoint that follows must extend
/// both halves.
///
/// Rule R118 (RFC-EG-033 §2, synchronization continuity proofs): The checkpoint of a
/// `synchronization-continuity` names the peer of its trust (`wrong_registry`), has at most 64 signature
/// lines (`too_large`), is signed by the peer's registry key and is cosigned by more than half of its node
/// keys (`unsigned_evidence`, `signature_invalid`).
///
/// Rule R119 (RFC-EG-033 §2, synchronization continuity proofs): The signatures of a checkpoint are verified
/// only when its statement is applied and its issuer may sign it.
///
/// Rule R121 (RFC-EG-033 §4, topology reconciliation divergence): A checkpoint extends the last one of its
/// peer in the domain that is not void, whichever issuer brought that one, or both halves of an equivocation
/// if neither is void (`registry_diverged`), but the first one has no proof, and the second half of an
/// equivocation need not extend anything.
pub(super) fn check(
    view: &View<'_>,
    statement: &Statement,
    claims: &Claims,
    placement: Placement,
    now: Millis,
) -> Result<Option<CheckpointRow>, Stop> {
    let (note, consistency) = match effects(claims).peer {
        OfPeer::Checkpoint { note, consistency } => (note, consistency),
        OfPeer::Nothing | OfPeer::Trust { .. } => return Ok(None),
    };
    let (trust_id, trust) = trust(view, statement, now)?;
    let rules = view.rules()?;
    let verified =
        verify_checkpoint(rules, note.as_bytes(), &trust.peer, &trust.registry_key, &trust.node_keys);
    let verified = verified.map_err(|refusal| at_checkpoint(&refusal))?;
    let found = verified.checkpoint();
    let checkpoint =
        CheckpointRow { origin: trust.peer, trust: trust_id, size: found.size, root: found.root };
    let [issuer] = statement.issuers.as_slice() else { return Ok(None) };
    has_room_for_trust(view, &statement.domain, issuer, &checkpoint)?;
    if !placement.is_second() {
        let last = last(view, &statement.domain, &checkpoint.origin)?;
        extends(rules, &last, &checkpoint, consistency)?;
    }
    Ok(Some(checkpoint))
}

/// The one trust that the statement references.
///
/// Rule R117 (RFC-EG-033 §2, sovereign execution trust evidence): A `synchronization-continuity` references
/// exactly one `sovereign-trust`, which is not over (`inheritance_unverifiable`).
fn trust(view: &View<'_>, statement: &Statement, now: Millis) -> Result<(EvidenceId, TrustRow), Stop> {
    let mut trusts = Vec::new();
    for reference in &statement.references {
        trusts.extend(view.trust(reference)?.map(|trust| (*reference, trust)));
    }
    let field = "predicate.references";
    let Ok([(id, trust)]) = <[(EvidenceId, TrustRow); 1]>::try_from(trusts) else {
        let detail =
            "it must reference exactly one `sovereign-trust`, under which its checkpoint is verified";
        return Err(Refusal::at(Code::InheritanceUnverifiable, field, detail).into());
    };
    if trust.not_after.to_millis() <= now {
        let detail = format!("the trust in `{}` was over at {}", trust.peer, trust.not_after);
        return Err(Refusal::at(Code::InheritanceUnverifiable, field, detail).into());
    }
    Ok((id, trust))
}

/// One issuer brings checkpoints of a peer under a bounded number of trusts, so that all of them can be
/// looked at.
///
/// Rule R120 (RFC-EG-033 §2, synchronization continuity proofs): One issuer brings checkpoints of one peer
/// under at most 64 trusts (`too_large`).
fn has_room_for_trust(
    view: &View<'_>,
    domain: &DomainName,
    issuer: &PublicKey,
    new: &CheckpointRow,
) -> Result<(), Stop> {
    let own = view.peer_lists_of(domain, &new.origin, issuer)?;
    let most = limit::TRUSTS_PER_ISSUER;
    if own.len() < most || own.iter().any(|(_, trust)| *trust == new.trust) {
        return Ok(());
    }
    let detail = format!(
        "this issuer has brought checkpoints of `{}` under {most} trusts: grant a new key",
        new.origin
    );
    Err(Refusal::at(Code::TooLarge, "predicate.issuers", detail).into())
}

/// The checkpoints that the next one must extend: those that stand in the newest slot, over all issuers, in
/// which any stands. Empty if none stands. Void ones are passed over. Otherwise one stolen key could put a
/// checkpoint there that no honest one extends.
///
/// Rule R121 (RFC-EG-033 §4, topology reconciliation divergence): A checkpoint extends the last one of its
/// peer in the domain that is not void, whichever issuer brought that one, or both halves of an equivocation
/// if neither is void (`registry_diverged`), but the first one has no proof, and the second half of an
/// equivocation need not extend anything.
///
/// Rule R123 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): The next checkpoint is refused if the search for
/// the last one passes more than 1,024 slots of one issuer under one trust, or is in doubt
/// (`inheritance_unverifiable`).
fn last(view: &View<'_>, domain: &DomainName, origin: &str) -> Result<Vec<CheckpointRow>, Stop> {
    let mut newest: BTreeMap<u64, BTreeSet<EvidenceId>> = BTreeMap::new();
    // Governance granted each issuer its role, and each has a bounded number of trusts.
    for (issuer, trust) in view.peer_lists(domain, origin)? {
        if let Some((index, standing_halves)) = last_of(view, domain, origin, &issuer, &trust)? {
            newest.entry(index).or_default().extend(standing_halves);
        }
    }
    if view.is_in_doubt() {
        return Err(doubt(origin).into());
    }
    let mut checkpoints = Vec::new();
    for id in newest.into_values().next_back().unwrap_or_default() {
        checkpoints.push(view.checkpoint(&id)?.ok_or_else(|| missing(&id))?);
    }
    Ok(checkpoints)
}

/// The newest slot in which a checkpoint by this issuer under this trust stands: the ledger index of its
/// first half, and the checkpoints that stand there.
///
/// If the trust is void, none stands. Everything that the issuer signed since its key stopped counting is
/// left out with one look-up, however much that is. Each further void checkpoint was made void by name.
///
/// Rule R122 (RFC-EG-033 §10, unsigned proof inheritance): Void checkpoints are passed over, and all those
/// under a void trust, or accepted since their issuer's `invalidSince`, are passed over together.
///
/// Rule R123 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): The next checkpoint is refused if the search for
/// the last one passes more than 1,024 slots of one issuer under one trust, or is in doubt
/// (`inheritance_unverifiable`).
fn last_of(
    view: &View<'_>,
    domain: &DomainName,
    origin: &str,
    issuer: &PublicKey,
    trust: &EvidenceId,
) -> Result<Option<(u64, Vec<EvidenceId>)>, Stop> {
    let list = row_key::peer_trust(domain, origin, issuer, trust);
    let since = view.authority(issuer)?.and_then(|row| row.invalid_since).map(|since| since.to_millis());
    let mut next = view.newest_peer_slot(&list, since)?;
    if next.is_none() || view.is_void(trust)? {
        return Ok(None);
    }
    let mut looked_at: usize = 0;
    while let Some(taken) = next {
        looked_at = looked_at.saturating_add(1);
        if looked_at > limit::WALKED_STATEMENTS {
            return Err(doubt(origin).into());
        }
        let row = view.peer_slot(&list, taken)?;
        let standing_halves = standing_halves(view, domain, origin, issuer, &row)?;
        if !standing_halves.is_empty() {
            return Ok(Some((taken.index, standing_halves)));
        }
        next = row.before;
    }
    Ok(None)
}

/// The statements of a slot that brought a checkpoint of this peer and stand: both, in an equivocation that
/// is not reconciled.
///
/// Rule R121 (RFC-EG-033 §4, topology reconciliation divergence): A checkpoint extends the last one of its
/// peer in the domain that is not void, whichever issuer brought that one, or both halves of an equivocation
/// if neither is void (`registry_diverged`), but the first one has no proof, and the second half of an
/// equivocation need not extend anything.
fn standing_halves(
    view: &View<'_>,
    domain: &DomainName,
    origin: &str,
    issuer: &PublicKey,
    row: &PeerRow,
) -> Result<Vec<EvidenceId>, RowError> {
    let PeerRow { lineage: name, sequence, .. } = row;
    let lineage = view
        .lineage(domain, name)?
        .ok_or_else(|| RowError::Mutated { table: Table::Lineages, key: row_key::lineage(domain, name) })?;
    let slot: Slot = view.slot(Chain { domain, lineage: name, issuer }, &lineage, *sequence)?;
    let mut standing_halves = Vec::new();
    for half in slot.halves() {
        let brought = view.checkpoint(&half.evidence_id)?;
        let brings_one = match effects(&half.claims).peer {
            OfPeer::Checkpoint { .. } => true,
            OfPeer::Nothing | OfPeer::Trust { .. } => false,
        };
        if brings_one && brought.is_none() {
            return Err(missing(&half.evidence_id));
        }
        if brought.is_some_and(|row| row.origin == origin) && !view.is_void(&half.evidence_id)? {
            standing_halves.push(half.evidence_id);
        }
    }
    Ok(standing_halves)
}

/// The error for a checkpoint that must be there and is not found.
fn missing(id: &EvidenceId) -> RowError {
    RowError::Mutated { table: Table::Checkpoints, key: id.0.to_vec() }
}

fn doubt(origin: &str) -> Refusal {
    let most = limit::WALKED_STATEMENTS;
    let detail = format!(
        "more than {most} checkpoints of `{origin}` in a row were made void by name: make their trust void, or revoke their \
         issuer with `invalidSince`"
    );
    Refusal::at(Code::InheritanceUnverifiable, "predicate.claims.checkpoint", detail)
}

/// Rule R121 (RFC-EG-033 §4, topology reconciliation divergence): A checkpoint extends the last one of its
/// peer in the domain that is not void, whichever issuer brought that one, or both halves of an equivocation
/// if neither is void (`registry_diverged`), but the first one has no proof, and the second half of an
/// equivocation need not extend anything.
fn extends(
    rules: Rules,
    last: &[CheckpointRow],
    new: &CheckpointRow,
    proof: &[TreeHash],
) -> Result<(), Refusal> {
    let hashes: Vec<[u8; 32]> = proof.iter().map(|hash| hash.0).collect();
    let diverged =
        |detail: String| Refusal::at(Code::RegistryDiverged, "predicate.claims.consistency", detail);
    if last.is_empty() && !hashes.is_empty() {
        return Err(diverged(
            "it is the first checkpoint of that registry, which extends nothing".to_owned(),
        ));
    }
    for before in last {
        verify_consistency(rules, before.size, &before.root, new.size, &new.root, &hashes).map_err(
            |refusal| {
                let size = before.size;
                diverged(format!(
                    "it does not extend the peer's checkpoint of size {size}: {}",
                    refusal.detail
                ))
            },
        )?;
    }
    Ok(())
}

fn at_checkpoint(refusal: &Refusal) -> Refusal {
    Refusal::at(refusal.code, "predicate.claims.checkpoint", refusal.detail.clone())
}
