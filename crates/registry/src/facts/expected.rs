//! The rows that follow from the facts alone, computed table by table.

use std::collections::{BTreeMap, BTreeSet};

use assent_proof::{Claims, Containment, DomainName, EvidenceId, LineageName, PublicKey};

use super::fact::{Fact, Found, is_second, same_slot};
use super::governed::governed;
use crate::chain::{Chain, Half};
use crate::codec::{Versioned, encode};
use crate::containment::releasers;
use crate::kinds::effects;
use crate::record::{
    CheckpointRow, Conflict, Contained, IssuerRow, KindSlot, LineageRow, OpenSubjectRow, PeerListRow,
    PeerListsRow, PeerRow, PolicyRow, Reconciled, ReleaseRow, ReleasedBy, RestrictionRow, SlotRow, TakenAt,
    TrustRow,
};
use crate::row_key;
use crate::rows::{RowError, Table};
use crate::view::View;

/// The tables whose rows are all computed here.
pub(super) const TABLES: &[Table] = &[
    Table::Authorities,
    Table::DomainAuthorities,
    Table::Domains,
    Table::Policies,
    Table::Lineages,
    Table::LineageIssuers,
    Table::LineageEntries,
    Table::Slots,
    Table::OpenSubjects,
    Table::Restrictions,
    Table::Containments,
    Table::Releases,
    Table::Trusts,
    Table::Peers,
    Table::Checkpoints,
];

struct Rows<'a> {
    facts: &'a [Fact],
    /// Each of these rows has one version so far, whatever the rules.
    rules: assent_proof::Rules,
    rows: Found,
}

impl Rows<'_> {
    fn put<T: Versioned>(&mut self, table: Table, key: Vec<u8>, row: &T) {
        self.rows.insert((table, key), encode(row, self.rules));
    }
}

/// Every row of [`TABLES`].
pub(super) fn rows(view: &View<'_>, facts: &[Fact]) -> Result<Found, RowError> {
    let mut rows = Rows { facts, rules: view.rules()?, rows: Found::new() };
    rows.governance();
    rows.lineages();
    rows.chains();
    rows.lists();
    rows.peers(view)?;
    Ok(rows.rows)
}

impl Rows<'_> {
    /// Authorities, domains and policies, as the statements left them one after the other.
    fn governance(&mut self) {
        let (authorities, domains) = governed(self.facts);
        for (key, row) in &authorities {
            self.put(Table::Authorities, key.as_bytes().to_vec(), row);
            self.rows
                .insert((Table::DomainAuthorities, row_key::domain_authority(&row.domain, key)), Vec::new());
        }
        for (name, mut row) in domains {
            row.isolations = self.contained(&name, &Containment::Isolate(name.clone()));
            self.put(Table::Domains, row_key::domain(&name), &row);
        }
        for fact in self.facts {
            if let Claims::Policy(body) = &fact.claims {
                let row = PolicyRow { evidence_id: fact.id, body: body.clone() };
                self.put(Table::Policies, row_key::domain(&fact.statement.domain), &row);
            }
        }
    }

    /// Each lineage, and which lineages of a subject are open.
    fn lineages(&mut self) {
        let names: BTreeSet<(DomainName, LineageName)> = self
            .facts
            .iter()
            .map(|fact| (fact.statement.domain.clone(), fact.statement.lineage.clone()))
            .collect();
        let mut open: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        for (domain, name) in names {
            let of_it = |fact: &&Fact| fact.statement.domain == domain && fact.statement.lineage == name;
            let all: Vec<&Fact> = self.facts.iter().filter(of_it).collect();
            let evidence: Vec<&Fact> =
                all.iter().copied().filter(|fact| fact.statement.kind.is_execution()).collect();
            let issuers: BTreeSet<&PublicKey> =
                evidence.iter().filter_map(|fact| fact.statement.issuers.first()).collect();
            let slotted = |fact: &&&Fact| fact.statement.sequence.is_some() && !is_second(self.facts, fact);
            let shared = all
                .iter()
                .filter(|fact| !fact.statement.kind.is_execution() && fact.statement.sequence.is_some());
            let subjects: BTreeSet<_> = evidence.iter().map(|fact| fact.statement.subject).collect();
            let closed_by = evidence.iter().filter(|fact| closes(&fact.claims)).map(|fact| fact.id).min();
            let quarantine = Containment::Quarantine(name.clone());
            let row = LineageRow {
                subjects: subjects.iter().copied().collect(),
                founder: evidence.first().and_then(|fact| fact.statement.issuers.first().copied()),
                head: all.iter().rfind(slotted).map(|fact| fact.id),
                next_sequence: shared.count() as u64,
                issuers: u32::try_from(issuers.len()).unwrap_or(u32::MAX),
                closed_by,
                conflicts: self.conflicts(&evidence),
                quarantines: self.contained(&domain, &quarantine),
            };
            self.put(Table::Lineages, row_key::lineage(&domain, &name), &row);
            for subject in subjects.iter().filter(|_| closed_by.is_none()) {
                let key = row_key::open_subject(&domain, subject, &name);
                self.rows.insert((Table::OpenSubjects, key), Vec::new());
                let count = open.entry(row_key::of_subject(&domain, subject)).or_default();
                *count = count.saturating_add(1);
            }
        }
        for (key, open) in open {
            self.put(Table::OpenSubjects, key, &OpenSubjectRow { open });
        }
    }

    /// The slots that were filled twice, with the newest reconciliation of each.
    fn conflicts(&self, evidence: &[&Fact]) -> Vec<Conflict> {
        let seconds = evidence.iter().filter(|fact| is_second(self.facts, fact));
        let mut conflicts: Vec<Conflict> = seconds
            .filter_map(|second| {
                let halves: Vec<EvidenceId> =
                    evidence.iter().filter(|fact| same_slot(fact, second)).map(|fact| fact.id).collect();
                let reconciled = self.facts.iter().rev().find_map(|fact| {
                    let Claims::Reconciliation { canonical, .. } = &fact.claims else { return None };
                    let of_it = halves.contains(canonical);
                    of_it.then_some(Reconciled { by: fact.id, canonical: *canonical })
                });
                let (issuer, sequence) = (*second.statement.issuers.first()?, second.statement.sequence?);
                Some(Conflict { issuer, sequence, reconciled })
            })
            .collect();
        conflicts.sort_unstable();
        conflicts
    }

    /// The record of a target's containments, the rows of those that were never released, and those of the
    /// newest releases of the others.
    fn contained(&mut self, domain: &DomainName, target: &Containment) -> Contained {
        let of_target = |fact: &&Fact| {
            matches!(&fact.claims, Claims::Containment(containment) if containment == target)
                && fact.statement.domain == *domain
        };
        let mut unreleased: u64 = 0;
        let mut lists: BTreeMap<[u8; 32], BTreeMap<u64, (EvidenceId, EvidenceId)>> = BTreeMap::new();
        // Groups are kept in the order in which they began. If all releases of a group were overtaken, the
        // group begins anew.
        let mut order: Vec<[u8; 32]> = Vec::new();
        let mut newest: BTreeMap<EvidenceId, ([u8; 32], u64)> = BTreeMap::new();
        for release in self.facts {
            let Claims::Release { containment } = &release.claims else { continue };
            if !self.facts.iter().filter(of_target).any(|fact| fact.id == *containment) {
                continue;
            }
            if let Some((signers, index)) = newest.remove(containment) {
                let list = lists.entry(signers).or_default();
                list.remove(&index);
                if list.is_empty() {
                    order.retain(|known| *known != signers);
                }
            }
            let signers = releasers(&release.row.counted, release.row.threshold);
            lists.entry(signers).or_default().insert(release.index, (release.id, *containment));
            if !order.contains(&signers) {
                order.push(signers);
            }
            newest.insert(*containment, (signers, release.index));
        }
        let held: Vec<EvidenceId> = self.facts.iter().filter(of_target).map(|fact| fact.id).collect();
        for id in held.iter().filter(|id| !newest.contains_key(*id)) {
            unreleased = unreleased.saturating_add(1);
            self.rows.insert((Table::Containments, row_key::containment(domain, target, id)), Vec::new());
        }
        let mut released = Vec::new();
        for signers in order {
            let Some(list) = lists.get(&signers) else { continue };
            for (index, (evidence_id, containment)) in list {
                let before = list.range(..*index).next_back().map(|(index, _)| *index);
                let after = list.range(index.saturating_add(1)..).next().map(|(index, _)| *index);
                let row = ReleaseRow { evidence_id: *evidence_id, containment: *containment, before, after };
                self.put(Table::Releases, row_key::release(domain, target, &signers, *index), &row);
            }
            released.extend(list.keys().next_back().map(|newest| ReleasedBy { signers, newest: *newest }));
        }
        Contained { unreleased, released }
    }

    /// Each issuer's chain, and its slots.
    fn chains(&mut self) {
        let mut chains: BTreeMap<Vec<u8>, IssuerRow> = BTreeMap::new();
        for fact in self.facts.iter().filter(|fact| fact.statement.kind.is_execution()) {
            let statement = &fact.statement;
            let (Some(issuer), Some(sequence)) = (statement.issuers.first(), statement.sequence) else {
                continue;
            };
            let chain = Chain { domain: &statement.domain, lineage: &statement.lineage, issuer };
            let second = is_second(self.facts, fact);
            let key = row_key::issuer(&statement.domain, &statement.lineage, issuer);
            let mut before = None;
            if !second {
                let row = chains.entry(key).or_insert_with(|| IssuerRow {
                    next_sequence: 0,
                    head: fact.id,
                    newest: Vec::new(),
                });
                before = row.newest.iter().find(|slot| slot.kind == statement.kind).map(|slot| slot.sequence);
                row.newest.retain(|slot| slot.kind != statement.kind);
                row.newest.push(KindSlot { kind: statement.kind, sequence });
                row.newest.sort_unstable_by_key(|slot| slot.kind.as_str());
                row.next_sequence = row.next_sequence.saturating_add(1);
                row.head = fact.id;
            }
            let row = SlotRow {
                evidence_id: fact.id,
                accepted_at: fact.accepted_at,
                issued_at: statement.issued_at,
                expires_at: statement.expires_at,
                references: statement.references.clone(),
                claims: fact.claims.clone(),
                before,
            };
            let half = if second { Half::Second } else { Half::First };
            self.put(Table::Slots, row_key::slot(chain, sequence, half), &row);
        }
        for (key, row) in chains {
            self.put(Table::LineageIssuers, key, &row);
        }
    }

    /// Rows that only list statements: entries of lineages, restrictions, trusts.
    fn lists(&mut self) {
        for fact in self.facts {
            let statement = &fact.statement;
            let entry = row_key::entry(&statement.domain, &statement.lineage, fact.index);
            self.rows.insert((Table::LineageEntries, entry), fact.id.0.to_vec());
            if let Some(restriction) = effects(&fact.claims).restricts {
                let target = restriction.target();
                let key =
                    row_key::restriction(&statement.domain, statement.kind, &target, &statement.issuers);
                let invalid_since = restriction.invalid_since();
                self.put(Table::Restrictions, key, &RestrictionRow { evidence_id: fact.id, invalid_since });
            }
            if let Claims::SovereignTrust { peer, registry_key, node_keys, not_after } = &fact.claims {
                let row = TrustRow {
                    peer: peer.clone(),
                    registry_key: *registry_key,
                    node_keys: node_keys.clone(),
                    not_after: statement.expires_at.map_or(*not_after, |end| end.min(*not_after)),
                };
                self.put(Table::Trusts, fact.id.0.to_vec(), &row);
            }
        }
    }

    /// Checkpoints of other registries, and the lists in which they are found. A checkpoint was verified when
    /// it was accepted; here it is only found again.
    fn peers(&mut self, view: &View<'_>) -> Result<(), RowError> {
        let mut lists: BTreeMap<Vec<u8>, BTreeMap<TakenAt, (LineageName, u64)>> = BTreeMap::new();
        let mut of_peer: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>> = BTreeMap::new();
        for fact in self.facts {
            let Claims::SynchronizationContinuity { .. } = &fact.claims else { continue };
            let statement = &fact.statement;
            let missing = || RowError::Mutated { table: Table::Checkpoints, key: fact.id.0.to_vec() };
            let row: CheckpointRow = view.checkpoint(&fact.id)?.ok_or_else(missing)?;
            self.put(Table::Checkpoints, fact.id.0.to_vec(), &row);
            let (Some(issuer), Some(sequence)) = (statement.issuers.first(), statement.sequence) else {
                continue;
            };
            // Both halves of a slot lie where the first one took it.
            let Some(first) = self.facts.iter().find(|other| same_slot(other, fact)) else { continue };
            let list = row_key::peer_trust(&statement.domain, &row.origin, issuer, &row.trust);
            let taken = TakenAt { accepted_at: first.accepted_at, index: first.index };
            of_peer.entry(row_key::peer(&statement.domain, &row.origin)).or_default().insert(list.clone());
            lists.entry(list).or_default().insert(taken, (statement.lineage.clone(), sequence));
        }
        for (list, slots) in lists {
            for (taken, (lineage, sequence)) in &slots {
                let before = slots.range(..*taken).next_back().map(|(before, _)| *before);
                let after = slots.keys().find(|after| *after > taken).copied();
                let row = PeerRow { lineage: lineage.clone(), sequence: *sequence, before, after };
                self.put(Table::Peers, row_key::peer_slot(&list, *taken), &row);
            }
            if let (Some((oldest, _)), Some((newest, _))) = (slots.first_key_value(), slots.last_key_value())
            {
                let ends = PeerListRow { oldest: *oldest, newest: *newest };
                self.put(Table::Peers, list, &ends);
            }
        }
        for (peer, lists) in of_peer {
            self.put(Table::Peers, peer, &PeerListsRow { lists: lists.len() as u64 });
        }
        Ok(())
    }
}

fn closes(claims: &Claims) -> bool {
    matches!(claims, Claims::AuditLineage { event, .. } if event == "completed" || event == "failed")
}
