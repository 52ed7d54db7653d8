//! What a statement rests on, directly and through others, and whether that can carry it (RFC-EG-033 §4,
//! unverifiable exchange inheritance).

use std::collections::BTreeSet;

use assent_proof::{Code, EvidenceId};

use crate::flaw::Flaw;
use crate::limit;
use crate::record::{CountedSigner, EvidenceRow};
use crate::rows::RowError;
use crate::view::View;

impl View<'_> {
    /// Everything that these references rest on, themselves included; `None` if it is more than the bound.
    ///
    /// Rule R65 (RFC-EG-033 §10, unsigned proof inheritance): A statement rests on at most 64 statements,
    /// directly and through others (`too_large`).
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

    /// Whether a statement stands: it is not void, and nothing that it rests on has a flaw. A contested half
    /// may still become void, and a revoked key's evidence can carry nothing. A statement that rests on
    /// either has replaced nothing.
    ///
    /// Rule R66 (RFC-EG-033 §4, unverifiable exchange inheritance): A statement stands if it is not void and
    /// nothing that it rests on has a flaw.
    pub(crate) fn stands(&self, id: &EvidenceId, references: &[EvidenceId]) -> Result<bool, RowError> {
        Ok(!self.is_void(id)? && self.reference_flaw(references)?.is_none())
    }

    /// The first flaw in what a statement rests on: a statement that is unknown, void or contested, or
    /// execution evidence whose key is revoked. Nothing rests on a revoked key's evidence, not even through
    /// other statements.
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

    /// Rule R65 (RFC-EG-033 §10, unsigned proof inheritance): A statement rests on at most 64 statements,
    /// directly and through others (`too_large`).
    fn find_flaw(&self, references: &[EvidenceId]) -> Result<Option<Flaw>, RowError> {
        let Some(closure) = self.closure(references)? else {
            let most = limit::TRANSITIVE_REFERENCES;
            return Ok(Some((Code::TooLarge, format!("it rests on more than {most} statements"))));
        };
        for id in closure {
            if let Some(flaw) = self.carrier_flaw(&id)? {
                return Ok(Some(flaw));
            }
        }
        Ok(None)
    }

    /// Why nothing can rest on this statement; `None` if it can carry others.
    ///
    /// Rule R64 (RFC-EG-033 §10, unsigned proof inheritance): A statement has a flaw if it is unknown
    /// (`evidence_detached`), or if it is void, a half that is not chosen, or execution evidence of a revoked
    /// key (`inheritance_unverifiable`).
    fn carrier_flaw(&self, id: &EvidenceId) -> Result<Option<Flaw>, RowError> {
        let Some(row) = self.evidence(id)? else {
            return Ok(Some((Code::EvidenceDetached, format!("it rests on `{id}`, which is unknown"))));
        };
        if self.is_void(id)? {
            let detail = format!("it rests on `{id}`, which is void");
            return Ok(Some((Code::InheritanceUnverifiable, detail)));
        }
        if self.is_contested(id, &row)? {
            let detail =
                format!("it rests on `{id}`, whose issuer signed another statement for the same slot");
            return Ok(Some((Code::InheritanceUnverifiable, detail)));
        }
        self.dead_key_flaw(id, &row)
    }

    /// The flaw of execution evidence that a revoked key signed: nothing can rest on it.
    ///
    /// Rule R64 (RFC-EG-033 §10, unsigned proof inheritance): A statement has a flaw if it is unknown
    /// (`evidence_detached`), or if it is void, a half that is not chosen, or execution evidence of a revoked
    /// key (`inheritance_unverifiable`).
    fn dead_key_flaw(&self, id: &EvidenceId, row: &EvidenceRow) -> Result<Option<Flaw>, RowError> {
        if !row.kind.is_execution() {
            return Ok(None);
        }
        for CountedSigner { key, .. } in &row.counted {
            if self.authority(key)?.is_none_or(|authority| authority.revoked.is_some()) {
                let detail = format!("it rests on `{id}`, whose key {key} is revoked");
                return Ok(Some((Code::InheritanceUnverifiable, detail)));
            }
        }
        Ok(None)
    }
}
