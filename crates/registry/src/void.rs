//! Which statements of the ledger are void: by revocations, by references and by reconciliations (RFC-EG-033
//! §7, invalidate).
//!
//! Voidness spreads by authority, by reference and by reconciliation, never by `parent`. It is computed on
//! demand, from the signers that were recorded with the evidence and from marks that are only ever added, so
//! the order in which revocations arrive cannot matter.

use assent_proof::{EvidenceId, PublicKey};

use crate::kinds::profile;
use crate::record::EvidenceRow;
use crate::rows::RowError;
use crate::view::View;

impl View<'_> {
    /// Whether the evidence, which the caller has found in the ledger, is void. Except by doubt, restrictions
    /// never are. Nor are `root` and `domain`: they were accepted at their threshold, and the keys that govern
    /// by them must not lose that.
    ///
    /// This walks over what the evidence rests on: its references, the statements that admitted its signers,
    /// and so on. All of these came before it, so the walk ends. A walk that is longer than the bound ends in
    /// doubt, and doubt counts as void, whatever the kind. So does a row that was found before and is gone.
    ///
    /// Rule R61 (RFC-EG-033 §3, Deterministic Proof Resolution): Void statements keep their slots and never
    /// count again.
    ///
    /// Rule R62 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): One evaluation, or the check of one envelope,
    /// judges at most 4,096 statements, takes all others for void and is then in doubt, which denies a
    /// question (`inheritance_unverifiable`).
    pub(crate) fn is_void(&self, id: &EvidenceId) -> Result<bool, RowError> {
        let mut open = vec![*id];
        while let Some(next) = open.last().copied() {
            if self.known_void(&next).is_none() {
                let before = open.len();
                let void = self.judge(&next, &mut open)?;
                if open.len() > before {
                    // It is judged once these have been judged.
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

    /// Whether the evidence is void, given what is known of the statements that it rests on. Those of which
    /// nothing is known are pushed to `open`, and the answer then means nothing.
    ///
    /// Rule R58 (RFC-EG-033 §7, revoke): `root`, `domain` and restrictions are never void, except by doubt
    /// (R62).
    ///
    /// Rule R59 (RFC-EG-033 §4, unverifiable exchange inheritance): Except as R58 says, evidence is void if
    /// an invalidation names it, if fewer of its recorded signers count than it needed, if it references void
    /// evidence (a `parent` is no reference), or if it is the half of an equivocation that a reconciliation
    /// in force does not name.
    ///
    /// Rule R60 (RFC-EG-033 §7, revoke): A recorded signer counts if the statement that admitted it is not
    /// void and, if the signer's key has an `invalidSince`, the evidence was accepted before that time,
    /// whatever `issuedAt` the evidence names.
    fn judge(&self, id: &EvidenceId, open: &mut Vec<EvidenceId>) -> Result<bool, RowError> {
        // It was found before and is gone now: doubt denies.
        let Some(row) = self.evidence(id)? else { return Ok(true) };
        if !profile(row.kind).can_be_void {
            return Ok(false);
        }
        if row.invalidated_by.is_some() {
            return Ok(true);
        }
        // If its own marks decide, nothing else needs to be judged.
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
    ///
    /// Rule R60 (RFC-EG-033 §7, revoke): A recorded signer counts if the statement that admitted it is not
    /// void and, if the signer's key has an `invalidSince`, the evidence was accepted before that time,
    /// whatever `issuedAt` the evidence names.
    fn is_unmarked(&self, row: &EvidenceRow, key: &PublicKey) -> Result<bool, RowError> {
        let Some(authority) = self.authority(key)? else { return Ok(false) };
        Ok(authority.invalid_since.is_none_or(|since| row.accepted_at < since.to_millis()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use assent_proof::{DomainName, EvidenceKind, LineageName, Millis, Role, Rules, Seconds, SigningKey};

    use super::*;
    use crate::codec::{Versioned, encode};
    use crate::query::lineages;
    use crate::record::{AuthorityRow, CountedSigner, MetaRow};
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
        let (page, _) = lineages::entries(&View::new(&rows), &domain, &lineage, None, 10).unwrap();
        let void: Vec<bool> = page.iter().map(|entry| entry.void).collect();
        assert_eq!(void, [false, false]);
    }

    /// Rule R62.
    #[test]
    fn a_chain_that_is_longer_than_the_bound_is_in_doubt_and_so_void() {
        let length = limit::JUDGED_STATEMENTS + 1;
        let sound = chain(length, i64::from(u32::MAX));
        assert_eq!(View::new(&sound).is_void(&id(length)), Ok(true));
    }
}
