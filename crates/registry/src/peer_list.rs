//! Where a domain keeps the checkpoints of other registries, so that the loss of any row is noticed
//! (RFC-EG-033 §4, topology reconciliation divergence).
//!
//! The slots in which one issuer brought checkpoints of one peer under one trust form a list, linked in the
//! order in which they were taken. The ends of a list are stored beside it, and so is the number of lists
//! that a peer has. So if damage changes a row's key, another row shows that it is missing. Otherwise the
//! next checkpoint would count as the first one, and might belong to a fork.

use assent_proof::{DomainName, EvidenceId, Millis, PublicKey};

use crate::codec;
use crate::record::{PeerListRow, PeerListsRow, PeerRow, TakenAt};
use crate::row_key;
use crate::rows::{RowError, Table};
use crate::view::View;

impl View<'_> {
    /// The issuers that brought checkpoints of a peer, each with each of the trusts under which it did.
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

    /// The trusts under which an issuer brought checkpoints of a peer.
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
                // This row is the number of lists, and not a list.
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

    /// How many lists a peer has. `all` is the key of that row.
    pub(crate) fn peer_list_count(&self, all: &[u8]) -> Result<u64, RowError> {
        let row: Option<PeerListsRow> = self.read(Table::Peers, all)?;
        Ok(row.map_or(0, |row| row.lists))
    }

    /// The ends of a list; `None` before its first slot.
    pub(crate) fn peer_list(&self, list: &[u8]) -> Result<Option<PeerListRow>, RowError> {
        self.read(Table::Peers, list)
    }

    /// A slot that must be there, because its list names it.
    pub(crate) fn peer_slot(&self, list: &[u8], taken: TakenAt) -> Result<PeerRow, RowError> {
        let key = row_key::peer_slot(list, taken);
        self.read(Table::Peers, &key)?.ok_or_else(|| missed(&key))
    }

    /// The newest slot of a list. If `since` is given, only slots that were taken before it count.
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

    /// Two neighbours in a list, the older first: `from` lies between them or at the older one. Both are
    /// there, because the list has older and newer slots.
    pub(crate) fn peer_neighbours(&self, list: &[u8], from: &[u8]) -> Result<(TakenAt, TakenAt), RowError> {
        let until = row_key::after_prefix(list);
        let row = self.rows().scan(Table::Peers, from, until.as_deref(), 1)?.into_iter().next();
        let (key, value) = row.ok_or_else(|| missed(from))?;
        let found: PeerRow =
            codec::decode(&value).map_err(|error| RowError::undecoded(Table::Peers, &key, error))?;
        let after = found.after.ok_or_else(|| missed(&key))?;
        let before = self.peer_slot(list, after)?.before.ok_or_else(|| missed(&key))?;
        let joins = row_key::peer_slot(list, before) == key;
        // Newer ones come first. If one between the two is lost, it is the one after.
        if joins && row_key::peer_slot(list, after).as_slice() < from {
            Ok((before, after))
        } else {
            Err(missed(from))
        }
    }
}

/// The error for a row that another row names and that is not found, or for one that does not join the
/// others.
pub(crate) fn missed(key: &[u8]) -> RowError {
    RowError::Mutated { table: Table::Peers, key: key.to_vec() }
}
