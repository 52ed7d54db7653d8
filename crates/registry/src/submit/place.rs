//! In which domain and lineage a kind of statement may lie, and what its slot must look like (RFC-EG-033 §8,
//! boundaries between domains).

use assent_proof::{Code, DomainName, EvidenceKind, LineageName, Refusal, Statement};

use super::stop::Stop;
use crate::kinds::{GovernanceOf, HomeLineage, profile};
use crate::view::View;

/// The domain must exist, and the statement's kind must belong in the domain and lineage that the statement
/// names.
///
/// Rule R82 (RFC-EG-033 §5, sovereign execution domains): The statement's domain exists, except for the first
/// `root`, which creates `_root` (`domain_unknown`), and takes no execution evidence while it is isolated
/// (`domain_isolated`).
pub(super) fn domain(view: &View<'_>, statement: &Statement) -> Result<(), Stop> {
    shape(statement)?;
    // The first root statement creates `_root`.
    if statement.kind == EvidenceKind::Root && view.meta()?.is_none() {
        return Ok(());
    }
    let Some(domain) = view.domain(&statement.domain)? else {
        let detail = format!("there is no domain `{}`", statement.domain);
        return Err(Refusal::at(Code::DomainUnknown, "predicate.domain", detail).into());
    };
    if statement.kind.is_execution()
        && let Some(isolation) = view.isolations(&statement.domain, &domain)?.first()
    {
        let detail = format!("domain `{}` is isolated by `{isolation}`", statement.domain);
        return Err(Refusal::at(Code::DomainIsolated, "predicate.domain", detail).into());
    }
    Ok(())
}

/// Rule R81 (RFC-EG-033 §4, fragmented proof lineage): A statement has the shape of its kind (`malformed`):
/// only execution evidence references anything, execution evidence, containments and permits have exactly one
/// issuer, and exactly the kinds that take slots have a `sequence`, with a `parent` too unless the slot is
/// slot 0.
fn shape(statement: &Statement) -> Result<(), Refusal> {
    let malformed = |field: &str, detail: String| Err(Refusal::at(Code::Malformed, field, detail));
    let kind = statement.kind;
    home_lineage(statement)?;
    if !kind.is_execution() && !statement.references.is_empty() {
        // The check for voidness walks from evidence to the grants of its signers. If grants could rest on
        // evidence in turn, that walk would have no bound.
        return malformed("predicate.references", format!("`{kind}` references nothing"));
    }
    if profile(kind).one_issuer && statement.issuers.len() != 1 {
        return malformed("predicate.issuers", format!("`{kind}` has exactly one issuer"));
    }
    if !kind.takes_slot() {
        if statement.sequence.is_some() || statement.parent.is_some() {
            let detail = format!("`{kind}` takes no slot: `sequence` and `parent` are null");
            return malformed("predicate.sequence", detail);
        }
        return Ok(());
    }
    match (statement.sequence, statement.parent) {
        (None, _) => malformed("predicate.sequence", format!("`{kind}` needs a slot")),
        (Some(0), Some(_)) => malformed("predicate.parent", "slot 0 has no parent".into()),
        (Some(sequence), None) if sequence > 0 => {
            malformed("predicate.parent", format!("slot {sequence} needs its parent"))
        }
        _ => Ok(()),
    }
}

/// The statement must lie where its kind belongs.
///
/// Rule R80 (RFC-EG-033 §5, sovereign execution domains): A statement lies where its kind belongs: execution
/// evidence and permits in a lineage of a domain, neither of them with a name that begins with `_`,
/// governance in the `_governance` of its domain, and what governs the whole registry in that of `_root`
/// (`malformed`).
fn home_lineage(statement: &Statement) -> Result<(), Refusal> {
    let malformed = |field: &str, detail: String| Err(Refusal::at(Code::Malformed, field, detail));
    let kind = statement.kind;
    match profile(kind).home_lineage {
        HomeLineage::WithExecution => {
            if statement.domain.is_system() {
                let detail = format!("`{kind}` does not belong in a domain of the system");
                return malformed("predicate.domain", detail);
            }
            if statement.lineage.is_system() {
                let detail = format!("`{kind}` does not belong in `{}`", statement.lineage);
                return malformed("predicate.lineage", detail);
            }
        }
        HomeLineage::WithPermitted => {
            if statement.domain.is_system() || statement.lineage.is_system() {
                let detail = format!("a `{kind}` belongs in an execution's lineage");
                return malformed("predicate.lineage", detail);
            }
        }
        HomeLineage::InGovernance(of) => {
            if statement.lineage != LineageName::governance() {
                return malformed("predicate.lineage", format!("`{kind}` belongs in `_governance`"));
            }
            match of {
                GovernanceOf::Root if statement.domain != DomainName::root() => {
                    return malformed("predicate.domain", format!("`{kind}` belongs in `_root`"));
                }
                GovernanceOf::Domain if statement.domain.is_system() => {
                    return malformed("predicate.domain", format!("`_root` has no {kind}"));
                }
                GovernanceOf::Root | GovernanceOf::Domain | GovernanceOf::Any => {}
            }
        }
    }
    Ok(())
}
