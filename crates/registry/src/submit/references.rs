//! What a statement may rest on (RFC-EG-033 §4, detached audit evidence and unverifiable exchange inheritance).

use assent_proof::{Code, EvidenceKind, Refusal, Statement};

use super::stop::Stop;
use crate::view::View;

/// Every reference exists in the statement's domain and carries what rests on it.
///
/// Rule R105 (RFC-EG-033 §4, detached audit evidence): Every reference is accepted evidence of the same
/// domain, an audit event has at least one (`evidence_detached`), and nothing that the statement rests on has
/// a flaw (R64, R65).
pub(super) fn check(view: &View<'_>, statement: &Statement) -> Result<(), Stop> {
    let field = "predicate.references";
    if statement.kind == EvidenceKind::AuditLineage && statement.references.is_empty() {
        let detail = "an audit event must reference the evidence that it is about";
        return Err(Refusal::at(Code::EvidenceDetached, field, detail).into());
    }
    for reference in &statement.references {
        if view.evidence(reference)?.is_none_or(|row| row.domain != statement.domain) {
            let detail = format!("`{reference}` does not exist in domain `{}`", statement.domain);
            return Err(Refusal::at(Code::EvidenceDetached, field, detail).into());
        }
    }
    if let Some((code, detail)) = view.reference_flaw(&statement.references)? {
        return Err(Refusal::at(code, field, detail).into());
    }
    own_slots(view, statement)
}

/// A statement cannot rest on its own slot or a later one of its issuer's chain: whether such a pair is an
/// equivocation would depend on which of the two arrived first.
///
/// Rule R106 (RFC-EG-033 §4, fragmented proof lineage): A statement does not reference its own slot or a
/// later one of its issuer's chain (`lineage_fragmented`).
fn own_slots(view: &View<'_>, statement: &Statement) -> Result<(), Stop> {
    let closure = view.closure(&statement.references)?.unwrap_or_default();
    for id in closure {
        let Some(row) = view.evidence(&id)? else { continue };
        let same_chain = row.domain == statement.domain
            && row.lineage == statement.lineage
            && row.issuers == statement.issuers;
        if same_chain && row.sequence >= statement.sequence {
            let detail = format!("it rests on `{id}`, which is not before it in its issuer's own chain");
            return Err(Refusal::at(Code::LineageFragmented, "predicate.references", detail).into());
        }
    }
    Ok(())
}
