//! The times of a statement against the registry's time (RFC-EG-033 §6, timestamp-bound proof continuity).

use assent_proof::{Claims, Code, Millis, Refusal, Statement};

use crate::limit;

/// `issuedAt`, `expiresAt` and the times that the claims name must agree with the registry's time and with
/// one another.
///
/// Rule R103 (RFC-EG-033 §6, timestamp-bound proof continuity): `issuedAt` is at most 500 ms after the time
/// of acceptance, and `expiresAt`, which a statement of governance does not have, is after `issuedAt` and
/// after the time of acceptance (`times_invalid`).
pub(super) fn check(statement: &Statement, claims: &Claims, now: Millis) -> Result<(), Refusal> {
    let invalid = |field: &str, detail: String| Err(Refusal::at(Code::TimesInvalid, field, detail));
    if statement.issued_at.to_millis().0 > now.0.saturating_add(limit::CLOCK_BOUND_MS) {
        let detail = format!("`{}` lies in the registry's future", statement.issued_at);
        return invalid("predicate.issuedAt", detail);
    }
    if let Some(expires_at) = statement.expires_at {
        if !statement.kind.is_execution() {
            return invalid("predicate.expiresAt", "a governance statement does not expire".into());
        }
        if expires_at <= statement.issued_at {
            return invalid("predicate.expiresAt", "it is not after `issuedAt`".into());
        }
        if expires_at.to_millis() <= now {
            return invalid("predicate.expiresAt", format!("`{expires_at}` has passed"));
        }
    }
    claimed_times(statement, claims, now)
}

/// Checks the times that claims name, and how long a statement of some kinds can be used after it was signed.
///
/// Rule R104 (RFC-EG-033 §6, timestamp-bound proof continuity): The `notAfter` of a grant, an authorization
/// or a trust is after the time of acceptance, that of a grant or an authorization is after its `notBefore`
/// too, and the `invalidSince` of a revocation is not after the time of acceptance (`times_invalid`,
/// `claims_invalid`).
///
/// Rule R152 (RFC-EG-033 §6, timestamp-bound proof continuity): A `recovery` is usable for seven days after
/// its `issuedAt`, and a `rules` statement for a minute (`times_invalid`).
fn claimed_times(statement: &Statement, claims: &Claims, now: Millis) -> Result<(), Refusal> {
    let invalid = |field: &str, detail: String| Err(Refusal::at(Code::TimesInvalid, field, detail));
    let usable_for = |most_ms: i64, most: &str| {
        if now.0 > statement.issued_at.to_millis().0.saturating_add(most_ms) {
            let detail = format!("`{}` is more than {most} ago: sign a new one", statement.issued_at);
            return invalid("predicate.issuedAt", detail);
        }
        Ok(())
    };
    match claims {
        Claims::ExecutionAuthorization { not_before, not_after, .. }
        | Claims::AuthorityGrant { not_before, not_after, .. } => {
            if not_before >= not_after {
                return invalid("predicate.claims.notAfter", "it is not after `notBefore`".into());
            }
            if not_after.to_millis() <= now {
                return invalid("predicate.claims.notAfter", format!("`{not_after}` has passed"));
            }
            Ok(())
        }
        Claims::SovereignTrust { not_after, .. } => {
            if not_after.to_millis() <= now {
                return invalid("predicate.claims.notAfter", format!("`{not_after}` has passed"));
            }
            Ok(())
        }
        Claims::Recovery { .. } => usable_for(limit::RECOVERY_USABLE_MS, "seven days"),
        Claims::Rules { .. } => usable_for(limit::RULES_USABLE_MS, "a minute"),
        Claims::Revocation { invalid_since, .. } => match invalid_since {
            Some(since) if since.to_millis() > now => {
                invalid("predicate.claims.invalidSince", format!("`{since}` lies in the registry's future"))
            }
            Some(_) | None => Ok(()),
        },
        Claims::RuntimeAttestation { .. }
        | Claims::PolicyValidation { .. }
        | Claims::RuntimeIntegrity { .. }
        | Claims::AuditLineage { .. }
        | Claims::SynchronizationContinuity { .. }
        | Claims::Root { .. }
        | Claims::Domain { .. }
        | Claims::Policy(_)
        | Claims::Containment(_)
        | Claims::Release { .. }
        | Claims::Permit(_)
        | Claims::Reconciliation { .. } => Ok(()),
    }
}
