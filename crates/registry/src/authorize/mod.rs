//! May this execute, now? A pure function of (view, request, now).
//!
//! It gathers every reason that denies. Only when there is none, and every ground for an allow was found,
//! does [`verdict::conclude`] make an [`Allow`]; a row that cannot be read is a reason like any other.

mod artifact;
mod evidence;
mod permit;
mod requirement;
mod verdict;

use std::cell::Cell;
use std::collections::BTreeSet;

use assent_proof::{AuthorizeRequest, Code, EvidenceId, EvidenceKind, LineageName, Millis, Of, PolicyBody};

use crate::command::Receipt;
use crate::limit;
use crate::record::{Conflict, LineageRow, SlotRow};
use crate::rows::RowError;
use crate::said::{Chain, Half, Said, Slot, Walk};
use crate::view::{OpenLineages, View};

pub(crate) use permit::digest as request_digest;
pub use verdict::{Allow, Decision, JudgedBy, Reason, Verdict};
use verdict::{Findings, Grounds};

/// Decides whether the request may execute at `now`, which is the later of the caller's clock and registry
/// time. Every reason that denies is named, in the order of the codes.
pub fn authorize(view: &View<'_>, request: &AuthorizeRequest, now: Millis) -> Decision {
    evaluate(view, request, now, Mode::Read)
        .map_or_else(|error| unreadable(view, &error, now), |(decision, _)| decision)
}

/// Decides like [`authorize`], for a request whose permit was recorded before: its uses are consumed, everything else has
/// to allow still. The request names its lineage and a nonce. Without its permit in the ledger nothing is allowed.
pub fn authorize_permitted(view: &View<'_>, request: &AuthorizeRequest, now: Millis) -> Decision {
    let evaluated = |recorded| evaluate(view, request, now, Mode::Permitted(recorded));
    let decided = permit::recorded(view, request).and_then(evaluated);
    decided.map_or_else(|error| unreadable(view, &error, now), |(decision, _)| decision)
}

/// Whether a permit may be recorded for the request, which takes an [`Allow`], and which authorizations lose a use by it.
pub(crate) fn consider(
    view: &View<'_>,
    request: &AuthorizeRequest,
    now: Millis,
) -> Result<(Decision, BTreeSet<EvidenceId>), RowError> {
    evaluate(view, request, now, Mode::Record)
}

fn unreadable(view: &View<'_>, error: &RowError, now: Millis) -> Decision {
    view.met(error);
    let detail = match error {
        RowError::Interrupted => return Decision::deny(Code::DeadlineExceeded, error.to_string(), now),
        RowError::Mutated { .. } => format!("{error}: this node's state cannot be trusted"),
        RowError::Unreadable(_)
        | RowError::RulesUnknown { .. }
        | RowError::RowVersion { .. }
        | RowError::CommandVersion(_) => format!("{error}: this node cannot prove its state"),
    };
    Decision::deny(Code::EvidenceMutated, detail, now)
}

/// What an evaluation is for.
enum Mode {
    /// A read, which consumes nothing and so cannot say whether a counted use is left for the caller.
    Read,
    /// A permit is about to be recorded: a use must be left.
    Record,
    /// A permit should have been recorded.
    Permitted(Recorded),
}

/// What is recorded for a nonce.
enum Recorded {
    /// Nothing.
    Nothing,
    /// A permit for another request.
    Another,
    /// This request's permit.
    Permit {
        /// Where it is.
        receipt: Receipt,
        /// The authorizations that lost a use by it.
        consumed: Vec<EvidenceId>,
    },
}

fn evaluate(
    view: &View<'_>,
    request: &AuthorizeRequest,
    now: Millis,
    mode: Mode,
) -> Result<(Decision, BTreeSet<EvidenceId>), RowError> {
    let Some(meta) = view.meta()? else {
        let detail = "this registry has no genesis";
        return Ok((Decision::deny(Code::DomainUnknown, detail, now), BTreeSet::new()));
    };
    view.rules()?;
    // What one decision could not read, no later one on this state may pass by.
    if let Some(error) = view.takes_another_build() {
        return Err(error);
    }
    view.begin();
    let now = now.max(meta.registry_time);
    let mut findings = Findings::new(now, meta.revision);
    let in_force = view.history_in_force()?;
    findings.history = Some(in_force);
    // First, and alone: of another history neither a revision nor a head says anything here.
    if let Some(asked) = request.history.filter(|asked| *asked != in_force) {
        let detail = format!("the request is about history `{asked}`, and `{in_force}` is the one in force");
        findings.deny(Code::HistoryMismatch, detail, None);
        return Ok((verdict::conclude(findings, None), BTreeSet::new()));
    }
    if let Some(least) = request.min_revision.filter(|least| meta.revision < *least) {
        let detail = format!("the registry is at revision {}, not yet at {least}", meta.revision);
        findings.deny(Code::RevisionNotReached, detail, None);
    }
    let Some(domain) = view.domain(&request.domain)? else {
        findings.deny(Code::DomainUnknown, format!("there is no domain `{}`", request.domain), None);
        return Ok((verdict::conclude(findings, None), BTreeSet::new()));
    };
    for isolation in view.isolations(&request.domain, &domain)? {
        let detail = format!("domain `{}` is isolated", request.domain);
        findings.deny(Code::DomainIsolated, detail, Some(isolation));
    }
    let Some(policy) = view.policy(&request.domain)? else {
        let detail = format!("domain `{}` has no policy, and without one nothing is allowed", request.domain);
        findings.deny(Code::PolicyMissing, detail, None);
        return Ok((verdict::conclude(findings, None), BTreeSet::new()));
    };
    findings.policy = Some(JudgedBy::new(policy.evidence_id, &policy.body));
    if view.is_void(&policy.evidence_id)? {
        let detail = "the domain's policy is void, and its predecessor does not come back".to_owned();
        findings.deny(Code::InheritanceUnverifiable, detail, Some(policy.evidence_id));
    }
    let execution = execution_scene(view, request, &mut findings)?;
    let own = request.lineage.as_ref().or(execution.as_ref().map(|scene| &scene.name));
    let runtime = runtime_scene(view, request, own, &mut findings)?;
    let Some(execution) = execution else {
        return Ok((verdict::conclude(findings, None), BTreeSet::new()));
    };
    let case = Case { view, request, policy: &policy.body, now, mode, walked: Cell::new(0) };
    case.permit(&mut findings)?;
    case.head(&execution, &mut findings);
    evidence::negatives(&case, &execution, &mut findings)?;
    if let Some(runtime) = &runtime {
        evidence::negatives(&case, runtime, &mut findings)?;
    }
    let (authorized_by, mut consumes) = artifact::authorization(&case, &execution, &mut findings)?;
    for required in &policy.body.require {
        let scene = match required.of {
            Of::Execution => Some(&execution),
            Of::Runtime => runtime.as_ref(),
        };
        match scene {
            Some(scene) => consumes.extend(requirement::check(&case, required, scene, &mut findings)?),
            None => {
                let detail = format!(
                    "the policy requires a `{}` of the runtime, and the request names none that is known",
                    required.kind
                );
                findings.deny(Code::EvidenceMissing, detail, None);
            }
        }
    }
    if view.is_in_doubt() {
        let most = limit::JUDGED_STATEMENTS;
        let detail = format!("this rests on more than {most} statements, which is more than is looked at");
        findings.deny(Code::InheritanceUnverifiable, detail, None);
    }
    let grounds = authorized_by.map(|authorized_by| {
        Grounds::new(policy.evidence_id, authorized_by, policy.body.decision_ttl_seconds)
    });
    Ok((verdict::conclude(findings, grounds), consumes))
}

/// What is being decided, by which policy, when.
struct Case<'a> {
    view: &'a View<'a>,
    request: &'a AuthorizeRequest,
    policy: &'a PolicyBody,
    now: Millis,
    mode: Mode,
    /// How many older slots were looked at.
    walked: Cell<usize>,
}

/// A lineage and what its issuers said.
struct Scene {
    name: LineageName,
    lineage: LineageRow,
    said: Vec<Said>,
    /// The half that stands of each equivocation that is reconciled.
    canonical: BTreeSet<EvidenceId>,
}

impl Scene {
    /// What each issuer said of a kind.
    fn of_kind(&self, kind: EvidenceKind) -> impl Iterator<Item = &Said> {
        self.said.iter().filter(move |said| said.kind == kind)
    }

    /// The statement of a slot that may count for a kind: the only one for the slot, or, of an equivocation, the half that
    /// stands. None if that is of another kind, or if there is none.
    fn counting<'s>(&self, slot: &'s Slot, kind: EvidenceKind) -> Option<&'s SlotRow> {
        let contested = slot.halves().count() > 1;
        slot.of_kind(kind).find(|half| !contested || self.canonical.contains(&half.evidence_id))
    }

    fn chain<'s>(&'s self, case: &'s Case<'_>, said: &'s Said) -> Chain<'s> {
        Chain { domain: &case.request.domain, lineage: &self.name, issuer: &said.issuer }
    }
}

impl Case<'_> {
    /// The slot before those that `walk` has passed; an error if so many were looked at that it is in doubt.
    fn walk(
        &self,
        scene: &Scene,
        said: &Said,
        walk: &mut Walk,
    ) -> Result<Result<Option<Slot>, TooFar>, RowError> {
        let next = walk.next(self.view, scene.chain(self, said), &scene.lineage)?;
        if next.is_some() {
            self.walked.set(self.walked.get().saturating_add(1));
        }
        Ok(if self.walked.get() > limit::WALKED_STATEMENTS { Err(TooFar) } else { Ok(next) })
    }

    /// What is recorded for the request's nonce, where a permit should have been.
    fn permit(&self, findings: &mut Findings) -> Result<(), RowError> {
        match &self.mode {
            Mode::Permitted(Recorded::Permit { receipt, .. }) => {
                let id = receipt.evidence_id;
                if self.view.is_void(&id)? {
                    findings.deny(Code::InheritanceUnverifiable, "the permit is void".to_owned(), Some(id));
                }
                findings.permit = Some(receipt.clone());
            }
            Mode::Permitted(Recorded::Another) => {
                let detail = "the nonce was used for another request in this lineage".to_owned();
                findings.deny(Code::NonceReused, detail, None);
            }
            Mode::Permitted(Recorded::Nothing) | Mode::Read | Mode::Record => {}
        }
        Ok(())
    }

    fn head(&self, execution: &Scene, findings: &mut Findings) {
        findings.head = execution.lineage.head;
        let Some(expected) = self.request.expected_head else { return };
        if execution.lineage.head != Some(expected) {
            let head = execution.lineage.head.map_or("nothing".to_owned(), |head| format!("`{head}`"));
            findings.deny(Code::HeadMismatch, format!("the lineage's head is {head}"), Some(expected));
        }
    }
}

fn execution_scene(
    view: &View<'_>,
    request: &AuthorizeRequest,
    findings: &mut Findings,
) -> Result<Option<Scene>, RowError> {
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
    let scene = scene(view, request, &name, findings)?;
    if scene.as_ref().is_some_and(|scene| !scene.lineage.subjects.contains(&request.subject)) {
        let detail = format!("lineage `{name}` is about another digest than `{}`", request.subject);
        findings.deny(Code::SubjectMismatch, detail, None);
    }
    Ok(scene)
}

/// What is said of the runtime. `own` is the execution's lineage, which is no runtime's: evidence about what is to run says
/// nothing of what it runs on.
fn runtime_scene(
    view: &View<'_>,
    request: &AuthorizeRequest,
    own: Option<&LineageName>,
    findings: &mut Findings,
) -> Result<Option<Scene>, RowError> {
    match &request.runtime {
        None => Ok(None),
        Some(name) if own == Some(name) => {
            let detail = format!("lineage `{name}` is the execution's own and no runtime's");
            findings.deny(Code::LineageUnknown, detail, None);
            Ok(None)
        }
        Some(name) => scene(view, request, name, findings),
    }
}

fn scene(
    view: &View<'_>,
    request: &AuthorizeRequest,
    name: &LineageName,
    findings: &mut Findings,
) -> Result<Option<Scene>, RowError> {
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
        // Governance can say which half stands, but not what the others meant who wrote here in the meantime.
        let detail = format!("lineage `{name}` was begun with two subjects; start a new one");
        findings.deny(Code::SubjectMismatch, detail, None);
    }
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
    let said = said(view, request, name, &lineage, findings)?;
    Ok(Some(Scene { name: name.clone(), lineage, said, canonical }))
}

/// What every issuer said in a lineage, by issuer. Denies if the stored chains do not join: there are as many as the lineage
/// has issuers, and each ends with the slot before its next one.
fn said(
    view: &View<'_>,
    request: &AuthorizeRequest,
    name: &LineageName,
    lineage: &LineageRow,
    findings: &mut Findings,
) -> Result<Vec<Said>, RowError> {
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
        // A row that is missing is damage, which this says.
        all.extend(view.said(chain, row, lineage)?);
    }
    Ok(all)
}

/// More slots were walked back over than one evaluation does.
struct TooFar;

/// A statement that counts, and until when.
struct Counted {
    evidence_id: EvidenceId,
    until: Option<Millis>,
}
