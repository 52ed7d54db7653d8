//! Reading claims, kind by kind.

use super::claim::{Claims, Containment};
use super::limits::{
    MAX_CHECKPOINT_BYTES, MAX_CONSISTENCY, MAX_DETAIL_BYTES, MAX_LIST, MAX_MEASUREMENT_BYTES, MAX_NAME_BYTES,
    MAX_RECOVERY_VOTERS,
};
use super::policy::PolicyBody;
use super::tree_hash::TreeHash;
use crate::code::Code;
use crate::id::EvidenceId;
use crate::json::{FieldError, Fields, Json};
use crate::key::PublicKey;
use crate::kind::EvidenceKind;
use crate::name::{DomainName, LineageName, Token};
use crate::note::is_key_name;
use crate::refusal::Refusal;
use crate::request::AuthorizeRequest;
use crate::rules::Rules;
use crate::statement::{MAX_ISSUERS, check_distinct};
use crate::text::{Source, check_plain, check_printable_ascii};
use crate::time::Seconds;

/// The path of the claims in a statement.
const PATH: &str = "predicate.claims";

impl Claims {
    /// Reads the claims of a statement of this kind, under the rules that it was or would be accepted under.
    ///
    /// Rule R79 (RFC-EG-033 §6, signed proof envelopes): The claims have exactly the form of their kind
    /// (`claims_invalid`), which is looked at after the signers, but before them if the statement admits
    /// keys.
    ///
    /// # Errors
    /// `claims_invalid` with the field at fault.
    pub fn parse(rules: Rules, kind: EvidenceKind, claims: &Json) -> Result<Claims, Refusal> {
        let claims = Fields::of(claims, PATH).and_then(|mut fields| {
            let claims = read(rules, kind, &mut fields)?;
            fields.finish()?;
            Ok(claims)
        });
        claims.map_err(|error| Refusal::of_field(Code::ClaimsInvalid, error))
    }
}

fn read(rules: Rules, kind: EvidenceKind, fields: &mut Fields<'_>) -> Result<Claims, FieldError> {
    match kind {
        EvidenceKind::ExecutionAuthorization => execution_authorization(fields),
        EvidenceKind::RuntimeAttestation => runtime_attestation(fields, rules),
        EvidenceKind::PolicyValidation => policy_validation(fields),
        EvidenceKind::RuntimeIntegrity => runtime_integrity(fields),
        EvidenceKind::AuditLineage => audit_lineage(fields, rules),
        EvidenceKind::Root => root(fields),
        EvidenceKind::Domain => domain(fields),
        EvidenceKind::AuthorityGrant => authority_grant(fields, rules),
        EvidenceKind::Policy => PolicyBody::read(fields).map(Claims::Policy),
        EvidenceKind::Revocation => revocation(fields),
        EvidenceKind::Containment => containment(fields),
        EvidenceKind::Release => release(fields),
        EvidenceKind::Permit => permit(fields),
        EvidenceKind::Reconciliation => reconciliation(fields),
        EvidenceKind::SovereignTrust => sovereign_trust(fields, rules),
        EvidenceKind::SynchronizationContinuity => synchronization_continuity(fields),
        EvidenceKind::Rules => raise(fields),
        EvidenceKind::Recovery => recovery(fields),
    }
}

fn execution_authorization(fields: &mut Fields<'_>) -> Result<Claims, FieldError> {
    let actions: Vec<Token> = fields.list("actions", MAX_LIST)?;
    let audience: Option<Vec<Token>> = fields.opt_list("audience", MAX_LIST)?;
    let environment: Option<Token> = fields.opt_parsed("environment")?;
    let (not_before, not_after) = interval(fields)?;
    let uses = fields.opt_int_within("uses", 1, u32::MAX)?;
    let runtimes = runtimes(fields)?;
    no_wildcards(&fields.path_of("actions"), &actions)?;
    no_wildcards(&fields.path_of("audience"), audience.as_deref().unwrap_or_default())?;
    no_wildcards(&fields.path_of("environment"), environment.as_slice())?;
    let texts = |tokens: Vec<Token>| tokens.into_iter().map(String::from).collect();
    Ok(Claims::ExecutionAuthorization {
        actions: texts(actions),
        audience: audience.map(texts),
        environment: environment.map(String::from),
        not_before,
        not_after,
        uses,
        runtimes,
    })
}

/// `runtimes`: the lineages that a request may name as its runtime; `None` if the field is absent.
fn runtimes(fields: &mut Fields<'_>) -> Result<Option<Vec<LineageName>>, FieldError> {
    let runtimes: Option<Vec<LineageName>> = fields.opt_list("runtimes", MAX_LIST)?;
    let system = runtimes.iter().flatten().position(LineageName::is_system);
    if let Some(i) = system {
        let path = format!("{}[{i}]", fields.path_of("runtimes"));
        return Err(FieldError::new(path, "must not be the system's own lineage"));
    }
    Ok(runtimes)
}

fn runtime_attestation(fields: &mut Fields<'_>, rules: Rules) -> Result<Claims, FieldError> {
    Ok(Claims::RuntimeAttestation {
        verifier: name(fields, "verifier", rules)?,
        status: fields.parsed("status")?,
        measurement: measurement(fields, "measurement")?,
    })
}

fn policy_validation(fields: &mut Fields<'_>) -> Result<Claims, FieldError> {
    Ok(Claims::PolicyValidation {
        policy_digest: measurement(fields, "policyDigest")?,
        verdict: fields.parsed("verdict")?,
    })
}

fn runtime_integrity(fields: &mut Fields<'_>) -> Result<Claims, FieldError> {
    Ok(Claims::RuntimeIntegrity { measured: measurement(fields, "measured")? })
}

fn audit_lineage(fields: &mut Fields<'_>, rules: Rules) -> Result<Claims, FieldError> {
    let event = name(fields, "event", rules)?;
    let detail = fields.opt_text("detail")?;
    match detail {
        Some(detail) => check_plain(rules.text, &fields.path_of("detail"), detail, MAX_DETAIL_BYTES)?,
        None if rules.audit_event_needs_detail => {
            return Err(FieldError::new(fields.path_of("detail"), "is missing"));
        }
        None => {}
    }
    Ok(Claims::AuditLineage { event, detail: detail.map(str::to_owned) })
}

fn root(fields: &mut Fields<'_>) -> Result<Claims, FieldError> {
    let (keys, threshold) = keys_and_threshold(fields, "keys")?;
    Ok(Claims::Root { keys, threshold, registry_key: fields.parsed("registryKey")? })
}

/// Rule R95 (RFC-EG-033 §8, governance authorities): No `domain` statement names a domain that begins with
/// `_` (`claims_invalid`).
fn domain(fields: &mut Fields<'_>) -> Result<Claims, FieldError> {
    let domain: DomainName = fields.parsed("domain")?;
    if domain.is_system() {
        return Err(FieldError::new(fields.path_of("domain"), "must not be the system's own domain"));
    }
    let (governance, threshold) = keys_and_threshold(fields, "governance")?;
    Ok(Claims::Domain { domain, governance, threshold })
}

fn authority_grant(fields: &mut Fields<'_>, rules: Rules) -> Result<Claims, FieldError> {
    let (not_before, not_after) = interval(fields)?;
    Ok(Claims::AuthorityGrant {
        authority: fields.parsed("authority")?,
        name: name(fields, "name", rules)?,
        role: fields.parsed("role")?,
        not_before,
        not_after,
    })
}

fn revocation(fields: &mut Fields<'_>) -> Result<Claims, FieldError> {
    Ok(Claims::Revocation {
        authority: fields.parsed("authority")?,
        reason: fields.parsed("reason")?,
        invalid_since: fields.opt_parsed("invalidSince")?,
    })
}

fn containment(fields: &mut Fields<'_>) -> Result<Claims, FieldError> {
    let action = fields.text("action")?;
    let containment = match action {
        "quarantine" => {
            let lineage: LineageName = fields.parsed("target")?;
            if lineage.is_system() {
                let path = fields.path_of("target");
                return Err(FieldError::new(path, "must not be a lineage of the system"));
            }
            Containment::Quarantine(lineage)
        }
        "isolate" => Containment::Isolate(fields.parsed("target")?),
        "invalidate" => Containment::Invalidate(fields.parsed("target")?),
        _ => {
            let path = fields.path_of("action");
            return Err(FieldError::new(path, "must be `quarantine`, `isolate` or `invalidate`"));
        }
    };
    Ok(Claims::Containment(containment))
}

fn release(fields: &mut Fields<'_>) -> Result<Claims, FieldError> {
    Ok(Claims::Release { containment: fields.parsed("containment")? })
}

fn sovereign_trust(fields: &mut Fields<'_>, rules: Rules) -> Result<Claims, FieldError> {
    let peer = fields.text("peer")?;
    // A stored statement is not checked again: its peer's name was valid when the registry accepted it.
    if rules.text == Source::Outside && !is_key_name(peer) {
        return Err(FieldError::new(fields.path_of("peer"), "is not an origin that a checkpoint can have"));
    }
    let node_keys: Vec<PublicKey> = fields.list("nodeKeys", MAX_ISSUERS)?;
    let path = fields.path_of("nodeKeys");
    if node_keys.is_empty() {
        return Err(FieldError::new(path, "must name at least one key"));
    }
    check_distinct(&path, &node_keys)?;
    Ok(Claims::SovereignTrust {
        peer: peer.to_owned(),
        registry_key: fields.parsed("registryKey")?,
        node_keys,
        not_after: fields.parsed("notAfter")?,
    })
}

fn synchronization_continuity(fields: &mut Fields<'_>) -> Result<Claims, FieldError> {
    let checkpoint = fields.text("checkpoint")?;
    if checkpoint.len() > MAX_CHECKPOINT_BYTES {
        let problem = format!("has more than {MAX_CHECKPOINT_BYTES} bytes");
        return Err(FieldError::new(fields.path_of("checkpoint"), problem));
    }
    let consistency: Vec<TreeHash> = fields.list("consistency", MAX_CONSISTENCY)?;
    Ok(Claims::SynchronizationContinuity { checkpoint: checkpoint.to_owned(), consistency })
}

/// Rule R143 (RFC-EG-033 §10, proof replay attacks): The request of a permit names its lineage and a nonce
/// (`malformed`, `claims_invalid`), and the permit lies in the domain and the lineage of its request and is
/// about the same subject (`claims_invalid`, `subject_mismatch`).
fn permit(fields: &mut Fields<'_>) -> Result<Claims, FieldError> {
    let path = fields.path_of("request");
    let request = AuthorizeRequest::from_json(fields.value("request")?, &path)
        .map_err(|refusal| FieldError::new(refusal.field.unwrap_or_else(|| path.clone()), refusal.detail))?;
    for (name, given) in [("lineage", request.lineage.is_some()), ("nonce", request.nonce.is_some())] {
        if !given {
            return Err(FieldError::new(format!("{path}.{name}"), "is missing"));
        }
    }
    Ok(Claims::Permit(Box::new(request)))
}

fn reconciliation(fields: &mut Fields<'_>) -> Result<Claims, FieldError> {
    let conflict: Vec<EvidenceId> = fields.list("conflict", 2)?;
    let path = fields.path_of("conflict");
    let conflict: [EvidenceId; 2] = conflict
        .try_into()
        .map_err(|_| FieldError::new(&path, "must name both halves of an equivocation"))?;
    check_distinct(&path, &conflict)?;
    let canonical: EvidenceId = fields.parsed("canonical")?;
    if !conflict.contains(&canonical) {
        return Err(FieldError::new(fields.path_of("canonical"), "must be one of `conflict`"));
    }
    Ok(Claims::Reconciliation { conflict, canonical })
}

fn raise(fields: &mut Fields<'_>) -> Result<Claims, FieldError> {
    Ok(Claims::Rules { version: fields.int_within("version", 1, u32::MAX)? })
}

fn recovery(fields: &mut Fields<'_>) -> Result<Claims, FieldError> {
    let given = fields.int("epoch")?;
    let epoch = u64::try_from(given).ok().filter(|epoch| *epoch >= 2);
    let epoch = epoch.ok_or_else(|| {
        FieldError::new(fields.path_of("epoch"), format!("must be at least 2, not `{given}`"))
    })?;
    let voters: Vec<PublicKey> = fields.list("voters", MAX_RECOVERY_VOTERS)?;
    let path = fields.path_of("voters");
    if voters.is_empty() {
        return Err(FieldError::new(path, "must name at least one key"));
    }
    check_distinct(&path, &voters)?;
    Ok(Claims::Recovery { epoch, voters })
}

/// `notBefore` and `notAfter`: a half-open interval that is not empty.
fn interval(fields: &mut Fields<'_>) -> Result<(Seconds, Seconds), FieldError> {
    let (not_before, not_after) = (fields.parsed("notBefore")?, fields.parsed("notAfter")?);
    if not_after <= not_before {
        return Err(FieldError::new(fields.path_of("notAfter"), "must be later than `notBefore`"));
    }
    Ok((not_before, not_after))
}

/// `name` with 1 to 32 distinct keys, and a `threshold` from 1 to their number.
fn keys_and_threshold(fields: &mut Fields<'_>, name: &str) -> Result<(Vec<PublicKey>, u32), FieldError> {
    let keys: Vec<PublicKey> = fields.list(name, MAX_ISSUERS)?;
    if keys.is_empty() {
        return Err(FieldError::new(fields.path_of(name), "must name at least one key"));
    }
    check_distinct(&fields.path_of(name), &keys)?;
    let most = u32::try_from(keys.len()).unwrap_or(u32::MAX);
    let threshold = fields.int_within("threshold", 1, most)?;
    Ok((keys, threshold))
}

/// Values are compared byte by byte. An author who writes `*` expects a wildcard, so it is refused.
fn no_wildcards(path: &str, tokens: &[Token]) -> Result<(), FieldError> {
    match tokens.iter().find(|token| token.as_str().contains('*')) {
        Some(token) => Err(FieldError::new(path, format!("`{token}` looks like an unsupported wildcard"))),
        None => Ok(()),
    }
}

fn name(fields: &mut Fields<'_>, field: &str, rules: Rules) -> Result<String, FieldError> {
    let text = fields.text(field)?;
    check_plain(rules.text, &fields.path_of(field), text, MAX_NAME_BYTES)?;
    Ok(text.to_owned())
}

fn measurement(fields: &mut Fields<'_>, field: &str) -> Result<String, FieldError> {
    let text = fields.text(field)?;
    check_printable_ascii(&fields.path_of(field), text, MAX_MEASUREMENT_BYTES)?;
    Ok(text.to_owned())
}
