//! What can be refused before a signature is computed: envelopes that no key which the registry knows can have signed.
//!
//! A signature costs as much as hundreds of look-ups, and anybody can have one computed. An envelope can only be accepted if keys that
//! an earlier statement admitted have signed it. So whoever holds no such key is refused for the price of a look-up.

use std::collections::BTreeSet;

use assent_proof::{Claims, ParsedEnvelope, PublicKey, Refusal, VerifiedEnvelope};

use super::{Stop, place, signers};
use crate::command::Outcome;
use crate::kinds::{Admits, effects, profile};
use crate::rows::RowError;
use crate::view::View;

/// Why this state refuses the envelope whatever its signatures are: too few of its issuers are keys that the registry knows, granted,
/// of governance, of root or of a node, also those that are revoked or expired. None if its signatures have to be looked at.
///
/// It is the refusal that [`apply`](crate::apply) gives if the signatures are good. If an envelope is wrong in several ways, that it is
/// of strangers comes first, before what is wrong with its signatures. `admitted` says which keys are admitted by what will be applied
/// before the envelope; these count as known.
///
/// A statement that admits keys is signed by them too, so one known issuer is enough for it. Every other statement needs all of its
/// issuers.
///
/// A later state may know keys that this one does not. A refusal is final only if nothing that was acknowledged before the envelope
/// came is missing here.
///
/// # Errors
/// What reading gives.
pub fn refuses_strangers(
    view: &View<'_>,
    envelope: &ParsedEnvelope<'_>,
    admitted: impl Fn(&PublicKey) -> bool,
) -> Result<Option<Refusal>, RowError> {
    // Before genesis nobody is known, and its root admits itself.
    let Some(meta) = view.meta()? else { return Ok(None) };
    let statement = envelope.statement();
    let mut known: usize = 0;
    for issuer in &statement.issuers {
        if admitted(issuer) || view.authority(issuer)?.is_some() {
            known = known.saturating_add(1);
        }
    }
    let needed = if profile(statement.kind).admits_keys { 1 } else { statement.issuers.len() };
    if known >= needed {
        return Ok(None);
    }
    view.begin();
    let claims = Claims::parse(envelope.rules(), statement.kind, &statement.claims);
    let judged = place::domain(view, statement).and_then(|()| {
        signers::check(view, statement, envelope.id(), claims.as_ref(), meta.registry_time).map(|_| ())
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
