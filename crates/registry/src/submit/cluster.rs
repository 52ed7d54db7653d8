//! What `rules` and `recovery` change of the registry as a whole. Each moves it exactly one step forward
//! (RFC-EG-033 §8, continuity across failover).

use assent_proof::{Millis, PublicKey, Refusal};

use super::refuse::invalid;
use super::stop::Stop;
use crate::record::FIRST_EPOCH;
use crate::view::View;

/// A `rules` statement must name the next version.
///
/// Rule R150 (RFC-EG-033 §3, Cryptographic Proof Validation): A `rules` statement names the next version, and
/// a `recovery` the next epoch, and no other (`claims_invalid`).
pub(super) fn rules(view: &View<'_>, version: u32) -> Result<(), Stop> {
    let current = view.rules_version()?.0;
    if current.checked_add(1) == Some(version) {
        return Ok(());
    }
    let next = current.saturating_add(1);
    let detail =
        format!("the rules are at version `{current}`, so the next one is `{next}`, not `{version}`");
    Err(invalid("version", detail).into())
}

/// A `recovery` must name the next epoch, and the one node that goes on in it. No other node is sure to hold
/// what that node holds, so others join afterwards and receive its log.
///
/// Rule R150 (RFC-EG-033 §3, Cryptographic Proof Validation): A `rules` statement names the next version, and
/// a `recovery` the next epoch, and no other (`claims_invalid`).
///
/// Rule R151 (RFC-EG-033 §3, Authority Proof Verification): A `recovery` names one voter (`claims_invalid`),
/// by the key of a node that is granted and valid in `_root` (`target_unknown`, `authority_revoked`,
/// `authority_expired`, `inheritance_unverifiable`).
pub(super) fn recovery(view: &View<'_>, epoch: u64, voters: &[PublicKey], now: Millis) -> Result<(), Stop> {
    let current = view.meta()?.map_or(FIRST_EPOCH, |meta| meta.epoch);
    if current.checked_add(1) != Some(epoch) {
        let next = current.saturating_add(1);
        let detail = format!("this is epoch `{current}`, so the next one is `{next}`, not `{epoch}`");
        return Err(invalid("epoch", detail).into());
    }
    let [voter] = voters else {
        let count = voters.len();
        let detail =
            format!("it must name one voter, not `{count}`; others join through membership afterwards");
        return Err(invalid("voters", detail).into());
    };
    match view.node_key_flaw(voter, now)? {
        None => Ok(()),
        Some((code, detail)) => Err(Refusal::at(code, "predicate.claims.voters[0]", detail).into()),
    }
}
