//! What another registry says: a checkpoint counts only under a trust that stands and is not over, signed by that
//! registry and a majority of its nodes, and extending the last one that the domain has seen of it.

use assent_proof::{
    Claims, Code, EvidenceId, Millis, Refusal, Statement, TreeHash, merkle::verify_consistency,
    verify_checkpoint,
};

use super::{Placement, Stop};
use crate::record::{PeerCheckpoint, PeerRow, TrustRow};
use crate::view::View;

/// What accepting a continuity statement makes the peer's row.
pub(super) struct Peer {
    pub(super) origin: String,
    pub(super) row: PeerRow,
}

/// Checks a `synchronization-continuity`; nothing for any other kind.
///
/// Whether it extends the last checkpoint is asked only where it takes the next slot: the second half of an equivocation
/// must end alike, whichever half came first. What follows then has to extend both.
pub(super) fn check(
    view: &View<'_>,
    statement: &Statement,
    claims: &Claims,
    placement: Placement,
    id: EvidenceId,
    now: Millis,
) -> Result<Option<Peer>, Stop> {
    let Claims::SynchronizationContinuity { checkpoint, consistency } = claims else { return Ok(None) };
    let ([issuer], Some(sequence)) = (statement.issuers.as_slice(), statement.sequence) else {
        return Ok(None);
    };
    let trust = trust(view, statement, now)?;
    let verified =
        verify_checkpoint(checkpoint.as_bytes(), &trust.peer, &trust.registry_key, &trust.node_keys);
    let verified = verified.map_err(|refusal| at_checkpoint(&refusal))?;
    let found = verified.checkpoint();
    let last = view.peer(&statement.domain, &trust.peer)?;
    let new = PeerCheckpoint { evidence_id: id, size: found.size, root: found.root };
    let row = match (placement, last) {
        (Placement::Equivocation, Some(mut last)) => {
            if last.issuer == *issuer && last.lineage == statement.lineage && last.sequence == sequence {
                last.checkpoints.push(new);
                last.checkpoints.sort_by_key(|checkpoint| checkpoint.evidence_id);
            }
            last
        }
        (_, last) => {
            extends(last.as_ref(), &new, consistency)?;
            let lineage = statement.lineage.clone();
            PeerRow { lineage, issuer: *issuer, sequence, checkpoints: vec![new] }
        }
    };
    Ok(Some(Peer { origin: trust.peer, row }))
}

/// The one trust that the statement references.
fn trust(view: &View<'_>, statement: &Statement, now: Millis) -> Result<TrustRow, Stop> {
    let mut trusts = Vec::new();
    for reference in &statement.references {
        trusts.extend(view.trust(reference)?);
    }
    let field = "predicate.references";
    let Ok([trust]) = <[TrustRow; 1]>::try_from(trusts) else {
        let detail =
            "it must reference exactly one `sovereign-trust`, under which its checkpoint is verified";
        return Err(Refusal::at(Code::InheritanceUnverifiable, field, detail).into());
    };
    if trust.not_after.to_millis() <= now {
        let detail = format!("the trust in `{}` was over at {}", trust.peer, trust.not_after);
        return Err(Refusal::at(Code::InheritanceUnverifiable, field, detail).into());
    }
    Ok(trust)
}

fn extends(last: Option<&PeerRow>, new: &PeerCheckpoint, proof: &[TreeHash]) -> Result<(), Refusal> {
    let hashes: Vec<[u8; 32]> = proof.iter().map(|hash| hash.0).collect();
    let diverged =
        |detail: String| Refusal::at(Code::RegistryDiverged, "predicate.claims.consistency", detail);
    let Some(last) = last else {
        if hashes.is_empty() {
            return Ok(());
        }
        return Err(diverged(
            "it is the first checkpoint of that registry, which extends nothing".to_owned(),
        ));
    };
    for before in &last.checkpoints {
        verify_consistency(before.size, &before.root, new.size, &new.root, &hashes).map_err(|refusal| {
            let size = before.size;
            diverged(format!("it does not extend the peer's checkpoint of size {size}: {}", refusal.detail))
        })?;
    }
    Ok(())
}

fn at_checkpoint(refusal: &Refusal) -> Refusal {
    Refusal::at(refusal.code, "predicate.claims.checkpoint", refusal.detail.clone())
}
