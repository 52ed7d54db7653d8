//! Epochs: how a cluster that was recovered after the loss of its quorum ends the nodes that it continued without.
//!
//! These nodes may be a majority of the old cluster, and would continue as if nothing had happened. Root's `recovery`
//! statement ends them. Each of them checks the statement itself against what it holds.

use bytes::Bytes;
use tokio::sync::watch;

use assent_proof::{Claims, Code, DomainName, EvidenceKind, LineageName, PublicKey, verify};
use assent_registry::{RowError, Rows, RulesVersion, query, rules_in_force, would_accept};

use super::ended::EndedError;
use crate::raft::types::NodeId;
use crate::tasks::Why;
use crate::usecase::{Parts, Service};

/// The number of entries of `_root`'s `_governance` that are read at a time.
const PAGE: usize = 256;

/// Keeps the newest recovery statement available, as long as the node runs.
pub(crate) async fn follow_epoch(service: Service, recovery: watch::Sender<Option<Bytes>>) -> Why {
    let parts = service.parts();
    let mut applied = parts.storage.applied.clone();
    let mut seen = 0;
    loop {
        applied.borrow_and_update();
        // What cannot be read now is read again with the next entry. Nothing depends on it in the meantime.
        if let Ok(view) = parts.storage.registry.view()
            && let Ok(Some(summary)) = query::summary(&view)
            && summary.epoch != seen
        {
            match newest_recovery(&view) {
                Ok(Some(envelope)) => {
                    seen = summary.epoch;
                    recovery.send_replace(Some(envelope));
                }
                // The first epoch begins without one.
                Ok(None) => seen = summary.epoch,
                Err(error) => parts.stop_if_unknown(&error),
            }
        }
        if applied.changed().await.is_err() {
            parts.raft_ended().await;
            return "nothing is applied any more";
        }
    }
}

fn newest_recovery(rows: &dyn Rows) -> Result<Option<Bytes>, RowError> {
    let (root, governance) = (DomainName::root(), LineageName::governance());
    let (mut after, mut newest) = (None, None);
    while let Some(page) = query::lineage(rows, &root, &governance, after, PAGE)? {
        let found = page.entries.iter().rev().find(|entry| entry.kind == EvidenceKind::Recovery);
        newest = found.map(|entry| entry.evidence_id).or(newest);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let Some(id) = newest else { return Ok(None) };
    Ok(query::envelope(rows, &id)?.map(Bytes::from))
}

impl Parts {
    /// Ends this node for good if the peer `from` shows it root's statement that recovered the cluster without this
    /// node.
    ///
    /// Rule R155 (RFC-EG-033 §5, governance registries): A node ends for good if a voter that it knows by its
    /// store and its key shows it a `recovery` that names that voter and that root's threshold signed for the
    /// next epoch, and it accepts a `recovery` from no other.
    pub(crate) async fn accept_recovery(&self, from: NodeId, store_id: &[u8; 16], envelope: &[u8]) {
        let Some(voter) = self.key_of(from, store_id) else {
            tracing::warn!(
                from,
                "a peer whose store and key this node does not know shows a recovery: it is ignored"
            );
            return;
        };
        if let Some(epoch) = self.superseded_by(&voter, envelope) {
            // It is remembered before the node ends, so that the node need not be told again after a start. A crash
            // before this commit leaves a node that the voter tells again as soon as it connects. A failure is one of
            // the store, which ends the node too.
            let _ = self.storage.remembered.end(epoch).await;
            // Only the first cause is kept.
            let _ = self.lifecycle.ends.set(EndedError { epoch }.to_string());
        }
    }

    /// The key of a member with that store, as this node's own membership has it.
    fn key_of(&self, id: NodeId, store_id: &[u8; 16]) -> Option<PublicKey> {
        let metrics = self.metrics_now();
        metrics.membership_config.get_node(&id).filter(|node| node.store_id == *store_id)?.key
    }

    /// The next epoch, if root's statement begins it for this registry and names `voter`, another node than this one,
    /// as the voter that goes on. Its age is judged by this node's own history: a node may have been off for a year
    /// when it learns of the recovery.
    ///
    /// Rule R155 (RFC-EG-033 §5, governance registries): A node ends for good if a voter that it knows by its
    /// store and its key shows it a `recovery` that names that voter and that root's threshold signed for the
    /// next epoch, and it accepts a `recovery` from no other.
    fn superseded_by(&self, voter: &PublicKey, envelope: &[u8]) -> Option<u64> {
        // A node that waits to be added has no history that could have ended.
        if !self.is_member() {
            return None;
        }
        let view = self.storage.registry.view().ok()?;
        let verified = verify(envelope, &self.identity.origin, rules_in_force(&view).ok()?).ok()?;
        let statement = verified.statement();
        let claims = Claims::parse(verified.rules(), statement.kind, &statement.claims);
        let Claims::Recovery { epoch, voters } = claims.ok()? else { return None };
        let current = query::summary(&view).ok()??.epoch;
        if current.checked_add(1) != Some(epoch) || voters != [*voter] || *voter == self.identity.key.public()
        {
            return None;
        }
        // Verified as of when it was signed: a node that was off for long must still learn of it. If the statement
        // was signed long before what this node has applied since, it was never used, and the rules refuse it.
        let signed_at = verified.statement().issued_at.to_millis();
        match would_accept(&view, RulesVersion(self.rules_known()), signed_at, &verified).ok()? {
            Ok(()) => Some(epoch),
            // The rules check the slot last, so root's threshold is known to have signed. This node's history and the
            // other one may differ in what came before, so a conflict about the slot is expected.
            Err(refusal) => matches!(
                refusal.code,
                Code::HeadMoved | Code::LineageFragmented | Code::AuthorityInconsistent
            )
            .then_some(epoch),
        }
    }
}
