//! Whether one statement may count now: its issuer, its issuer's grant, what it rests on, its expiry, and
//! that it is not void (RFC-EG-033 §3, authority proof verification; §7, no unsigned inheritance).
//!
//! It owns no rule about the content of a statement; `negative`, `artifact` and `requirement` judge that.

use assent_proof::{Code, Millis, PublicKey};

use super::case::Case;
use super::counted::{Flawed, earlier};
use crate::authority::authority_flaw;
use crate::flaw::Flaw;
use crate::kinds::profile;
use crate::record::{AuthorityRow, SlotRow};
use crate::rows::RowError;

/// Whether the statement's issuer, grant, references and expiry let it count now: until when they do, or
/// every reason why they do not.
///
/// Rule R36 (RFC-EG-033 §8, attestation authorities): The issuer of what counts is an authority of the domain
/// (`authority_unknown`, `authority_inconsistent`), in a role that may sign its kind (`role_not_permitted`),
/// and is granted and valid (R57).
pub(super) fn check(
    case: &Case<'_>,
    issuer: &PublicKey,
    half: &SlotRow,
) -> Result<(Option<Millis>, Vec<Flawed>), RowError> {
    let flawed = |(code, detail): Flaw| Flawed { code, detail, evidence: half.evidence_id };
    let Some(authority) = case.view.authority(issuer)? else {
        let unknown = (Code::AuthorityUnknown, format!("{issuer} is not an authority"));
        return Ok((None, vec![flawed(unknown)]));
    };
    let mut flaws: Vec<Flawed> = Vec::new();
    flaws.extend(of_another_domain(case, issuer, &authority).map(flawed));
    flaws.extend(in_another_role(issuer, &authority, half).map(flawed));
    flaws.extend(authority_flaw(issuer, &authority, case.now).map(flawed));
    flaws.extend(inheritance_flaw(case, issuer, &authority, half)?.map(flawed));
    flaws.extend(expired(case, half).map(flawed));
    let flawless = flaws.is_empty();
    flaws.extend(void(case, half, flawless)?.map(flawed));
    let expires_at = half.expires_at.map(|at| at.to_millis());
    Ok((earlier(expires_at, authority.not_after.map(|at| at.to_millis())), flaws))
}

/// The flaw of an issuer that is an authority of another domain than the request's.
///
/// Rule R36 (RFC-EG-033 §8, attestation authorities): The issuer of what counts is an authority of the domain
/// (`authority_unknown`, `authority_inconsistent`), in a role that may sign its kind (`role_not_permitted`),
/// and is granted and valid (R57).
fn of_another_domain(case: &Case<'_>, issuer: &PublicKey, authority: &AuthorityRow) -> Option<Flaw> {
    (authority.domain != case.request.domain).then(|| {
        let detail = format!("{issuer} is an authority of domain `{}`", authority.domain);
        (Code::AuthorityInconsistent, detail)
    })
}

/// The flaw of an issuer whose role may not sign statements of this kind.
///
/// Rule R36 (RFC-EG-033 §8, attestation authorities): The issuer of what counts is an authority of the domain
/// (`authority_unknown`, `authority_inconsistent`), in a role that may sign its kind (`role_not_permitted`),
/// and is granted and valid (R57).
fn in_another_role(issuer: &PublicKey, authority: &AuthorityRow, half: &SlotRow) -> Option<Flaw> {
    let kind = half.claims.kind();
    (!profile(kind).roles.contains(&authority.role)).then(|| {
        let detail = format!("{issuer} is an authority for {} and signed a `{kind}`", authority.role);
        (Code::RoleNotPermitted, detail)
    })
}

/// What is wrong with the issuer's grant, and with the statements that this one rests on.
///
/// Rule R36 (RFC-EG-033 §8, attestation authorities): The issuer of what counts is an authority of the domain
/// (`authority_unknown`, `authority_inconsistent`), in a role that may sign its kind (`role_not_permitted`),
/// and is granted and valid (R57).
///
/// Rule R37 (RFC-EG-033 §7, invalidate): What counts stands: it is not void (`evidence_invalidated`,
/// `inheritance_unverifiable`) and rests on nothing with a flaw (R64).
fn inheritance_flaw(
    case: &Case<'_>,
    issuer: &PublicKey,
    authority: &AuthorityRow,
    half: &SlotRow,
) -> Result<Option<Flaw>, RowError> {
    if !case.view.is_admitted(authority)? {
        let detail = format!("the grant of authority `{}` ({issuer}) is void", authority.name);
        return Ok(Some((Code::InheritanceUnverifiable, detail)));
    }
    case.view.reference_flaw(&half.references)
}

/// The flaw of a statement that has expired.
///
/// Rule R38 (RFC-EG-033 §6, timestamp-bound proof continuity): What counts has not reached its `expiresAt`
/// (`evidence_expired`).
fn expired(case: &Case<'_>, half: &SlotRow) -> Option<Flaw> {
    let over = half.expires_at.is_some_and(|at| case.now >= at.to_millis());
    over.then(|| (Code::EvidenceExpired, "it has expired".to_owned()))
}

/// The flaw of a statement that is void. `flawless` says that nothing else is wrong with it, so that its
/// voidness must be named.
///
/// Rule R37 (RFC-EG-033 §7, invalidate): What counts stands: it is not void (`evidence_invalidated`,
/// `inheritance_unverifiable`) and rests on nothing with a flaw (R64).
fn void(case: &Case<'_>, half: &SlotRow, flawless: bool) -> Result<Option<Flaw>, RowError> {
    if !case.view.is_void(&half.evidence_id)? {
        return Ok(None);
    }
    let row = case.view.evidence(&half.evidence_id)?;
    if let Some(by) = row.and_then(|row| row.invalidated_by) {
        return Ok(Some((Code::EvidenceInvalidated, format!("it was invalidated by `{by}`"))));
    }
    // One of the flaws above usually explains why it is void. If none does, it still does not count.
    Ok(flawless.then(|| (Code::InheritanceUnverifiable, "it is void".to_owned())))
}
