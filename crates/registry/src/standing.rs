//! What still stands: authorities over time, and evidence after revocations.
//!
//! Void spreads by authority, by reference and by reconciliation, never by `parent`. It is computed when asked, from what the
//! evidence recorded of its signers and from marks that are only ever gained, so the order in which
//! revocations arrive cannot matter.

use std::collections::BTreeSet;

use assent_proof::{Code, DomainName, EvidenceId, Millis, PublicKey, Role};

use crate::kinds::profile;
use crate::limit;
use crate::record::{AuthorityRow, Conflict, CountedSigner, EvidenceRow, LineageRow, Reconciled};
use crate::rows::RowError;
use crate::view::View;

/// What an authority may do at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorityStatus {
    /// It may sign.
    Active,
    /// Its validity has not begun.
    Pending,
    /// Its validity is over.
    Expired,
    /// It was revoked: dead for good.
    Revoked,
}

impl AuthorityRow {
    /// Its status at `now`. Revocation outweighs time.
    pub(crate) fn status(&self, now: Millis) -> AuthorityStatus {
        if self.revoked.is_some() {
            AuthorityStatus::Revoked
        } else if now < self.not_before.to_millis() {
            AuthorityStatus::Pending
        } else if self.not_after.is_some_and(|end| now >= end.to_millis()) {
            AuthorityStatus::Expired
        } else {
            AuthorityStatus::Active
        }
    }
}

impl LineageRow {
    /// The equivocation of a slot, if there is one.
    pub(crate) fn conflict(&self, issuer: &PublicKey, sequence: u64) -> Option<&Conflict> {
        self.conflicts.iter().find(|conflict| conflict.issuer == *issuer && conflict.sequence == sequence)
    }
}

/// Why something does not count: a code and a sentence.
pub(crate) type Flaw = (Code, String);

/// The flaw of an authority that may not sign at `now`, if it has one.
pub(crate) fn authority_flaw(key: &PublicKey, row: &AuthorityRow, now: Millis) -> Option<Flaw> {
    match row.status(now) {
        AuthorityStatus::Active => None,
        AuthorityStatus::Revoked => {
            Some((Code::AuthorityRevoked, format!("authority `{}` ({key}) is revoked", row.name)))
        }
        AuthorityStatus::Pending => Some((
            Code::AuthorityExpired,
            format!("authority `{}` ({key}) is valid only from {}", row.name, row.not_before),
        )),
        AuthorityStatus::Expired => {
            Some((Code::AuthorityExpired, format!("authority `{}` ({key}) has expired", row.name)))
        }
    }
}

impl View<'_> {
    /// Whether the evidence, which the caller has found in the ledger, is void. Restrictions never are, and neither are `root`
    /// and `domain`: they were accepted at their threshold, and whoever governs by them must not lose that.
    ///
    /// A walk over what it rests on: its references, and the statements that admitted its signers, and so on. All of
    /// these came before it, so the walk ends; one that is longer than the bound ends in doubt, and doubt is void.
    pub(crate) fn is_void(&self, id: &EvidenceId) -> Result<bool, RowError> {
        let mut open = vec![*id];
        while let Some(next) = open.last().copied() {
            if self.known_void(&next).is_none() {
                let before = open.len();
                let void = self.judge(&next, &mut open)?;
                if open.len() > before {
                    // It is judged once these are.
                    continue;
                }
                if !self.may_judge() {
                    return Ok(true);
                }
                self.remember_void(next, void);
            }
            open.pop();
        }
        Ok(self.known_void(id).unwrap_or(true))
    }

    /// Whether the evidence is void by what is known of those it rests on. Those of which nothing is known are pushed
    /// to `open`, and the answer then means nothing.
    fn judge(&self, id: &EvidenceId, open: &mut Vec<EvidenceId>) -> Result<bool, RowError> {
        // It was found, and is gone now: doubt denies.
        let Some(row) = self.evidence(id)? else { return Ok(true) };
        if !profile(row.kind).can_be_void {
            return Ok(false);
        }
        if row.invalidated_by.is_some() {
            return Ok(true);
        }
        // What its own marks decide needs nothing else to be judged.
        let mut unmarked: u32 = 0;
        for signer in &row.counted {
            unmarked = unmarked.saturating_add(u32::from(self.is_unmarked(&row, &signer.key)?));
        }
        if unmarked < row.threshold {
            return Ok(true);
        }
        let mut ask = |other: &EvidenceId| {
            let known = self.known_void(other);
            if known.is_none() {
                open.push(*other);
            }
            known.unwrap_or(true)
        };
        let mut unvoided: u32 = 0;
        for signer in &row.counted {
            if !ask(&signer.admitted_by) && self.is_unmarked(&row, &signer.key)? {
                unvoided = unvoided.saturating_add(1);
            }
        }
        let mut references_stand = true;
        for reference in &row.references {
            references_stand &= !ask(reference);
        }
        let rejected = row.rejected_by.is_some_and(|by| !ask(&by));
        Ok(unvoided < row.threshold || !references_stand || rejected)
    }

    /// Whether the evidence was accepted before the time since which nothing that this key signed counts.
    fn is_unmarked(&self, row: &EvidenceRow, key: &PublicKey) -> Result<bool, RowError> {
        let Some(authority) = self.authority(key)? else { return Ok(false) };
        Ok(authority.invalid_since.is_none_or(|since| row.accepted_at < since.to_millis()))
    }

    /// Whether the grant of an authority still stands.
    pub(crate) fn is_admitted(&self, authority: &AuthorityRow) -> Result<bool, RowError> {
        Ok(!self.is_void(&authority.admitted_by)?)
    }

    /// The flaw of a key that should be a node's at `now`: it has none if it stands granted in `_root`.
    pub(crate) fn node_key_flaw(&self, key: &PublicKey, now: Millis) -> Result<Option<Flaw>, RowError> {
        let of_node = |row: &AuthorityRow| row.domain == DomainName::root() && row.role == Role::Registry;
        let Some(row) = self.authority(key)?.filter(|row| of_node(row)) else {
            let detail = format!("{key} is no node's key: `_root` has not granted it the role `registry`");
            return Ok(Some((Code::TargetUnknown, detail)));
        };
        if let Some(flaw) = authority_flaw(key, &row, now) {
            return Ok(Some(flaw));
        }
        if !self.is_admitted(&row)? {
            let detail = format!("the grant of authority `{}` ({key}) is void", row.name);
            return Ok(Some((Code::InheritanceUnverifiable, detail)));
        }
        Ok(None)
    }

    /// Everything that these references rest on, themselves included; none beyond the bound.
    pub(crate) fn closure(
        &self,
        references: &[EvidenceId],
    ) -> Result<Option<BTreeSet<EvidenceId>>, RowError> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<EvidenceId> = references.to_vec();
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            if seen.len() > limit::TRANSITIVE_REFERENCES {
                return Ok(None);
            }
            if let Some(row) = self.evidence(&id)? {
                open.extend(&row.references);
            }
        }
        Ok(Some(seen))
    }

    /// The half of an equivocation that stands; none while it is not reconciled.
    pub(crate) fn canonical(&self, conflict: &Conflict) -> Result<Option<EvidenceId>, RowError> {
        match conflict.reconciled {
            Some(Reconciled { by, canonical }) if !self.is_void(&by)? => Ok(Some(canonical)),
            _ => Ok(None),
        }
    }

    /// Whether the evidence is one half of an equivocation, and not the one that stands.
    fn is_contested(&self, id: &EvidenceId, row: &EvidenceRow) -> Result<bool, RowError> {
        let ([issuer], Some(sequence)) = (row.issuers.as_slice(), row.sequence) else { return Ok(false) };
        if !row.kind.is_execution() {
            return Ok(false);
        }
        let Some(lineage) = self.lineage(&row.domain, &row.lineage)? else { return Ok(true) };
        match lineage.conflict(issuer, sequence) {
            None => Ok(false),
            Some(conflict) => Ok(self.canonical(conflict)? != Some(*id)),
        }
    }

    /// Whether a statement stands: it is not void, and what it rests on has no flaw. What is contested may yet turn out void, and
    /// a key that is dead speaks for nothing: what rests on such has replaced nothing.
    pub(crate) fn stands(&self, id: &EvidenceId, references: &[EvidenceId]) -> Result<bool, RowError> {
        Ok(!self.is_void(id)? && self.reference_flaw(references)?.is_none())
    }

    /// The first flaw in what a statement rests on: a reference that is void or contested, or execution evidence whose
    /// key is revoked. A revoked key is dead, so nothing rests on it, not even by way of others.
    pub(crate) fn reference_flaw(&self, references: &[EvidenceId]) -> Result<Option<Flaw>, RowError> {
        if references.is_empty() {
            return Ok(None);
        }
        if let Some(known) = self.known_flaw(references) {
            return Ok(known);
        }
        let flaw = self.find_flaw(references)?;
        self.remember_flaw(references, flaw.clone());
        Ok(flaw)
    }

    fn find_flaw(&self, references: &[EvidenceId]) -> Result<Option<Flaw>, RowError> {
        let Some(closure) = self.closure(references)? else {
            let most = limit::TRANSITIVE_REFERENCES;
            return Ok(Some((Code::TooLarge, format!("it rests on more than {most} statements"))));
        };
        for id in closure {
            let Some(row) = self.evidence(&id)? else {
                return Ok(Some((Code::EvidenceDetached, format!("it rests on `{id}`, which is unknown"))));
            };
            if self.is_void(&id)? {
                return Ok(Some((
                    Code::InheritanceUnverifiable,
                    format!("it rests on `{id}`, which is void"),
                )));
            }
            if self.is_contested(&id, &row)? {
                return Ok(Some((
                    Code::InheritanceUnverifiable,
                    format!("it rests on `{id}`, whose issuer signed another statement for the same slot"),
                )));
            }
            if row.kind.is_execution() {
                for CountedSigner { key, .. } in &row.counted {
                    if self.authority(key)?.is_none_or(|authority| authority.revoked.is_some()) {
                        return Ok(Some((
                            Code::InheritanceUnverifiable,
                            format!("it rests on `{id}`, whose key {key} is revoked"),
                        )));
                    }
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use assent_proof::{EvidenceKind, LineageName, Seconds, SigningKey};

    use super::*;
    use assent_proof::Rules;

    use crate::codec::{Versioned, encode};
    use crate::record::MetaRow;
    use crate::rows::{MemoryRows, RowsMut, Table};
    use crate::{limit, row_key};

    fn put<T: Versioned>(rows: &mut MemoryRows, table: Table, key: &[u8], row: &T) {
        rows.put(table, key, &encode(row, Rules::GENESIS)).unwrap();
    }

    fn id(number: usize) -> EvidenceId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&(number as u64).to_be_bytes());
        EvidenceId(id)
    }

    /// Statements 1 to `length`, each resting on the one before, all signed by a key that 0 admitted. The key's
    /// signatures are void from second `invalid_since` on; statement n was accepted at second n.
    fn chain(length: usize, invalid_since: i64) -> MemoryRows {
        let mut rows = MemoryRows::new();
        let key = SigningKey::from_seed([7; 32]).public();
        let root = SigningKey::from_seed([8; 32]).public();
        let domain: DomainName = "prod".parse().unwrap();
        let meta = MetaRow {
            revision: 1,
            registry_time: Millis(0),
            rules_version: 1,
            epoch: 1,
            origin: "registry.example".to_owned(),
            cluster_id: [0; 32],
            registry_key: root,
        };
        put(&mut rows, Table::Meta, row_key::META, &meta);
        let authority = AuthorityRow {
            name: "attester".to_owned(),
            role: Role::Attestation,
            domain: domain.clone(),
            not_before: Seconds(0),
            not_after: None,
            admitted_by: id(0),
            revoked: None,
            invalid_since: Some(Seconds(invalid_since)),
        };
        put(&mut rows, Table::Authorities, key.as_bytes(), &authority);
        for number in 0..=length {
            let row = EvidenceRow {
                index: number as u64,
                accepted_at: Millis(number as i64 * 1000),
                rules: 1,
                kind: if number == 0 { EvidenceKind::Root } else { EvidenceKind::RuntimeAttestation },
                domain: domain.clone(),
                lineage: "exec".parse::<LineageName>().unwrap(),
                issuers: vec![key],
                counted: vec![CountedSigner { key, admitted_by: id(0) }],
                threshold: u32::from(number > 0),
                sequence: Some(number as u64),
                references: if number > 1 { vec![id(number - 1)] } else { Vec::new() },
                equivocation: false,
                containment: None,
                invalidated_by: None,
                rejected_by: None,
                released_by: None,
                consumed: 0,
            };
            put(&mut rows, Table::Evidence, &id(number).0, &row);
        }
        rows
    }

    #[test]
    fn a_long_chain_is_judged_without_recursion() {
        let length = limit::JUDGED_STATEMENTS - 2;
        let sound = chain(length, i64::from(u32::MAX));
        assert_eq!(View::new(&sound).is_void(&id(length)), Ok(false));
        let void = chain(length, 1);
        assert_eq!(View::new(&void).is_void(&id(length)), Ok(true));
    }

    #[test]
    fn what_a_page_says_of_an_entry_does_not_depend_on_the_others_of_the_page() {
        let half = limit::JUDGED_STATEMENTS / 2 + 10;
        let mut rows = chain(half * 2, i64::from(u32::MAX));
        // Two chains, each of which one evaluation may judge, and both of which it may not.
        let second = id(half + 1);
        let mut row: EvidenceRow = (*View::new(&rows).evidence(&second).unwrap().unwrap()).clone();
        row.references.clear();
        put(&mut rows, Table::Evidence, &second.0, &row);
        let (domain, lineage) = (row.domain, row.lineage);
        for number in [half, half * 2] {
            let key = row_key::entry(&domain, &lineage, number as u64);
            rows.put(Table::LineageEntries, &key, &id(number).0).unwrap();
        }
        let (page, _) = crate::query::entries(&View::new(&rows), &domain, &lineage, None, 10).unwrap();
        let void: Vec<bool> = page.iter().map(|entry| entry.void).collect();
        assert_eq!(void, [false, false]);
    }

    #[test]
    fn a_chain_that_is_longer_than_the_bound_is_in_doubt_and_so_void() {
        let length = limit::JUDGED_STATEMENTS + 1;
        let sound = chain(length, i64::from(u32::MAX));
        assert_eq!(View::new(&sound).is_void(&id(length)), Ok(true));
    }
}
