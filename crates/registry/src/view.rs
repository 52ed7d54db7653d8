//! One consistent state, read as types (RFC-EG-033 §3, deterministic proof resolution).
//!
//! A [`View`] remembers what it has read of the registry, of authorities, domains, policies and evidence,
//! because the requests that are answered under one read barrier share most of it. What is void, and which
//! references have a flaw, it remembers for one evaluation only. It never writes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use assent_proof::{DomainName, EvidenceId, EvidenceKind, History, LineageName, PublicKey, Sha256};

use crate::codec::{self, Versioned};
use crate::command::Receipt;
use crate::flaw::Flaw;
use crate::record::{
    AuthorityRow, CheckpointRow, DomainRow, EvidenceRow, IssuerRow, LeafRow, LineageRow, MetaRow,
    OpenSubjectRow, PermitRow, PolicyRow, RestrictionRow, TrustRow,
};
use crate::row_key;
use crate::rows::{Row, RowError, Rows, Table};

/// Which lineages of a digest are open.
pub(crate) enum OpenLineages {
    /// None is.
    None,
    /// Just this one.
    One(LineageName),
    /// More than one.
    Several,
}

/// A consistent state to decide on.
pub struct View<'a> {
    rows: &'a dyn Rows,
    memo: RefCell<Memo>,
}

#[derive(Default)]
struct Memo {
    meta: Option<Rc<MetaRow>>,
    authorities: BTreeMap<PublicKey, Option<Rc<AuthorityRow>>>,
    domains: BTreeMap<DomainName, Option<Rc<DomainRow>>>,
    policies: BTreeMap<DomainName, Option<Rc<PolicyRow>>>,
    void: BTreeMap<EvidenceId, bool>,
    /// How many statements the evaluation under way has judged.
    judged: usize,
    evidence: BTreeMap<EvidenceId, Option<Rc<EvidenceRow>>>,
    /// By references: the flaw that keeps a statement from resting on them, if there is one.
    flaws: BTreeMap<Vec<EvidenceId>, Option<Flaw>>,
    /// Why only another build can decide on this state, once a decision has met such a reason.
    takes_another_build: Option<RowError>,
}

impl<'a> View<'a> {
    /// Reads from `rows`, which must not change in the meantime.
    pub fn new(rows: &'a dyn Rows) -> Self {
        Self { rows, memo: RefCell::default() }
    }

    /// Why only another build can decide on this state, if a decision has met such a reason. That decision is
    /// a deny, and the node that made it must stop with this reason.
    pub fn takes_another_build(&self) -> Option<RowError> {
        self.memo.borrow().takes_another_build.clone()
    }

    /// Remembers the first reason for which only another build can decide on this state.
    pub(crate) fn met(&self, error: &RowError) {
        if error.takes_another_build() {
            self.memo.borrow_mut().takes_another_build.get_or_insert_with(|| error.clone());
        }
    }

    /// The registry as a whole; absent before genesis.
    pub(crate) fn meta(&self) -> Result<Option<Rc<MetaRow>>, RowError> {
        if let Some(meta) = &self.memo.borrow().meta {
            return Ok(Some(meta.clone()));
        }
        let meta = self.read::<MetaRow>(Table::Meta, row_key::META)?.map(Rc::new);
        self.memo.borrow_mut().meta.clone_from(&meta);
        Ok(meta)
    }

    /// The history in force; absent before genesis.
    pub(crate) fn history(&self) -> Result<Option<History>, RowError> {
        let Some(meta) = self.meta()? else { return Ok(None) };
        // An epoch out of its bounds would take more recoveries than any ledger has.
        let mutated = || RowError::Mutated { table: Table::Meta, key: row_key::META.to_vec() };
        History::new(meta.cluster_id, meta.epoch).map(Some).ok_or_else(mutated)
    }

    /// The history in force, for a request that only a founded registry can answer.
    pub(crate) fn history_in_force(&self) -> Result<History, RowError> {
        self.history()?.ok_or_else(|| RowError::Unreadable("this registry has no genesis".to_owned()))
    }

    /// An authority.
    pub(crate) fn authority(&self, key: &PublicKey) -> Result<Option<Rc<AuthorityRow>>, RowError> {
        if let Some(known) = self.memo.borrow().authorities.get(key) {
            return Ok(known.clone());
        }
        let row = self.read::<AuthorityRow>(Table::Authorities, key.as_bytes())?.map(Rc::new);
        self.memo.borrow_mut().authorities.insert(*key, row.clone());
        Ok(row)
    }

    /// A domain.
    pub(crate) fn domain(&self, domain: &DomainName) -> Result<Option<Rc<DomainRow>>, RowError> {
        if let Some(known) = self.memo.borrow().domains.get(domain) {
            return Ok(known.clone());
        }
        let row = self.read::<DomainRow>(Table::Domains, &row_key::domain(domain))?.map(Rc::new);
        self.memo.borrow_mut().domains.insert(domain.clone(), row.clone());
        Ok(row)
    }

    /// A domain's policy.
    pub(crate) fn policy(&self, domain: &DomainName) -> Result<Option<Rc<PolicyRow>>, RowError> {
        if let Some(known) = self.memo.borrow().policies.get(domain) {
            return Ok(known.clone());
        }
        let row = self.read::<PolicyRow>(Table::Policies, &row_key::domain(domain))?.map(Rc::new);
        self.memo.borrow_mut().policies.insert(domain.clone(), row.clone());
        Ok(row)
    }

    /// Whether a piece of evidence is void, if this evaluation has worked that out.
    pub(crate) fn known_void(&self, id: &EvidenceId) -> Option<bool> {
        self.memo.borrow().void.get(id).copied()
    }

    /// Remembers whether a piece of evidence is void.
    pub(crate) fn remember_void(&self, id: EvidenceId, void: bool) {
        self.memo.borrow_mut().void.insert(id, void);
    }

    /// Begins an evaluation, or an entry of a page. It works out anew what is void, on rows that were read
    /// before, so that its answer depends on nothing that was asked before it.
    ///
    /// Rule R13 (RFC-EG-033 §3, Deterministic Proof Resolution): Each evaluation works out anew what is void,
    /// so that its answer depends on nothing that was asked before it, except as R12 says.
    pub(crate) fn begin(&self) {
        let mut memo = self.memo.borrow_mut();
        memo.judged = 0;
        memo.void.clear();
        memo.flaws.clear();
    }

    /// Counts one more judged statement. Answers whether the evaluation may judge so many.
    ///
    /// Rule R62 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): One evaluation, or the check of one envelope,
    /// judges at most 4,096 statements, takes all others for void and is then in doubt, which denies a
    /// question (`inheritance_unverifiable`).
    pub(crate) fn may_judge(&self) -> bool {
        let mut memo = self.memo.borrow_mut();
        memo.judged = memo.judged.saturating_add(1);
        memo.judged <= crate::limit::JUDGED_STATEMENTS
    }

    /// Whether the evaluation wanted to judge more statements than it may, so that what it took for void is
    /// in doubt.
    ///
    /// Rule R62 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): One evaluation, or the check of one envelope,
    /// judges at most 4,096 statements, takes all others for void and is then in doubt, which denies a
    /// question (`inheritance_unverifiable`).
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.memo.borrow().judged > crate::limit::JUDGED_STATEMENTS
    }

    /// An accepted piece of evidence.
    pub(crate) fn evidence(&self, id: &EvidenceId) -> Result<Option<Rc<EvidenceRow>>, RowError> {
        if let Some(known) = self.memo.borrow().evidence.get(id) {
            return Ok(known.clone());
        }
        let row = self.read::<EvidenceRow>(Table::Evidence, &id.0)?.map(Rc::new);
        self.memo.borrow_mut().evidence.insert(*id, row.clone());
        Ok(row)
    }

    /// The receipt of an accepted piece of evidence.
    pub(crate) fn receipt(&self, id: &EvidenceId) -> Result<Option<Receipt>, RowError> {
        Ok(self.evidence(id)?.map(|row| Receipt {
            evidence_id: *id,
            ledger_index: row.index,
            revision: row.index.saturating_add(1),
            accepted_at: row.accepted_at,
        }))
    }

    /// Whether these references can be rested on, if this evaluation has worked that out.
    pub(crate) fn known_flaw(&self, references: &[EvidenceId]) -> Option<Option<Flaw>> {
        self.memo.borrow().flaws.get(references).cloned()
    }

    /// Remembers whether these references can be rested on.
    pub(crate) fn remember_flaw(&self, references: &[EvidenceId], flaw: Option<Flaw>) {
        self.memo.borrow_mut().flaws.insert(references.to_vec(), flaw);
    }

    /// A leaf of the ledger.
    pub(crate) fn leaf(&self, index: u64) -> Result<Option<LeafRow>, RowError> {
        self.read(Table::Leaves, &row_key::index(index))
    }

    /// A lineage.
    pub(crate) fn lineage(
        &self,
        domain: &DomainName,
        lineage: &LineageName,
    ) -> Result<Option<LineageRow>, RowError> {
        self.read(Table::Lineages, &row_key::lineage(domain, lineage))
    }

    /// An issuer's chain in a lineage.
    pub(crate) fn issuer(
        &self,
        domain: &DomainName,
        lineage: &LineageName,
        issuer: &PublicKey,
    ) -> Result<Option<IssuerRow>, RowError> {
        self.read(Table::LineageIssuers, &row_key::issuer(domain, lineage, issuer))
    }

    /// Every issuer's chain in a lineage, by issuer.
    pub(crate) fn chains(
        &self,
        domain: &DomainName,
        lineage: &LineageName,
    ) -> Result<Vec<(PublicKey, IssuerRow)>, RowError> {
        let prefix = row_key::in_lineage(domain, lineage);
        // One more than there can be: a row too many is as wrong as a row too few.
        let most = crate::limit::ISSUERS_PER_LINEAGE.saturating_add(1);
        let rows = self.scan_prefix(Table::LineageIssuers, &prefix, most)?;
        rows.into_iter()
            .map(|(key, value)| {
                let mutated = || RowError::Mutated { table: Table::LineageIssuers, key: key.clone() };
                let issuer = key.get(prefix.len()..).and_then(|key| key.try_into().ok());
                let issuer = PublicKey::from_stored_bytes(issuer.ok_or_else(mutated)?);
                let row: IssuerRow = codec::decode(&value)
                    .map_err(|error| RowError::undecoded(Table::LineageIssuers, &key, error))?;
                Ok((issuer, row))
            })
            .collect()
    }

    /// The open lineages of a digest, as far as a request without a lineage needs to know them.
    ///
    /// Rule R25 (RFC-EG-033 §4, unauthorized evidence mutation): An open lineage or a containment that is
    /// counted and not found, or a slot that another row leads to and that is not found, is damage
    /// (`evidence_mutated`).
    pub(crate) fn open_lineages(
        &self,
        domain: &DomainName,
        subject: &Sha256,
    ) -> Result<OpenLineages, RowError> {
        let prefix = row_key::of_subject(domain, subject);
        let rows = self.scan_prefix(Table::OpenSubjects, &prefix, 3)?;
        let mutated = || RowError::Mutated { table: Table::OpenSubjects, key: prefix.clone() };
        let (first, names) = match rows.split_first() {
            None => return Ok(OpenLineages::None),
            Some(split) => split,
        };
        // The count's key is the prefix itself, so it comes first.
        let counted: OpenSubjectRow = match first {
            (key, value) if *key == prefix => codec::decode(value)
                .map_err(|error| RowError::undecoded(Table::OpenSubjects, &prefix, error))?,
            _ => return Err(mutated()),
        };
        match (counted.open, names) {
            (0, []) => Ok(OpenLineages::None),
            (1, [(key, _)]) => {
                let name = key.get(prefix.len()..).and_then(|name| std::str::from_utf8(name).ok());
                let name = name.and_then(|name| name.parse().ok()).ok_or_else(mutated)?;
                Ok(OpenLineages::One(name))
            }
            (2.., [_, _]) => Ok(OpenLineages::Several),
            // If damage has changed a row's key, the count shows that the row is missing.
            _ => Err(mutated()),
        }
    }

    /// How many open lineages a digest has.
    pub(crate) fn open_count(&self, domain: &DomainName, subject: &Sha256) -> Result<u64, RowError> {
        let row: Option<OpenSubjectRow> =
            self.read(Table::OpenSubjects, &row_key::of_subject(domain, subject))?;
        Ok(row.map_or(0, |row| row.open))
    }

    /// The newest restriction of `target` by exactly these issuers.
    pub(crate) fn restriction(
        &self,
        domain: &DomainName,
        kind: EvidenceKind,
        target: &[u8],
        issuers: &[PublicKey],
    ) -> Result<Option<RestrictionRow>, RowError> {
        self.read(Table::Restrictions, &row_key::restriction(domain, kind, target, issuers))
    }

    /// What a `sovereign-trust` says.
    pub(crate) fn trust(&self, id: &EvidenceId) -> Result<Option<TrustRow>, RowError> {
        self.read(Table::Trusts, &id.0)
    }

    /// The checkpoint that a statement brought.
    pub(crate) fn checkpoint(&self, id: &EvidenceId) -> Result<Option<CheckpointRow>, RowError> {
        self.read(Table::Checkpoints, &id.0)
    }

    /// The permit that was given for a nonce.
    pub(crate) fn permit(
        &self,
        domain: &DomainName,
        lineage: &LineageName,
        nonce: &str,
    ) -> Result<Option<PermitRow>, RowError> {
        self.read(Table::Permits, &row_key::permit(domain, lineage, nonce))
    }

    /// Rows whose keys start with `prefix`.
    pub(crate) fn scan_prefix(
        &self,
        table: Table,
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, RowError> {
        self.rows.scan(table, prefix, row_key::after_prefix(prefix).as_deref(), limit)
    }

    /// The rows underneath.
    pub(crate) fn rows(&self) -> &'a dyn Rows {
        self.rows
    }

    /// One row as its type.
    pub(crate) fn read<T: Versioned>(&self, table: Table, key: &[u8]) -> Result<Option<T>, RowError> {
        match self.rows.get(table, key)? {
            None => Ok(None),
            Some(bytes) => match codec::decode(&bytes) {
                Ok(row) => Ok(Some(row)),
                Err(error) => Err(RowError::undecoded(table, key, error)),
            },
        }
    }
}
