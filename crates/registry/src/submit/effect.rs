//! What accepting a statement writes: its leaf, its place in its lineage, and what its kind changes.

use assent_proof::{
    Claims, DomainName, EvidenceId, EvidenceKind, LineageName, PublicKey, Role, Sha256, Statement,
    VerifiedEnvelope,
};

use super::{Placement, Plan, receipt_of, slot};
use crate::codec::{Versioned, encode};
use crate::command::{Outcome, Receipt};
use crate::limit;
use crate::record::{
    AuthorityRow, Conflict, DomainRow, EarlierWord, EvidenceRow, IssuerConflict, IssuerRow, LeafRow,
    LineageRow, MetaRow, NewestHalf, NewestRow, OpenSubjectRow, PolicyRow, RestrictionRow, RevokedMark,
};
use crate::row_key;
use crate::rows::{RowError, RowsMut, Table};
use crate::view::View;

/// Writes what the plan says, and answers with the receipt.
pub(super) fn write(
    rows: &mut dyn RowsMut,
    envelope: &VerifiedEnvelope,
    plan: Plan,
) -> Result<Outcome, RowError> {
    if let Placement::Standing(id) = plan.placement {
        return match receipt_of(&View::new(rows), &id)? {
            Some(receipt) => Ok(Outcome::Accepted { receipt, fresh: false }),
            None => Err(RowError::Mutated { table: Table::Evidence, key: id.0.to_vec() }),
        };
    }
    let id = envelope.id();
    let statement = envelope.statement();
    let index = plan.meta.as_ref().map_or(0, |meta| meta.revision);
    let mut writer = Writer { rows, id, statement, plan: &plan, index };
    writer.leaf(envelope.bytes())?;
    writer.lineage()?;
    writer.kind()?;
    writer.advance()?;
    let receipt = Receipt {
        evidence_id: id,
        ledger_index: index,
        revision: index.saturating_add(1),
        accepted_at: plan.accepted_at,
    };
    Ok(match plan.placement {
        Placement::Equivocation => Outcome::Equivocation { receipt, refusal: slot::equivocated(statement) },
        _ => Outcome::Accepted { receipt, fresh: true },
    })
}

/// One statement being written.
struct Writer<'a> {
    rows: &'a mut dyn RowsMut,
    id: EvidenceId,
    statement: &'a Statement,
    plan: &'a Plan,
    index: u64,
}

impl Writer<'_> {
    fn put<T: Versioned>(&mut self, table: Table, key: &[u8], row: &T) -> Result<(), RowError> {
        self.rows.put(table, key, &encode(row))
    }

    fn view(&self) -> View<'_> {
        View::new(&*self.rows)
    }

    fn leaf(&mut self, body: &[u8]) -> Result<(), RowError> {
        let index = row_key::index(self.index);
        let leaf = LeafRow { evidence_id: self.id, accepted_at: self.plan.accepted_at };
        self.put(Table::Leaves, &index, &leaf)?;
        self.rows.put(Table::Bodies, &index, body)?;
        let statement = self.statement;
        let row = EvidenceRow {
            index: self.index,
            accepted_at: self.plan.accepted_at,
            kind: statement.kind,
            domain: statement.domain.clone(),
            lineage: statement.lineage.clone(),
            issuers: statement.issuers.clone(),
            counted: self.plan.counted.clone(),
            threshold: self.plan.threshold,
            sequence: statement.sequence,
            references: statement.references.clone(),
            equivocation: self.plan.placement == Placement::Equivocation,
        };
        let id = self.id;
        self.put(Table::Evidence, &id.0, &row)?;
        let entry = row_key::entry(&statement.domain, &statement.lineage, self.index);
        self.rows.put(Table::LineageEntries, &entry, &id.0)
    }

    fn lineage(&mut self) -> Result<(), RowError> {
        let mut lineage = self.plan.lineage.clone().unwrap_or_else(|| LineageRow {
            subjects: Vec::new(),
            founder: None,
            head: None,
            next_sequence: 0,
            issuers: 0,
            newest: 0,
            closed_by: None,
            conflicts: Vec::new(),
        });
        match self.plan.placement {
            Placement::IssuerSlot => self.issuer_slot(&mut lineage)?,
            Placement::Equivocation => self.equivocation(&mut lineage)?,
            Placement::SharedSlot => {
                lineage.head = Some(self.id);
                lineage.next_sequence = lineage.next_sequence.saturating_add(1);
            }
            Placement::Restriction | Placement::Standing(_) => {}
        }
        if self.statement.kind.is_execution() {
            self.subject_and_closing(&mut lineage)?;
        }
        let key = row_key::lineage(&self.statement.domain, &self.statement.lineage);
        self.put(Table::Lineages, &key, &lineage)
    }

    /// The lineage's subjects, whether this closes it, and with both its place among the open ones.
    fn subject_and_closing(&mut self, lineage: &mut LineageRow) -> Result<(), RowError> {
        if lineage.founder.is_none() {
            lineage.founder = self.statement.issuers.first().copied();
        }
        if !lineage.subjects.contains(&self.statement.subject) {
            lineage.subjects.push(self.statement.subject);
            lineage.subjects.sort_unstable();
        }
        if closes(&self.plan.claims) {
            // Two closing halves of one equivocation: the smaller id, whichever came first.
            let by = lineage.closed_by.map_or(self.id, |before| before.min(self.id));
            lineage.closed_by = Some(by);
        }
        let before = self.plan.lineage.as_ref().filter(|before| before.closed_by.is_none());
        let listed = before.map_or(&[][..], |before| &before.subjects);
        let lists = if lineage.closed_by.is_some() { &[][..] } else { &lineage.subjects };
        for subject in lists.iter().filter(|subject| !listed.contains(subject)) {
            self.open_subject(subject, true)?;
        }
        for subject in listed.iter().filter(|subject| !lists.contains(subject)) {
            self.open_subject(subject, false)?;
        }
        Ok(())
    }

    /// Puts the lineage among the open ones of `subject`, or takes it away.
    fn open_subject(&mut self, subject: &Sha256, open: bool) -> Result<(), RowError> {
        let StatementPlace { domain, name } = self.place();
        let key = row_key::open_subject(&domain, subject, &name);
        let before = self.view().open_count(&domain, subject)?;
        let count = if open {
            self.rows.put(Table::OpenSubjects, &key, &[])?;
            before.saturating_add(1)
        } else {
            self.rows.delete(Table::OpenSubjects, &key)?;
            before.saturating_sub(1)
        };
        let key = row_key::of_subject(&domain, subject);
        if count == 0 {
            // Whether there was ever one must not show, since it depends on the order of arrival.
            return self.rows.delete(Table::OpenSubjects, &key);
        }
        self.put(Table::OpenSubjects, &key, &OpenSubjectRow { open: count })
    }

    fn issuer_slot(&mut self, lineage: &mut LineageRow) -> Result<(), RowError> {
        let Some(issuer) = self.statement.issuers.first().copied() else { return Ok(()) };
        let StatementPlace { domain, name } = self.place();
        let before = &self.plan.chain;
        if before.is_none() {
            lineage.issuers = lineage.issuers.saturating_add(1);
        }
        let sequence = self.statement.sequence.unwrap_or(0);
        let chain = IssuerRow {
            next_sequence: sequence.saturating_add(1),
            head: self.id,
            conflict: before.as_ref().and_then(|chain| chain.conflict.clone()),
        };
        self.put(Table::LineageIssuers, &row_key::issuer(&domain, &name, &issuer), &chain)?;
        lineage.head = Some(self.id);
        let replaced = self.view().newest_of(&domain, &name, self.statement.kind, &issuer)?;
        if replaced.is_none() {
            lineage.newest = lineage.newest.saturating_add(1);
        }
        let (before, forgotten) = replaced.map_or((Vec::new(), false), earlier_words);
        let newest = NewestRow { sequence, contested: false, halves: vec![self.half()], before, forgotten };
        let key = row_key::newest(&domain, &name, self.statement.kind, &issuer);
        self.put(Table::Newest, &key, &newest)
    }

    /// The second statement for a slot. Both halves end in the same rows, whichever came first: both are
    /// their kind's newest (unless a later one is), contested, and ordered by id.
    fn equivocation(&mut self, lineage: &mut LineageRow) -> Result<(), RowError> {
        let Some(issuer) = self.statement.issuers.first().copied() else { return Ok(()) };
        let sequence = self.statement.sequence.unwrap_or(0);
        let StatementPlace { domain, name } = self.place();
        lineage.conflicts.push(Conflict { issuer, sequence });
        lineage.conflicts.sort_unstable();
        if let Some(mut chain) = self.plan.chain.clone() {
            chain.conflict = Some(IssuerConflict { sequence, second: self.id });
            self.put(Table::LineageIssuers, &row_key::issuer(&domain, &name, &issuer), &chain)?;
        }
        for kind in EvidenceKind::ALL.iter().copied().filter(|kind| kind.is_execution()) {
            let key = row_key::newest(&domain, &name, kind, &issuer);
            let mut found = self.view().newest_of(&domain, &name, kind, &issuer)?;
            let mut changed = false;
            if let Some(row) = found.as_mut().filter(|row| row.sequence == sequence) {
                row.contested = true;
                changed = true;
            }
            if kind == self.statement.kind {
                if found.is_none() {
                    lineage.newest = lineage.newest.saturating_add(1);
                }
                let row = match found {
                    Some(row) if row.sequence >= sequence => row,
                    older => {
                        let (before, forgotten) = older.map_or((Vec::new(), false), earlier_words);
                        NewestRow { sequence, contested: true, halves: Vec::new(), before, forgotten }
                    }
                };
                found = Some(self.with_half(row, sequence));
                changed = true;
            }
            if let Some(row) = found.filter(|_| changed) {
                self.put(Table::Newest, &key, &row)?;
            }
        }
        Ok(())
    }

    fn with_half(&self, mut row: NewestRow, sequence: u64) -> NewestRow {
        if row.sequence == sequence {
            row.halves.push(self.half());
            row.halves.sort_by_key(|half| half.evidence_id);
        }
        row
    }

    fn half(&self) -> NewestHalf {
        NewestHalf {
            evidence_id: self.id,
            accepted_at: self.plan.accepted_at,
            issued_at: self.statement.issued_at,
            expires_at: self.statement.expires_at,
            references: self.statement.references.clone(),
            claims: self.plan.claims.clone(),
        }
    }

    fn place(&self) -> StatementPlace {
        StatementPlace { domain: self.statement.domain.clone(), name: self.statement.lineage.clone() }
    }

    /// What the kind changes beyond its lineage.
    fn kind(&mut self) -> Result<(), RowError> {
        match &self.plan.claims {
            Claims::Root { keys, threshold, .. } => {
                let row = DomainRow { governance: keys.clone(), threshold: *threshold, admitted_by: self.id };
                self.governance(&DomainName::root(), &row, "root")
            }
            Claims::Domain { domain, governance, threshold } => {
                let row =
                    DomainRow { governance: governance.clone(), threshold: *threshold, admitted_by: self.id };
                self.governance(domain, &row, "governance")
            }
            Claims::AuthorityGrant { authority, name, role, not_before, not_after } => {
                let before = self.view().authority(authority)?;
                let row = AuthorityRow {
                    name: name.clone(),
                    role: *role,
                    domain: self.statement.domain.clone(),
                    not_before: *not_before,
                    not_after: Some(*not_after),
                    admitted_by: self.id,
                    revoked: None,
                    invalid_since: before.and_then(|row| row.invalid_since),
                };
                self.authority(authority, &row)
            }
            Claims::Policy(body) => {
                let row = PolicyRow { evidence_id: self.id, body: body.clone() };
                let key = row_key::domain(&self.statement.domain);
                self.put(Table::Policies, &key, &row)
            }
            Claims::Revocation { authority, reason, invalid_since } => {
                let Some(row) = self.view().authority(authority)? else { return Ok(()) };
                let mut row = (*row).clone();
                row.revoked.get_or_insert(RevokedMark { by: self.id, reason: *reason });
                row.invalid_since = match (row.invalid_since, *invalid_since) {
                    (Some(before), Some(since)) => Some(before.min(since)),
                    (before, since) => before.or(since),
                };
                self.authority(authority, &row)?;
                let restriction = RestrictionRow { evidence_id: self.id, invalid_since: *invalid_since };
                let key = row_key::restriction(
                    &self.statement.domain,
                    EvidenceKind::Revocation,
                    authority,
                    &self.statement.issuers,
                );
                self.put(Table::Restrictions, &key, &restriction)
            }
            _ => Ok(()),
        }
    }

    fn governance(&mut self, domain: &DomainName, row: &DomainRow, name: &str) -> Result<(), RowError> {
        self.put(Table::Domains, &row_key::domain(domain), row)?;
        for (number, key) in (1_u32..).zip(&row.governance) {
            let authority = AuthorityRow {
                name: format!("{name}-{number}"),
                role: Role::Governance,
                domain: domain.clone(),
                not_before: self.statement.issued_at,
                not_after: None,
                admitted_by: self.id,
                revoked: None,
                invalid_since: None,
            };
            self.authority(key, &authority)?;
        }
        Ok(())
    }

    fn authority(&mut self, key: &PublicKey, row: &AuthorityRow) -> Result<(), RowError> {
        self.put(Table::Authorities, key.as_bytes(), row)?;
        self.rows.put(Table::DomainAuthorities, &row_key::domain_authority(&row.domain, key), &[])
    }

    /// The ledger is one leaf longer.
    fn advance(&mut self) -> Result<(), RowError> {
        let mut meta = match &self.plan.meta {
            Some(meta) => (**meta).clone(),
            None => self.founded()?,
        };
        meta.revision = self.index.saturating_add(1);
        meta.registry_time = meta.registry_time.max(self.plan.accepted_at);
        if matches!(self.plan.claims, Claims::Revocation { invalid_since: Some(_), .. }) {
            meta.void_marks = meta.void_marks.saturating_add(1);
        }
        self.put(Table::Meta, row_key::META, &meta)
    }
}

impl Writer<'_> {
    /// The registry's first row; only a genesis file's root statement has what it takes.
    fn founded(&self) -> Result<MetaRow, RowError> {
        match (&self.plan.claims, self.plan.founds) {
            (Claims::Root { registry_key, .. }, Some(cluster_id)) => Ok(MetaRow {
                revision: 0,
                registry_time: self.plan.accepted_at,
                rules_version: limit::RULES_VERSION,
                origin: self.statement.registry.clone(),
                cluster_id,
                registry_key: *registry_key,
                void_marks: 0,
            }),
            _ => Err(RowError::Mutated { table: Table::Meta, key: row_key::META.to_vec() }),
        }
    }
}

/// What a replaced row and those that it had replaced said, as far as it can be negative.
fn earlier_words(replaced: NewestRow) -> (Vec<EarlierWord>, bool) {
    let NewestRow { halves, before: mut words, mut forgotten, .. } = replaced;
    for half in halves {
        if !can_be_negative(&half.claims) || words.last().is_some_and(|last| last.claims == half.claims) {
            continue;
        }
        words.push(EarlierWord {
            evidence_id: half.evidence_id,
            from: half.accepted_at,
            claims: half.claims,
        });
    }
    while words.len() > limit::EARLIER_WORDS {
        words.remove(0);
        forgotten = true;
    }
    (words, forgotten)
}

fn can_be_negative(claims: &Claims) -> bool {
    matches!(
        claims,
        Claims::RuntimeAttestation { .. } | Claims::RuntimeIntegrity { .. } | Claims::PolicyValidation { .. }
    )
}

struct StatementPlace {
    domain: DomainName,
    name: LineageName,
}

fn closes(claims: &Claims) -> bool {
    matches!(claims, Claims::AuditLineage { event, .. } if event == "completed" || event == "failed")
}
