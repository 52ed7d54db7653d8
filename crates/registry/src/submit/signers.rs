//! Who may sign what: authorities, roles, thresholds (RFC-EG-033 §2 × §8).

use assent_proof::{
    Claims, Code, DomainName, EvidenceId, EvidenceKind, Millis, PublicKey, Refusal, Role, Statement,
};

use super::Stop;
use crate::kinds::{Admits, Restriction, Threshold, effects, profile};
use crate::record::CountedSigner;
use crate::rows::RowError;
use crate::standing::authority_flaw;
use crate::view::View;

/// The issuers that count, and how many must.
pub(super) struct Signers {
    pub(super) counted: Vec<CountedSigner>,
    pub(super) threshold: u32,
}

/// Every issuer is an active authority of the domain in a role that may sign this, enough of them sign, and
/// every key that the statement admits signs too.
pub(super) fn check(
    view: &View<'_>,
    statement: &Statement,
    id: EvidenceId,
    claims: Result<&Claims, &Refusal>,
    now: Millis,
) -> Result<Signers, Stop> {
    let Admission { must_sign, aside } = match claims {
        Ok(claims) => admission(view, claims)?,
        // Which keys it admits cannot be told apart from its signers, so its claims are at fault first.
        Err(refusal) if profile(statement.kind).admits_keys => return Err(refusal.clone().into()),
        Err(_) => Admission::default(),
    };
    for key in &must_sign {
        if !statement.issuers.contains(key) {
            let detail = format!("key {key} is admitted but is not among `issuers` and did not sign");
            return Err(Refusal::at(Code::UnsignedEvidence, "predicate.issuers", detail).into());
        }
    }
    let domain = domain_of_signers(statement);
    if let Ok(Claims::Root { keys, threshold, .. }) = claims {
        if view.meta()?.is_none() {
            return root(statement, id, &must_sign, keys, *threshold);
        }
        by_new_keys(statement, keys, *threshold)?;
    }
    let restriction = statement.kind.is_restriction() && statement.issuers.len() > 1;
    let mut counted = Vec::new();
    let mut roles = Vec::new();
    for key in statement.issuers.iter().filter(|key| !aside.contains(key)) {
        let row = view.authority(key)?.filter(|row| row.domain == domain);
        let Some(row) = row else { return Err(unknown(statement, key).into()) };
        if restriction && (authority_flaw(key, &row, now).is_some() || !view.is_admitted(&row)?) {
            // Kept in a safe, it may outlive one of its signers. The others have to be enough.
            continue;
        }
        if let Some((code, detail)) = authority_flaw(key, &row, now) {
            return Err(Refusal::at(code, "predicate.issuers", detail).into());
        }
        if !view.is_admitted(&row)? {
            let detail = format!("the grant of authority `{}` ({key}) is void", row.name);
            return Err(Refusal::at(Code::InheritanceUnverifiable, "predicate.issuers", detail).into());
        }
        counted.push(CountedSigner { key: *key, admitted_by: row.admitted_by });
        roles.push((*key, row.role));
    }
    let revoked = match claims.ok().and_then(|claims| effects(claims).restricts) {
        Some(Restriction::Revokes { authority, invalid_since }) => {
            Some(Revoked::of(view, statement, authority, invalid_since.is_some())?)
        }
        Some(Restriction::Contains(_)) | None => None,
    };
    if !revoked.as_ref().is_some_and(|revoked| revoked.by_itself) {
        permitted_roles(statement.kind, &roles)?;
    }
    let threshold = match &revoked {
        Some(revoked) => revoked.threshold,
        None => threshold(view, statement)?,
    };
    let without = revoked.and_then(|revoked| revoked.without);
    let signed = counted.iter().filter(|signer| Some(signer.key) != without).count();
    let signed = u32::try_from(signed).unwrap_or(u32::MAX);
    if signed < threshold {
        let but = without.map_or(String::new(), |key| format!(", not counting {key}, which it revokes"));
        let detail = format!("{signed} of the {threshold} governance signatures needed{but}");
        return Err(Refusal::at(Code::ThresholdNotMet, "predicate.issuers", detail).into());
    }
    if statement.kind == EvidenceKind::Release {
        // It rests on just as many as it needs, those with the smallest keys. Were more remembered, there would be more sets of
        // signers than can be looked at (see `containment`).
        counted.sort_unstable_by_key(|signer| signer.key);
        counted.truncate(usize::try_from(threshold).unwrap_or(usize::MAX));
    }
    if let Ok(Claims::Root { keys, threshold, .. }) = claims {
        // The old keys had to let it in. From then on it stands on its own keys' signatures, as the first one does: were it
        // void with the keys that it replaces, nothing could ever follow it.
        let own = keys.iter().filter(|key| statement.issuers.contains(key));
        let counted = own.map(|key| CountedSigner { key: *key, admitted_by: id }).collect();
        return Ok(Signers { counted, threshold: *threshold });
    }
    Ok(Signers { counted, threshold })
}

/// Where its signers have to be authorities.
fn domain_of_signers(statement: &Statement) -> DomainName {
    // A node's key stands in `_root`, wherever its statements lie.
    if profile(statement.kind).by_nodes { DomainName::root() } else { statement.domain.clone() }
}

/// What is said of an issuer that is no authority where it has to be one.
pub(super) fn unknown(statement: &Statement, issuer: &PublicKey) -> Refusal {
    let detail = format!("{issuer} is not an authority of domain `{}`", domain_of_signers(statement));
    Refusal::at(Code::AuthorityUnknown, "predicate.issuers", detail)
}

/// The keys that a statement makes valid.
#[derive(Default)]
struct Admission {
    /// Each must sign it, which proves that somebody holds it.
    must_sign: Vec<PublicKey>,
    /// These do not count towards the threshold.
    aside: Vec<PublicKey>,
}

/// A key that stays where it is has shown before that somebody holds it, so it need not sign again.
fn admission(view: &View<'_>, claims: &Claims) -> Result<Admission, RowError> {
    let newcomers = |keys: &[PublicKey], domain: &DomainName| -> Result<Vec<PublicKey>, RowError> {
        let standing = view.domain(domain)?;
        let stays = |key: &PublicKey| standing.as_ref().is_some_and(|row| row.governance.contains(key));
        Ok(keys.iter().copied().filter(|key| !stays(key)).collect())
    };
    Ok(match effects(claims).admits {
        Admits::Nothing => Admission::default(),
        Admits::Root { keys, registry_key } => {
            let mut must_sign = newcomers(keys, &DomainName::root())?;
            if view.meta()?.is_none_or(|meta| meta.registry_key != *registry_key) {
                must_sign.push(*registry_key);
            }
            let aside = must_sign.iter().copied().chain([*registry_key]).collect();
            Admission { must_sign, aside }
        }
        Admits::Governance { domain, keys } => {
            Admission { must_sign: newcomers(keys, domain)?, aside: keys.to_vec() }
        }
        Admits::Authority(authority) => Admission { must_sign: vec![*authority], aside: vec![*authority] },
    })
}

/// A new root statement is signed at its own threshold too, so that nobody locks the root keys out by mistake.
fn by_new_keys(statement: &Statement, keys: &[PublicKey], threshold: u32) -> Result<(), Refusal> {
    let signed = keys.iter().filter(|key| statement.issuers.contains(key)).count();
    if u32::try_from(signed).is_ok_and(|signed| signed >= threshold) {
        return Ok(());
    }
    let detail = format!("{signed} of the {threshold} signatures by its own keys that a new root needs");
    Err(Refusal::at(Code::ThresholdNotMet, "predicate.issuers", detail))
}

/// The first root statement stands on the signatures of all its own keys.
fn root(
    statement: &Statement,
    id: EvidenceId,
    admitted: &[PublicKey],
    keys: &[PublicKey],
    threshold: u32,
) -> Result<Signers, Stop> {
    if let Some(stranger) = statement.issuers.iter().find(|key| !admitted.contains(key)) {
        let detail = format!("{stranger} is not a key of this root statement");
        return Err(Refusal::at(Code::AuthorityUnknown, "predicate.issuers", detail).into());
    }
    let counted = keys.iter().map(|key| CountedSigner { key: *key, admitted_by: id }).collect();
    Ok(Signers { counted, threshold })
}

fn permitted_roles(kind: EvidenceKind, signers: &[(PublicKey, Role)]) -> Result<(), Refusal> {
    let permitted = profile(kind).roles;
    match signers.iter().find(|(_, role)| !permitted.contains(role)) {
        None => Ok(()),
        Some((key, role)) => {
            let permitted: Vec<_> = permitted.iter().map(|role| role.as_str()).collect();
            let detail = format!(
                "`{kind}` may be issued by {}, and {key} is an authority for {role}",
                permitted.join(" or ")
            );
            Err(Refusal::at(Code::RoleNotPermitted, "predicate.issuers", detail))
        }
    }
}

/// What a revocation needs.
struct Revoked {
    /// Whether the key revokes itself and needs nobody else.
    by_itself: bool,
    /// How many keys must sign.
    threshold: u32,
    /// The key whose own signature does not count.
    without: Option<PublicKey>,
}

impl Revoked {
    /// Alone, any key may revoke itself, and one governance key may revoke any that is not of governance; in `_root`, where these
    /// are the nodes' keys, it takes the threshold. Only the threshold reaches into the past of another's key. A governance or root key has co-signed what the threshold decided, so against
    /// it, and into its past even at its own word, it takes the threshold without it: what a threshold decided is undone by
    /// no fewer.
    fn of(
        view: &View<'_>,
        statement: &Statement,
        authority: &PublicKey,
        reaches_back: bool,
    ) -> Result<Self, RowError> {
        let itself = statement.issuers.as_slice() == [*authority];
        let of_governance = view.authority(authority)?.is_some_and(|row| row.role == Role::Governance);
        // Without its nodes' keys a registry can say nothing, and a revoked key never comes back.
        let of_root = statement.domain == DomainName::root();
        let by_threshold =
            if itself { of_governance && reaches_back } else { of_governance || reaches_back || of_root };
        Ok(Self {
            by_itself: itself && !by_threshold,
            threshold: if by_threshold { domain_threshold(view, &statement.domain)? } else { 1 },
            without: (of_governance && by_threshold).then_some(*authority),
        })
    }
}

/// How many keys must sign what is no revocation.
fn threshold(view: &View<'_>, statement: &Statement) -> Result<u32, RowError> {
    match profile(statement.kind).threshold {
        Threshold::One => Ok(1),
        Threshold::OfDomain => domain_threshold(view, &statement.domain),
        Threshold::OfRoot => domain_threshold(view, &DomainName::root()),
    }
}

/// A domain that is not there was refused before; were it not, no number of keys would do.
fn domain_threshold(view: &View<'_>, domain: &DomainName) -> Result<u32, RowError> {
    Ok(view.domain(domain)?.map_or(u32::MAX, |row| row.threshold))
}
