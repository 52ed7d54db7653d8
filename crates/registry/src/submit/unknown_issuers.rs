//! Refusals before a signature is computed: envelopes whose issuers the registry does not know (RFC-EG-033
//! §10, authority validation spoofing).
//!
//! Verifying a signature costs as much as hundreds of look-ups, and any client can make a node verify one. An
//! envelope can be accepted only if keys that an earlier statement admitted are among its issuers and have
//! signed it. So an envelope that names too few of them is refused for the price of a look-up. Naming a key
//! is not signing: public keys are public, so an envelope that names known keys without their signatures is
//! refused only when its signatures are verified.

use std::collections::BTreeSet;

use assent_proof::{Claims, ParsedEnvelope, PublicKey, Refusal, VerifiedEnvelope};

use super::stop::Stop;
use super::{place, signers};
use crate::command::Outcome;
use crate::kinds::{Admits, effects, profile};
use crate::rows::RowError;
use crate::view::View;

/// Why this state refuses the envelope whatever its signatures are: too few of its issuers are keys that the
/// registry knows. It knows a key that was granted, is or was one of governance or root, or is a node's, even
/// if that key is revoked or expired. `None` if the signatures must be verified.
///
/// The refusal is the one that [`apply`](crate::apply) gives if nothing else is wrong with the envelope:
/// `domain_unknown` and the other refusals of where it lies, and then `authority_unknown` for the first of
/// its issuers that is not known. It comes before what is wrong with its signatures and with its known
/// issuers: whether one of these has expired depends on the time at which the envelope is applied, which is
/// not known here. `admitted` says which keys will be admitted by what is applied before the envelope; these
/// count as known.
///
/// A statement that admits keys is signed by them too, so it needs only one known issuer. If none is known,
/// the refusal may instead be about its claims or about the keys that it admits. Every other statement needs
/// all of its issuers to be known.
///
/// A later state may know keys that this one does not. The refusal is final only if this state includes
/// everything that was acknowledged before the envelope came.
///
/// Rule R69 (RFC-EG-033 §3, Authority Proof Verification): An envelope that names an issuer that the registry
/// does not know is refused before a signature is computed (`authority_unknown`), unless its statement admits
/// keys and names another issuer that the registry knows.
///
/// An error in reading.
/// What reading gives.
pub fn refuses_unknown_issuers(
    view: &View<'_>,
    envelope: &ParsedEnvelope<'_>,
    admitted: impl Fn(&PublicKey) -> bool,
) -> Result<Option<Refusal>, RowError> {
    // Before genesis no key is known, and the first root admits its own.
    let Some(meta) = view.meta()? else { return Ok(None) };
    let statement = envelope.statement();
    let admits_keys = profile(statement.kind).admits_keys;
    let mut known = false;
    let mut first_unknown: Option<&PublicKey> = None;
    for issuer in &statement.issuers {
        if admitted(issuer) || view.authority(issuer)?.is_some() {
            known = true;
        } else {
            first_unknown = first_unknown.or(Some(issuer));
        }
    }
    let unknown = match first_unknown {
        Some(issuer) if !(admits_keys && known) => issuer,
        Some(_) | None => return Ok(None),
    };
    view.begin();
    let judged = place::domain(view, statement).and_then(|()| {
        if admits_keys {
            // None of its issuers is known, so there is none whose validity could depend on the time.
            let claims = Claims::parse(envelope.rules(), statement.kind, &statement.claims);
            let now = meta.registry_time;
            return signers::check(view, statement, envelope.id(), claims.as_ref(), now).map(|_| ());
        }
        Err(signers::unknown(statement, unknown).into())
    });
    match judged {
        Ok(()) => Ok(None),
        Err(Stop::Rows(error)) => Err(error),
        Err(Stop::Answer(outcome)) => match *outcome {
            Outcome::Refused { refusal, .. } => Ok(Some(refusal)),
            Outcome::Accepted { .. } | Outcome::Equivocation { .. } => Ok(None),
        },
    }
}

/// The keys that this envelope admits, if it is accepted.
pub fn admits(envelope: &VerifiedEnvelope) -> BTreeSet<PublicKey> {
    let statement = envelope.statement();
    match Claims::parse(envelope.rules(), statement.kind, &statement.claims) {
        Err(_) => BTreeSet::new(),
        Ok(claims) => match effects(&claims).admits {
            Admits::Nothing => BTreeSet::new(),
            Admits::Root { keys, registry_key } => keys.iter().copied().chain([*registry_key]).collect(),
            Admits::Governance { keys, .. } => keys.iter().copied().collect(),
            Admits::Authority(key) => BTreeSet::from([*key]),
        },
    }
}
