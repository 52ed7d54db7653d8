//! The lineage of the execution and that of its runtime: whether each exists, is open, is not quarantined and
//! has one subject, whether a half is chosen of each equivocation in it, and what each issuer stated in it
//! (RFC-EG-033 §4, fragmented proof lineage; §3, runtime proof continuity).

use std::collections::BTreeSet;

use assent_proof::{AuthorizeRequest, Code, EvidenceId, EvidenceKind, LineageName};

use super::case::Case;
use super::verdict::Findings;
use crate::chain::{Chain, Half};
use crate::issuer_statements::{IssuerStatements, Slot};
use crate::record::{Conflict, LineageRow, SlotRow};
use crate::rows::RowError;
use crate::view::{OpenLineages, View};

/// A lineage and what its issuers stated in it.
pub(super) struct LineageState {
    pub(super) name: LineageName,
    pub(super) lineage: LineageRow,
    pub(super) statements: Vec<IssuerStatements>,
    /// The chosen half of each equivocation that is reconciled.
    pub(super) canonical: BTreeSet<EvidenceId>,
}

impl LineageState {
    /// What each issuer stated of this kind.
    pub(super) fn of_kind(&self, kind: EvidenceKind) -> impl Iterator<Item = &IssuerStatements> {
        self.statements.iter().filter(move |statements| statements.kind == kind)
    }

    /// The statement in a slot that may count for a kind: the only one in the slot or, in an equivocation,
    /// the chosen half. `None` if that is of another kind, or if there is no such statement.
    ///
    /// Rule R35 (RFC-EG-033 §4, incomplete proof continuity): Of each issuer and kind only the newest slot
    /// can count, and if that slot has an equivocation, only its chosen half: if that half is of another kind
    /// than the rejected one, nothing of the issuer counts for the kind of the rejected one, not even an
    /// older statement.
    pub(super) fn counting<'s>(&self, slot: &'s Slot, kind: EvidenceKind) -> Option<&'s SlotRow> {
        let contested = slot.halves().count() > 1;
        slot.of_kind(kind).find(|half| !contested || self.canonical.contains(&half.evidence_id))
    }

    /// Where the chain of an issuer lies.
    pub(super) fn chain<'s>(&'s self, case: &'s Case<'_>, statements: &'s IssuerStatements) -> Chain<'s> {
        Chain { domain: &case.request.domain, lineage: &self.name, issuer: &statements.issuer }
    }
}

/// Records the lineage's head, which the decision names. Denies if the request expects another head.
///
/// Rule R27 (RFC-EG-033 §4, fragmented proof lineage): The head of the execution's lineage is the one that
/// the question expects, if it expects one (`head_mismatch`).
pub(super) fn head(lineage_state: &LineageState, request: &AuthorizeRequest, findings: &mut Findings) {
    findings.head = lineage_state.lineage.head;
    let Some(expected) = request.expected_head else { return };
    if lineage_state.lineage.head != Some(expected) {
        let head = lineage_state.lineage.head.map_or("nothing".to_owned(), |head| format!("`{head}`"));
        findings.deny(Code::HeadMismatch, format!("the lineage's head is {head}"), Some(expected));
    }
}

/// The lineage of the execution: the one that the request names, or the only open one of its digest.
///
/// Rule R20 (RFC-EG-033 §4, incomplete proof continuity): A question is about the lineage that it names,
/// which must exist (`lineage_unknown`), or, if it names none, about the one open lineage of its digest
/// (`lineage_unknown`, `lineage_ambiguous`), and that lineage is about the question's digest
/// (`subject_mismatch`).
pub(super) fn execution(
    view: &View<'_>,
    request: &AuthorizeRequest,
    findings: &mut Findings,
) -> Result<Option<LineageState>, RowError> {
    let name = match &request.lineage {
        Some(name) => name.clone(),
        None => match view.open_lineages(&request.domain, &request.subject)? {
            OpenLineages::None => {
                let detail = format!("no open lineage of digest `{}`", request.subject);
                findings.deny(Code::LineageUnknown, detail, None);
                return Ok(None);
            }
            OpenLineages::One(name) => name,
            OpenLineages::Several => {
                let detail = format!("several open lineages of digest `{}`", request.subject);
                findings.deny(Code::LineageAmbiguous, detail, None);
                return Ok(None);
            }
        },
    };
    let lineage_state = lineage_state(view, request, &name, findings)?;
    if lineage_state
        .as_ref()
        .is_some_and(|lineage_state| !lineage_state.lineage.subjects.contains(&request.subject))
    {
        let detail = format!("lineage `{name}` is about another digest than `{}`", request.subject);
        findings.deny(Code::SubjectMismatch, detail, None);
    }
    Ok(lineage_state)
}

/// The lineage of the runtime, and what was stated in it. `own` is the execution's lineage, which cannot be
/// the runtime's: evidence about what is to run says nothing about what it runs on.
///
/// Rule R21 (RFC-EG-033 §3, Runtime Proof Continuity): The runtime is another lineage than the execution's
/// own, and exists (`lineage_unknown`).
pub(super) fn runtime(
    view: &View<'_>,
    request: &AuthorizeRequest,
    own: Option<&LineageName>,
    findings: &mut Findings,
) -> Result<Option<LineageState>, RowError> {
    match &request.runtime {
        None => Ok(None),
        Some(name) if own == Some(name) => {
            let detail = format!("lineage `{name}` is the execution's own and cannot be the runtime's");
            findings.deny(Code::LineageUnknown, detail, None);
            Ok(None)
        }
        Some(name) => lineage_state(view, request, name, findings),
    }
}

/// A lineage and what was stated in it. Denies if there is no such lineage, and if it is closed, quarantined
/// or begun with two subjects.
///
/// Rule R22 (RFC-EG-033 §7, quarantine): Neither the execution's lineage nor the runtime's is closed
/// (`lineage_closed`), is quarantined (`lineage_quarantined`) or was begun with two subjects, in which case a
/// new one must be started (`subject_mismatch`).
fn lineage_state(
    view: &View<'_>,
    request: &AuthorizeRequest,
    name: &LineageName,
    findings: &mut Findings,
) -> Result<Option<LineageState>, RowError> {
    let Some(lineage) = view.lineage(&request.domain, name)? else {
        let detail = format!("there is no lineage `{name}` in domain `{}`", request.domain);
        findings.deny(Code::LineageUnknown, detail, None);
        return Ok(None);
    };
    if let Some(closed_by) = lineage.closed_by {
        findings.deny(Code::LineageClosed, format!("lineage `{name}` is closed"), Some(closed_by));
    }
    for quarantine in view.quarantines(&request.domain, name, &lineage)? {
        findings.deny(Code::LineageQuarantined, format!("lineage `{name}` is quarantined"), Some(quarantine));
    }
    if lineage.subjects.len() > 1 {
        // Governance can choose one half, but cannot know which subject other issuers meant when they wrote
        // here in the meantime.
        let detail = format!("lineage `{name}` was begun with two subjects; start a new one");
        findings.deny(Code::SubjectMismatch, detail, None);
    }
    let canonical = reconciled(view, name, &lineage, findings)?;
    let statements = statements(view, request, name, &lineage, findings)?;
    Ok(Some(LineageState { name: name.clone(), lineage, statements, canonical }))
}

/// The chosen half of each equivocation. Denies for each that is not reconciled.
///
/// Rule R23 (RFC-EG-033 §4, inconsistent authority validation): An equivocation in either lineage denies
/// until one half is chosen (`authority_inconsistent`, `lineage_quarantined`).
fn reconciled(
    view: &View<'_>,
    name: &LineageName,
    lineage: &LineageRow,
    findings: &mut Findings,
) -> Result<BTreeSet<EvidenceId>, RowError> {
    let mut canonical = BTreeSet::new();
    for conflict in &lineage.conflicts {
        match view.canonical(conflict)? {
            Some(half) => {
                canonical.insert(half);
            }
            None => {
                let Conflict { issuer, sequence, .. } = conflict;
                let detail =
                    format!("{issuer} signed two statements for slot {sequence} of lineage `{name}`");
                findings.deny(Code::AuthorityInconsistent, detail, None);
                let detail = format!("lineage `{name}` is quarantined until slot {sequence} is reconciled");
                findings.deny(Code::LineageQuarantined, detail, None);
            }
        }
    }
    Ok(canonical)
}

/// What every issuer stated in a lineage, by issuer. Denies if the stored chains do not join: there must be
/// as many as the lineage has issuers, and each must end with the slot before its next one.
///
/// Rule R24 (RFC-EG-033 §4, fragmented proof lineage): In each lineage there are as many stored chains as
/// issuers, and in each chain the newest slot, of whatever kind, comes right before the next free slot and
/// has the stored head as its first statement (`lineage_fragmented`).
fn statements(
    view: &View<'_>,
    request: &AuthorizeRequest,
    name: &LineageName,
    lineage: &LineageRow,
    findings: &mut Findings,
) -> Result<Vec<IssuerStatements>, RowError> {
    let chains = view.chains(&request.domain, name)?;
    if usize::try_from(lineage.issuers) != Ok(chains.len()) {
        let detail = format!("lineage `{name}` has {} chains of {}", chains.len(), lineage.issuers);
        findings.deny(Code::LineageFragmented, detail, None);
    }
    let mut all = Vec::new();
    for (issuer, row) in &chains {
        let chain = Chain { domain: &request.domain, lineage: name, issuer };
        let newest = row.next_sequence.checked_sub(1);
        let ends = newest.filter(|_| row.newest.iter().map(|newest| newest.sequence).max() == newest);
        let first = match ends {
            Some(newest) => view.half(chain, newest, Half::First)?,
            None => None,
        };
        let missed = ends.is_some() && first.is_none();
        if !missed && first.is_none_or(|first| first.evidence_id != row.head) {
            let detail = format!("the chain of {issuer} in lineage `{name}` does not join its newest slot");
            findings.deny(Code::LineageFragmented, detail, None);
        }
        // If a row is missing, this reports it as damage.
        all.extend(view.statements(chain, row, lineage)?);
    }
    Ok(all)
}
