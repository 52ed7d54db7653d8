//! Trusts in other registries, and where a checkpoint of one is put (see [`crate::peer_list`]; RFC-EG-033 §5).

use assent_proof::{EvidenceId, PublicKey, Seconds};

use super::writer::{StatementPlace, Writer, must};
use crate::chain::{Chain, Half};
use crate::peer_list::missed;
use crate::record::{PeerListRow, PeerListsRow, PeerRow, TakenAt, TrustRow};
use crate::row_key;
use crate::rows::{RowError, Table};

impl Writer<'_> {
    /// Records what a trust says, by the id of its statement.
    ///
    /// Rule R116 (RFC-EG-033 §6, timestamp-bound proof continuity): A trust is over at its `notAfter` or at
    /// the `expiresAt` of its statement, whichever is earlier.
    pub(super) fn trust(
        &mut self,
        peer: &str,
        registry_key: &PublicKey,
        node_keys: &[PublicKey],
        not_after: Seconds,
    ) -> Result<(), RowError> {
        let row = TrustRow {
            peer: peer.to_owned(),
            registry_key: *registry_key,
            node_keys: node_keys.to_vec(),
            // It ends with the statement too.
            not_after: self.statement.expires_at.map_or(not_after, |end| end.min(not_after)),
        };
        let id = self.id;
        self.put(Table::Trusts, &id.0, &row)
    }

    /// Records a checkpoint of another registry. It belongs to the time at which its slot was taken,
    /// whichever half of the slot it is: that time, and whether its issuer's key counted then, are the same
    /// for both halves.
    pub(super) fn checkpoint(&mut self) -> Result<(), RowError> {
        let (plan, id) = (self.plan, self.id);
        let checkpoint = must(plan.checkpoint.as_ref(), Table::Checkpoints, &id.0)?;
        let (issuer, sequence) = must(plan.placement.own_slot(), Table::Checkpoints, &id.0)?;
        self.put(Table::Checkpoints, &id.0, checkpoint)?;
        let StatementPlace { domain, name } = self.place();
        let chain = Chain { domain: &domain, lineage: &name, issuer: &issuer };
        let first = self.view().half(chain, sequence, Half::First)?;
        let first = must(first, Table::Slots, &row_key::slot(chain, sequence, Half::First))?;
        let index = self.found_evidence(&first.evidence_id)?.index;
        let taken = TakenAt { accepted_at: first.accepted_at, index };
        self.list_checkpoint(&checkpoint.origin, &issuer, &checkpoint.trust, taken)
    }

    /// Puts the statement's slot, which was taken then, in the list of what its issuer brought of a peer
    /// under a trust. If the first half of the slot lies there already, the second half is there with it.
    fn list_checkpoint(
        &mut self,
        origin: &str,
        issuer: &PublicKey,
        trust: &EvidenceId,
        taken: TakenAt,
    ) -> Result<(), RowError> {
        let StatementPlace { domain, name } = self.place();
        let list = row_key::peer_trust(&domain, origin, issuer, trust);
        let key = row_key::peer_slot(&list, taken);
        if self.rows.get(Table::Peers, &key)?.is_some() {
            return Ok(());
        }
        let ends = self.view().peer_list(&list)?;
        let (before, after) = match ends {
            None => {
                let all = row_key::peer(&domain, origin);
                let lists = self.view().peer_list_count(&all)?.saturating_add(1);
                self.put(Table::Peers, &all, &PeerListsRow { lists })?;
                (None, None)
            }
            Some(ends) => self.neighbours(&list, ends, taken)?,
        };
        if let Some(before) = before {
            let mut row = self.view().peer_slot(&list, before)?;
            row.after = Some(taken);
            self.put(Table::Peers, &row_key::peer_slot(&list, before), &row)?;
        }
        if let Some(after) = after {
            let mut row = self.view().peer_slot(&list, after)?;
            row.before = Some(taken);
            self.put(Table::Peers, &row_key::peer_slot(&list, after), &row)?;
        }
        let oldest = ends.map_or(taken, |ends| ends.oldest.min(taken));
        let newest = ends.map_or(taken, |ends| ends.newest.max(taken));
        self.put(Table::Peers, &list, &PeerListRow { oldest, newest })?;
        let sequence = self.statement.sequence.unwrap_or(0);
        self.put(Table::Peers, &key, &PeerRow { lineage: name, sequence, before, after })
    }

    /// The neighbours in a list of a slot that is not in it. Mostly the slot is the newest, but the second
    /// half of an older slot may be the first of the two halves that brings a checkpoint.
    fn neighbours(
        &self,
        list: &[u8],
        ends: PeerListRow,
        taken: TakenAt,
    ) -> Result<(Option<TakenAt>, Option<TakenAt>), RowError> {
        if taken > ends.newest {
            return Ok((Some(ends.newest), None));
        }
        if taken < ends.oldest {
            return Ok((None, Some(ends.oldest)));
        }
        let key = row_key::peer_slot(list, taken);
        if taken == ends.newest || taken == ends.oldest {
            return Err(missed(&key));
        }
        let (before, after) = self.view().peer_neighbours(list, &key)?;
        Ok((Some(before), Some(after)))
    }
}
