//! Which keys may sign what: authorities, roles, thresholds (RFC-EG-033 §2, the kinds of evidence; §8, the
//! authorities that provide them).
//!
//! This file owns which issuers of a statement count and how many must. `admitted_keys.rs` says which keys a
//! statement admits.

use assent_proof::{
    Claims, Code, DomainName, EvidenceId, EvidenceKind, Millis, PublicKey, Refusal, Role, Statement,
};

use super::admitted_keys::{AdmittedKeys, by_new_keys};
use super::stop::Stop;
use crate::authority::authority_flaw;
use crate::kinds::{Restriction, Threshold, effects, profile};
use crate::record::CountedSigner;
use crate::rows::RowError;
use crate::view::View;

/// Keys, each with the role of its grant.
type Roles = Vec<(PublicKey, Role)>;

/// The issuers that count, and how many must.
pub(super) struct Signers {
    pub(super) counted: Vec<CountedSigner>,
    pub(super) threshold: u32,
}

/// Every issuer is an active authority of the domain in a role that may sign this, enough of them sign, and
/// every key that the statement admits signs too.
///
/// Each signer is recorded with the statement that admitted it, so that a later grant neither revives what
/// was signed under a void one nor voids what was signed under a sound one. A release rests on as few signers
/// as possible. So there are few different sets of releasers, and an evaluation reads one row of each set,
/// however often a target was contained and released.
///
/// Rule R92 (RFC-EG-033 §4, unverifiable exchange inheritance): For each signer that counts, evidence records
/// the statement that admitted the signer, which for the keys of a new `root` is that `root` itself, and a
/// `release` rests on only as many of its signers as the threshold needs, those with the smallest keys.
pub(super) fn check(
    view: &View<'_>,
    statement: &Statement,
    id: EvidenceId,
    claims: Result<&Claims, &Refusal>,
    now: Millis,
) -> Result<Signers, Stop> {
    let admitted_keys = match claims {
        Ok(claims) => AdmittedKeys::of(view, claims)?,
        // The keys that it admits cannot be told apart from its signers, so the claims are reported first.
        Err(refusal) if profile(statement.kind).admits_keys => return Err(refusal.clone().into()),
        Err(_) => AdmittedKeys::default(),
    };
    admitted_keys.all_sign(statement)?;
    if let Ok(Claims::Root { keys, threshold, .. }) = claims {
        if view.meta()?.is_none() {
            return root(statement, id, &admitted_keys.must_sign, keys, *threshold);
        }
        by_new_keys(statement, keys, *threshold)?;
    }
    let (mut counted, roles) = active(view, statement, &admitted_keys.aside, now)?;
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
    enough(&counted, threshold, revoked.and_then(|revoked| revoked.without))?;
    if statement.kind == EvidenceKind::Release {
        // A release rests on just as many signers as it needs, those with the smallest keys. If more were
        // recorded, there could be more sets of signers than can be looked at (see `containment`).
        counted.sort_unstable_by_key(|signer| signer.key);
        counted.truncate(usize::try_from(threshold).unwrap_or(usize::MAX));
    }
    if let Ok(Claims::Root { keys, threshold, .. }) = claims {
        // The old keys had to accept it. From then on it rests on its own keys' signatures, as the first one
        // does. If it became void with the keys that it replaces, no root could ever follow it.
        let own = keys.iter().filter(|key| statement.issuers.contains(key));
        let counted = own.map(|key| CountedSigner { key: *key, admitted_by: id }).collect();
        return Ok(Signers { counted, threshold: *threshold });
    }
    Ok(Signers { counted, threshold })
}

/// The issuers that count, with their roles: each is an authority of the domain, may sign now, and has a
/// grant that is not void. If a revocation has several issuers, those that fail this are left out. Every
/// other statement is refused if one issuer fails it.
///
/// Rule R57 (RFC-EG-033 §3, Authority Proof Verification): An authority may sign from its `notBefore` to its
/// `notAfter`, exclusive (`authority_expired`), never again once it is revoked (`authority_revoked`), and not
/// if its grant is void (`inheritance_unverifiable`).
///
/// Rule R84 (RFC-EG-033 §3, Authority Proof Verification): A key that a statement admits does not count
/// towards the threshold of that statement, except a root key that stays in a new `root`.
///
/// Rule R87 (RFC-EG-033 §3, Authority Proof Verification): Every issuer that counts is an authority of the
/// statement's domain, and of `_root` for `permit` and `rules`, which nodes sign (`authority_unknown`), in a
/// role that may sign the kind (`role_not_permitted`).
///
/// Rule R88 (RFC-EG-033 §7, revoke): If a revocation has several signers, those of them count that may sign
/// when it arrives, and the others are passed over.
///
/// Rule R92 (RFC-EG-033 §4, unverifiable exchange inheritance): For each signer that counts, evidence records
/// the statement that admitted the signer, which for the keys of a new `root` is that `root` itself, and a
/// `release` rests on only as many of its signers as the threshold needs, those with the smallest keys.
fn active(
    view: &View<'_>,
    statement: &Statement,
    aside: &[PublicKey],
    now: Millis,
) -> Result<(Vec<CountedSigner>, Roles), Stop> {
    let domain = domain_of_signers(statement);
    let restriction = statement.kind.is_restriction() && statement.issuers.len() > 1;
    let mut counted = Vec::new();
    let mut roles = Vec::new();
    for key in statement.issuers.iter().filter(|key| !aside.contains(key)) {
        let row = view.authority(key)?.filter(|row| row.domain == domain);
        let Some(row) = row else { return Err(unknown(statement, key).into()) };
        if restriction && (authority_flaw(key, &row, now).is_some() || !view.is_admitted(&row)?) {
            // A revocation that is kept in a safe may outlive one of its signers. The others must be enough.
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
    Ok((counted, roles))
}

/// Enough of those that count must sign. `without` is a key whose own signature does not count.
///
/// Rule R89 (RFC-EG-033 §3, Authority Proof Verification): As many distinct issuers count as the kind needs
/// (`threshold_not_met`): one for execution evidence, containments, permits and `rules`, root's threshold for
/// a `domain`, and the threshold of its own domain for every other statement, except as R90 and R91 say of
/// revocations.
fn enough(counted: &[CountedSigner], threshold: u32, without: Option<PublicKey>) -> Result<(), Refusal> {
    let signed = counted.iter().filter(|signer| Some(signer.key) != without).count();
    let signed = u32::try_from(signed).unwrap_or(u32::MAX);
    if signed >= threshold {
        return Ok(());
    }
    let but = without.map_or(String::new(), |key| format!(", not counting {key}, which it revokes"));
    let detail = format!("{signed} of the {threshold} governance signatures needed{but}");
    Err(Refusal::at(Code::ThresholdNotMet, "predicate.issuers", detail))
}

/// The domain of which its signers must be authorities.
///
/// Rule R87 (RFC-EG-033 §3, Authority Proof Verification): Every issuer that counts is an authority of the
/// statement's domain, and of `_root` for `permit` and `rules`, which nodes sign (`authority_unknown`), in a
/// role that may sign the kind (`role_not_permitted`).
fn domain_of_signers(statement: &Statement) -> DomainName {
    // A node's key stands in `_root`, wherever its statements lie.
    if profile(statement.kind).by_nodes { DomainName::root() } else { statement.domain.clone() }
}

/// The refusal of an issuer that is not an authority where it must be one.
pub(super) fn unknown(statement: &Statement, issuer: &PublicKey) -> Refusal {
    let detail = format!("{issuer} is not an authority of domain `{}`", domain_of_signers(statement));
    Refusal::at(Code::AuthorityUnknown, "predicate.issuers", detail)
}

/// The first root statement rests on the signatures of all its own keys.
///
/// Rule R85 (RFC-EG-033 §3, Authority Proof Verification): The first `root` is signed by all its own keys and
/// by its `registryKey`, and by no other key (`unsigned_evidence`, `authority_unknown`).
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

/// Each signer must be in a role that may issue this kind.
///
/// Rule R87 (RFC-EG-033 §3, Authority Proof Verification): Every issuer that counts is an authority of the
/// statement's domain, and of `_root` for `permit` and `rules`, which nodes sign (`authority_unknown`), in a
/// role that may sign the kind (`role_not_permitted`).
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
    /// Whether the key revokes itself and needs no other signer.
    by_itself: bool,
    /// How many keys must sign.
    threshold: u32,
    /// The key whose own signature does not count.
    without: Option<PublicKey>,
}

impl Revoked {
    /// Any key may revoke itself alone. One governance key may revoke a key of another role; in `_root`,
    /// where those are the nodes' keys, this takes the threshold. Voiding what another key signed in the past
    /// always takes the threshold. A governance or root key has co-signed what the threshold decided, and
    /// fewer keys must not undo that. So it takes the threshold without this key to revoke it, and also to
    /// void its past at its own request.
    ///
    /// Rule R90 (RFC-EG-033 §7, revoke): An authority may revoke itself alone, with any `invalidSince` or
    /// none, but a governance or root key only from now on, without an `invalidSince`.
    ///
    /// Rule R91 (RFC-EG-033 §7, revoke): Every other revocation takes the threshold of its domain, towards
    /// which a governance or root key that it revokes does not count, but one governance key is enough to
    /// revoke an authority of another role from now on, except in `_root`, where the authorities of another
    /// role are the nodes' keys.
    fn of(
        view: &View<'_>,
        statement: &Statement,
        authority: &PublicKey,
        reaches_back: bool,
    ) -> Result<Self, RowError> {
        let itself = statement.issuers.as_slice() == [*authority];
        let of_governance = view.authority(authority)?.is_some_and(|row| row.role == Role::Governance);
        // Without its nodes' keys a registry can sign nothing, and a revoked key never comes back.
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

/// How many keys must sign a statement that is not a revocation.
///
/// Rule R89 (RFC-EG-033 §3, Authority Proof Verification): As many distinct issuers count as the kind needs
/// (`threshold_not_met`): one for execution evidence, containments, permits and `rules`, root's threshold for
/// a `domain`, and the threshold of its own domain for every other statement, except as R90 and R91 say of
/// revocations.
fn threshold(view: &View<'_>, statement: &Statement) -> Result<u32, RowError> {
    match profile(statement.kind).threshold {
        Threshold::One => Ok(1),
        Threshold::OfDomain => domain_threshold(view, &statement.domain),
        Threshold::OfRoot => domain_threshold(view, &DomainName::root()),
    }
}

/// An earlier check refuses a domain that does not exist. If it did not, no number of keys would be enough.
///
/// Rule R89 (RFC-EG-033 §3, Authority Proof Verification): As many distinct issuers count as the kind needs
/// (`threshold_not_met`): one for execution evidence, containments, permits and `rules`, root's threshold for
/// a `domain`, and the threshold of its own domain for every other statement, except as R90 and R91 say of
/// revocations.
fn domain_threshold(view: &View<'_>, domain: &DomainName) -> Result<u32, RowError> {
    Ok(view.domain(domain)?.map_or(u32::MAX, |row| row.threshold))
}
