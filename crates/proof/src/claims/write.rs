//! Writing claims as JSON, the form that [`Claims::parse`] reads; what is absent is omitted.

use super::claim::Claims;
use crate::json::Json;
use crate::kind::EvidenceKind;
use crate::time::Seconds;

impl Claims {
    /// The kind of statement that these claims belong to.
    pub fn kind(&self) -> EvidenceKind {
        match self {
            Claims::ExecutionAuthorization { .. } => EvidenceKind::ExecutionAuthorization,
            Claims::RuntimeAttestation { .. } => EvidenceKind::RuntimeAttestation,
            Claims::PolicyValidation { .. } => EvidenceKind::PolicyValidation,
            Claims::RuntimeIntegrity { .. } => EvidenceKind::RuntimeIntegrity,
            Claims::AuditLineage { .. } => EvidenceKind::AuditLineage,
            Claims::Root { .. } => EvidenceKind::Root,
            Claims::Domain { .. } => EvidenceKind::Domain,
            Claims::AuthorityGrant { .. } => EvidenceKind::AuthorityGrant,
            Claims::Policy(_) => EvidenceKind::Policy,
            Claims::Revocation { .. } => EvidenceKind::Revocation,
            Claims::Containment(_) => EvidenceKind::Containment,
            Claims::Release { .. } => EvidenceKind::Release,
            Claims::Permit(_) => EvidenceKind::Permit,
            Claims::SovereignTrust { .. } => EvidenceKind::SovereignTrust,
            Claims::SynchronizationContinuity { .. } => EvidenceKind::SynchronizationContinuity,
            Claims::Reconciliation { .. } => EvidenceKind::Reconciliation,
            Claims::Rules { .. } => EvidenceKind::Rules,
            Claims::Recovery { .. } => EvidenceKind::Recovery,
        }
    }

    /// The claims as a JSON object.
    pub fn to_json(&self) -> Json {
        match self {
            Claims::ExecutionAuthorization {
                actions,
                audience,
                environment,
                not_before,
                not_after,
                uses,
                runtimes,
            } => object([
                Some(("actions", Json::texts(actions))),
                audience.as_ref().map(|audience| ("audience", Json::texts(audience))),
                environment.as_ref().map(|environment| ("environment", Json::text(environment))),
                Some(("notBefore", time(*not_before))),
                Some(("notAfter", time(*not_after))),
                uses.map(|uses| ("uses", Json::Int(uses.into()))),
                runtimes.as_ref().map(|runtimes| ("runtimes", Json::texts(runtimes))),
            ]),
            Claims::RuntimeAttestation { verifier, status, measurement } => object([
                Some(("verifier", Json::text(verifier))),
                Some(("status", Json::text(status.as_str()))),
                Some(("measurement", Json::text(measurement))),
            ]),
            Claims::PolicyValidation { policy_digest, verdict } => object([
                Some(("policyDigest", Json::text(policy_digest))),
                Some(("verdict", Json::text(verdict.as_str()))),
            ]),
            Claims::RuntimeIntegrity { measured } => object([Some(("measured", Json::text(measured)))]),
            Claims::AuditLineage { event, detail } => object([
                Some(("event", Json::text(event))),
                detail.as_ref().map(|detail| ("detail", Json::text(detail))),
            ]),
            Claims::Root { keys, threshold, registry_key } => object([
                Some(("keys", Json::texts(keys))),
                Some(("threshold", Json::Int((*threshold).into()))),
                Some(("registryKey", Json::text(registry_key.to_string()))),
            ]),
            Claims::Domain { domain, governance, threshold } => object([
                Some(("domain", Json::text(domain.as_str()))),
                Some(("governance", Json::texts(governance))),
                Some(("threshold", Json::Int((*threshold).into()))),
            ]),
            Claims::AuthorityGrant { authority, name, role, not_before, not_after } => object([
                Some(("authority", Json::text(authority.to_string()))),
                Some(("name", Json::text(name))),
                Some(("role", Json::text(role.as_str()))),
                Some(("notBefore", time(*not_before))),
                Some(("notAfter", time(*not_after))),
            ]),
            Claims::Policy(policy) => policy.to_json(),
            Claims::Revocation { authority, reason, invalid_since } => object([
                Some(("authority", Json::text(authority.to_string()))),
                Some(("reason", Json::text(reason.as_str()))),
                invalid_since.map(|since| ("invalidSince", time(since))),
            ]),
            Claims::Containment(containment) => object([
                Some(("action", Json::text(containment.action()))),
                Some(("target", Json::text(containment.target()))),
            ]),
            Claims::Release { containment } => {
                object([Some(("containment", Json::text(containment.to_string())))])
            }
            Claims::SovereignTrust { peer, registry_key, node_keys, not_after } => object([
                Some(("peer", Json::text(peer))),
                Some(("registryKey", Json::text(registry_key.to_string()))),
                Some(("nodeKeys", Json::texts(node_keys))),
                Some(("notAfter", time(*not_after))),
            ]),
            Claims::SynchronizationContinuity { checkpoint, consistency } => object([
                Some(("checkpoint", Json::text(checkpoint))),
                Some(("consistency", Json::texts(consistency))),
            ]),
            Claims::Permit(request) => object([Some(("request", request.to_json()))]),
            Claims::Reconciliation { conflict, canonical } => object([
                Some(("conflict", Json::texts(conflict))),
                Some(("canonical", Json::text(canonical.to_string()))),
            ]),
            Claims::Rules { version } => object([Some(("version", Json::Int((*version).into())))]),
            Claims::Recovery { epoch, voters } => object([
                Some(("epoch", Json::Int(i64::try_from(*epoch).unwrap_or(i64::MAX)))),
                Some(("voters", Json::texts(voters))),
            ]),
        }
    }
}

fn object<const N: usize>(fields: [Option<(&'static str, Json)>; N]) -> Json {
    Json::object(fields.into_iter().flatten())
}

fn time(at: Seconds) -> Json {
    Json::text(at.to_string())
}
