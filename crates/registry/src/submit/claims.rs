//! What claims must mean beside being well formed: targets that exist, keys with one role in one domain,
//! subjects that name the target.

use assent_proof::{Claims, Code, DomainName, PublicKey, Refusal, Role, Sha256, Statement};

use super::Stop;
use crate::view::View;

/// Checks the claims against the state.
pub(super) fn check(view: &View<'_>, statement: &Statement, claims: &Claims) -> Result<(), Stop> {
    match claims {
        Claims::Root { keys, registry_key, .. } => {
            subject(statement, &statement.registry)?;
            if keys.contains(registry_key) {
                return Err(two_roles(registry_key).into());
            }
        }
        Claims::Domain { domain, governance, .. } => {
            subject(statement, domain.as_ref())?;
            if domain.is_system() {
                return Err(invalid("domain", format!("`{domain}` is the system's")).into());
            }
            for key in governance {
                unused(view, key)?;
            }
        }
        Claims::AuthorityGrant { authority, role, .. } => {
            subject(statement, &authority.to_string())?;
            grant(view, statement, authority, *role)?;
        }
        Claims::Policy(_) => subject(statement, statement.domain.as_ref())?,
        Claims::Revocation { authority, .. } => {
            subject(statement, &authority.to_string())?;
            if view.authority(authority)?.is_none_or(|row| row.domain != statement.domain) {
                let detail = format!("{authority} is not an authority of domain `{}`", statement.domain);
                let field = "predicate.claims.authority";
                return Err(Refusal::at(Code::TargetUnknown, field, detail).into());
            }
        }
        _ => {}
    }
    Ok(())
}

/// A governance statement's subject is the SHA-256 of its target's string.
fn subject(statement: &Statement, target: &str) -> Result<(), Refusal> {
    if statement.subject == Sha256::of(target.as_bytes()) {
        return Ok(());
    }
    let detail = format!("the subject's sha256 is not that of its target `{target}`");
    Err(Refusal::at(Code::SubjectMismatch, "subject[0].digest.sha256", detail))
}

fn grant(view: &View<'_>, statement: &Statement, key: &PublicKey, role: Role) -> Result<(), Stop> {
    let in_root = statement.domain == DomainName::root();
    if role == Role::Governance {
        return Err(invalid("role", "governance keys come from `domain` and `root` only".into()).into());
    }
    if in_root && role != Role::Registry {
        return Err(invalid("role", "`_root` grants only the role `registry`, to nodes".into()).into());
    }
    let Some(row) = view.authority(key)? else { return not_registry_key(view, key) };
    if row.revoked.is_some() {
        let detail = format!("{key} was revoked, and a revoked key is dead for good");
        return Err(Refusal::at(Code::AuthorityRevoked, "predicate.claims.authority", detail).into());
    }
    if row.role != role || row.domain != statement.domain {
        return Err(two_roles(key).into());
    }
    Ok(())
}

fn unused(view: &View<'_>, key: &PublicKey) -> Result<(), Stop> {
    if view.authority(key)?.is_some() {
        return Err(two_roles(key).into());
    }
    not_registry_key(view, key)
}

fn not_registry_key(view: &View<'_>, key: &PublicKey) -> Result<(), Stop> {
    if view.meta()?.is_some_and(|meta| meta.registry_key == *key) {
        return Err(two_roles(key).into());
    }
    Ok(())
}

fn two_roles(key: &PublicKey) -> Refusal {
    let detail = format!("{key} already has a role: one key has one role in one domain");
    Refusal::at(Code::AuthorityInconsistent, "predicate.claims", detail)
}

fn invalid(claim: &str, detail: String) -> Refusal {
    Refusal::at(Code::ClaimsInvalid, format!("predicate.claims.{claim}"), detail)
}
