//! Where a domain keeps what it was told of other registries, so that no row of it can be overlooked (RFC-EG-033 §4, topology
//! reconciliation divergence).
//!
//! The slots in which one issuer brought checkpoints of one peer under one trust are a list, linked in the order in which they
//! were taken. Its ends are kept beside it, and how many lists a peer has beside these. So one row that lost its key to
//! damage is missed by another: without that, the checkpoint after it would count as the first one, and might be a fork.

use assent_proof::{DomainName, EvidenceId, Millis, PublicKey};

use crate::codec;
use crate::record::{PeerListRow, PeerListsRow, PeerRow, TakenAt};
use crate::row_key;
use crate::rows::{RowError, Table};
use crate::view::View;

impl View<'_> {
    /// Who brought checkpoints of a peer, and under which trusts: each issuer with each of its trusts.
    ///
    /// Rule R124 (RFC-EG-033 §4, unauthorized evidence mutation): A row that leads to a checkpoint of a peer
    /// and is not found is damage, unless all rows of the peer are lost together.
    pub(crate) fn peer_lists(
        &self,
        domain: &DomainName,
        origin: &str,
    ) -> Result<Vec<(PublicKey, EvidenceId)>, RowError> {
        let all = row_key::peer(domain, origin);
        let lists = self.peer_lists_within(&all, all.clone())?;
        if u64::try_from(lists.len()) != Ok(self.peer_list_count(&all)?) {
            return Err(missed(&all));
        }
        Ok(lists)
    }

    /// Under which trusts an issuer brought checkpoints of a peer.
    pub(crate) fn peer_lists_of(
        &self,
        domain: &DomainName,
        origin: &str,
        issuer: &PublicKey,
    ) -> Result<Vec<(PublicKey, EvidenceId)>, RowError> {
        let within = row_key::peer_issuer(domain, origin, issuer);
        self.peer_lists_within(&row_key::peer(domain, origin), within)
    }

    fn peer_lists_within(
        &self,
        all: &[u8],
        within: Vec<u8>,
    ) -> Result<Vec<(PublicKey, EvidenceId)>, RowError> {
        let until = row_key::after_prefix(&within);
        let mut lists = Vec::new();
        let mut from = Some(within);
        while let Some(next) = from {
            let row = self.rows().scan(Table::Peers, &next, until.as_deref(), 1)?.into_iter().next();
            let Some((key, _)) = row else { break };
            let rest = key.get(all.len()..).ok_or_else(|| missed(&key))?;
            if rest.is_empty() {
                // How many there are, which is no list.
                from = Some([key.as_slice(), &[0]].concat());
                continue;
            }
            let (issuer, rest) = rest.split_first_chunk::<32>().ok_or_else(|| missed(&key))?;
            let (trust, slot) = rest.split_first_chunk::<32>().ok_or_else(|| missed(&key))?;
            if !slot.is_empty() {
                // The list's ends come before its slots.
                return Err(missed(&key));
            }
            lists.push((PublicKey::from_stored_bytes(*issuer), EvidenceId(*trust)));
            from = row_key::after_prefix(&key);
        }
        Ok(lists)
    }

    /// How many lists a peer has; `all` is the key of that.
    pub(crate) fn peer_list_count(&self, all: &[u8]) -> Result<u64, RowError> {
        let row: Option<PeerListsRow> = self.read(Table::Peers, all)?;
        Ok(row.map_or(0, |row| row.lists))
    }

    /// The ends of a list; none before its first slot.
    pub(crate) fn peer_list(&self, list: &[u8]) -> Result<Option<PeerListRow>, RowError> {
        self.read(Table::Peers, list)
    }

    /// A slot that its list says is there.
    pub(crate) fn peer_slot(&self, list: &[u8], taken: TakenAt) -> Result<PeerRow, RowError> {
        let key = row_key::peer_slot(list, taken);
        self.read(Table::Peers, &key)?.ok_or_else(|| missed(&key))
    }

    /// The newest slot of a list; if `since` is given, of those that were taken before.
    ///
    /// Rule R124 (RFC-EG-033 §4, unauthorized evidence mutation): A row that leads to a checkpoint of a peer
    /// and is not found is damage, unless all rows of the peer are lost together.
    pub(crate) fn newest_peer_slot(
        &self,
        list: &[u8],
        since: Option<Millis>,
    ) -> Result<Option<TakenAt>, RowError> {
        let ends = self.peer_list(list)?.ok_or_else(|| missed(list))?;
        match since {
            Some(since) if ends.oldest.accepted_at >= since => Ok(None),
            Some(since) if ends.newest.accepted_at >= since => {
                let last = row_key::peer_accepted(Millis(since.0.saturating_sub(1)));
                let (before, _) = self.peer_neighbours(list, &[list, &last].concat())?;
                Ok(Some(before))
            }
            _ => Ok(Some(ends.newest)),
        }
    }

    /// The two slots next to each other in a list, the older first, between which `from` lies or with the older one at it.
    /// They are there: the list has older ones and newer ones.
    pub(crate) fn peer_neighbours(&self, list: &[u8], from: &[u8]) -> Result<(TakenAt, TakenAt), RowError> {
        let until = row_key::after_prefix(list);
        let row = self.rows().scan(Table::Peers, from, until.as_deref(), 1)?.into_iter().next();
        let (key, value) = row.ok_or_else(|| missed(from))?;
        let found: PeerRow =
            codec::decode(&value).map_err(|error| RowError::undecoded(Table::Peers, &key, error))?;
        let after = found.after.ok_or_else(|| missed(&key))?;
        let before = self.peer_slot(list, after)?.before.ok_or_else(|| missed(&key))?;
        let joins = row_key::peer_slot(list, before) == key;
        // Newer ones come first. Were there one between, which is not found, it would be the one after.
        if joins && row_key::peer_slot(list, after).as_slice() < from {
            Ok((before, after))
        } else {
            Err(missed(from))
        }
    }
}

/// A row that another one says is there, or one that does not join the others.
pub(crate) fn missed(key: &[u8]) -> RowError {
    RowError::Mutated { table: Table::Peers, key: key.to_vec() }
}
